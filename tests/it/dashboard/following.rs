//! Pages that go on by themselves: what becomes of an event, lists whose rows change in their
//! places, a partner's first page; and times, which say all of it to whoever asks.

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::portal_links::link;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode, campaign, eventually, id};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::with(&[("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")]);

/// A URL as pages name an endpoint by it.
fn named(url: &str) -> &str {
    url.strip_prefix("http://").unwrap()
}

/// Marks the page, to tell whether it was loaded again, and waits until it is live.
#[track_caller]
fn watch(browser: &Browser) {
    browser.wait_for_text("#live", "live");
    browser.run("window.kept = true");
}

#[track_caller]
fn still_the_same(browser: &Browser) {
    assert_eq!(browser.run("return window.kept === true"), true, "it was loaded again");
    assert_eq!(browser.console(), Vec::<String>::new());
}

fn ids_of(browser: &Browser, body: &str) -> Value {
    browser.run(&format!("return [...document.querySelector('{body}').rows].map(row => row.id)"))
}

#[test]
fn an_event_says_what_becomes_of_it() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let (made, accepted, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.go(&format!("{}/dashboard/events/{}", node.base(), id(&accepted)));
    watch(&browser);
    browser.wait_for_text("#state", "0 of 1 delivered, 1 retrying");
    let row = format!("#at-{}", id(&waiting));
    browser.wait_for_text(&row, named(&subscriber.url("")));
    tenant.partner.post_empty(&format!("/deliveries/{}/retry", id(&waiting))).expect(202);
    subscriber.next();
    browser.wait_for_text("#state", "1 of 1 delivered");
    browser.wait_for_text(&row, "Attempt 2 got 200");
    assert_eq!(browser.run("return document.querySelector('#news').hidden"), true);
    // Sent again, it has another row: that waits until somebody asks for it.
    let again = json!({ "status": ["delivered"] }).to_string();
    tenant.partner.post(&format!("/webhook/{}/replay", id(&made)), again).expect(202);
    subscriber.next();
    browser.wait_for_text("#news", "1 new");
    assert_eq!(ids_of(&browser, "#outcomes tbody"), json!([&row[1..]]));
    still_the_same(&browser);
    browser.click("#news a");
    eventually("both have a row", || {
        (ids_of(&browser, "#outcomes tbody").as_array().unwrap().len() == 2).then_some(())
    });
}

#[test]
fn replays_move_in_their_rows() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let lines: Vec<String> = (0..200).map(|number| campaign("campaign.created", &number.to_string())).collect();
    let headers = [("content-type", "application/x-ndjson")];
    tenant.producer.send("POST", "/events/batch", &headers, lines.join("\n").as_bytes()).expect(202);
    // What it missed goes out so slowly that it runs until it is cancelled.
    let made = tenant.webhook(&json!({ "url": subscriber.url("/slow"), "events": ["*"] }));
    let slowly = json!({ "missing": true, "rate_limit": { "per_second": 1 } }).to_string();
    let begin = || tenant.partner.post(&format!("/webhook/{}/replay", id(&made)), slowly.as_str()).expect(202);
    let first = begin();
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.go(&format!("{}/dashboard/replays", node.base()));
    watch(&browser);
    let row = format!("#{}", id(&first));
    browser.wait_for_text(&row, "running");
    tenant.partner.post_empty(&format!("/replays/{}/cancel", id(&first))).expect(200);
    browser.wait_for_text(&row, "cancelled");
    let second = begin();
    browser.wait_for_text("#news", "1 new");
    assert_eq!(ids_of(&browser, "#replays"), json!([id(&first)]), "the new one waits");
    still_the_same(&browser);
    browser.click("#news a");
    browser.wait_for_text(&format!("#{}", id(&second)), "running");
    // Its page, and the look before one, name endpoints by their URLs.
    let reader = Reader::signed_in(&node, tenant.key());
    let url = subscriber.url("/slow");
    let link = format!("title=\"{url}\">{}</a>", named(&url));
    let page = reader.get(&format!("/dashboard/replays/{}", id(&second)));
    assert!(page.body.contains(&link), "{link}: {}", page.body);
    let look = format!("/dashboard/replays/look?endpoint={}&missing=on&within=all", id(&made));
    let look = reader.follow(&look);
    assert!(look.body.contains(&link), "{link}: {}", look.body);
    tenant.partner.post_empty(&format!("/replays/{}/cancel", id(&second))).expect(200);
}

#[test]
fn partners_are_counted_where_they_stand() {
    // Of its own: nobody else makes partners here.
    let (node, subscriber) = (Node::start(&[("KEY_REQUESTS_PER_SECOND", "0")]), Subscriber::start());
    let tenant = node.tenant("production");
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.go(&format!("{}/dashboard/partners", node.base()));
    watch(&browser);
    let before = ids_of(&browser, "#partners");
    let endpoints = format!("#partner-{} [data-l=endpoints]", tenant.name);
    assert_eq!(browser.text(&endpoints), "0");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    browser.wait_for_text(&endpoints, "1");
    node.operator().post("/partners", r#"{"name": "newcomer"}"#).expect(201);
    browser.wait_for_text("#news", "1 new");
    assert_eq!(ids_of(&browser, "#partners"), before);
    still_the_same(&browser);
    browser.click("#news a");
    browser.wait("#partner-newcomer");
    // The newest is erased: that is no news, and its row turns grey.
    node.operator().delete("/partners/newcomer?confirm=newcomer").expect(202);
    browser.wait("#partner-newcomer.left");
    assert_eq!(browser.run("return document.querySelector('#news').hidden"), json!(true));
}

#[test]
fn a_partners_first_page_goes_on() {
    let node = Node::start(&[("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")]);
    let (well, broken) = (Subscriber::start(), Subscriber::start());
    let tenant = node.tenant("production");
    let (_, _, waiting) = tenant.with_a_retry_far_off(&well);
    tenant.webhook(&json!({ "url": broken.url("/lost"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    let (_, path) = link(&node, &tenant, "production", &json!({}));
    let browser = Browser::start();
    browser.go(&format!("{}{path}", node.base()));
    browser.click("button.primary");
    browser.wait("#failed");
    watch(&browser);
    assert!(browser.run("return document.querySelector('main').dataset.live").as_str().unwrap().contains("via=link"));
    browser.wait_for_text(&format!("#failed #{}", id(&waiting)), named(&well.url("")));
    let (endpoints, failed) = (ids_of(&browser, "#endpoints"), ids_of(&browser, "#failed"));
    assert_eq!((endpoints.as_array().unwrap().len(), &failed), (2, &json!([id(&waiting)])));
    // Something is given up: the first line says so at once; what it is, and the list, wait, so that
    // nothing below moves.
    let top = "return document.querySelector('#failed').getBoundingClientRect().top";
    let needed = "return document.querySelectorAll('#needs .row').length";
    let before = (browser.run(top), browser.run(needed));
    broken.fail();
    let lost = tenant.event(campaign("campaign.created", "lost"));
    eventually("it was given up", || {
        let found =
            tenant.partner.get(&format!("/deliveries?event={}&status=retries_exhausted", id(&lost))).expect(200);
        found["data"].get(0).cloned()
    });
    browser.wait_for_text("#headline", " more");
    browser.wait_for_text("#news", "1 new");
    assert_eq!((browser.run(top), browser.run(needed)), before);
    assert_eq!(ids_of(&browser, "#failed"), failed);
    // What is delivered since stays where it was, grey.
    tenant.partner.post_empty(&format!("/deliveries/{}/retry", id(&waiting))).expect(202);
    browser.wait(&format!("#failed #{}.left", id(&waiting)));
    assert_eq!(ids_of(&browser, "#endpoints"), endpoints, "whatever is the most harmed now");
    still_the_same(&browser);
    browser.click("#news a");
    browser.wait_for_text("#failed", "exhausted");
    browser.wait_for_text("#needs", "1 delivery was given up");
    browser.wait_for_text("#needs", named(&broken.url("/lost")));
}

#[test]
fn a_time_says_all_of_it_where_it_is_pressed() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    tenant.event(campaign("campaign.created", "timed"));
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.width(380);
    browser.go(&format!("{}/dashboard/events", node.base()));
    let time = "tbody time";
    browser.wait_for_text(time, "ago");
    let full = browser.run("return document.querySelector('tbody time').title").as_str().unwrap().to_owned();
    browser.click(time);
    browser.wait_for_text(time, &full);
    let wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "it fits a phone");
    browser.click(time);
    browser.wait_for_text(time, "ago");
    // A key says it of all of them, without a stop at each.
    browser.press("t");
    browser.wait_for_text(time, &full);
    assert_eq!(browser.run("return document.querySelectorAll('time[tabindex], time a').length"), 0);
    browser.press("t");
    browser.wait_for_text(time, "ago");
    // One inside of a link leads where the link does.
    browser.width(1_280);
    browser.run(
        "const link = document.createElement('a'); link.href = '#there'; link.id = 'in-a-link';\
         link.append(document.querySelector('tbody time').cloneNode(true)); document.querySelector('main').prepend(link)",
    );
    browser.click("#in-a-link time");
    assert!(browser.url().ends_with("#there"), "{}", browser.url());
    browser.wait_for_text("#in-a-link time", "ago");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_somebody_asked_for_is_told_from_what_was_planned() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let (_, _, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let reader = Reader::signed_in(&node, tenant.key());
    let page = format!("/dashboard/deliveries/{}", id(&waiting));
    assert!(!reader.get(&page).body.contains("by hand"));
    assert_eq!(reader.post(&format!("{page}/retry"), &[]).status, 303);
    subscriber.next();
    eventually("it is delivered", || (tenant.delivery(id(&waiting))["status"] == "delivered").then_some(()));
    let body = reader.get(&page).body;
    let row = |number: usize| {
        let rest = body.split(&format!("<tr id=\"row-{number}\"")).nth(1).unwrap_or_else(|| panic!("no row: {body}"));
        rest.split("</tr>").next().unwrap().contains("by hand")
    };
    assert_eq!((row(1), row(2)), (false, true), "{body}");
    assert!(body.contains("1 asked for by hand") && body.contains("Attempt 2, by hand"), "{body}");
    // Whoever may not read the log is told of no hands.
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    let seen = producer.get(&page);
    assert_eq!(seen.status, 200);
    assert!(!seen.body.contains("by hand"), "{}", seen.body);
}

#[test]
fn where_there_is_nothing_the_next_step_is_named() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let nobodys = tenant.event(campaign("campaign.created", "nobody's"));
    let reader = Reader::signed_in(&node, tenant.key());
    let event = reader.get(&format!("/dashboard/events/{}", id(&nobodys))).body;
    assert!(event.contains("when its partner had no endpoint"), "{event}");
    assert!(event.contains("href=\"/dashboard/endpoints/new\""), "{event}");
    let replays = reader.get("/dashboard/replays").body;
    assert!(replays.contains("No replay yet") && replays.contains("href=\"/dashboard/replays/new\""), "{replays}");
    let home = reader.get("/dashboard").body;
    assert!(home.contains("Receive your first event"), "{home}");
    // An operator's filter is what can be taken away.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let replays = operator.get(&format!("/dashboard/replays?partner={}", tenant.name)).body;
    assert!(
        replays.contains("Nothing fits these filters.") && replays.contains("href=\"/dashboard/replays\">Remove"),
        "{replays}"
    );
    let partner = operator.get(&format!("/dashboard/partners/{}", tenant.name)).body;
    assert!(
        partner.contains(&format!("href=\"/dashboard/endpoints/new?partner={}\">make one</a>", tenant.name)),
        "{partner}"
    );
}
