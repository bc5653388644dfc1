//! `/stats`: what was delivered and what failed is counted once, for whoever it is of, and
//! told by minute and hour to those who may know.

use posthaste::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::Client;
use crate::support::node::{LATER_MS, Node, SharedNode, campaign, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// Totals of the only series.
#[track_caller]
fn totals(client: &Client, path: &str) -> Value {
    let answer = client.get(path).expect(200);
    let [only] = answer["data"].as_array().unwrap().as_slice() else { panic!("not one series: {answer}") };
    only["totals"].clone()
}

/// Waits until all of that is written down.
fn with_attempts(client: &Client, path: &str, attempts: u64) -> Value {
    eventually(&format!("{attempts} attempts at {path}"), || {
        Some(totals(client, path)).filter(|totals| totals["attempts"] == attempts)
    })
}

#[test]
fn what_became_of_attempts_and_events_is_told() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let (well, ill) = (Subscriber::start(), Subscriber::start());
    ill.fail();
    let good = tenant.webhook(&json!({ "url": well.url("/"), "events": ["*"] }));
    let bad = tenant.webhook(&json!({
        "url": ill.url("/"), "events": ["campaign.created"], "retry": { "schedule_ms": [LATER_MS] },
    }));
    let dead = tenant.webhook(&json!({
        "url": ill.url("/dead"), "events": ["campaign.failed"], "retry": { "schedule_ms": [] },
    }));
    tenant.event(campaign("campaign.created", "1"));
    tenant.event(campaign("campaign.created", "2"));
    tenant.event(campaign("campaign.failed", "3"));
    tenant.event(campaign("campaign.updated", "4"));
    let whole = with_attempts(&tenant.partner, "/stats", 7);
    let failures = json!({
        "dns": 0, "connect": 0, "tls": 0, "timeout": 0, "blocked_address": 0, "protocol": 0, "redirect": 0,
        "http_4xx": 0, "http_5xx": 3,
    });
    for (field, expected) in [
        ("events", json!(4)),
        ("deliveries", json!(7)),
        ("succeeded", json!(4)),
        ("failed", json!(3)),
        ("failures", failures),
        ("success_rate", json!(0.5714)),
        ("delivered", json!(4)),
        ("retries_exhausted", json!(1)),
        ("expired", json!(0)),
    ] {
        assert_eq!(whole[field], expected, "{field} of {whole}");
    }
    for kind in ["attempt_ms", "delivery_ms"] {
        let [p50, p90, p99] = ["p50", "p90", "p99"].map(|name| whole[kind][name].as_u64().unwrap());
        assert!(0 < p50 && p50 <= p90 && p90 <= p99 && p99 < 20_000, "{kind} of {whole}");
    }
    // Singly, of each endpoint, newest first, page by page.
    let mut path = "/stats?by=endpoint&limit=1".to_owned();
    let mut found = Vec::new();
    loop {
        let page = tenant.partner.get(&path).expect(200);
        assert!(page["data"].as_array().unwrap().len() <= 1);
        found.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            None => break,
            Some(cursor) => path = format!("/stats?by=endpoint&limit=1&cursor={cursor}"),
        }
    }
    let shown: Vec<_> = found.iter().map(|series| (&series["endpoint"], &series["totals"]["attempts"])).collect();
    assert_eq!(shown, [(&dead["id"], &json!(1)), (&bad["id"], &json!(2)), (&good["id"], &json!(4))]);
    assert_eq!(found[0]["partner"], tenant.name);
    assert_eq!(found[0]["totals"]["events"], Value::Null, "accepted is nothing of one endpoint");
    for webhook in [&good, &bad, &dead] {
        let id = webhook["id"].as_str().unwrap();
        let its = totals(&tenant.partner, &format!("/webhook/{id}/stats"));
        assert_eq!(its, totals(&tenant.partner, &format!("/stats?endpoint={id}")));
        assert!(found.iter().any(|series| series["totals"] == its), "{its}");
        let of_operator = totals(&node.operator(), &format!("/webhook/{id}/stats?partner={}", tenant.name));
        assert_eq!(of_operator, its);
    }
    // Of each type, by name.
    let types = tenant.partner.get("/stats?by=type").expect(200);
    let types = types["data"].as_array().unwrap().iter();
    let shown: Vec<_> = types
        .map(|series| (series["type"].as_str().unwrap(), series["totals"]["attempts"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [("campaign.created", 4), ("campaign.failed", 2), ("campaign.updated", 1)]);
    let first = tenant.partner.get("/stats?by=type&limit=2").expect(200);
    assert_eq!(first["next_cursor"], "campaign.failed");
    let second = tenant.partner.get("/stats?by=type&limit=2&cursor=campaign.failed").expect(200);
    assert_eq!((second["data"][0]["type"].as_str(), &second["next_cursor"]), (Some("campaign.updated"), &Value::Null));
    assert_eq!(totals(&tenant.partner, "/stats?type=campaign.failed")["attempts"], 2);
    // By the minute it is the same, in stretches that begin when a minute does.
    let answer = tenant.partner.get("/stats?resolution=minute").expect(200);
    let series = &answer["data"][0];
    assert_eq!(series["totals"], whole);
    let counted = series["buckets"].as_array().unwrap().iter().map(|bucket| {
        let at: Timestamp = bucket["at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_millis() % 60_000, 0, "{bucket}");
        bucket["counts"]["attempts"].as_u64().unwrap()
    });
    assert_eq!(counted.sum::<u64>(), 7);
    // All partners are an operator's to see, and each by itself.
    let all = totals(&node.operator(), "/stats?partner=*");
    assert!(all["attempts"].as_u64().unwrap() >= 7, "{all}");
    let partners = node.operator().get("/stats?partner=*&by=partner").expect(200);
    let own = partners["data"].as_array().unwrap().iter().find(|series| series["partner"] == tenant.name).unwrap();
    assert_eq!(own["totals"], whole);
    assert_eq!(totals(&node.operator(), &format!("/stats?by=partner&partner={}", tenant.name)), whole);
}

#[test]
fn a_clean_stop_writes_what_was_counted() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "1"));
    tenant.settled(&accepted, "delivered");
    assert!(node.stop().success());
    let node = Node::on(&folder, &[]);
    let told = totals(&node.operator(), &format!("/stats?partner={}&environment=sandbox", tenant.name));
    assert_eq!((&told["events"], &told["delivered"]), (&json!(1), &json!(1)), "{told}");
    // Another run counts beside it.
    let tenant = node.tenant_named(&tenant.name, "sandbox");
    let accepted = tenant.event(campaign("campaign.created", "2"));
    tenant.settled(&accepted, "delivered");
    assert!(node.stop().success());
    let node = Node::on(&folder, &[]);
    let told = totals(&node.operator(), &format!("/stats?partner={}&environment=sandbox", tenant.name));
    assert_eq!((&told["events"], &told["delivered"]), (&json!(2), &json!(2)), "{told}");
}

#[test]
fn without_room_the_environment_still_has_all_of_it() {
    let node = Node::start(&[("STATISTICS_CELLS", "0")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    tenant.event(campaign("campaign.created", "1"));
    let whole = with_attempts(&node.operator(), "/stats?partner=*", 1);
    assert_eq!((&whole["events"], &whole["delivered"]), (&json!(1), &json!(1)));
    let by_type = node.operator().get("/stats?partner=*&by=type").expect(200);
    assert_eq!(by_type["data"][0]["type"], "*", "{by_type}");
    for path in ["/stats".to_owned(), format!("/webhook/{}/stats", made["id"].as_str().unwrap())] {
        assert_eq!(totals(&tenant.partner, &path)["attempts"], 0);
    }
}

#[test]
fn questions_that_cannot_be_answered_say_why() {
    let node = Node::start(&[("STATS_BUCKETS", "100")]);
    let operator = node.operator();
    for (query, said) in [
        ("by=colour", "`endpoint`, `partner` and `type`"),
        ("resolution=second", "`minute` and `hour`"),
        ("since=2030-01-02T00:00:00Z&until=2030-01-01T00:00:00Z", "before `until`"),
        ("since=2020-01-01T00:00:00Z&resolution=minute", "48 hours"),
        ("since=2020-01-01T00:00:00Z", "`stats_buckets` is 100"),
        ("by=endpoint", "in each of 50 series), and the limit `stats_buckets` is 100"),
        ("by=type&type=campaign.created", "with `by=type`"),
        ("by=endpoint&limit=1&endpoint=ep_01h455vb4pex5vsknk084sn02q", "query parameter `endpoint`"),
        ("cursor=abc", "no next page"),
        ("by=endpoint&limit=1&cursor=abc", "not a cursor"),
        ("by=partner&limit=1&cursor=A%20B", "not a cursor"),
        ("by=type&limit=1&cursor=A%20B", "not a cursor"),
        ("type=A%20B", "query parameter `type`"),
        ("colour=red", "`colour`"),
    ] {
        let problem = operator.get(&format!("/stats?{query}")).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{query}: {problem}");
    }
    operator.get("/stats?endpoint=ep_01h455vb4pex5vsknk084sn02q").problem(404, "not-found");
    operator.get("/stats?partner=nobody").problem(404, "not-found");
    operator.get("/webhook/ep_01h455vb4pex5vsknk084sn02q/stats").problem(404, "not-found");
    operator.get("/webhook/abc/stats?by=endpoint").problem(422, "invalid");
    operator.post("/stats", "{}").problem(405, "method-not-allowed");
    operator.get("/stats?by=endpoint&limit=4").expect(200);
}
