//! Schemas that would take for ever: refused in a moment, as an event type's and as
//! an endpoint's filter.

use serde_json::{Map, Value, json};

use crate::support::node::{Node, SharedNode, webhook_path};

static NODE: SharedNode = SharedNode::new();

/// Each definition refers twice to the next one: 2^40 steps.
fn doubling() -> Value {
    let definition = |next: usize| {
        let next = json!({ "$ref": format!("#/$defs/{next}") });
        json!({ "allOf": [next, next] })
    };
    let mut definitions: Map<String, Value> =
        (0..40).map(|number| (number.to_string(), definition(number + 1))).collect();
    definitions.insert("40".to_owned(), json!({ "type": "object" }));
    json!({ "$defs": definitions, "$ref": "#/$defs/0" })
}

fn put(node: &Node, schema: &Value) -> crate::support::http::Response {
    let definition = json!({
        "description": "Paid.", "schema": schema, "example": { "event": "order.paid", "a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" },
    });
    node.operator().put("/event-types/order.paid", definition.to_string())
}

fn bombs() -> Vec<Value> {
    let nested = |word: &str, depth: usize| (0..depth).fold(json!({}), |inner, _| json!({ word: inner }));
    vec![
        doubling(),
        json!({ "properties": { "a": { "pattern": "(a{1000}){1000}{1000}" } } }),
        json!({ "properties": { "a": { "pattern": "((((((((((a|b){50}){50}){50}){50})+)+)+)+)+)+!" } } }),
        json!({ "patternProperties": { "(\\p{L}{500}){500}": {} } }),
        nested("not", 80),
        nested("unevaluatedProperties", 60),
        json!({ "$ref": "http://127.0.0.1:1/schema.json" }),
        json!({ "$ref": "file:///etc/passwd" }),
        json!({ "$schema": "http://127.0.0.1:1/draft" }),
    ]
}

#[test]
fn an_event_type_cannot_be_a_bomb() {
    let node = NODE.get();
    for schema in bombs() {
        let answer = put(&node, &schema);
        assert!((400..500).contains(&answer.status), "{schema}: {answer:?}");
    }
    // What only looks like one is taken, and takes no time.
    for harmless in [
        json!({ "properties": { "a": { "pattern": "^(a+)+$" } } }),
        json!({ "$defs": { "a": { "properties": { "a": { "$ref": "#/$defs/a" } } } }, "properties": { "b": { "$ref": "#/$defs/a" } } }),
    ] {
        let answer = put(&node, &harmless);
        assert!(matches!(answer.status, 200 | 201 | 422), "{harmless}: {answer:?}");
    }
    assert_eq!(node.nobody().get("/healthz").status, 200);
}

#[test]
fn nor_can_a_filter() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let webhook = webhook_path(&tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"] })));
    for filter in bombs() {
        let answer = tenant.partner.patch(&webhook, json!({ "filter": filter }).to_string());
        assert!((400..500).contains(&answer.status), "{filter}: {answer:?}");
    }
}
