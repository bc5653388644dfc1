//! Endpoints and partners: which suffer, what one is doing, what is done to several at once,
//! what a save changed, and how a partner is kept and erased.

use actix_web::http::StatusCode;
use posthaste::cli::receiver::Behaviour;
use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::{Reader, links};
use crate::support::node::{LATER_MS, Node, OPERATOR_KEY, SharedNode, Tenant, campaign, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::with(&[("TESTS_PER_MINUTE", "0")]);

/// The id of what an answer shows, to be kept.
pub fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

pub fn status(tenant: &Tenant, endpoint: &str) -> String {
    tenant.partner.get(&format!("/webhook/{endpoint}")).expect(200)["status"].as_str().unwrap().to_owned()
}

/// An endpoint whose breaker is open, one that is well, and one that waits for nothing.
struct Three {
    ill: String,
    well: String,
    idle: String,
    _subscribers: [Subscriber; 2],
}

fn three(tenant: &Tenant) -> Three {
    let (good, broken) = (Subscriber::start(), Subscriber::start());
    broken.fail();
    let make = |url: String, event: &str| {
        id(&tenant.webhook(&json!({ "url": url, "events": [event], "retry": { "schedule_ms": [LATER_MS] } })))
    };
    let ill = make(broken.url("/broken"), "campaign.updated");
    let well = make(good.url("/well"), "campaign.created");
    let idle = make(good.url("/idle"), "campaign.failed");
    for number in 0..40 {
        tenant.event(campaign("campaign.updated", &number.to_string()));
    }
    let accepted = tenant.event(campaign("campaign.created", "1"));
    tenant.settled(&accepted, "delivered");
    eventually("its breaker is open", || {
        let read = tenant.partner.get(&format!("/webhook/{ill}")).expect(200);
        (read["health"]["breaker"] == "open").then_some(())
    });
    Three { ill, well, idle, _subscribers: [good, broken] }
}

/// Where something stands in a page.
#[track_caller]
fn place(body: &str, what: &str) -> usize {
    body.find(what).unwrap_or_else(|| panic!("no `{what}` in {body}"))
}

#[test]
fn the_most_harmed_stand_first_and_are_narrowed_by_chips() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let three = three(&tenant);
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let row = |id: &str| format!("<tr id=\"{id}\"");
    let counted = eventually("attempts are counted", || {
        let page = reader.get("/dashboard/endpoints");
        // Those that failed may be written down later than the one that did not.
        let is_told = ["1 attempt in 24 h, 100 % succeeded", "class=\"no\" d=", "breaker open"];
        is_told.iter().all(|told| page.body.contains(told)).then_some(page)
    });
    let body = &counted.body;
    assert!(place(body, &row(&three.ill)) < place(body, &row(&three.idle)));
    assert!(
        place(body, &row(&three.idle)) < place(body, &row(&three.well)),
        "of those that are well the newest is first"
    );
    assert!(body.contains("class=\"spark\""), "{body}");
    assert!(!body.contains("id=\"chips\""));

    let narrowed =
        reader.get(&format!("/dashboard/endpoints?partner={}&health=open&url_part=broken", tenant.name)).body;
    assert!(narrowed.contains(&row(&three.ill)) && !narrowed.contains(&row(&three.well)), "{narrowed}");
    for (name, without) in [
        ("partner", "/dashboard/endpoints?health=open&amp;url_part=broken".to_owned()),
        ("health", format!("/dashboard/endpoints?partner={}&amp;url_part=broken", tenant.name)),
        ("URL", format!("/dashboard/endpoints?partner={}&amp;health=open", tenant.name)),
    ] {
        assert!(
            narrowed.contains(&format!("href=\"{without}\" aria-label=\"Remove the filter {name}\"")),
            "{name}: {narrowed}"
        );
    }
    let of_type = reader.get("/dashboard/endpoints?type=campaign.created").body;
    assert!(of_type.contains(&row(&three.well)) && !of_type.contains(&row(&three.ill)));
    let none = reader.get("/dashboard/endpoints?url_part=%3Cb%3E").body;
    assert!(
        none.contains("Nothing fits these filters") && none.contains("&lt;b&gt;") && !none.contains("<b>&lt;b&gt;<b>")
    );
    // What cannot be asked is said, and what was typed stays.
    let wrong = reader.get("/dashboard/endpoints?type=no%20type").body;
    assert!(wrong.contains("value=\"no type\"") && wrong.contains("role=\"alert\""), "{wrong}");
    // A partner sees its own, and no others.
    let other = node.tenant("production");
    other.webhook(&json!({ "url": "https://example.com/other", "events": ["*"] }));
    let own = Reader::signed_in(&node, tenant.key()).get("/dashboard/endpoints").body;
    assert!(own.contains(&row(&three.ill)) && !own.contains("example.com/other"), "{own}");
}

#[test]
fn they_stand_in_the_order_that_was_chosen() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let Three { ill, well, idle, .. } = three(&tenant);
    // More waits here, for less long, and there was never an attempt.
    tenant.partner.post_empty(&format!("/webhook/{idle}/pause")).expect(200);
    for number in 0..50 {
        tenant.event(campaign("campaign.failed", &number.to_string()));
    }
    let reader = Reader::signed_in(&node, tenant.key());
    let order = |sort: &str| {
        let body = reader.get(&format!("/dashboard/endpoints?sort={sort}")).body;
        let chosen = format!("value=\"{sort}\" selected");
        assert!(body.contains(&chosen), "{sort}");
        let mut places: Vec<(usize, &str)> = [(&ill, "ill"), (&well, "well"), (&idle, "idle")]
            .map(|(id, name)| (place(&body, &format!("<tr id=\"{id}")), name))
            .to_vec();
        places.sort_unstable();
        places.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    // Counts are written down every few seconds.
    eventually("its failures are counted", || (order("success") == ["ill", "well", "idle"]).then_some(()));
    assert_eq!(order("waiting"), ["idle", "ill", "well"]);
    assert_eq!(order("oldest"), ["ill", "idle", "well"]);
    assert_eq!(order("")[0], "ill");
    assert_eq!(order("p99")[2], "idle", "what there is nothing to say of stands last");
    // A filter that is taken away leaves the order, and so does a pause.
    let narrowed = reader.get("/dashboard/endpoints?sort=waiting&url_part=e");
    assert!(links(&narrowed).iter().any(|link| link.ends_with("/endpoints?sort=waiting")), "{:?}", links(&narrowed));
    let answer =
        reader.post("/dashboard/endpoints/bulk?sort=waiting", &[("one", &format!("pause {well} {}", tenant.name))]);
    assert!(answer.header("location").unwrap().contains("sort=waiting"), "{answer:?}");
    assert_eq!(status(&tenant, &well), "paused");
}

#[test]
fn several_are_paused_and_resumed_at_once() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let ids: Vec<String> = (0..3)
        .map(|number| id(&tenant.webhook(&json!({ "url": subscriber.url(&format!("/{number}")), "events": ["*"] }))))
        .collect();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let list = format!("/dashboard/endpoints?partner={}&health=ok", tenant.name);
    let page = reader.get(&list);
    assert!(page.body.contains("name=\"verb\" value=\"pause\"") && !page.body.contains("checked"), "{}", page.body);
    let all = reader.get(&format!("{list}&select=all")).body;
    assert_eq!(all.matches("type=\"checkbox\" name=\"pick\"").count(), 3);
    assert_eq!(all.matches("checked").count(), 3, "without a script all can be ticked");
    let ticked = |id: &str| format!("{id} {}", tenant.name);
    let send = |verb: &str, which: &[&String]| {
        let ticked: Vec<String> = which.iter().map(|id| ticked(id)).collect();
        let mut fields = vec![("verb", verb)];
        fields.extend(ticked.iter().map(|one| ("pick", one.as_str())));
        reader.post(&list.replace("/endpoints?", "/endpoints/bulk?"), &fields)
    };
    let paused = send("pause", &[&ids[0], &ids[2]]);
    assert_eq!(paused.header("location"), Some(list.as_str()), "back to where one was");
    assert!(reader.follow(&list).body.contains("Paused: 2 endpoints."));
    assert_eq!(ids.iter().map(|id| status(&tenant, id)).collect::<Vec<_>>(), ["paused", "active", "paused"]);
    // Those that are paused have nothing that is retried now, and that is said.
    let refused = send("retry-now", &[&ids[0], &ids[1]]);
    let said = reader.follow(refused.header("location").unwrap()).body;
    assert!(
        said.contains("Asked: 1 endpoint. Nothing waits for a later time") && said.contains("But 1 of 2 not:"),
        "{said}"
    );
    send("resume", &[&ids[0], &ids[2]]);
    assert!(reader.follow(&list).body.contains("Resumed: 2 endpoints."));
    assert_eq!(ids.iter().map(|id| status(&tenant, id)).collect::<Vec<_>>(), ["active"; 3]);
    // One row's own button is about that one, whatever is ticked.
    let one = format!("pause {}", ticked(&ids[1]));
    let also = ticked(&ids[0]);
    reader.post("/dashboard/endpoints/bulk", &[("one", &one), ("pick", &also)]);
    assert_eq!(ids.iter().map(|id| status(&tenant, id)).collect::<Vec<_>>(), ["active", "paused", "active"]);
    for (fields, said) in [
        (vec![("verb", "pause")], "select an endpoint first"),
        (vec![("verb", "none"), ("pick", also.as_str())], "press what is to be done"),
    ] {
        let page = reader.post_and_follow("/dashboard/endpoints/bulk", &fields);
        assert!(page.body.contains(said), "{}", page.body);
    }
    // Nobody else's endpoints are touched.
    let stranger = node.tenant("production");
    let reader = Reader::signed_in(&node, stranger.key());
    let theirs = format!("{} {}", ids[0], stranger.name);
    let page = reader.post_and_follow("/dashboard/endpoints/bulk", &[("verb", "pause"), ("pick", &theirs)]);
    assert!(page.body.contains("1 of 1 not:"), "{}", page.body);
    assert_eq!(status(&tenant, &ids[0]), "active");
}

#[test]
fn an_endpoint_says_what_it_is_doing_and_what_its_attempts_came_to() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let three = three(&tenant);
    let reader = Reader::signed_in(&node, tenant.key());
    let path = format!("/dashboard/endpoints/{}", three.ill);
    let page = eventually("attempts are counted", || {
        let page = reader.get(&path);
        page.body.contains("answer 5xx").then_some(page)
    });
    let body = &page.body;
    for said in ["Failing for", "answers 50", "deliveries wait", "the next try", "In flight", "Rate"] {
        assert!(body.contains(said), "{said}: {body}");
    }
    // How Posthaste works inside is its operators' to see.
    let operators = Reader::signed_in(&node, OPERATOR_KEY).get(&path).body;
    for inner in ["<dt>Actor</dt>", "<dt>Window</dt>", "Open for", "the next probe"] {
        assert!(operators.contains(inner) && !body.contains(inner), "{inner}: {operators}");
    }
    // A tick for each attempt, and each is a link to its delivery.
    let ticks = body.split("class=\"ticks\"").nth(1).unwrap().split("</svg>").next().unwrap();
    let told = tenant.partner.get(&format!("/webhook/{}/attempts?limit=200", three.ill)).expect(200);
    let attempts = told["data"].as_array().unwrap();
    let count = ticks.matches("<a href=\"/dashboard/deliveries/dlv_").count();
    assert!(count > 0 && count <= attempts.len(), "{count} of {}", attempts.len());
    assert!(ticks.contains("class=\"no\"") && ticks.contains("<title>50"), "{ticks}");
    assert!(page.body.len() < 60_000);
    // The bars lead to what they count.
    let attempts_by = format!("{path}?tab=attempts&result=http_5xx");
    assert!(links(&page).contains(&attempts_by), "{:?}", links(&page));
    assert!(links(&page).iter().any(|link| link.starts_with(&format!("{path}?tab=attempts&took="))));
    let table = reader.get(&attempts_by).body;
    assert!(
        table.contains("answer 5xx") && table.contains("<td class=\"nowrap\">") && table.contains("dlv…"),
        "{table}"
    );
    let none = reader.get(&format!("{path}?tab=attempts&result=dns")).body;
    assert!(none.contains("0 of the last") && none.contains("None."), "{none}");
    for range in ["1h", "24h", "7d"] {
        assert!(reader.get(&format!("{path}?range={range}")).body.contains("answer 5xx"), "{range}");
    }
    let well = eventually("the success is counted", || {
        let page = reader.get(&format!("/dashboard/endpoints/{}", three.well));
        page.body.contains("status=delivered").then_some(page)
    });
    let delivered = format!("/dashboard/deliveries?endpoint={}&status=delivered&since=", three.well);
    assert!(links(&well).iter().any(|link| link.starts_with(&delivered)), "{:?}", links(&well));
    assert!(well.body.contains("Nothing waits.") && well.body.contains("class=\"ok\""));
    let idle = reader.get(&format!("/dashboard/endpoints/{}", three.idle)).body;
    assert!(idle.contains("None yet.") && idle.contains("Nothing was sent here yet"), "{idle}");
    // What waits for its retry is tried now.
    let said = reader.post_and_follow(&format!("{path}/retry-now"), &[]).body;
    assert!(said.contains("due now") || said.contains("Nothing waits for a later time"), "{said}");
}

#[test]
fn a_save_shows_before_and_after_and_can_be_taken_back() {
    let node = NODE.get();
    let (tenant, subscriber) = (node.tenant("sandbox"), Subscriber::start());
    let url = subscriber.url("/in");
    let made = tenant.webhook(&json!({ "url": url, "events": ["campaign.updated"], "description": "before <b>" }));
    let id = id(&made);
    let reader = Reader::signed_in(&node, tenant.key());
    let at = |verb: &str| format!("/dashboard/endpoints/{id}/{verb}");
    let fields = [("url", url.as_str()), ("patterns", "*"), ("description", "after"), ("rate_limit", "5")];
    let saved = reader.post_and_follow(&at("settings"), &fields).body;
    let table = saved.split("id=\"saved\"").nth(1).unwrap().split("</table>").next().unwrap();
    for told in ["before &lt;b&gt;", "after", "campaign.updated", "rate limit", "per_second"] {
        assert!(table.contains(told), "{told}: {table}");
    }
    let settings = || tenant.partner.get(&format!("/webhook/{id}")).expect(200);
    assert_eq!((&settings()["description"], &settings()["version"]), (&json!("after"), &json!(2)));
    // Taken back, but only what was changed last, and only settings.
    let was = json!({ "events": ["campaign.updated"], "description": "before <b>", "rate_limit": null }).to_string();
    for (settings, version, said) in [
        (was.as_str(), "1", "changed again since"),
        (r#"{"headers":{}}"#, "2", "no change to take back"),
        ("", "2", "no change to take back"),
    ] {
        let page = reader.post_and_follow(&at("undo"), &[("settings", settings), ("version", version)]);
        assert!(page.body.contains(said), "{}", page.body);
    }
    assert_eq!(settings()["version"], 2);
    let page = reader.post_and_follow(&at("undo"), &[("settings", &was), ("version", "2")]);
    assert!(page.body.contains("Undone: its settings are as they were before."), "{}", page.body);
    let now = settings();
    for field in ["url", "events", "description", "rate_limit", "ordering", "retry"] {
        assert_eq!(now[field], made[field], "{field}");
    }
}

#[test]
fn a_disabled_one_says_why_and_how_it_comes_back() {
    let node = NODE.get();
    let (tenant, subscriber) = (node.tenant("sandbox"), Subscriber::start());
    subscriber.behave(Behaviour { fail_rate: 1.0, failure: StatusCode::GONE, ..Behaviour::default() });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "disable_on_gone": true }));
    tenant.event(campaign("campaign.updated", "1"));
    eventually("it is disabled", || (status(&tenant, &id(&made)) == "disabled").then_some(()));
    let reader = Reader::signed_in(&node, tenant.key());
    let path = format!("/dashboard/endpoints/{}", id(&made));
    let body = reader.get(&path).body;
    for said in ["Posthaste disabled it", "it answered 410 Gone", "waits until it is enabled", "then enable it"] {
        assert!(body.contains(said), "{said}: {body}");
    }
    subscriber.succeed();
    reader.post_and_follow(&format!("{path}/enable"), &[]);
    assert_eq!(status(&tenant, &id(&made)), "active");
    // A rotation without overlap is asked for twice.
    let secret = |reader: &Reader| reader.post(&format!("{path}/secret"), &[]).body;
    let before = made["secret"].as_str().unwrap();
    let refused = reader.post_and_follow(&format!("{path}/rotate"), &[("hours", "0")]).body;
    assert!(refused.contains("Not rotated: without an overlap") && secret(&reader).contains(before), "{refused}");
    let rotated = reader.post(&format!("{path}/rotate"), &[("hours", "0"), ("at_once", "on")]).body;
    assert!(rotated.contains("and no other") && !rotated.contains(before), "{rotated}");
    // A test's answer is shown on the page, beside everything else.
    let tested = reader.post(&format!("{path}/test"), &[]).body;
    assert!(
        tested.contains("id=\"test\"") && tested.contains("It took the example") && tested.contains("id=\"state\""),
        "{tested}"
    );
}

#[test]
fn partners_stand_in_a_list_and_are_kept_and_erased() {
    let node = NODE.get();
    let (tenant, subscriber) = (node.tenant("production"), Subscriber::start());
    let name = tenant.name.as_str();
    subscriber.fail();
    tenant
        .webhook(&json!({ "url": subscriber.url("/"), "events": ["campaign.failed"], "retry": { "schedule_ms": [] } }));
    tenant.webhook(&json!({ "url": subscriber.url("/off"), "events": ["campaign.created"], "enabled": false }));
    let lost = tenant.event(campaign("campaign.failed", "1"));
    tenant.settled(&lost, "retries_exhausted");
    let last = tenant.event(campaign("campaign.created", "2"));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let own = format!("/dashboard/partners/{name}");
    let row = |body: &str| {
        let row = body.split("<tr>").find(|row| row.contains(&format!("href=\"{own}\"")));
        row.unwrap_or_else(|| panic!("{name} is not in {body}")).to_owned()
    };
    let listed = eventually("its events are counted", || {
        let row = row(&reader.get("/dashboard/partners").body);
        (row.contains(&format!("/events?partner={name}\">2</a>")) && row.contains("0.0 %")).then_some(row)
    });
    for cell in
        [r#"data-l="waiting">1</td>"#, r#"data-l="success">0.0 %</td>"#, "status=retries_exhausted\">1</a>", "flows"]
    {
        assert!(listed.contains(cell), "{cell}: {listed}");
    }
    let page = reader.get(&own).body;
    for said in ["Exhausted in production", "50", &id(&last)[22..], "Newest events", "Kept in production", "Erase…"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(page.contains(&format!("id=\"{}\"", id(&last))));
    // How long things are kept.
    let at = |verb: &str| format!("{own}/{verb}");
    let kept =
        || node.operator().get(&format!("/retention?partner={name}&environment=production")).expect(200)["own"].clone();
    for (value, said) in [("soon", "is not a whole number"), ("4000", "retention_days")] {
        let wrong = reader.post(&at("retention"), &[("payload_days", value), ("held_days", "3")]);
        assert_eq!(wrong.status, 422);
        assert!(wrong.body.contains(said) && wrong.body.contains(&format!("value=\"{value}\"")), "{}", wrong.body);
        assert_eq!(kept()["held_days"], Value::Null, "nothing was saved");
    }
    let saved = reader.post_and_follow(&at("retention"), &[("payload_days", "7"), ("held_days", "")]).body;
    assert!(saved.contains("Saved.") && saved.contains("value=\"7\""), "{saved}");
    assert_eq!((&kept()["payload_days"], &kept()["held_days"]), (&json!(7), &Value::Null));
    // It goes when its name is typed, and not before.
    let not = reader.post_and_follow(&at("erase"), &[("confirm", "another")]).body;
    assert!(not.contains("Nothing was erased"), "{not}");
    let begun = reader.post(&at("erase"), &[("confirm", name)]);
    assert_eq!(begun.status, 303, "{}", begun.body);
    let page = reader.get(&own);
    assert!(page.status == 404 || page.body.contains("everything of it goes"), "{}", page.body);
    eventually("nothing is left", || (reader.get(&own).status == 404).then_some(()));
}

#[test]
fn in_a_browser_rows_are_narrowed_ticked_and_paused() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let three = three(&tenant);
    let base = node.base();
    let browser = Browser::start();
    browser.sign_in(&base, OPERATOR_KEY);
    browser.go(&format!("{base}/dashboard/endpoints"));
    browser.wait("#several");
    let first = "return document.querySelector('#rows tbody tr').id";
    assert_eq!(browser.run(first), three.ill.as_str());
    browser.picture("endpoints-several");
    // Chips narrow, and are taken away again.
    browser.run("document.querySelector('select[name=health]').value = 'ok'");
    browser.click("form.filters button");
    browser.wait_for_text("#chips", "well");
    assert_eq!(browser.run("return document.querySelectorAll('#rows tbody tr').length"), 2);
    browser.click("#chips a");
    browser.wait("#several");
    eventually("the chip is gone", || {
        (browser.run("return document.querySelector('#chips')") == Value::Null).then_some(())
    });
    // Two are ticked and paused; the sentence says so, and it is so.
    for id in [&three.well, &three.idle] {
        browser.click(&format!("tr[id='{id}'] input[type=checkbox]"));
    }
    browser.click("button[name=verb][value=pause]");
    browser.wait_for_text("main .note", "Paused: 2 endpoints.");
    assert_eq!([&three.well, &three.idle, &three.ill].map(|id| status(&tenant, id)), ["paused", "paused", "active"]);
    // A row does the same for itself.
    browser.click(&format!("tr[id='{}'] details.acts summary", three.well));
    browser.click(&format!("tr[id='{}'] details.acts button", three.well));
    browser.wait_for_text("main .note", "Resumed: 1 endpoint.");
    assert_eq!(status(&tenant, &three.well), "active");
    // Ticks lead to their deliveries, bars to what they count.
    browser.go(&format!("{base}/dashboard/endpoints/{}", three.ill));
    browser.wait(".ticks");
    browser.wait_for_text("#state", "Open for");
    let drawn = browser.run(
        "const b = document.querySelector('.ticks a path').getBoundingClientRect(); return b.width > 0 && b.height > 0",
    );
    assert_eq!(drawn, true);
    browser.picture("endpoint-open");
    let to = browser.run("return document.querySelector('.ticks a').getAttribute('href')");
    assert!(to.as_str().unwrap().starts_with("/dashboard/deliveries/dlv_"));
    eventually("failures are counted", || {
        browser.go(&format!("{base}/dashboard/endpoints/{}", three.ill));
        browser.wait("#charts");
        browser.text("#charts").contains("answer 5xx").then_some(())
    });
    browser.click("#charts a[href*='result=http_5xx']");
    browser.wait_for_text("#chips", "answer 5xx");
    let rows = browser.run("return document.querySelectorAll('tbody tr a').length");
    assert!(rows.as_u64().unwrap() > 0);
    let said: Vec<String> = browser.console();
    assert_eq!(said, Vec::<String>::new());
}
