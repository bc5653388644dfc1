//! Every list: pages that neither skip nor repeat, bounds, filters, and
//! questions that are refused rather than half understood.

use serde_json::{Value, json};

use crate::support::http::Client;
use crate::support::node::{Node, SharedNode, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

fn with(path: &str, parameter: &str) -> String {
    format!("{path}{}{parameter}", if path.contains('?') { '&' } else { '?' })
}

/// All pages of a list, `limit` at a time.
fn pages(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = with(path, &format!("limit={limit}"));
    loop {
        let page = client.get(&next).expect(200);
        assert_eq!(page.as_object().unwrap().len(), 2, "{page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        all.extend_from_slice(data);
        match page["next_cursor"].as_str() {
            None => return all,
            Some(cursor) => {
                assert_eq!(data.len(), limit, "only a full page has a next one");
                next = with(path, &format!("limit={limit}&cursor={cursor}"));
            }
        }
    }
}

#[track_caller]
fn check_list(client: &Client, path: &str, name: &str, newest_first: &[Value]) {
    for limit in [1, 2, 3, newest_first.len(), newest_first.len() + 1, 250] {
        let found = pages(client, path, limit);
        let found: Vec<&Value> = found.iter().map(|item| &item[name]).collect();
        assert_eq!(found, newest_first.iter().collect::<Vec<_>>(), "{path} by {limit}");
    }
    for wrong in ["limit=0", "limit=251", "limit=-1", "limit=x", "limit=", "limit=1&limit=2"] {
        let problem = client.get(&with(path, wrong)).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("`limit`"), "{path} {wrong}: {problem}");
    }
    for wrong in ["cursor=%00", "cursor=", "cursor=a%20b"] {
        let problem = client.get(&with(path, wrong)).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("`cursor`"), "{path} {wrong}: {problem}");
    }
    let problem = client.get(&with(path, "colour=red")).problem(422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("`colour`"), "{path}: {problem}");
}

fn reversed(mut values: Vec<Value>) -> Vec<Value> {
    values.reverse();
    values
}

#[test]
fn events_and_deliveries_come_in_pages_newest_first() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let events: Vec<Value> =
        (0..7).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))["id"].clone()).collect();
    check_list(&tenant.partner, "/events", "id", &reversed(events.clone()));
    check_list(&tenant.producer, "/deliveries", "event", &reversed(events));
}

#[test]
fn webhooks_come_in_pages_newest_first() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let webhooks: Vec<Value> = (0..5)
        .map(|number| {
            let url = format!("https://example.com/{number}");
            tenant.webhook(&json!({ "url": url, "events": ["*"] }))["id"].clone()
        })
        .collect();
    check_list(&tenant.partner, "/webhook", "id", &reversed(webhooks));
    // A cursor that is no endpoint of this store ends the list, like others.
    let strange = tenant.partner.get("/webhook?cursor=ep_01h455vb4pex5vsknk084sn02q");
    assert!(strange.status == 422 || strange.expect(200)["data"] == json!([]), "{}", strange.body);
}

#[test]
fn what_operators_list_comes_in_pages() {
    // Over the whole node: this test has one of its own.
    let node = Node::start(&[]);
    let operator = node.operator();
    let mut partners = vec![json!("default")];
    for name in ["zoe", "acme", "m.i-x_3", "0"] {
        let made = operator.post("/partners", json!({ "name": name }).to_string()).expect(201);
        assert_eq!(operator.get(&format!("/partners/{name}")).expect(200), made);
        partners.push(made["name"].clone());
    }
    check_list(&operator, "/partners", "name", &reversed(partners));

    let keys: Vec<Value> =
        (0..4).map(|_| operator.post("/keys", r#"{"role": "operator"}"#).expect(201)["id"].clone()).collect();
    check_list(&operator, "/keys", "id", &reversed(keys));

    let names = operator.get("/event-types").expect(200);
    let names: Vec<Value> = names["data"].as_array().unwrap().iter().map(|shown| shown["name"].clone()).collect();
    assert_eq!(names.len(), 6);
    check_list(&operator, "/event-types", "name", &names);
}

#[test]
fn deliveries_are_found_by_every_filter() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let later = json!({ "schedule_ms": [3_600_000] });
    let webhook = |path: &str, events: Value, retry: &Value| {
        tenant.webhook(&json!({ "url": subscriber.url(path), "events": events, "retry": retry }))["id"].clone()
    };
    let good = webhook("/good", json!(["campaign.created", "campaign.updated"]), &later);
    let delivered = [tenant.event(campaign("campaign.created", "1")), tenant.event(campaign("campaign.updated", "2"))];
    for accepted in &delivered {
        tenant.settled(accepted, "delivered");
    }
    subscriber.fail();
    let bad = webhook("/bad", json!(["campaign.failed"]), &later);
    let retrying = tenant.event(campaign("campaign.failed", "3"));
    tenant.settled(&retrying, "retrying");
    let ended = webhook("/ended", json!(["campaign.processing"]), &json!({ "schedule_ms": [] }));
    let exhausted = tenant.event(campaign("campaign.processing", "4"));
    tenant.settled(&exhausted, "retries_exhausted");
    let held_at = webhook("/held", json!(["campaign.completed"]), &later);
    let disable =
        |id: &Value| tenant.partner.patch(&format!("/webhook/{}", id.as_str().unwrap()), r#"{"enabled": false}"#);
    disable(&held_at).expect(200);
    let held = tenant.event(campaign("campaign.completed", "5"));
    let gone = webhook("/gone", json!(["screenshot_set.approved"]), &later);
    let set = json!({ "event": "screenshot_set.approved", "id": 1, "ad": { "status": "uploaded" }, "screenshots": [] });
    let discarded = tenant.event(set.to_string());
    tenant.settled(&discarded, "retrying");
    tenant.partner.delete(&format!("/webhook/{}", gone.as_str().unwrap())).expect(204);

    let events = |query: &str| -> Vec<Value> {
        let found = pages(&tenant.partner, &format!("/deliveries?{query}"), 2);
        found.iter().map(|delivery| delivery["event"].clone()).collect()
    };
    let id = |accepted: &Value| accepted["id"].clone();
    let delivered: Vec<Value> = delivered.iter().rev().map(id).collect();
    let everything = [vec![id(&discarded), id(&held), id(&exhausted), id(&retrying)], delivered.clone()].concat();
    for (query, expected) in [
        (String::new(), everything.clone()),
        ("status=delivered".to_owned(), delivered.clone()),
        ("status=retrying".to_owned(), vec![id(&retrying)]),
        ("status=retries_exhausted".to_owned(), vec![id(&exhausted)]),
        ("status=held".to_owned(), vec![id(&held)]),
        ("status=discarded".to_owned(), vec![id(&discarded)]),
        ("status=pending".to_owned(), vec![]),
        (format!("endpoint={}", good.as_str().unwrap()), delivered.clone()),
        (format!("endpoint={}&status=retrying", bad.as_str().unwrap()), vec![id(&retrying)]),
        (format!("endpoint={}&status=retrying", ended.as_str().unwrap()), vec![]),
        (format!("endpoint={}", gone.as_str().unwrap()), vec![id(&discarded)]),
        (format!("event={}", id(&held).as_str().unwrap()), vec![id(&held)]),
        (format!("event={}&status=delivered", id(&held).as_str().unwrap()), vec![]),
    ] {
        assert_eq!(events(&query), expected, "{query}");
    }
    let created_at = |accepted: &Value| tenant.delivery_of(accepted)["created_at"].as_str().unwrap().to_owned();
    let (early, late) = (created_at(&retrying), created_at(&discarded));
    assert_eq!(events(&format!("since={early}")), everything[..4], "`since` is within");
    assert_eq!(events(&format!("until={early}")), delivered, "`until` is not");
    assert_eq!(events(&format!("since={early}&until={late}")), everything[1..4]);
    assert_eq!(events(&format!("since={late}&until={early}")), Vec::<Value>::new());
    assert_eq!(events("since=2000-01-01T00:00:00Z&until=2100-01-01T00:00:00%2B01:00"), everything);

    for wrong in ["status=done", "status=", "endpoint=evt_1", "event=x", "since=yesterday", "until=1700000000"] {
        let name = wrong.split('=').next().unwrap();
        let problem = tenant.partner.get(&format!("/deliveries?{wrong}")).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{wrong}: {problem}");
    }
}
