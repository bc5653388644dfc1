//! What is another partner's, or the other environment's, is not there: every
//! route that names a thing, asked by everyone whose it is not.

use posthaste::domain::{DeliveryId, EndpointId, EventId};
use serde_json::json;
use uuid::Uuid;

use crate::support::http::Client;
use crate::support::node::{SharedNode, Tenant, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// Each with a query to ask with.
fn strangers(owner: &Tenant) -> Vec<(&'static str, Client, String)> {
    let node = NODE.get();
    let (other, same_name) = (node.tenant("production"), node.tenant_named(&owner.name, "sandbox"));
    let own = format!("?partner={}", owner.name);
    vec![
        ("another partner", other.partner.clone(), String::new()),
        ("another partner that names the owner", other.partner, own.clone()),
        ("another partner's producer", other.producer, String::new()),
        ("the owner in the other environment", same_name.partner.clone(), String::new()),
        ("the owner naming this environment from the other", same_name.partner, "?environment=production".to_owned()),
        ("the owner's producer in the other environment", same_name.producer, String::new()),
        ("an operator for another partner", node.operator(), format!("?partner={}", other.name)),
        ("an operator for the default partner", node.operator(), String::new()),
        ("an operator in the other environment", node.operator(), format!("{own}&environment=sandbox")),
        ("an operator for nobody there is", node.operator(), "?partner=no-such-partner".to_owned()),
    ]
}

#[test]
fn another_partners_things_are_not_there() {
    let node = NODE.get();
    let owner = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let retry = json!({ "schedule_ms": [3_600_000] });
    let made = owner.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": retry }));
    let accepted = owner.event(campaign("campaign.created", "c-1"));
    let delivery = owner.settled(&accepted, "retrying");
    subscriber.next();
    let (endpoint, event, delivery) =
        (made["id"].as_str().unwrap(), accepted["id"].as_str().unwrap(), delivery["id"].as_str().unwrap());
    // Ids that were never anybody's, to compare with.
    let unknown = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    let unknown_of = [
        (endpoint, EndpointId::from_uuid(unknown).to_string()),
        (event, EventId::from_uuid(unknown).to_string()),
        (delivery, DeliveryId::from_uuid(unknown).to_string()),
    ];
    let routes = [
        ("GET", format!("/webhook/{endpoint}")),
        ("PATCH", format!("/webhook/{endpoint}")),
        ("DELETE", format!("/webhook/{endpoint}")),
        ("GET", format!("/webhook/{endpoint}/secret")),
        ("POST", format!("/webhook/{endpoint}/secret/rotate")),
        ("POST", format!("/webhook/{endpoint}/pause")),
        ("POST", format!("/webhook/{endpoint}/resume")),
        ("POST", format!("/webhook/{endpoint}/test")),
        ("GET", format!("/events/{event}")),
        ("GET", format!("/deliveries/{delivery}")),
        ("POST", format!("/deliveries/{delivery}/retry")),
        ("POST", format!("/deliveries/{delivery}/skip")),
    ];
    for (stranger, client, query) in strangers(&owner) {
        for (method, path) in &routes {
            let ask = |path: &str| {
                client.send(method, &format!("{path}{query}"), &[("content-type", "application/json")], b"{}")
            };
            let answer = ask(path);
            let may_not_at_all = stranger.contains("producer") && answer.status == 403;
            assert!(answer.status == 404 || may_not_at_all, "{method} {path} by {stranger}: {answer:?}");
            // Nor does the answer tell that it is somewhere.
            let mut nowhere = path.clone();
            for (known, unknown) in &unknown_of {
                nowhere = nowhere.replace(known, unknown);
            }
            assert_eq!(ask(&nowhere).body, answer.body, "{method} {path} by {stranger}");
        }
    }
    assert!(subscriber.already().is_none(), "nobody had anything sent");
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(owner.partner.get("/webhook").expect(200)["data"], json!([expected]));
    let secret = owner.partner.get(&format!("/webhook/{endpoint}/secret")).expect(200);
    assert_eq!(secret, json!({ "secret": made["secret"], "previous": [] }));
}

#[test]
fn lists_have_nothing_of_another_partner() {
    let node = NODE.get();
    let owner = node.tenant("production");
    let made = owner.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let accepted = owner.event(campaign("campaign.created", "c-1"));
    let delivery = owner.delivery_of(&accepted);
    let lists = [
        "/events".to_owned(),
        "/deliveries".to_owned(),
        format!("/deliveries?endpoint={}", made["id"].as_str().unwrap()),
        format!("/deliveries?event={}", accepted["id"].as_str().unwrap()),
        format!("/deliveries?cursor={}", delivery["id"].as_str().unwrap()),
        format!("/events?cursor={}", accepted["id"].as_str().unwrap()),
    ];
    for (stranger, client, query) in strangers(&owner) {
        let mut lists = lists.to_vec();
        if !stranger.contains("producer") {
            lists.push("/webhook".to_owned());
            lists.push(format!("/webhook?cursor={}", made["id"].as_str().unwrap()));
        }
        for list in &lists {
            let path =
                if list.contains('?') { list.clone() + &query.replace('?', "&") } else { format!("{list}{query}") };
            let answer = client.get(&path);
            if answer.status == 404 {
                answer.problem(404, "not-found");
            } else if stranger.contains("default") {
                assert!(!answer.body.contains(&owner.name), "{path} by {stranger}: {}", answer.body);
            } else {
                assert_eq!(answer.expect(200)["data"], json!([]), "{path} by {stranger}");
            }
        }
    }
    assert_eq!(owner.producer.get("/deliveries").expect(200)["data"].as_array().unwrap().len(), 1);
}

#[test]
fn an_operator_acts_for_whom_it_names() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let operator = node.operator();
    let query = format!("?partner={}&environment=sandbox", tenant.name);
    let body = r#"{"url": "https://example.com/", "events": ["*"], "enabled": false}"#;
    let made = operator.post(&format!("/webhook{query}"), body).expect(201);
    assert_eq!((&made["partner"], &made["environment"]), (&json!(tenant.name), &json!("sandbox")));
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"][0]["id"], made["id"]);
    let accepted = operator.post(&format!("/events{query}"), campaign("campaign.created", "c-1")).expect(202);
    assert_eq!(tenant.delivery_of(&accepted)["status"], "held");

    // Without naming anyone: the partner `default` in production.
    let made = operator.post("/webhook", body).expect(201);
    assert_eq!((&made["partner"], &made["environment"]), (&json!("default"), &json!("production")));
    for (query, parameter) in [("?environment=staging", "environment"), ("?partner=Not%20A%20Name", "partner")] {
        let refused = operator.get(&format!("/webhook{query}")).problem(422, "invalid");
        assert!(refused["detail"].as_str().unwrap().contains(parameter), "{refused}");
    }
    // Making things takes one partner; looking may be over all.
    operator.post("/webhook?partner=*", body).problem(422, "invalid");
    let all = operator.get("/webhook?partner=*&environment=sandbox").expect(200);
    let all = all["data"].as_array().unwrap();
    assert!(all.iter().any(|endpoint| endpoint["partner"] == tenant.name));
    assert!(all.iter().all(|endpoint| endpoint["environment"] == "sandbox"));
}
