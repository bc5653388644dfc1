//! Puts the bounds in that stand elsewhere: constants of the code that an attribute cannot
//! name, and what this node is configured with. Texts say `<<page_max>>` where such a
//! number goes.

use serde_json::{Value, json};

use crate::catalog::CatalogLimits;
use crate::domain::{MAX_EVENT_TYPES, PARTITIONS};
use crate::routes::{Limits, event_types, webhook};

/// Puts them into the document.
pub fn apply(document: &mut Value, limits: &Limits) {
    let most_entries = limits.retries.retries;
    let retention_seconds = limits.retries.retention.as_secs();
    let bounds: [(&str, Value); 18] = [
        ("NewWebhook/properties/events/maxItems", json!(MAX_EVENT_TYPES)),
        ("ChangedWebhook/properties/events/maxItems", json!(MAX_EVENT_TYPES)),
        ("NewReplay/properties/types/maxItems", json!(MAX_EVENT_TYPES)),
        ("NewReplayOfSeveral/properties/types/maxItems", json!(MAX_EVENT_TYPES)),
        ("NewReplayOfSeveral/properties/endpoints/maxItems", json!(limits.endpoints_per_replay)),
        ("NewReplayOfSeveral/properties/partners/maxItems", json!(limits.endpoints_per_replay)),
        ("RetrySchedule/properties/schedule_ms/maxItems", json!(most_entries)),
        ("RetryCount/maximum", json!(most_entries)),
        ("Health/properties/backlog/maximum", json!(webhook::COUNTED_BACKLOG)),
        ("StoredHealth/properties/backlog/maximum", json!(webhook::COUNTED_BACKLOG)),
        ("PartnerStanding/properties/endpoints/maximum", json!(webhook::COUNTED_BACKLOG)),
        ("PartnerStanding/properties/backlog/maximum", json!(webhook::COUNTED_BACKLOG)),
        ("PartnerStanding/properties/exhausted/maximum", json!(webhook::COUNTED_BACKLOG)),
        ("Node/properties/partitions/maximum", json!(PARTITIONS)),
        ("PageLimit/maximum", json!(limits.page_max)),
        ("PageLimit/default", json!(limits.page)),
        ("ExpirySeconds/maximum", json!(retention_seconds)),
        ("Days/maximum", json!(retention_seconds / (24 * 3_600))),
    ];
    let schemas = &mut document["components"]["schemas"];
    for (path, bound) in bounds {
        let (schema, keyword) = path.rsplit_once('/').unwrap_or_default();
        if let Some(Value::Object(schema)) = schemas.pointer_mut(&format!("/{schema}")) {
            schema.insert(keyword.to_owned(), bound);
        }
    }
    let numbers = [
        ("<<event_bytes>>", limits.event_bytes),
        ("<<batch_bytes>>", limits.batch_bytes),
        ("<<batch_events>>", limits.batch_events),
        ("<<settings_bytes>>", limits.settings_bytes),
        ("<<event_type_bytes>>", event_types::most_bytes(&CatalogLimits::default())),
        ("<<endpoints_per_partner>>", limits.endpoints_per_partner),
        ("<<endpoints_per_replay>>", limits.endpoints_per_replay),
        ("<<stats_buckets>>", limits.stats_buckets),
    ];
    say(document, &numbers);
}

fn say(value: &mut Value, numbers: &[(&str, usize)]) {
    match value {
        Value::String(text) if text.contains("<<") => {
            for (name, number) in numbers {
                *text = text.replace(name, &number.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| say(item, numbers)),
        Value::Object(fields) => fields.values_mut().for_each(|field| say(field, numbers)),
        _ => {}
    }
}
