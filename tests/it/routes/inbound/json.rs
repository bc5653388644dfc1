//! Every route that takes JSON takes it strictly: one value, nothing twice in an
//! object, nothing nested without end.

use serde_json::json;

use crate::support::node::{Node, campaign, webhook_path};

#[test]
fn nothing_is_taken_twice_nested_without_end_or_with_a_tail() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let webhook = webhook_path(&tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] })));
    let (rotate, test, pause) =
        (format!("{webhook}/secret/rotate"), format!("{webhook}/test"), format!("{webhook}/pause"));
    let operator = node.operator();
    let routes = [
        (&tenant.producer, "POST", "/events"),
        (&tenant.partner, "POST", "/webhook"),
        (&tenant.partner, "PATCH", webhook.as_str()),
        (&tenant.partner, "POST", rotate.as_str()),
        (&tenant.partner, "POST", test.as_str()),
        (&operator, "POST", "/partners"),
        (&operator, "POST", "/keys"),
        (&operator, "PUT", "/event-types/order.paid"),
        (&operator, "POST", "/brakes?environment=sandbox&partner=*"),
    ];
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(8_000), close.repeat(8_000));
    for (client, method, path) in routes {
        for (body, part) in [
            (r#"{"a": 1, "a": 2}"#.to_owned(), "the key `a` is twice in one object"),
            (r#"{"b": [{"c": 1, "\u0063": 2}]}"#.to_owned(), "the key `c` is twice in one object"),
            (deep("[", "]"), "nested more than 100 deep"),
            (deep("{\"a\":", "}"), "nested more than 100 deep"),
            ("[".repeat(60_000), "nested more than 100 deep"),
            (r#"{"$serde_json::private::RawValue": "1"}"#.to_owned(), "cannot be used"),
            ("{} {}".to_owned(), "not JSON"),
            ("{\"a\": 1e999}".to_owned(), "not JSON"),
            ("{\"a\": \"\\ud800\"}".to_owned(), "not JSON"),
            ("\u{feff}{}".to_owned(), "not JSON"),
            ("{\"a\": nul".to_owned(), "not JSON"),
        ] {
            let answer = client.send(method, path, &[("content-type", "application/json")], body.as_bytes());
            let problem = answer.problem(400, "invalid-json");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(part), "{method} {path}: {detail}");
        }
        let answer = client.send(method, path, &[("content-type", "application/json")], b"{\"a\": \"\xff\"}");
        answer.problem(400, "invalid-json");
        for body in ["[]", "1", "\"x\"", "null"] {
            let answer = client.send(method, path, &[("content-type", "application/json")], body.as_bytes());
            assert!((400..500).contains(&answer.status), "{method} {path} {body}: {answer:?}");
        }
    }
    // Nothing came of all that.
    tenant.partner.post_empty(&pause).expect(200);
    assert_eq!(tenant.producer.get("/events").expect(200)["data"], json!([]));
    assert_eq!(operator.get("/brakes").expect(200)["data"], json!([]));
}

#[test]
fn a_batch_is_as_strict_line_by_line() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let twice = campaign("campaign.created", "1").replace("\"id\"", "\"id\":\"0\",\"id\"");
    let lines = [
        campaign("campaign.created", "good"),
        twice,
        "[".repeat(100_000),
        "{\"event\": ".repeat(10_000),
        "\u{1}".to_owned(),
    ]
    .join("\n");
    let answer = tenant.producer.post("/events/batch", lines).expect(202);
    let statuses: Vec<_> = answer["data"].as_array().unwrap().iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [json!(null), json!(400), json!(400), json!(400), json!(400)], "{answer}");
    assert_eq!(tenant.producer.get("/events").expect(200)["data"].as_array().unwrap().len(), 1);
}
