//! `POST /events/batch`: one commit, an answer for each line.

use serde_json::json;

use crate::support::http::Response;
use crate::support::node::{SharedNode, Tenant, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

fn post(tenant: &Tenant, body: impl AsRef<[u8]>) -> Response {
    tenant.producer.send("POST", "/events/batch", &[("content-type", "application/x-ndjson")], body.as_ref())
}

#[test]
fn each_line_is_answered_in_its_place() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "max_concurrency": 1 }));
    let odd = r#"{ "event" : "campaign.updated","id":1.0e0,"id2":123456789012345678901234567890, "provider":"facebook","type":"link_clicks","status":"ACTIVE"}"#;
    let odd = odd.replace("1.0e0", "9007199254740993");
    let lines = [
        campaign("campaign.created", "good"),
        "{".to_owned(),
        odd.clone(),
        campaign("campaign.deleted", "unknown"),
        r#"{"event": "campaign.failed"}"#.to_owned(),
        "[]".to_owned(),
        campaign("campaign.failed", "good too"),
    ];
    let answer = post(&tenant, lines.join("\n")).expect(202);
    let data = answer["data"].as_array().unwrap();
    let statuses: Vec<_> = data.iter().map(|line| line["status"].as_u64()).collect();
    assert_eq!(statuses, [None, Some(400), None, Some(422), Some(422), Some(422), None], "{answer}");
    for (line, posted) in data.iter().zip(&lines) {
        // What `POST /events` alone answers to it, word for word.
        let alone = tenant.producer.post("/events", posted);
        if line["status"].is_null() {
            let alone = alone.expect(202);
            assert_eq!((&line["event"], &line["deliveries"]), (&alone["event"], &alone["deliveries"]));
            assert!(line["id"].as_str().unwrap().starts_with("evt_"), "{line}");
        } else {
            assert_eq!(*line, alone.json(), "{posted}");
        }
    }
    let mut bodies: Vec<String> = (0..6).map(|_| String::from_utf8(subscriber.next().body.to_vec()).unwrap()).collect();
    bodies.sort_unstable();
    let mut expected = vec![&lines[0], &lines[0], &odd, &odd, &lines[6], &lines[6]];
    expected.sort_unstable();
    assert_eq!(bodies.iter().collect::<Vec<_>>(), expected, "each line's very bytes");
}

#[test]
fn lines_may_end_in_any_way_and_be_blank() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let (one, other) = (campaign("campaign.created", "1"), campaign("campaign.failed", "2"));
    for body in [
        format!("{one}\n{other}"),
        format!("{one}\n{other}\n"),
        format!("{one}\r\n{other}\r\n"),
        format!("\n\r\n{one}\n\n  \t\n{other}\n\n\n"),
        format!("  {one}  \n\t{other}\r\n"),
    ] {
        let answer = post(&tenant, &body).expect(202);
        let types: Vec<_> = answer["data"].as_array().unwrap().iter().map(|line| line["event"].as_str()).collect();
        assert_eq!(types, [Some("campaign.created"), Some("campaign.failed")], "{body:?}");
    }
    for empty in ["", "\n", " \r\n\t\n"] {
        post(&tenant, empty).problem(400, "invalid-json");
    }
}

#[test]
fn a_batch_may_have_a_thousand_lines_and_no_more() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let line = campaign("campaign.created", "c-1");
    let refused = post(&tenant, vec![line.as_str(); 1_001].join("\n"));
    let problem = refused.problem(413, "too-large");
    assert!(problem["detail"].as_str().unwrap().contains("`batch_events` is 1000"), "{problem}");
    assert_eq!(tenant.producer.get("/events").expect(200)["data"], json!([]), "nothing was kept");

    // Blank lines are no events.
    let answer = post(&tenant, vec![line.as_str(); 1_000].join("\n\n")).expect(202);
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 1_000);
    // The order of lines is the order of events.
    let newest = tenant.producer.get("/events?limit=250").expect(200);
    let newest: Vec<_> = newest["data"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    let posted: Vec<_> = data.iter().rev().take(250).map(|line| line["id"].clone()).collect();
    assert_eq!(newest, posted);
}

#[test]
fn a_batch_goes_to_whom_its_query_names() {
    let node = NODE.get();
    let (one, other) = (node.tenant("sandbox"), node.tenant("sandbox"));
    for tenant in [&one, &other] {
        tenant.webhook(&json!({ "url": "https://example.com/", "events": ["campaign.failed"], "enabled": false }));
    }
    let key = node.operator().post("/keys", r#"{"role": "producer", "environment": "sandbox"}"#).expect(201);
    let everywhere = node.client(key["key"].as_str().unwrap());
    let body = [campaign("campaign.failed", "1"), campaign("campaign.created", "2")].join("\n");
    let named = everywhere.post(&format!("/events/batch?partner={}", other.name), &body).expect(202);
    assert_eq!((&named["data"][0]["deliveries"], &named["data"][1]["deliveries"]), (&json!(1), &json!(0)));
    everywhere.post("/events/batch", &body).problem(422, "invalid");
    let all = everywhere.post("/events/batch?partner=*", &body).expect(202);
    assert!(all["data"][0]["deliveries"].as_u64().unwrap() >= 2, "{all}");
    assert_eq!(one.partner.get("/deliveries").expect(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(other.partner.get("/deliveries").expect(200)["data"].as_array().unwrap().len(), 2);
}
