//! What lists say beside their rows, and the payload by itself.

use serde_json::{Value, json};

use crate::support::node::{LATER_MS, SharedNode, campaign, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_list_of_events_says_what_they_are_found_by_and_where_they_are() {
    let (node, well, broken) = (NODE.get(), Subscriber::start(), Subscriber::start());
    broken.fail();
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": well.url("/"), "events": ["*"] }));
    let retries = json!({ "schedule_ms": [LATER_MS, LATER_MS] });
    tenant.webhook(&json!({ "url": broken.url("/"), "events": ["campaign.*"], "retry": retries }));
    let event = tenant.event(campaign("campaign.created", "cmp_9"))["id"].clone();
    let listed = eventually("one is delivered, one is tried", || {
        let page = tenant.partner.get("/events").expect(200);
        let first = page["data"][0].clone();
        (first["outcomes"]["delivered"] == 1 && first["outcomes"]["retrying"] == 1).then_some(first)
    });
    assert_eq!(listed["id"], event);
    assert_eq!(listed["indexed"], json!([{ "pointer": "/id", "value": "cmp_9" }]));
    let counts = json!({
        "pending": 0, "retrying": 1, "held": 0, "delivered": 1, "retries_exhausted": 0, "discarded": 0, "complete": true,
    });
    assert_eq!(listed["outcomes"], counts);

    // A delivery's row says what it was answered, and what is to come; the delivery says when.
    let page = tenant.partner.get("/deliveries?status=retrying").expect(200);
    let row = &page["data"][0];
    assert_eq!((&row["attempt_count"], &row["attempts_left"]), (&json!(1), &json!(2)));
    assert_eq!(row["last_answer"]["error_class"], "http_status");
    assert!(row["last_answer"]["status_code"].as_u64().unwrap() >= 500, "{row}");
    let whole = tenant.partner.get(&format!("/deliveries/{}", text(&row["id"]))).expect(200);
    let planned = whole["planned_attempts"].as_array().unwrap();
    assert_eq!((planned.len(), &planned[0]), (2, &whole["next_attempt_at"]));
    assert!(text(&planned[0]) < text(&planned[1]), "{planned:?}");
    let page = tenant.partner.get("/deliveries?status=delivered").expect(200);
    assert_eq!(page["data"][0]["last_answer"], json!({ "status_code": 200, "error_class": null }));
    assert_eq!(page["data"][0]["attempts_left"], Value::Null);
    let whole = tenant.partner.get(&format!("/deliveries/{}", text(&page["data"][0]["id"]))).expect(200);
    assert_eq!(whole["planned_attempts"], json!([]));
}

#[test]
fn values_that_are_very_long_are_left_out() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    tenant.event(campaign("campaign.created", &"x".repeat(257)));
    tenant.event(campaign("campaign.created", &"y".repeat(256)));
    let page = tenant.partner.get("/events").expect(200);
    assert_eq!(page["data"][0]["indexed"][0]["value"], "y".repeat(256));
    assert_eq!(page["data"][1]["indexed"], json!([]));
}

#[test]
fn a_payload_comes_byte_for_byte() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let sent = format!(" \n{}\t ", campaign("campaign.created", "é 1").replace(':', " : "));
    let id = tenant.event(&sent)["id"].clone();
    let path = format!("/events/{}/payload", text(&id));
    let answer = tenant.partner.get(&path);
    answer.expect(200);
    assert_eq!(answer.body, sent);
    let shown = tenant.partner.get(&format!("/events/{}", text(&id))).expect(200);
    assert_eq!((&shown["bytes"], text(&shown["sha256"]).len()), (&json!(sent.len()), 64));
    let again = tenant.event(&sent)["id"].clone();
    let again = tenant.partner.get(&format!("/events/{}", text(&again))).expect(200);
    assert_eq!(again["sha256"], shown["sha256"]);
    other.partner.get(&path).problem(404, "not-found");
    node.nobody().get(&path).problem(401, "unauthorized");

    // Erased, there is none.
    let headers = [("content-type", "application/json"), ("posthaste-retain", "none")];
    let body = campaign("campaign.created", "2");
    let id = tenant.producer.send("POST", "/events", &headers, body.as_bytes()).expect(202)["id"].clone();
    let path = format!("/events/{}/payload", text(&id));
    let problem = eventually("it is erased", || {
        let answer = tenant.partner.get(&path);
        (answer.status == 404).then(|| answer.problem(404, "not-found"))
    });
    assert!(text(&problem["detail"]).contains("erased"), "{problem}");
    let shown = tenant.partner.get(&format!("/events/{}", text(&id))).expect(200);
    assert_eq!((&shown["sha256"], &shown["indexed"]), (&Value::Null, &json!([])));
}
