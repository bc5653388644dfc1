//! What is the same although it is written in another way: what is left out is its
//! default, lists without an order have none, and of what is secret only the name counts.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::file::fingerprint;
use crate::domain::{DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_MS, Signing};
use crate::routes::retry::{self, RetryLimits};

/// An endpoint's fields that can be compared.
pub(super) fn endpoint(fields: &Map<String, Value>) -> Map<String, Value> {
    let or = |field: &str, default: Value| match fields.get(field) {
        None | Some(Value::Null) => default,
        Some(value) => value.clone(),
    };
    let normal = json!({
        "events": sorted(&or("events", json!([]))),
        "description": or("description", Value::Null),
        "enabled": or("enabled", json!(true)),
        "headers": names(&or("headers", json!({}))),
        "signing": or("signing", json!(Signing::default().as_str())),
        "client_certificate": certificate(&or("client_certificate", Value::Null)),
        "format": or("format", json!("flat")),
        "ordering": or("ordering", json!("none")),
        "rate_limit": or("rate_limit", Value::Null),
        "max_concurrency": or("max_concurrency", json!(DEFAULT_CONCURRENCY)),
        "timeout_ms": or("timeout_ms", json!(DEFAULT_TIMEOUT_MS)),
        "retry": schedule(&or("retry", Value::Null)),
        "disable_on_gone": or("disable_on_gone", json!(false)),
        "filter": or("filter", Value::Null),
    });
    super::file::fields_of(normal)
}

/// An event type's fields that can be compared.
pub(super) fn event_type(fields: &Map<String, Value>) -> Map<String, Value> {
    let or_null = |field: &str| fields.get(field).cloned().unwrap_or_default();
    let description = match or_null("description") {
        Value::Null => json!(""),
        given => given,
    };
    let indexed = match or_null("indexed") {
        Value::Null => json!([]),
        given => given,
    };
    let normal = json!({
        "description": description,
        "schema": or_null("schema"),
        "example": or_null("example"),
        "retry": schedule(&or_null("retry")),
        "indexed": indexed,
    });
    super::file::fields_of(normal)
}

fn sorted(list: &Value) -> Value {
    let Value::Array(items) = list else { return list.clone() };
    let mut items = items.clone();
    items.sort_by_key(ToString::to_string);
    items.dedup();
    Value::Array(items)
}

/// Headers' names, which have no case.
fn names(headers: &Value) -> Value {
    let Value::Object(fields) = headers else { return headers.clone() };
    let mut names: Vec<String> = fields.keys().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    json!(names)
}

fn certificate(given: &Value) -> Value {
    if given.is_null() {
        return Value::Null;
    }
    // Shown, it has more beside its fingerprint.
    let shown = given.get("sha256").and_then(Value::as_str).map(str::to_ascii_lowercase);
    shown.or_else(|| fingerprint(given).ok()).map_or_else(|| given.clone(), Value::String)
}

/// With all parts that may be left out. What cannot be read stays as it is, and the node
/// says why.
fn schedule(given: &Value) -> Value {
    let without_bounds = RetryLimits { retries: u32::MAX, span: Duration::MAX, retention: Duration::MAX };
    match retry::read(given, &without_bounds) {
        Ok(policy) => policy.as_ref().map_or(Value::Null, retry::show),
        Err(_) => given.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(fields: Value) -> Map<String, Value> {
        endpoint(&super::super::file::fields_of(fields))
    }

    #[test]
    fn what_is_left_out_is_its_default() {
        let shown = json!({
            "events": ["b", "a"], "description": null, "enabled": true, "headers": { "x-a": "(redacted)" },
            "format": "flat", "ordering": "none", "rate_limit": null, "filter": null,
            "max_concurrency": DEFAULT_CONCURRENCY, "timeout_ms": DEFAULT_TIMEOUT_MS,
            "retry": { "retries": 3, "base_ms": 5_000, "factor": 2.0, "max_ms": 604_800_000_u64, "jitter": 0.1 },
            "disable_on_gone": false, "signing": "v1", "client_certificate": null, "id": "ep_1", "version": 3,
        });
        let retry = normal(shown.clone())["retry"].clone();
        let given = json!({
            "events": ["a", "b", "a"], "headers": { "X-A": { "env": "A" } },
            "retry": { "retries": 3, "base_ms": retry["base_ms"], "max_ms": retry["max_ms"] },
        });
        assert_eq!(normal(given), normal(shown));
        let bare = event_type(&Map::new());
        assert_eq!((&bare["description"], &bare["indexed"]), (&json!(""), &json!([])));
    }

    #[test]
    fn what_differs_does() {
        let default = normal(json!({}));
        for other in [
            json!({ "events": ["a"] }),
            json!({ "enabled": false }),
            json!({ "headers": { "x": "1" } }),
            json!({ "ordering": "fifo" }),
            json!({ "retry": {} }),
            json!({ "client_certificate": { "sha256": "AB" } }),
        ] {
            assert_ne!(normal(other.clone()), default, "{other}");
        }
    }
}
