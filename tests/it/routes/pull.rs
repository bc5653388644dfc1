//! `GET /webhook/{id}/events` and `posthaste-sequence`: a receiver that has missed something
//! sees that it has, and fetches it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::node::{SharedNode, Tenant, campaign, webhook_path};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

fn pull(tenant: &Tenant, made: &Value, query: &str) -> Value {
    tenant.partner.get(&format!("{}/events{query}", webhook_path(made))).expect(200)
}

fn sequences(page: &Value) -> Vec<u64> {
    page["data"].as_array().unwrap().iter().map(|item| item["sequence"].as_u64().unwrap()).collect()
}

#[test]
fn what_a_receiver_missed_it_fetches_by_the_numbers_it_saw() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    // Spaces, the order of keys and the form of numbers are the poster's own.
    let body = |number: u64| {
        format!(
            "{{\"status\": \"ACTIVE\",  \"id\":{number}, \"rate\":1.50e1, \"event\":\"campaign.updated\", \"provider\":\"facebook\", \
             \"type\":\"link_clicks\"}}"
        )
    };
    let accepted: Vec<Value> = (1..=5).map(|number| tenant.event(body(number))).collect();
    let mut seen = BTreeMap::new();
    for _ in &accepted {
        let request = subscriber.next();
        let header = |name: &str| {
            let found = request.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no {name}: {request:?}"))
        };
        let sequence: u64 = header("posthaste-sequence").parse().unwrap();
        let delivery = tenant.delivery(&header("posthaste-delivery"));
        assert_eq!(delivery["sequence"], sequence);
        assert!(seen.insert(sequence, (request.webhook_id.clone().unwrap(), delivery["id"].clone())).is_none());
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for answer in &accepted {
        tenant.settled(answer, "delivered");
    }

    // It lost what came behind the second.
    let raw = tenant.partner.get(&format!("{}/events?after=2&limit=2", webhook_path(&made)));
    let page = raw.expect(200);
    assert_eq!((sequences(&page), &page["next_after"]), (vec![3, 4], &json!(4)));
    assert_eq!((&page["more"], &page["settling"], &page["oldest"]), (&json!(true), &json!(false), &json!(1)));
    for (item, number) in page["data"].as_array().unwrap().iter().zip(3..) {
        let (event, delivery) = &seen[&number];
        assert_eq!((&item["event"], &item["delivery"]), (&json!(event), delivery));
        assert_eq!(item["event"], accepted[number as usize - 1]["id"]);
        assert_eq!((&item["status"], &item["event_type"]), (&json!("delivered"), &json!("campaign.updated")));
        assert_eq!(
            (&item["accepted_at"], &item["erased"]),
            (&tenant.delivery_of(&accepted[number as usize - 1])["created_at"], &json!(false))
        );
        assert!(raw.body.contains(&format!("\"payload\":{}", body(number))), "as it was posted: {}", raw.body);
    }
    let rest = pull(&tenant, &made, "?after=4&limit=2");
    assert_eq!((sequences(&rest), &rest["more"]), (vec![5], &json!(false)));
    let nothing = pull(&tenant, &made, "?after=5");
    assert_eq!(nothing, json!({ "data": [], "oldest": 1, "next_after": 5, "more": false, "settling": false }));
    assert_eq!(sequences(&pull(&tenant, &made, "")), [1, 2, 3, 4, 5]);
}

#[test]
fn a_pull_shows_what_is_held_and_a_retry_keeps_its_number() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    let made = tenant
        .webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [1, 600_000] } }));
    tenant.event(campaign("campaign.created", "c-1"));
    let numbers = [subscriber.next(), subscriber.next()].map(|request| {
        let find = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        (find("posthaste-attempt"), find("posthaste-sequence"))
    });
    let number = |attempt: &str| (Some(attempt.to_owned()), Some("1".to_owned()));
    assert_eq!(numbers, [number("1"), number("2")]);
    tenant.partner.post_empty(&format!("{}/pause", webhook_path(&made))).expect(200);
    tenant.event(campaign("campaign.created", "c-2"));
    let page = pull(&tenant, &made, "?after=1");
    assert_eq!((sequences(&page), &page["data"][0]["status"]), (vec![2], &json!("held")));
}

#[test]
fn a_page_is_bounded_by_its_bytes() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let note = "x".repeat(200 * 1024);
    for number in 0..12 {
        let mut event: Value = serde_json::from_str(&campaign("campaign.updated", &number.to_string())).unwrap();
        event["note"] = json!(note);
        tenant.event(event.to_string());
    }
    let (mut after, mut all, mut pages) = (json!(0), Vec::new(), 0);
    loop {
        let answer = tenant.partner.get(&format!("{}/events?limit=250&after={after}", webhook_path(&made)));
        assert!(answer.body.len() <= 1024 * 1024 + 16 * 1024, "{} bytes", answer.body.len());
        let page = answer.expect(200);
        all.extend(sequences(&page));
        pages += 1;
        after = page["next_after"].clone();
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!((all, pages), ((1..=12).collect(), 3));
}

#[test]
fn a_question_that_cannot_be_answered_says_what_is_wrong_with_it() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] }));
    let path = webhook_path(&made);
    for query in
        ["after=-1", "after=x", "after=9223372036854775808", "after=", "limit=0", "limit=251", "cursor=1", "since=1"]
    {
        let problem = tenant.partner.get(&format!("{path}/events?{query}")).problem(422, "invalid");
        let name = query.split('=').next().unwrap();
        assert!(problem.to_string().contains(name), "{problem}");
    }
    pull(&tenant, &made, "?after=9223372036854775807");
    // Somebody else's is not there, nor is one that is gone.
    for other in [node.tenant("production"), node.tenant_named(&tenant.name, "sandbox")] {
        other.partner.get(&format!("{path}/events")).problem(404, "not-found");
    }
    node.operator().get(&format!("{path}/events?partner={}", tenant.name)).expect(200);
    node.operator().get(&format!("{path}/events?partner=*")).expect(200);
    tenant.partner.delete(&path);
    tenant.partner.get(&format!("{path}/events")).problem(404, "not-found");
    tenant.partner.get("/webhook/ep_1/events").problem(404, "not-found");
}
