//! Events, deliveries and whatever somebody has in hand: lists and their filters, what became
//! of one thing and why, what several can be done with, and how pages move under a reader.

use serde_json::json;

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{LATER_MS, OPERATOR_KEY, SharedNode, campaign, eventually, id};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::with(&[("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")]);

/// The ids of a page's rows that begin so.
fn rows(page: &str, prefix: &str) -> Vec<String> {
    let begin = format!("<tr id=\"{prefix}");
    page.split(&begin).skip(1).map(|rest| format!("{prefix}{}", rest.split('"').next().unwrap())).collect()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn events_are_narrowed_by_filters_that_can_be_taken_away() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let first = tenant.event(campaign("campaign.created", "cmp 1"));
    let second = tenant.event(campaign("campaign.updated", "cmp 2"));
    let headers = [("content-type", "application/json"), ("idempotency-key", "order-7")];
    let keyed = campaign("campaign.updated", "cmp 3");
    let third = tenant.producer.send("POST", "/events", &headers, keyed.as_bytes()).expect(202);
    tenant.settled(&third, "delivered");
    let reader = Reader::signed_in(&node, tenant.key());
    let listed = |query: &str| rows(&reader.get(&format!("/dashboard/events{query}")).body, "evt_");
    assert_eq!(listed(""), [id(&third), id(&second), id(&first)]);
    for (query, expected) in [
        ("?type=campaign.created", vec![&first]),
        ("?at=%2Fid&value=cmp+2", vec![&second]),
        ("?value=cmp+2", vec![&second]),
        ("?idempotency_key=order-7", vec![&third]),
        ("?since=24h&type=campaign.updated", vec![&third, &second]),
        ("?until=24h", vec![]),
        ("?until=2020-01-01", vec![]),
    ] {
        let expected: Vec<&str> = expected.into_iter().map(id).collect();
        assert_eq!(listed(query), expected, "{query}");
    }
    let all = reader.get("/dashboard/events").body;
    for shown in ["cmp 3", "1 delivered", "campaign.updated"] {
        assert!(all.contains(shown), "{shown}: {all}");
    }
    // An id leads to the event itself.
    let to = reader.get(&format!("/dashboard/events?id={}", id(&first)));
    assert_eq!(to.header("location"), Some(format!("/dashboard/events/{}", id(&first)).as_str()));

    // Each filter in use can be taken away by itself, where nothing fits as well.
    let none = reader.get("/dashboard/events?type=campaign.created&value=cmp+2&since=24h").body;
    assert!(none.contains("No event fits these filters."), "{none}");
    for without in [
        "/dashboard/events?since=24h&amp;at=%2Fid&amp;value=cmp+2",
        "/dashboard/events?type=campaign.created&amp;since=24h",
        "/dashboard/events?type=campaign.created&amp;at=%2Fid&amp;value=cmp+2",
    ] {
        assert!(none.contains(&format!("href=\"{without}\"")), "{without}: {none}");
    }
    assert!(none.contains("Remove all") && none.contains("value=\"campaign.created\""));
    // What cannot be keeps what was typed, and says why.
    let wrong = reader.get("/dashboard/events?at=%2Fstatus&value=ACTIVE&since=yesterday");
    assert_eq!(wrong.status, 200);
    assert!(wrong.body.contains("value=\"yesterday\"") && wrong.body.contains("role=\"alert\""), "{}", wrong.body);
}

#[test]
fn what_was_refused_is_a_tab_and_helps_a_search() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let reader = Reader::signed_in(&node, tenant.key());
    assert!(reader.get("/dashboard/events?tab=refused").body.contains("Nothing was refused."));
    let wrong = campaign("campaign.created", "cmp_lost").replace("facebook", "myspace");
    tenant.producer.post("/events", &wrong).problem(422, "invalid-event");
    let page = reader.get("/dashboard/events?tab=refused").body;
    for shown in ["422", "<code>/provider</code>", "campaign.created", "cmp_lost", "remembers the last"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("link_clicks"), "no body: {page}");
    let none = reader.get("/dashboard/events?tab=refused&q=other").body;
    assert!(none.contains("No refused post fits") && none.contains("/dashboard/events?tab=refused\""), "{none}");

    let found = reader.get("/dashboard/find?q=cmp_lost").body;
    for shown in [
        "Nothing found",
        "All events that are kept were looked through",
        "Events are kept for 30 days",
        "were refused",
        "<code>/provider</code>",
    ] {
        assert!(found.contains(shown), "{shown}: {found}");
    }
    let nothing = reader.get("/dashboard/find?q=cmp_never").body;
    assert!(nothing.contains("No refused post goes by it either"), "{nothing}");
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    assert!(producer.get("/dashboard/find?q=cmp_lost").body.contains("were refused"));
}

#[test]
fn a_search_leads_to_one_thing_and_lists_several() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let (tenant, other) = (node.tenant("production"), node.tenant("sandbox"));
    let url = subscriber.url("/searched?a=1&b='2'");
    let made = tenant.webhook(&json!({ "url": url, "events": ["*"] }));
    let name = format!("only-{}", tenant.name);
    let several = format!("several-{}", tenant.name);
    let only = tenant.event(campaign("campaign.created", &name));
    let headers = [("content-type", "application/json"), ("idempotency-key", format!("key-{name}").leak() as &str)];
    let keyed = campaign("campaign.created", &several);
    let keyed = tenant.producer.send("POST", "/events", &headers, keyed.as_bytes()).expect(202);
    tenant.event(campaign("campaign.updated", &several));
    let elsewhere = other.event(campaign("campaign.created", &format!("other-{name}")));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let find = |wanted: &str, more: &str| reader.get(&format!("/dashboard/find?q={}{more}", encoded(wanted)));
    for (wanted, to) in [
        (name.clone(), format!("/dashboard/events/{}", id(&only))),
        (format!("key-{name}"), format!("/dashboard/events/{}", id(&keyed))),
        (url.clone(), format!("/dashboard/endpoints/{}", id(&made))),
        (format!("other-{name}"), format!("/dashboard/events/{}?env=sandbox", id(&elsewhere))),
    ] {
        assert_eq!(find(&wanted, "").header("location"), Some(to.as_str()), "{wanted}");
    }
    // Whoever looks at another partner finds it all the same.
    assert!(find(&name, &format!("&partner={}", other.name)).header("location").is_some());
    let list = find(&several, "");
    assert_eq!(list.status, 200);
    assert!(list.body.contains("2 things") && list.body.contains("<code>/id</code>"), "{}", list.body);
    let stranger = Reader::signed_in(&node, other.key());
    assert!(stranger.get(&format!("/dashboard/find?q={name}")).body.contains("Nothing found"));
    assert_eq!(stranger.get("/dashboard/find?q=").status, 200);
}

#[test]
fn a_part_of_an_id_or_of_a_url_is_enough() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let path = format!("/part-of-{}", tenant.name);
    let url = subscriber.url(&format!("{path}/only"));
    let made = tenant.webhook(&json!({ "url": url, "events": ["campaign.*"] }));
    let accepted = tenant.event(campaign("campaign.created", "tail"));
    let delivery = tenant.settled(&accepted, "delivered");
    let reader = Reader::signed_in(&node, tenant.key());
    let find = |wanted: &str| reader.get(&format!("/dashboard/find?q={}", encoded(wanted)));
    let tail = |id: &str| id[id.len() - 6..].to_owned();
    let (of_delivery, of_event) = (tail(id(&delivery)), tail(id(&accepted)));
    let (to_delivery, to_event, to_endpoint) = (
        format!("/dashboard/deliveries/{}", id(&delivery)),
        format!("/dashboard/events/{}", id(&accepted)),
        format!("/dashboard/endpoints/{}", id(&made)),
    );
    for (wanted, to) in [
        (format!("dlv…{of_delivery}"), &to_delivery),
        (format!("dlv...{}", of_delivery.to_uppercase()), &to_delivery),
        (of_delivery.clone(), &to_delivery),
        (format!("evt…{of_event}"), &to_event),
        (format!("…{of_event}"), &to_event),
        (format!("ep…{}", tail(id(&made))), &to_endpoint),
        (path[1..].to_owned(), &to_endpoint),
        (url[..url.len() - 2].to_owned(), &to_endpoint),
    ] {
        let found = find(&wanted);
        assert_eq!(found.header("location"), Some(to.as_str()), "{wanted}: {}", found.body);
    }
    // An operator is led there from wherever they look.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let led = operator.get(&format!("/dashboard/find?env=sandbox&q={}", encoded(&format!("dlv…{of_delivery}"))));
    assert_eq!(led.header("location"), Some(to_delivery.as_str()), "{}", led.body);
    // Of several there is a list, of those that they may see.
    tenant.webhook(&json!({ "url": subscriber.url(&format!("{path}/second")), "events": ["*"] }));
    node.tenant("production").webhook(&json!({ "url": subscriber.url(&format!("{path}/another's")), "events": ["*"] }));
    let several = find(&path).body;
    for shown in ["2 things", "/only", "/second", "a part of its URL", "The URLs of all endpoints were looked through"]
    {
        assert!(several.contains(shown), "{shown}: {several}");
    }
    assert!(!several.contains("another"), "{several}");
    // Where there is none, how far was looked is said.
    let none = find("dlv…zzzzzz").body;
    assert!(none.contains("Nothing found") && none.contains("compared with those of all deliveries."), "{none}");
    let none = find("zzzzzz").body;
    for shown in ["all deliveries, all events, all endpoints and all replays", "The URLs of all endpoints"] {
        assert!(none.contains(shown), "{shown}: {none}");
    }
    // Whoever sees no endpoints is not asked about them.
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    let none = producer.get(&format!("/dashboard/find?q={}", encoded(&path)));
    assert_eq!(none.status, 200);
    assert!(none.body.contains("Nothing found") && !none.body.contains("URLs of all"), "{}", none.body);
}

#[test]
fn an_event_says_what_to_do_and_what_has_changed() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let broken = Subscriber::start();
    broken.fail();
    let failing =
        tenant.webhook(&json!({ "url": broken.url("/"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS] } }));
    let paused = tenant.webhook(&json!({ "url": subscriber.url("/paused"), "events": ["*"] }));
    tenant.partner.post_empty(&format!("/webhook/{}/pause", id(&paused))).expect(200);
    let off = tenant.webhook(&json!({ "url": subscriber.url("/off"), "events": ["*"], "enabled": false }));
    let filtered = json!({ "properties": { "id": { "const": "never" } } });
    tenant.webhook(&json!({ "url": subscriber.url("/filtered"), "events": ["*"], "filter": filtered }));
    let later = tenant.webhook(&json!({ "url": subscriber.url("/later"), "events": ["campaign.failed"] }));
    // Another partner calls something else by the same name.
    other.event(campaign("campaign.created", "subject 1").replace("ACTIVE", "DRAFT"));
    let before = tenant.event(campaign("campaign.created", "subject 1"));
    tenant.event(campaign("campaign.created", "subject 2"));
    let event = tenant.event(campaign("campaign.updated", "subject 1").replace("ACTIVE", "PAUSED"));
    tenant.partner.patch(&format!("/webhook/{}", id(&later)), r#"{"events": ["*"]}"#).expect(200);
    let new = tenant.webhook(&json!({ "url": subscriber.url("/new"), "events": ["*"] }));
    let at_failing = eventually("it was tried", || {
        let found = tenant.partner.get(&format!("/deliveries?event={}&status=retrying", id(&event))).expect(200);
        found["data"].get(0).cloned()
    });
    let reader = Reader::signed_in(&node, tenant.key());
    let page = reader.get(&format!("/dashboard/events/{}", id(&event))).body;
    for shown in [
        "Attempt 1 got 503".to_owned(),
        format!("action=\"/dashboard/deliveries/{}/retry\"", id(&at_failing)),
        "its endpoint is paused".to_owned(),
        format!("action=\"/dashboard/endpoints/{}/resume\"", id(&paused)),
        format!("action=\"/dashboard/endpoints/{}/enable\"", id(&off)),
        "Filtered out by <code>/id</code>".to_owned(),
        "Not subscribed until".to_owned(),
        format!("/dashboard/endpoints/{}/replay?missing=on&amp;types=campaign.updated&amp;since=", id(&later)),
        format!("/dashboard/endpoints/{}/replay?missing=on", id(&new)),
        "made later".to_owned(),
        "1 left".to_owned(),
    ] {
        assert!(page.contains(&shown), "{shown}: {page}");
    }
    assert_eq!(page.matches("Deliver it").count(), 2);
    assert!(!page.contains(&format!("/endpoints/{}/resume", id(&failing))));

    let changes = reader.get(&format!("/dashboard/events/{}?view=changes", id(&event))).body;
    assert!(changes.contains(id(&before)), "{changes}");
    for shown in [
        "<ins>+   &quot;status&quot;: &quot;PAUSED&quot;\n</ins>",
        "<del>−   &quot;status&quot;: &quot;ACTIVE&quot;\n</del>",
    ] {
        assert!(changes.contains(shown), "{shown}: {changes}");
    }
    let first = reader.get(&format!("/dashboard/events/{}?view=changes", id(&before))).body;
    assert!(first.contains("It is the first that is kept of"), "{first}");
    // Whoever sees all partners is not led to another one's, either.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let seen = operator.get(&format!("/dashboard/events/{}?view=changes", id(&before))).body;
    assert!(seen.contains("It is the first that is kept of"), "{seen}");
    // They are told of those that got nothing, too.
    let seen = operator.get(&format!("/dashboard/events/{}", id(&event))).body;
    for shown in ["Attempt 1 got 503", "Filtered out by <code>/id</code>", "Not subscribed until", "made later"] {
        assert!(seen.contains(shown), "{shown}: {seen}");
    }
}

#[test]
fn raw_is_every_byte_and_erased_is_said() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let sent = format!("\n {}\t", campaign("campaign.created", "raw"));
    let event = tenant.event(&sent);
    let reader = Reader::signed_in(&node, tenant.key());
    let shown = tenant.partner.get(&format!("/events/{}", id(&event))).expect(200);
    let raw = reader.get(&format!("/dashboard/events/{}?view=raw", id(&event))).body;
    assert!(raw.contains(&format!("<pre tabindex=\"0\">{}</pre>", sent.replace('"', "&quot;"))), "{raw}");
    assert!(raw.contains(shown["sha256"].as_str().unwrap()) && raw.contains(&format!("<dd>{}</dd>", sent.len())));
    assert_eq!(reader.get(&format!("/dashboard/events/{}/payload", id(&event))).body, sent);

    let long = campaign("campaign.created", "long")
        .replace("ACTIVE\"", &format!("ACTIVE\",\"reason\":\"{}\"", "z".repeat(70_000)));
    let event = tenant.event(&long);
    let page = reader.get(&format!("/dashboard/events/{}", id(&event))).body;
    assert!(page.contains("too much to show: download it") && !page.contains("zzzz"), "{page}");
    assert_eq!(reader.get(&format!("/dashboard/events/{}/payload", id(&event))).body, long);

    let headers = [("content-type", "application/json"), ("posthaste-retain", "none")];
    let body = campaign("campaign.created", "gone");
    let event = tenant.producer.send("POST", "/events", &headers, body.as_bytes()).expect(202);
    let page = eventually("it is erased", || {
        let page = reader.get(&format!("/dashboard/events/{}", id(&event))).body;
        page.contains("Erased").then_some(page)
    });
    assert!(page.contains("Posthaste-Retain: none") && !page.contains("Pretty"), "{page}");
    assert_eq!(reader.get(&format!("/dashboard/events/{}/payload", id(&event))).status, 404);
}

#[test]
fn a_delivery_shows_its_attempts_and_what_two_differ_in() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    subscriber.fail();
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/it's?a=1"), "events": ["*"], "headers": { "x-token": "the-secret-token" },
        "retry": { "schedule_ms": [LATER_MS, LATER_MS, LATER_MS] },
    }));
    let accepted = tenant.event(campaign("campaign.created", "tried"));
    let waiting = tenant.settled(&accepted, "retrying");
    subscriber.next();
    let reader = Reader::signed_in(&node, tenant.key());
    let path = format!("/dashboard/deliveries/{}", id(&waiting));
    let list = reader.get(&format!("/dashboard/deliveries?event={}", id(&accepted))).body;
    assert!(list.contains("+3") && list.contains(">503<"), "{list}");
    let page = reader.get(&path).body;
    for shown in [
        "3 attempts</summary>".replace("3 attempts</summary>", "<summary>3 attempts to come</summary>"),
        "class=\"next\"".to_owned(),
        "class=\"to-come\"".to_owned(),
        "class=\"bar\"".to_owned(),
        "How its time was spent".to_owned(),
        "first byte".to_owned(),
        subscriber.url("/").trim_start_matches("http://").trim_end_matches('/').to_owned(),
        "webhook-timestamp".to_owned(),
        "content-length".to_owned(),
        format!("{}.", id(&accepted)),
        "The signed string".to_owned(),
        "webhook-signature: (signed)".to_owned(),
        "x-token: (redacted)".to_owned(),
        format!("--data-binary @{}.json", id(&accepted)),
        "&quot;id&quot;:&quot;tried&quot;".to_owned(),
        "data-c".to_owned(),
    ] {
        assert!(page.contains(&shown), "{shown}: {page}");
    }
    let secret = tenant.partner.get(&format!("/webhook/{}/secret", id(&made))).expect(200)["secret"].clone();
    assert!(!page.contains("the-secret-token") && !page.contains(secret.as_str().unwrap()), "{page}");
    assert!(!page.contains("#compared"));

    reader.post_and_follow(&format!("{path}/retry"), &[]);
    subscriber.next();
    eventually("it was tried again", || (tenant.delivery(id(&waiting))["attempt_count"] == 2).then_some(()));
    let page = reader.get(&path).body;
    assert!(page.contains(&format!("{path}?attempt=2&amp;with=1#compared")), "{page}");
    let compared = reader.get(&format!("{path}?attempt=1&with=2")).body;
    assert!(compared.contains("From attempt 1") && compared.contains("<ins>+ &gt; posthaste-attempt: 2"), "{compared}");
    assert!(compared.contains("Attempt 1 <span"), "the one that was chosen is shown: {compared}");
    // What cannot be is passed over.
    for odd in ["?attempt=99", "?attempt=x&with=y", "?attempt=1&with=1"] {
        let page = reader.get(&format!("{path}{odd}"));
        assert!(page.status == 200 && !page.body.contains("id=\"compared\""), "{odd}");
    }

    tenant.partner.post_empty(&format!("/webhook/{}/pause", id(&made))).expect(200);
    let held = reader.get(&path).body;
    assert!(held.contains(&format!("action=\"/dashboard/endpoints/{}/resume\"", id(&made))), "{held}");
    assert!(!held.contains("Retry now"), "{held}");
}

#[test]
fn several_deliveries_are_retried_at_once() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let (_, _, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let held = tenant.webhook(&json!({ "url": subscriber.url("/held"), "events": ["campaign.updated"] }));
    let more = tenant.event(campaign("campaign.created", "fine"));
    let more = tenant.settled(&more, "delivered");
    subscriber.next();
    tenant.partner.post_empty(&format!("/webhook/{}/pause", id(&held))).expect(200);
    tenant.event(campaign("campaign.updated", "held"));
    subscriber.next();
    let list = tenant.partner.get(&format!("/deliveries?endpoint={}", id(&held))).expect(200);
    let held = id(&list["data"][0]).to_owned();
    let reader = Reader::signed_in(&node, tenant.key());
    let page = reader.get("/dashboard/deliveries?type=campaign.*").body;
    assert!(page.contains(&format!("name=\"pick\" value=\"{held}\"")), "{page}");
    assert!(page.contains("action=\"/dashboard/deliveries/retry?type=campaign.*\""), "{page}");

    let to = "/dashboard/deliveries/retry?type=campaign.*";
    let nothing = reader.post_and_follow(to, &[]);
    assert!(nothing.body.contains("select a delivery first"), "{}", nothing.body);
    let chosen = [("pick", id(&waiting)), ("pick", id(&more)), ("pick", id(&waiting))];
    let answer = reader.post(to, &chosen);
    assert_eq!(answer.header("location"), Some("/dashboard/deliveries?type=campaign.*"), "the filters stay");
    let said = reader.follow("/dashboard/deliveries?type=campaign.*").body;
    assert!(said.contains("Queued: one more attempt of 2 deliveries."), "{said}");
    subscriber.next();
    subscriber.next();

    let chosen = [("pick", id(&more)), ("pick", held.as_str()), ("pick", "dlv_<b>nonsense</b>")];
    let some = reader.post(to, &chosen);
    assert_eq!(some.status, 200);
    for shown in ["one more attempt of 1 delivery", "2 deliveries", held.as_str(), "is paused", "&lt;b&gt;nonsense"] {
        assert!(some.body.contains(shown), "{shown}: {}", some.body);
    }
    subscriber.next();
    // Whoever may not retry is shown no boxes, and is refused.
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    assert!(!producer.get("/dashboard/deliveries").body.contains("name=\"pick\""));
    producer.get("/dashboard");
    let refused = producer.post("/dashboard/deliveries/retry", &[("pick", id(&more))]);
    assert!(
        refused.body.contains("1 delivery") && refused.body.contains("this takes a key of role"),
        "{}",
        refused.body
    );
}

/// What a console may say: nothing at all.
#[track_caller]
fn nothing_is_wrong(browser: &Browser) {
    assert_eq!(browser.console(), Vec::<String>::new(), "at {}", browser.url());
}

#[test]
fn rows_are_chosen_by_keys_and_counted() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    for number in 0..3 {
        let accepted = tenant.event(campaign("campaign.created", &number.to_string()));
        tenant.settled(&accepted, "delivered");
        subscriber.next();
    }
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.go(&format!("{}/dashboard/deliveries", node.base()));
    let button = "button[data-verb]";
    assert_eq!(browser.text(button), "Retry 0 deliveries");
    browser.press("jx");
    assert_eq!(browser.text(button), "Retry 1 delivery");
    browser.press("jx");
    assert_eq!(browser.text(button), "Retry 2 deliveries");
    browser.press("x");
    assert_eq!(browser.text(button), "Retry 1 delivery");
    browser.click("[data-every]");
    assert_eq!(browser.text(button), "Retry 3 deliveries");
    // News come, and what was chosen stays so.
    tenant.event(campaign("campaign.created", "news"));
    subscriber.next();
    browser.wait_for_text("#news", "1 new");
    assert_eq!(browser.text(button), "Retry 3 deliveries");
    // In a box, Enter opens the row and sends nothing.
    browser.run("document.querySelector('tbody .tick input').focus()");
    browser.press("\u{e007}");
    browser.wait_for_text("h1", "Delivery ");
    assert!(subscriber.already().is_none(), "nothing was retried");
    browser.run("history.back()");
    browser.wait("[data-every]");
    browser.run("for (const box of document.querySelectorAll('.tick input')) box.checked = false");
    browser.click("tbody tr:nth-child(2) .tick input");
    browser.wait_for_text(button, "Retry 1 delivery");
    browser.click(button);
    browser.wait_for_text(".note", "Queued: one more attempt of 1 delivery.");
    subscriber.next();
    // What is pressed twice in a moment is sent once.
    let sent = browser.run(
        "const form = document.querySelector('form.bulk');
         const press = () => form.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
         return [press(), press()]",
    );
    assert_eq!(sent, json!([true, false]));
    nothing_is_wrong(&browser);
}

#[test]
fn times_read_as_somebody_likes() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    tenant.event(campaign("campaign.created", "timed"));
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.chromium("Emulation.setTimezoneOverride", &json!({ "timezoneId": "Asia/Tokyo" }));
    browser.go(&format!("{}/dashboard/events", node.base()));
    let time = "tbody time";
    browser.wait_for_text(time, "ago");
    let full = browser.run("return document.querySelector('tbody time').title").as_str().unwrap().to_owned();
    assert!(full.ends_with(" UTC"), "{full}");
    browser.click(".account summary");
    browser.click("[data-times] button[value='UTC']");
    browser.wait_for_text(time, &full);
    browser.click("[data-times] button[value='local']");
    let at: i64 =
        browser.run("return document.querySelector('tbody time').dataset.t").as_str().unwrap().parse().unwrap();
    let there = posthaste::domain::Timestamp::from_millis(at + 9 * 3_600_000).to_string();
    browser.wait_for_text(time, &there[..19].replace('T', " "));
    // It stays so on the next page.
    browser.go(&format!("{}/dashboard/events", node.base()));
    browser.wait_for_text(time, &there[..19].replace('T', " "));
    assert_eq!(browser.run("return document.querySelector('[data-times] [aria-pressed=true]').value"), "local");
    browser.click(".account summary");
    browser.click("[data-times] button[value='relative']");
    browser.wait_for_text(time, "ago");
    // By a key that goes to its row, a time says all of it.
    browser.press("\u{e00c}");
    browser.press("j");
    let shown = browser.run("return getComputedStyle(document.querySelector('tbody time'), '::after').content");
    assert!(shown.as_str().unwrap().contains(&full), "{shown}");
    nothing_is_wrong(&browser);
}

#[test]
fn a_tail_grows_on_top_and_waits_for_whoever_points() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    tenant.event(campaign("campaign.created", "first"));
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.go(&format!("{}/dashboard/events?tab=tail", node.base()));
    let top = "return document.querySelector('#tail tr')?.id";
    let count = "return document.querySelectorAll('#tail tr').length";
    assert_eq!(browser.run(count), 1);
    browser.wait_for_text("#live", "live");
    let second = tenant.event(campaign("campaign.created", "second"));
    eventually("the second is on top", || (browser.run(top) == id(&second)).then_some(()));
    assert_eq!(browser.run(count), 2);
    browser.wait_for_text("#tail-note", "All that comes in is shown");
    // Somebody is in the list: nothing moves.
    browser.run("document.querySelector('#tail a').focus()");
    let third = tenant.event(campaign("campaign.created", "third"));
    browser.wait_for_text("[data-waiting]", "1 new wait");
    assert_eq!(browser.run(top), id(&second));
    browser.run("document.activeElement.blur()");
    eventually("the third is on top", || (browser.run(top) == id(&third)).then_some(()));
    assert_eq!(browser.text("[data-waiting]"), "");
    // More than can be read is sampled, and that is said.
    let lines: Vec<String> = (0..60).map(|number| campaign("campaign.created", &number.to_string())).collect();
    let headers = [("content-type", "application/x-ndjson")];
    tenant.producer.send("POST", "/events/batch", &headers, lines.join("\n").as_bytes()).expect(202);
    eventually("the newest of them are shown", || (browser.run(count) == 23).then_some(()));
    nothing_is_wrong(&browser);
}

/// What an SSE stream would bring is put through the page's own hands.
#[test]
fn nothing_moves_under_a_reader_when_parts_change() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let (_, _, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.go(&format!("{}/dashboard/deliveries/{}", node.base(), id(&waiting)));
    browser.wait_for_text("#live", "live");
    // A reader opens a part, closes another, marks a text and scrolls.
    browser.run(
        "document.querySelector('#curl').open = true; document.querySelector('#request-headers').open = false;\
         const text = document.querySelector('#attempt pre').firstChild;\
         getSelection().setBaseAndExtent(text, 0, text, 5); window.kept = document.querySelector('#attempt');\
         document.querySelector('#curl summary').focus(); scrollTo(0, 200)",
    );
    tenant.partner.post_empty(&format!("/deliveries/{}/retry", id(&waiting))).expect(202);
    subscriber.next();
    browser.wait_for_text("#state", "delivered");
    browser.wait_for_text("#row-2", "200");
    let kept = browser.run(
        "return [window.kept === document.querySelector('#attempt'), document.querySelector('#curl').open,\
         document.querySelector('#request-headers').open, String(getSelection()).length, scrollY,\
         document.activeElement === document.querySelector('#curl summary')]",
    );
    assert_eq!(kept, json!([true, true, false, 5, 200, true]));
    assert!(browser.text("#attempt h2").starts_with("Attempt 1"), "what is looked at stays");

    // Rows by their ids: what is ticked stays ticked, what has gone stays grey, what is new comes.
    let rows = browser.run(
        "const list = document.createElement('table'), next = document.createElement('table');\
         const row = n => `<tr id=\"r${n}\"><td><input type=\"checkbox\"><a href=\"#\">${n}</a></td></tr>`;\
         list.innerHTML = '<tbody>' + row(1) + row(2) + row(3) + '</tbody>'; document.querySelector('main').append(list);\
         next.innerHTML = '<tbody>' + row(0) + row(2) + row(4) + '</tbody>';\
         const second = list.querySelector('#r2'); second.querySelector('input').checked = true; second.classList.add('at');\
         second.querySelector('a').focus(); morph(list, next);\
         const told = [...list.rows].map(r => r.id + (r.classList.contains('left') ? ' left' : ''));\
         return [told, list.querySelector('#r2') === second, second.querySelector('input').checked,\
         second.classList.contains('at'), document.activeElement === second.querySelector('a')]",
    );
    let told = rows[0].as_array().unwrap();
    let place = |name: &str| told.iter().position(|row| row == name).unwrap_or_else(|| panic!("{name} in {told:?}"));
    assert!(place("r0") < place("r2") && place("r2") < place("r4"), "{told:?}");
    assert!(place("r1 left") < place("r2") && place("r2") < place("r3 left"), "{told:?}");
    assert_eq!(rows.as_array().unwrap()[1..], [json!(true), json!(true), json!(true), json!(true)]);
    nothing_is_wrong(&browser);
}
