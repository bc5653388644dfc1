//! What was given up, sent again or left at that: by forms, without a script and with one.

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode, Tenant, campaign, eventually, id};
use crate::support::receiver::{Subscriber, header};

static NODE: SharedNode = SharedNode::with(&[("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")]);

/// An endpoint that takes everything by now, and how many events it was not sent.
fn with_lost(tenant: &Tenant, subscriber: &Subscriber, path: &str, count: usize) -> (Value, Vec<Value>) {
    let made = tenant.webhook(&json!({ "url": subscriber.url(path), "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    let lost: Vec<Value> =
        (0..count).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))).collect();
    for accepted in &lost {
        tenant.settled(accepted, "retries_exhausted");
        subscriber.next();
    }
    subscriber.succeed();
    (made, lost)
}

/// A hidden field of a page.
fn field(body: &str, name: &str) -> String {
    let rest = body.split(&format!("name=\"{name}\" value=\"")).nth(1);
    rest.unwrap_or_else(|| panic!("no field {name} in {body}")).split('"').next().unwrap().replace("&amp;", "&")
}

/// The fields with which a page begins a replay.
fn begins<'a>(body: &str, names: &[&'a str]) -> Vec<(&'a str, String)> {
    let form = body.split("action=\"/dashboard/replays").nth(1).unwrap_or_else(|| panic!("no form in {body}"));
    names.iter().map(|name| (*name, field(form, name))).collect()
}

fn pairs<'a>(fields: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn from_what_was_given_up_to_its_delivery() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    let (made, lost) = with_lost(&tenant, &subscriber, "/in", 4);
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.press("gx");
    browser.wait_for_text("h1", "Exhausted");
    browser.wait_for_text("tbody tr", "503");
    browser.click("tbody tr a.button");
    browser.wait_for_text("h1", "Replay events");
    browser.click("form.panel button.primary");
    browser.wait_for_text("h1", "What it would do");
    browser.wait_for_text(".sentence", "4 deliveries would be made");
    assert!(browser.url().contains("until="), "its time is fixed: {}", browser.url());
    browser.click("form.field button.primary");
    browser.wait_for_text(".note", "Begun, for 1 endpoint");
    // The page hears of it.
    browser.wait_for_text("#state", "all of it has ended");
    browser.wait_for_text("#state", "100 %");
    // So do what can be done with it, and its endpoints.
    browser.wait_for_text("#by-endpoint tbody tr", "done");
    let hidden = "return document.querySelector('#acts').hidden";
    eventually("there is nothing to cancel", || (browser.run(hidden) == true).then_some(()));
    let sent: Vec<String> = lost.iter().map(|_| header(&subscriber.next(), "webhook-id").to_owned()).collect();
    for accepted in &lost {
        assert!(sent.iter().any(|sent| sent == id(accepted)), "each with the id that it had");
    }
    browser.press("gr");
    browser.wait_for_text("h1", "Replays");
    browser.wait_for_text("tbody tr", "done");
    browser.press("gx");
    browser.wait_for_text(".nothing", "Good news");
    assert_eq!(browser.console(), Vec::<String>::new());
    assert_eq!(tenant.partner.get("/exhausted?limit=5").expect(200)["data"], json!([]), "{made}");
}

#[test]
fn rows_are_ticked_and_dismissed() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    with_lost(&tenant, &subscriber, "/one", 2);
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.press("gx");
    browser.wait_for_text("[data-count]", "0 selected");
    browser.click("form[data-bulk] summary");
    let button = "return document.querySelector('form[data-bulk] .danger').disabled";
    assert_eq!(browser.run(button), true, "nothing is ticked");
    browser.click("tbody input[name=pick]");
    browser.wait_for_text("[data-count]", "1 selected");
    browser.wait_for_text("form[data-bulk] .danger", "Dismiss 1 group");
    browser.click("form[data-bulk] .danger");
    browser.wait_for_text(".note", "Dismissed 2 deliveries.");
    browser.wait_for_text(".nothing", "Good news");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_is_dismissed_is_what_was_seen() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let (made, _) = with_lost(&tenant, &subscriber, "/<i>in", 3);
    let reader = Reader::signed_in(&node, tenant.key());
    let page = reader.get("/dashboard/exhausted");
    assert!(page.body.contains("3 deliveries were given up") && !page.body.contains("<i>in"), "{}", page.body);
    let (until, group) = (field(&page.body, "until"), field(&page.body, "pick"));
    assert_eq!(group, format!("{}|{}|http_status|503", id(&made), tenant.name));
    // One more is given up while somebody looks.
    subscriber.fail();
    let late = tenant.event(campaign("campaign.created", "late"));
    tenant.settled(&late, "retries_exhausted");
    let path = "/dashboard/exhausted/dismiss";
    let said = reader.post_and_follow(path, &[("until", &until)]);
    assert!(said.body.contains("select a group first"), "{}", said.body);
    let said = reader.post_and_follow(path, &[("until", "soon"), ("pick", &group)]);
    assert!(said.body.contains("Nothing was dismissed"), "{}", said.body);
    let said = reader.post_and_follow(path, &[("until", &until), ("pick", &group)]);
    assert!(said.body.contains("Dismissed 3 deliveries."), "{}", said.body);
    assert!(said.body.contains("1 delivery was given up"), "the late one stays: {}", said.body);
    // Nobody dismisses what is not theirs.
    let stranger = Reader::signed_in(&node, node.tenant("sandbox").key());
    let page = stranger.get("/dashboard/exhausted");
    assert!(page.body.contains("Good news") && !page.body.contains(id(&made)), "{}", page.body);
    let until = page_time(&reader);
    let said = stranger.post_and_follow(path, &[("until", &until), ("pick", &group)]);
    assert!(said.body.contains("Dismissed 0 deliveries. 1 failed"), "{}", said.body);
    assert_eq!(reader.post_as_it_is(path, &[("until", &until), ("pick", &group)]).status, 403, "without a token");
    // All that matches, for an operator, of this partner alone.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let of = format!("env=sandbox&partner={}", tenant.name);
    let look = operator.post_and_follow(&format!("{path}?{of}"), &[("all", "1"), ("verb", "dismiss")]);
    for said in ["1 delivery would be discarded", &format!("all of {}", tenant.name), "Dismiss 1 delivery"] {
        assert!(look.body.contains(said) && !look.body.contains("name=\"pick\""), "{said}: {}", look.body);
    }
    let all = format!("/dashboard/exhausted/matching?{of}");
    assert!(look.body.contains(&format!("action=\"{}\"", all.replace('&', "&amp;"))), "{}", look.body);
    let said = operator.post_and_follow(&all, &[]);
    assert!(said.body.contains("does not say up to when"), "{}", said.body);
    let said = operator.post_and_follow(&all, &[("made", &field(&look.body, "made"))]);
    assert!(said.body.contains("Dismissed 1 delivery."), "{}", said.body);
    assert_eq!(operator.get(&all).body.matches("Nothing is given up.").count(), 1);
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    assert!(!producer.get("/dashboard/exhausted").body.contains("Dismiss"), "a producer looks only");
    assert_eq!(producer.get("/dashboard/exhausted/matching").status, 403);
}

fn page_time(reader: &Reader) -> String {
    field(&reader.get("/dashboard/exhausted").body, "until")
}

#[test]
fn a_replay_begins_once_and_with_what_was_looked_at() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let (made, lost) = with_lost(&tenant, &subscriber, "/in", 3);
    let reader = Reader::signed_in(&node, tenant.key());
    let form = reader.get(&format!("/dashboard/endpoints/{}/replay", id(&made)));
    assert!(form.body.contains("value=\"retries_exhausted\" checked"), "{}", form.body);
    // What is wrong stands at its field, and what was typed stays.
    for (asked, place, kept) in [
        ("since=today&until=2026-01-01T00:00:00Z&status=delivered", "since-wrong", "value=\"today\""),
        ("within=&types=a.*+*.b%3Cb%3E&status=delivered", "types-wrong", "value=\"a.* *.b&lt;b&gt;\""),
        ("within=all", "status-wrong", "name=\"types\""),
        ("within=all&status=delivered&rate_limit=fast", "rate_limit-wrong", "value=\"fast\""),
    ] {
        let answer = reader.follow(&format!("/dashboard/replays/look?endpoint={}&{asked}", id(&made)));
        assert_eq!(answer.status, 422, "{asked}");
        assert!(
            answer.body.contains(&format!("id=\"{place}\"")) && answer.body.contains(kept),
            "{asked}: {}",
            answer.body
        );
    }
    // All of it at once, and nothing is filled in that was not typed.
    let asked = "since=banana&within=24h&types=*.b%3Cb%3E&rate_limit=fast";
    let answer = reader.follow(&format!("/dashboard/replays/look?endpoint={}&{asked}", id(&made)));
    for place in ["since-wrong", "types-wrong", "status-wrong", "rate_limit-wrong"] {
        assert!(answer.body.contains(&format!("id=\"{place}\"")), "{place}: {}", answer.body);
    }
    assert!(answer.body.contains("is no time: write 24h"), "{}", answer.body);
    let empty = "id=\"until\" name=\"until\" type=\"text\" placeholder=";
    assert!(answer.body.contains(empty), "{}", answer.body);
    let asked = "within=7d&types=*.b%3Cb%3E&status=delivered";
    let answer = reader.follow(&format!("/dashboard/replays/look?endpoint={}&{asked}", id(&made)));
    assert!(answer.body.contains(empty) && answer.body.contains("<option value=\"7d\" selected>"), "{}", answer.body);
    let ask =
        format!("/dashboard/replays/look?endpoint={}&status=retries_exhausted&within=24h&rate_limit=50", id(&made));
    let looked = reader.follow(&ask);
    assert_eq!(looked.status, 200, "{}", looked.body);
    for said in ["3 deliveries would be made", "same webhook-id", "at most 50 a second", "A few of them."] {
        assert!(looked.body.contains(said), "{said}: {}", looked.body);
    }
    for accepted in &lost {
        assert!(looked.body.contains(id(accepted)), "a sample");
    }
    assert!(subscriber.already().is_none(), "nothing is sent for that");
    // A time that was typed counts, whatever stands beside it.
    let before = reader.follow(&format!("{ask}&until=2026-01-01T00:00:00Z"));
    assert!(before.status == 200 && !before.body.contains("3 deliveries"), "{}", before.body);
    assert_eq!(tenant.partner.get("/replays").expect(200)["data"], json!([]));

    let names = ["endpoint", "since", "until", "status", "rate_limit", "once", "events"];
    let fields = begins(&looked.body, &names);
    let begun = reader.post_and_follow("/dashboard/replays", &pairs(&fields));
    assert!(
        begun.body.contains("Begun, for 1 endpoint") && begun.body.contains("Those that it made"),
        "{}",
        begun.body
    );
    let twice = reader.post_and_follow("/dashboard/replays", &pairs(&fields));
    assert!(twice.body.contains("Begun, for 1 endpoint"), "{}", twice.body);
    let all = tenant.partner.get("/replays").expect(200);
    let [replay] = all["data"].as_array().unwrap().as_slice() else { panic!("pressed twice it is one: {all}") };
    assert_eq!(replay["until"].as_str(), Some(fields[2].1.as_str()), "up to when it was looked at");
    for _ in &lost {
        subscriber.next();
    }
    assert!(subscriber.already().is_none());
    let path = format!("/dashboard/replays/{}", id(replay));
    let page = eventually("it is told of", || {
        let page = reader.get(&path);
        page.body.contains("all of it has ended").then_some(page)
    });
    assert!(page.body.contains("<progress value=\"3\" max=\"3\""), "{}", page.body);
    let late = reader.post_and_follow(&format!("{path}/cancel"), &[]);
    assert!(late.body.contains("there is nothing to cancel any more"), "{}", late.body);

    // Of somebody else nothing is seen, looked for or begun.
    let stranger = Reader::signed_in(&node, node.tenant("production").key());
    assert_eq!(stranger.get(&path).status, 404);
    assert_eq!(stranger.get(&format!("/dashboard/endpoints/{}/replay", id(&made))).status, 404);
    assert_eq!(stranger.follow(&ask).status, 404);
    assert_eq!(stranger.post("/dashboard/replays", &pairs(&fields)).status, 404);
    assert_eq!(
        stranger.follow("/dashboard/replays/look?status=delivered&within=all").status,
        403,
        "several are operators'"
    );
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    assert_eq!(producer.get("/dashboard/replays/new").status, 403);
    assert_eq!(producer.get("/dashboard/replays").status, 200);
    let without: Vec<(&str, &str)> = pairs(&fields);
    assert_eq!(reader.post_as_it_is("/dashboard/replays", &without).status, 403, "without a token");
}

#[test]
fn very_many_are_typed() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "enabled": false }));
    let lines = vec![campaign("campaign.created", "many"); 1_001].join("\n");
    for chunk in lines.lines().collect::<Vec<_>>().chunks(500) {
        let media_type = [("content-type", "application/x-ndjson")];
        tenant.producer.send("POST", "/events/batch", &media_type, chunk.join("\n").as_bytes()).expect(202);
    }
    // An endpoint that was made later has missed them all.
    let later = tenant.webhook(&json!({ "url": subscriber.url("/later"), "events": ["*"], "enabled": false }));
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let ask = format!("/dashboard/replays/look?partner={}&endpoints={}&missing=on&within=all", tenant.name, id(&later));
    let looked = operator.follow(&ask);
    assert!(looked.body.contains("1,001 deliveries would be made"), "{}", looked.body);
    let fields = begins(&looked.body, &["endpoints", "until", "missing", "once", "events"]);
    let to = format!("/dashboard/replays?partner={}", tenant.name);
    let refused = operator.post(&to, &pairs(&fields));
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("id=\"typed-wrong\""), "{}", refused.body);
    assert_eq!(field(&refused.body, "once"), fields[3].1, "it is the same press");
    assert_eq!(tenant.partner.get("/replays").expect(200)["data"], json!([]));
    let mut typed = fields.clone();
    typed.push(("typed", "1,001".to_owned()));
    let begun = operator.post_and_follow(&to, &pairs(&typed));
    assert!(begun.body.contains("Begun, for 1 endpoint") && begun.body.contains("running"), "{}", begun.body);
    let replay = tenant.partner.get("/replays").expect(200)["data"][0].clone();
    let listed = operator.get(&format!("/dashboard/replays?partner={}", tenant.name));
    assert!(listed.body.contains(id(&replay)) && listed.body.contains("running"), "{}", listed.body);
    // Its endpoint takes nothing: it runs until it is cancelled.
    let cancelled = operator.post_and_follow(&format!("/dashboard/replays/{}/cancel", id(&replay)), &[]);
    assert!(cancelled.body.contains("it makes nothing more"), "{}", cancelled.body);
    assert_eq!(tenant.partner.get(&format!("/replays/{}", id(&replay))).expect(200)["state"], "cancelled");
    // Over all partners nothing is assumed.
    let nobody = operator.follow("/dashboard/replays/look?missing=on&within=all");
    assert_eq!(nobody.status, 422);
    assert!(nobody.body.contains("id=\"endpoints-wrong\""), "{} {made}", nobody.body);
}
