//! What upstream was promised: the events that were answered with a 202, and
//! what the API has to show for each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::api::{Answer, Api};
use super::events::Post;

/// Every acknowledged event: its number and its id.
#[derive(Default)]
pub struct Ledger {
    ids: BTreeMap<u64, String>,
}

/// A delivery as the API shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub endpoint: String,
    pub event: String,
    pub status: String,
    pub attempt_count: u64,
    pub next_attempt_at: Option<String>,
}

impl Ledger {
    /// Notes a 202. A request that is repeated gets the same events.
    pub fn enter(&mut self, post: &Post, answer: &Answer) {
        for (number, id) in post.numbers.clone().zip(post.ids(answer)) {
            self.note(number, id);
        }
    }

    /// Notes that an event was accepted, under this id.
    pub fn note(&mut self, number: u64, id: String) {
        let known = self.ids.entry(number).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "event {number} was accepted twice");
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The event of a number.
    pub fn id(&self, number: u64) -> &str {
        &self.ids[&number]
    }

    /// I1 and I10: the store has these events and no others, each with one
    /// delivery for each endpoint that wanted it, which ended or visibly
    /// waits. Answers all deliveries by id.
    pub async fn check(&self, api: &Api, wanted_by: impl Fn(u64) -> BTreeSet<String>) -> HashMap<String, Shown> {
        let stored: BTreeSet<String> = api.all("/events").await.iter().map(|event| text(event, "id")).collect();
        let acknowledged: BTreeSet<String> = self.ids.values().cloned().collect();
        let lost: Vec<&String> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let extra: Vec<&String> = stored.difference(&acknowledged).collect();
        assert!(extra.is_empty(), "kept, though every request with its key was answered with others: {extra:?}");

        let deliveries = deliveries(api).await;
        let mut made: HashMap<&str, BTreeSet<String>> = HashMap::new();
        for delivery in deliveries.values() {
            let first = made.entry(&delivery.event).or_default().insert(delivery.endpoint.clone());
            assert!(first, "twice to one endpoint: {delivery:?}");
        }
        for (number, id) in &self.ids {
            let found = made.remove(id.as_str()).unwrap_or_default();
            assert_eq!(found, wanted_by(*number), "the deliveries of event {number}, {id}");
        }
        deliveries
    }
}

/// Every delivery by its id. Each ended, or shows when it goes on.
pub async fn deliveries(api: &Api) -> HashMap<String, Shown> {
    let mut deliveries = HashMap::new();
    for entry in api.all("/deliveries").await {
        let delivery = shown(&entry);
        let waits = matches!(delivery.status.as_str(), "pending" | "retrying" | "held");
        let ended = matches!(delivery.status.as_str(), "delivered" | "retries_exhausted");
        assert!(waits || ended, "{entry}");
        assert_eq!(entry["finished_at"].is_null(), waits, "{entry}");
        if delivery.status != "held" {
            assert_eq!(delivery.next_attempt_at.is_some(), waits, "{entry}");
        }
        deliveries.insert(text(&entry, "id"), delivery);
    }
    deliveries
}

pub fn shown(entry: &Value) -> Shown {
    Shown {
        endpoint: text(entry, "endpoint"),
        event: text(entry, "event"),
        status: text(entry, "status"),
        attempt_count: entry["attempt_count"].as_u64().expect("a count is a number"),
        next_attempt_at: entry["next_attempt_at"].as_str().map(str::to_owned),
    }
}

pub fn text(entry: &Value, field: &str) -> String {
    entry[field].as_str().unwrap_or_else(|| panic!("no `{field}` in {entry}")).to_owned()
}
