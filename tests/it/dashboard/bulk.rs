//! One thing done to many rows: those that are ticked, and all that match; and lists whose
//! rows live while somebody ticks them.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::endpoints::{id, status};
use crate::dashboard::looks::UNLIMITED;
use crate::dashboard::reader::{Reader, links};
use crate::support::http::Response;
use crate::support::node::{LATER_MS, Node, OPERATOR_KEY, SharedNode, Tenant, campaign, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::with(&UNLIMITED);

/// Many events at once.
fn batch(tenant: &Tenant, count: usize) {
    let lines: Vec<String> = (0..count).map(|number| campaign("campaign.created", &format!("many-{number}"))).collect();
    let headers = [("content-type", "application/x-ndjson")];
    for lines in lines.chunks(500) {
        tenant.producer.send("POST", "/events/batch", &headers, lines.join("\n").as_bytes()).expect(202);
    }
}

/// Where the button of a look at all that match sends its form.
#[track_caller]
fn press_of(page: &Response) -> String {
    let form = page.body.split("id=\"all-matching\"").nth(1).unwrap_or_else(|| panic!("no button in {}", page.body));
    form.split("action=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&")
}

/// A field of a form of a page, as it is sent.
#[track_caller]
fn field(page: &Response, name: &str) -> String {
    let rest = page.body.split(&format!("name=\"{name}\" value=\"")).nth(1);
    let rest = rest.unwrap_or_else(|| panic!("no field {name} in {}", page.body));
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

#[track_caller]
fn says(page: &Response, texts: &[&str]) {
    for text in texts {
        assert!(page.body.contains(text), "no `{text}` in {}", page.body);
    }
}

/// The subjects of all audit entries of an action.
fn audited(tenant: &Tenant, action: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let found = tenant.partner.get(&format!("/audit?action={action}&limit=250{cursor}")).expect(200);
        all.extend(found["data"].as_array().unwrap().iter().map(|entry| entry["subject"].as_str().unwrap().to_owned()));
        match found["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn all_deliveries_that_match_are_retried_a_press_at_a_time() {
    const MANY: usize = 520;
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/in"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS, LATER_MS, LATER_MS] },
    }));
    let arrived = tenant.event(campaign("campaign.created", "first"));
    tenant.settled(&arrived, "delivered");
    subscriber.fail();
    batch(&tenant, MANY);
    let reader = Reader::signed_in(&node, tenant.key());

    // From the list, by its own form: nothing is done yet, and the time is fixed.
    let list = format!("endpoint={}", id(&made));
    let led = reader.post(&format!("/dashboard/deliveries/retry?{list}"), &[("verb", "retry"), ("all", "1")]);
    let look = led.header("location").unwrap().to_owned();
    assert!(look.starts_with(&format!("/dashboard/deliveries/matching?{list}&until=")), "{look}");
    let page = reader.get(&look);
    says(&page, &["520 deliveries would be retried", "Retry 520 deliveries", "same webhook-id", "500 at most"]);
    says(&page, &["1 delivery delivered already"]);
    assert_eq!(page.body.matches("href=\"/dashboard/deliveries/dlv_").count(), 5, "{}", page.body);
    assert_eq!(audited(&tenant, "delivery.retried"), Vec::<String>::new());
    // What has arrived is sent again by a replay, for which the same is meant.
    let replay = links(&page).into_iter().find(|link| link.contains("/replays/look")).expect("a link to a replay");
    says(&reader.follow(&replay), &["1 delivery would be made"]);
    // Of one event a replay would send more than is meant: none is offered.
    let of_one = reader.follow(&format!("/dashboard/deliveries/matching?{list}&event={}", id(&arrived)));
    says(&of_one, &["1 delivery delivered already.", "Nothing that is left of it can be retried."]);
    assert!(!links(&of_one).iter().any(|link| link.contains("/replays/")), "{:?}", links(&of_one));

    // What comes later is no part of it, and what is left is left.
    let late = tenant.event(campaign("campaign.created", "late"));
    let late = id(&tenant.delivery_of(&late));
    let (press, made_at) = (press_of(&page), field(&page, "made"));
    let first = reader.post_and_follow(&press, &[("made", &made_at)]);
    says(&first, &["Queued: one more attempt of 500 deliveries. Go on with the rest below."]);
    // The same form once more is the same deliveries, and they are not asked for again.
    let again = reader.post_and_follow(&press, &[("made", &made_at)]);
    says(&again, &["Queued: one more attempt of 0 deliveries. 500 were asked for since the page was loaded"]);
    says(&again, &["Go on with the rest: retry 20 deliveries"]);
    assert_eq!(audited(&tenant, "delivery.retried").len(), 500);
    says(&first, &["20 deliveries are left", "Go on with the rest: retry 20 deliveries"]);
    let rest = reader.post_and_follow(&press_of(&first), &[]);
    says(&rest, &["Queued: one more attempt of 20 deliveries. That was all of it.", "<h1>Deliveries</h1>"]);
    let asked = audited(&tenant, "delivery.retried");
    let distinct: HashSet<&String> = asked.iter().collect();
    assert_eq!((asked.len(), distinct.len()), (MANY, MANY), "none is passed over, and none asked for twice");
    assert!(!asked.contains(&late) && !asked.contains(&id(&tenant.delivery_of(&arrived))));
}

#[test]
fn very_many_are_typed_and_what_is_held_is_passed_over() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS, LATER_MS, LATER_MS] },
    }));
    tenant.partner.post_empty(&format!("/webhook/{}/pause", id(&made))).expect(200);
    batch(&tenant, 1_100);
    let reader = Reader::signed_in(&node, tenant.key());
    // What is held goes out when it is resumed: there is a way to that, and no button.
    let page = reader.follow("/dashboard/deliveries/matching?status=held&type=campaign.*");
    says(&page, &["Nothing that is left of it can be retried.", "1,100 deliveries, passed over", "Paused endpoints"]);
    says(&page, &["status <b title=\"held\">held</b>"]);
    assert!(!page.body.contains("id=\"all-matching\""), "{}", page.body);
    assert!(links(&page).contains(&"/dashboard/endpoints?health=paused".to_owned()), "{:?}", links(&page));
    let listed = reader.get("/dashboard/deliveries?status=held");
    assert!(!listed.body.contains(">due<") && !listed.body.contains(">waits<"), "{}", listed.body);

    subscriber.fail();
    tenant.partner.post_empty(&format!("/webhook/{}/resume", id(&made))).expect(200);
    let page = reader.follow("/dashboard/deliveries/matching?type=campaign.*");
    says(&page, &["1,000+ deliveries would be retried", "name=\"typed\""]);
    let press = press_of(&page);
    // The server counts by itself, whatever a form says or leaves out.
    for fields in [&[("typed", "100")][..], &[("number", "0")], &[], &[("number", "100"), ("typed", "100")]] {
        let wrong = reader.post_and_follow(&press, fields);
        says(&wrong, &["Nothing was done: type 1,000", "1,000+ deliveries would be retried"]);
    }
    let pressed = reader.post_and_follow(&press, &[("typed", "1,000")]);
    says(&pressed, &["Queued: one more attempt of 500 deliveries.", "600 deliveries are left"]);
    // Times that are none are the API's to object to, and what was typed is not run.
    let odd = reader.follow("/dashboard/deliveries/matching?until=%3Cb%3Esoon");
    assert!(odd.status == 422 && !odd.body.contains("<b>soon"), "{}", odd.body);
    // Whoever may not retry is told so.
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    assert_eq!(producer.follow("/dashboard/deliveries/matching").status, 403);
}

#[test]
fn all_endpoints_that_match_are_paused_and_that_is_undone() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let make =
        |path: &str| id(&tenant.webhook(&json!({ "url": subscriber.url(path), "events": ["campaign.created"] })));
    let (one, two, other) = (make("/in/1"), make("/in/2"), make("/else"));
    tenant.partner.post_empty(&format!("/webhook/{two}/pause")).expect(200);
    let reader = Reader::signed_in(&node, tenant.key());
    let led =
        reader.post("/dashboard/endpoints/bulk?url_part=%2Fin%2F", &[("verb", "pause"), ("all", "1"), ("pick", "x y")]);
    let look = led.header("location").unwrap().to_owned();
    assert!(look.starts_with("/dashboard/endpoints/matching?verb=pause&until="), "{look}");
    let page = reader.get(&look);
    says(&page, &["Pause: 1 endpoint. Nothing is lost", "1 endpoint: paused already", "URL <b>/in/</b>", &one]);
    assert!(!page.body.contains(&other), "{}", page.body);
    assert_eq!(status(&tenant, &one), "active", "it was looked at");
    // One that is made later is no part of it.
    let late = eventually("the clock has moved on", || {
        let made = tenant.webhook(&json!({ "url": subscriber.url("/in/late"), "events": ["campaign.created"] }));
        (!look.contains(made["created_at"].as_str().unwrap())).then_some(id(&made))
    });
    let done = reader.post_and_follow(&press_of(&page), &[]);
    says(&done, &["Paused: 1 endpoint.", "<h1>Endpoints</h1>", "data-undo="]);
    let all = [&one, &two, &other, &late];
    assert_eq!(all.map(|id| status(&tenant, id)), ["paused", "paused", "active", "active"]);
    // The reverse is of what was done, and of nothing else.
    let undo = field(&done, "undo");
    let led = reader.post("/dashboard/undo", &[("undo", &undo)]);
    assert_eq!(led.status, 307, "{}", led.body);
    let pick = format!("{one} {}", tenant.name);
    let undone = reader.post_and_follow(led.header("location").unwrap(), &[("verb", "resume"), ("pick", &pick)]);
    says(&undone, &["Resumed: 1 endpoint."]);
    assert!(undo.contains("pick=") && !undo.contains(&two), "{undo}");
    assert_eq!(all.map(|id| status(&tenant, id)), ["active", "paused", "active", "active"]);
    // Without a verb or a time there is nothing to look at.
    for nothing in ["", "?verb=delete&until=2026-01-31T00:00:00Z", "?verb=pause&until=soon"] {
        assert_eq!(reader.get(&format!("/dashboard/endpoints/matching{nothing}")).status, 303, "{nothing}");
    }
}

#[test]
fn more_endpoints_than_a_press_takes_are_gone_on_with() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let make = |number| {
        id(&tenant.webhook(&json!({ "url": format!("https://example.com/{number}"), "events": ["campaign.created"] })))
    };
    let made: Vec<String> = (0..255).map(make).collect();
    let reader = Reader::signed_in(&node, tenant.key());
    let led = reader.post("/dashboard/endpoints/bulk", &[("verb", "pause"), ("all", "1")]);
    let page = reader.get(led.header("location").unwrap());
    says(&page, &["Pause: 255 endpoints.", "250 at most"]);
    let first = reader.post_and_follow(&press_of(&page), &[]);
    says(&first, &["Paused: 250 endpoints.", "too many to be undone by a button", "Pause: 5 endpoints that are left"]);
    says(&first, &["the list of endpoints has all that are paused"]);
    let rest = reader.post_and_follow(&press_of(&first), &[]);
    says(&rest, &["Paused: 5 endpoints.", "data-undo="]);
    assert!(made.iter().all(|id| status(&tenant, id) == "paused"));
    // Where nothing is left to be paused, it is led to where they are resumed.
    let led = reader.post("/dashboard/endpoints/bulk?health=paused", &[("verb", "resume"), ("all", "1")]);
    let page = reader.get(led.header("location").unwrap());
    says(&page, &["Resume: 255 endpoints."]);
    for id in &made[..60] {
        tenant.partner.post_empty(&format!("/webhook/{id}/resume")).expect(200);
    }
    let led = reader.post("/dashboard/endpoints/bulk?health=ok", &[("verb", "pause"), ("all", "1")]);
    let page = reader.get(led.header("location").unwrap());
    says(&page, &["Pause: 60 endpoints."]);
    let done = reader.post(&press_of(&page), &[]);
    assert_eq!(done.header("location"), Some("/dashboard/endpoints?health=paused"));
    says(&reader.follow("/dashboard/endpoints?health=paused"), &["Paused: 60 endpoints.", "those from before too"]);
}

#[test]
fn what_was_paused_before_is_passed_over_and_stays_so() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let make = |number: u32| {
        id(&tenant.webhook(&json!({ "url": format!("https://example.com/{number}"), "events": ["campaign.created"] })))
    };
    let (one, before) = (make(1), make(2));
    tenant.partner.post_empty(&format!("/webhook/{before}/pause")).expect(200);
    let tick = |id: &str| format!("{id} {}", tenant.name);
    let (first, second) = (tick(&one), tick(&before));
    for key in [tenant.key(), OPERATOR_KEY] {
        let reader = Reader::signed_in(&node, key);
        let both = [("verb", "pause"), ("pick", first.as_str()), ("pick", second.as_str())];
        let done = reader.post_and_follow("/dashboard/endpoints/bulk", &both);
        says(&done, &["Paused: 1 endpoint.", "Passed over: 1 endpoint: paused already.", "data-undo="]);
        let undo = field(&done, "undo");
        assert!(undo.contains(&one) && !undo.contains(&before), "{undo}");
        let none = reader.post_and_follow("/dashboard/endpoints/bulk", &both);
        says(&none, &["Nothing was done to 2 endpoints: paused already."]);
        assert!(!none.body.contains("data-undo="), "{}", none.body);
        // The page of one says the same, and has no button that would undo another's pause.
        let page = format!("/dashboard/endpoints/{before}");
        let alone = reader.post_and_follow(&format!("{page}/pause"), &[]);
        says(&alone, &["Nothing has changed: it is paused already."]);
        assert!(!alone.body.contains("data-undo="), "{}", alone.body);
        let back = reader.post_and_follow("/dashboard/endpoints/bulk", &[("verb", "resume"), ("pick", first.as_str())]);
        says(&back, &["Resumed: 1 endpoint."]);
        assert_eq!([&one, &before].map(|id| status(&tenant, id)), ["active", "paused"]);
    }
}

#[test]
fn pages_ask_for_no_more_than_the_api_lists() {
    let (node, subscriber) = (Node::start(&[("PAGE", "5"), ("PAGE_MAX", "5")]), Subscriber::start());
    let tenant = node.tenant("production");
    subscriber.fail();
    for number in 0..7 {
        tenant.webhook(&json!({
            "url": subscriber.url(&format!("/few/{number}")), "events": ["*"], "retry": { "schedule_ms": [] },
        }));
    }
    let accepted = tenant.event(campaign("campaign.created", "1"));
    let delivery = eventually("all is given up", || {
        let event = id(&accepted);
        let found = tenant.partner.get(&format!("/deliveries?event={event}&status=retries_exhausted")).expect(200);
        let found = found["data"].as_array().unwrap();
        (found.len() == 5).then(|| id(&found[0]))
    });
    for key in [tenant.key(), OPERATOR_KEY] {
        let reader = Reader::signed_in(&node, key);
        for path in [
            "/dashboard/endpoints",
            "/dashboard/endpoints?sort=waiting",
            "/dashboard/deliveries",
            "/dashboard/exhausted",
            "/dashboard/exhausted/matching",
            "/dashboard/deliveries/matching",
            "/dashboard/events",
            "/dashboard/catalog",
            "/dashboard/find?q=nothing-here",
            "/dashboard/find?q=few",
            &format!("/dashboard/deliveries/{delivery}"),
        ] {
            let page = reader.follow(path);
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            assert!(!page.body.contains("page_max") && !page.body.contains("role=\"alert\""), "{path}: {}", page.body);
        }
        says(&reader.get("/dashboard/find?q=few"), &["a part of its URL"]);
        says(&reader.get("/dashboard/endpoints"), &["/few/", "rel=\"next\""]);
    }
}

#[test]
fn retried_deliveries_say_in_their_rows_how_it_ends() {
    let (node, subscriber) = (Node::start(&UNLIMITED), Subscriber::start());
    let (tenant, base) = (node.tenant("production"), node.base());
    tenant.webhook(&json!({ "url": subscriber.url("/in"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    let lost = tenant.settled(&tenant.event(campaign("campaign.created", "1")), "retries_exhausted");
    let row = format!("tr[id='{}']", id(&lost));
    let browser = Browser::start();
    browser.sign_in(&base, tenant.key());
    browser.go(&format!("{base}/dashboard/deliveries"));
    browser.wait_for_text(&row, "exhausted");
    browser.click(&format!("{row} .tick input"));
    browser.wait_for_text("[data-count]", "1 selected");
    subscriber.succeed();
    browser.click("button[name=verb][value=retry]");
    browser.wait_for_text(".note", "Queued: one more attempt of 1 delivery. Their rows say how it ends.");
    browser.wait_for_text(&row, "delivered");
    // What is new is told of, and stays away; a tick stays where it was set.
    browser.click(&format!("{row} .tick input"));
    tenant.settled(&tenant.event(campaign("campaign.created", "2")), "delivered");
    browser.wait_for_text("#news", "1 new");
    assert_eq!((rows(&browser), ticked(&browser)), (1, json!([true])));
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn a_row_that_falls_far_down_says_how_it_is() {
    // So few are looked at that one which newer ones push down is not among them any more.
    let node = Node::start(&[("PAGE", "4"), ("PAGE_MAX", "4")]);
    let (tenant, base) = (node.tenant("production"), node.base());
    let make = |number: u32| {
        id(&tenant.webhook(&json!({ "url": format!("https://example.com/{number}"), "events": ["campaign.created"] })))
    };
    let made: Vec<String> = (0..5).map(make).collect();
    let row = format!("tr[id='{}']", made[1]);
    let browser = Browser::start();
    browser.sign_in(&base, tenant.key());
    browser.go(&format!("{base}/dashboard/endpoints"));
    browser.wait_for_text(&row, "active");
    assert_eq!(rows(&browser), 4);
    make(5);
    browser.wait_for_text("#news", "1 new here: reload");
    tenant.partner.post_empty(&format!("/webhook/{}/pause", made[1])).expect(200);
    browser.wait_for_text(&row, "paused");
    tenant.partner.post_empty(&format!("/webhook/{}/resume", made[1])).expect(200);
    browser.wait_for_text(&row, "active");
    // One that is deleted there has gone.
    tenant.partner.delete(&format!("/webhook/{}", made[1])).expect(204);
    browser.wait(&format!("{row}.left"));
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_others_push_off_the_page_is_still_given_up() {
    let (node, subscriber) = (Node::start(&[("PAGE", "2"), ("PAGE_MAX", "2")]), Subscriber::start());
    let (tenant, base) = (node.tenant("production"), node.base());
    let events = ["campaign.created", "campaign.updated", "campaign.failed"];
    let made = events.map(|event| {
        let url = subscriber.url(&format!("/{event}"));
        id(&tenant.webhook(&json!({ "url": url, "events": [event], "retry": { "schedule_ms": [] } })))
    });
    subscriber.fail();
    let lose = |event: &str| tenant.settled(&tenant.event(campaign(event, "1")), "retries_exhausted");
    lose(events[0]);
    lose(events[1]);
    let browser = Browser::start();
    browser.sign_in(&base, tenant.key());
    browser.go(&format!("{base}/dashboard/exhausted"));
    browser.wait("#rows");
    assert_eq!(rows(&browser), 2);
    lose(events[2]);
    browser.wait_for_text("#news", "1 new");
    assert_eq!(rows(&browser), 2);
    assert_eq!(browser.run("return document.querySelectorAll('#rows tr.left').length"), 0);
    // What is dismissed elsewhere has gone.
    tenant.partner.post(&format!("/webhook/{}/dismiss", made[0]), "{}").expect(200);
    browser.wait(&format!("#rows tr.left[id^='{}']", made[0]));
    assert_eq!(browser.run("return document.querySelectorAll('#rows tr.left').length"), 1);
}

#[test]
fn lists_are_ticked_and_pressed_without_a_script() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let made =
        tenant.webhook(&json!({ "url": subscriber.url("/<i>in"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    tenant.settled(&tenant.event(campaign("campaign.created", "1")), "retries_exhausted");
    let reader = Reader::signed_in(&node, tenant.key());
    for (path, button, to) in [
        ("/dashboard/deliveries", "Retry the selected deliveries", "/dashboard/deliveries/retry"),
        ("/dashboard/endpoints", "Pause the selected endpoints", "/dashboard/endpoints/bulk"),
        ("/dashboard/exhausted", "Dismiss the selected groups", "/dashboard/exhausted/dismiss"),
    ] {
        let page = reader.get(path);
        says(&page, &[button, "Select all of this page", "all matching", &format!("action=\"{to}\"")]);
        assert!(!page.body.contains(" checked"), "{}", page.body);
        let all = reader.get(&format!("{path}?select=all"));
        assert_eq!(all.body.matches(" checked aria-label=\"Select ").count(), 1, "{path}: {}", all.body);
        says(&all, &["Select none"]);
        // Enter in a tick presses the first button, which does nothing.
        let buttons = page.body.split("data-bulk=").nth(1).unwrap();
        assert_eq!(buttons.split("<button ").nth(1).unwrap().split('>').next().unwrap().matches("none").count(), 1);
        let pick = page.body.split("name=\"pick\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let until = "2100-01-01T00:00:00Z";
        let nothing = reader.post(to, &[("verb", "none"), ("pick", pick), ("until", until)]);
        assert_eq!(nothing.header("location"), Some(path));
    }
    assert_eq!(status(&tenant, &id(&made)), "active");
    says(&reader.get("/dashboard/exhausted"), &["1 delivery was given up"]);
    // A partner that is not there is said, in the page, as every list says it.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let (list, exhausted) = ("/dashboard/deliveries?partner=nobody", "/dashboard/exhausted?partner=nobody");
    let said = |path: &str| {
        let page = operator.get(path);
        assert_eq!(page.status, 200, "{path}");
        let note =
            page.body.split("<p class=\"note bad\" role=\"alert\">").nth(1).unwrap_or_else(|| panic!("{}", page.body));
        note.split("</p>").next().unwrap().to_owned()
    };
    assert_eq!(said(exhausted), said(list));
}

#[test]
fn endpoints_are_called_by_their_urls() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let made = tenant
        .webhook(&json!({ "url": subscriber.url("/named?a=b"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    tenant.settled(&tenant.event(campaign("campaign.created", "1")), "retries_exhausted");
    let url = subscriber.url("/named?a=b");
    let short = url.split_once("://").unwrap().1;
    let link = format!("href=\"/dashboard/endpoints/{}\" title=\"{url}\">{short}</a>", id(&made));
    let reader = Reader::signed_in(&node, tenant.key());
    for path in ["/dashboard/deliveries", "/dashboard/exhausted"] {
        says(&reader.get(path), &[&link]);
    }
}

/// What a page shows of the rows of its list.
fn rows(browser: &Browser) -> u64 {
    browser.run("return document.querySelectorAll('#rows tbody tr').length").as_u64().unwrap()
}

fn ticked(browser: &Browser) -> Value {
    browser.run("return [...document.querySelectorAll('#rows input[name=pick]')].map(box => box.checked)")
}

#[test]
fn endpoints_live_while_they_are_ticked() {
    let node = Node::start(&UNLIMITED);
    let (tenant, base) = (node.tenant("production"), node.base());
    let make = |number: u32| {
        id(&tenant.webhook(&json!({ "url": format!("https://example.com/{number}"), "events": ["campaign.created"] })))
    };
    let (third, second, first) = (make(1), make(2), make(3));
    let browser = Browser::start();
    browser.sign_in(&base, tenant.key());
    browser.go(&format!("{base}/dashboard/endpoints?select=all"));
    browser.wait_for_text("[data-count]", "3 selected");
    // Ticked by the address, and taken away by hand: both stay through what comes.
    browser.click(&format!("tr[id='{second}'] .tick input"));
    browser.wait_for_text("[data-count]", "2 selected");
    browser.click(&format!("tr[id='{first}'] details.acts summary"));
    tenant.partner.post_empty(&format!("/webhook/{third}/pause")).expect(200);
    let row = |id: &str| format!("tr[id='{id}']");
    browser.wait_for_text(&row(&third), "paused");
    assert_eq!(ticked(&browser), json!([true, false, true]));
    assert_eq!(browser.text("[data-count]"), "2 selected");
    browser.wait(&format!("{} details.acts[open]", row(&first)));
    // What is new waits, and what has gone stays, grey.
    let new = make(4);
    tenant.partner.delete(&format!("/webhook/{second}")).expect(204);
    browser.wait_for_text("#news", "1 new here: reload");
    browser.wait(&format!("{}.left", row(&second)));
    assert_eq!(rows(&browser), 3);
    let order = "return [...document.querySelectorAll('#rows tbody tr')].map(row => row.id)";
    assert_eq!(browser.run(order), json!([first, second, third]));
    assert_eq!(ticked(&browser), json!([true, false, true]));
    browser.click("#news a");
    browser.wait(&row(&new));
    assert_eq!(browser.run(order), json!([new, first, third]));
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_was_given_up_is_counted_while_it_is_ticked() {
    let (node, subscriber) = (Node::start(&UNLIMITED), Subscriber::start());
    let (tenant, base) = (node.tenant("production"), node.base());
    let make = |path: &str, event: &str| {
        id(&tenant.webhook(&json!({ "url": subscriber.url(path), "events": [event], "retry": { "schedule_ms": [] } })))
    };
    make("/one", "campaign.created");
    make("/two", "campaign.updated");
    subscriber.fail();
    let lose = |event: &str, number: &str| tenant.settled(&tenant.event(campaign(event, number)), "retries_exhausted");
    lose("campaign.created", "1");
    let browser = Browser::start();
    browser.sign_in(&base, tenant.key());
    browser.go(&format!("{base}/dashboard/exhausted"));
    browser.click("#rows .tick input");
    browser.wait_for_text("[data-count]", "1 selected");
    lose("campaign.created", "2");
    lose("campaign.updated", "3");
    browser.wait_for_text("#rows tbody td.num", "2");
    browser.wait_for_text("#told", "3 deliveries were given up.");
    browser.wait_for_text("#news", "1 new");
    assert_eq!((rows(&browser), ticked(&browser)), (1, json!([true])));
    assert_eq!(browser.text("[data-count]"), "1 selected");
    // What a page was loaded before is no part of what is ticked on it.
    browser.click("form[data-bulk] summary");
    browser.click("form[data-bulk] .danger");
    browser.wait_for_text(".note", "Dismissed 1 delivery.");
    assert_eq!(rows(&browser), 2);
    // All that match are looked at first, wherever one is in the list.
    browser.click("form[data-bulk] summary");
    browser.click("form[data-bulk] input[name=all]");
    browser.wait_for_text("form[data-bulk] .danger", "Dismiss all matching groups…");
    browser.click("form[data-bulk] .danger");
    browser.wait_for_text("main .sentence", "2 deliveries would be discarded");
    browser.click("#all-matching button.primary");
    browser.wait_for_text(".note", "Dismissed 2 deliveries.");
    browser.wait_for_text(".nothing", "Good news");
    assert_eq!(browser.console(), Vec::<String>::new());
}
