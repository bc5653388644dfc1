//! What upstream posts here. An event is a number, which is its entity's `id`
//! and decides everything else about it, so that whatever turns up at a
//! receiver can be told.

use std::ops::Range;

use awc::http::Method;
use posthaste::cli::receiver::Received;
use serde_json::{Value, json};

use super::api::{Answer, Api, Unanswered};

/// Types of events, by the number's last digit.
pub const ALL: &[&str] = &[COMMON, RARE, SLOW];
pub const COMMON: &str = "campaign.updated";
pub const RARE: &str = "campaign.failed";
pub const SLOW: &str = "campaign.completed";

pub fn event_type(number: u64) -> &'static str {
    match number % 10 {
        0 => RARE,
        5 => SLOW,
        _ => COMMON,
    }
}

fn body(number: u64) -> Value {
    json!({
        "event": event_type(number),
        "provider": "facebook",
        "type": "link_clicks",
        "id": number,
        "status": "ACTIVE",
    })
}

/// Which event a receiver was sent.
pub fn number_of(received: &Received) -> u64 {
    let body: Value = serde_json::from_slice(&received.body).expect("the posted bytes are JSON");
    body["id"].as_u64().expect("the id is the number")
}

/// One request: a lone event, or a batch.
#[derive(Debug, Clone)]
pub struct Post {
    pub numbers: Range<u64>,
    pub batch: bool,
    /// What each event is made larger by.
    pub padding_bytes: usize,
}

impl Post {
    pub fn one(number: u64) -> Self {
        Self { numbers: number..number + 1, batch: false, padding_bytes: 0 }
    }

    pub fn batch(numbers: Range<u64>) -> Self {
        Self { numbers, batch: true, padding_bytes: 0 }
    }

    /// The same with events this much larger.
    pub fn padded(self, padding_bytes: usize) -> Self {
        Self { padding_bytes, ..self }
    }

    /// Posts it. The same post has the same `Idempotency-Key`.
    pub async fn send(&self, api: &Api) -> Result<Answer, Unanswered> {
        let padding = "x".repeat(self.padding_bytes);
        let line = |number| {
            let mut body = body(number);
            body["metadata"] = json!({ "padding": padding });
            body.to_string()
        };
        let lines: Vec<String> = self.numbers.clone().map(line).collect();
        let path = if self.batch { "/events/batch" } else { "/events" };
        let key = format!("post-{}-{}", self.numbers.start, self.numbers.end);
        api.send(Method::POST, path, lines.join("\n"), Some(&key)).await
    }

    /// The events' ids, from the 202.
    pub fn ids(&self, answer: &Answer) -> Vec<String> {
        assert_eq!(answer.status, 202, "{}", answer.json);
        let lines = match &answer.json["data"] {
            Value::Array(lines) => lines.as_slice(),
            _ => std::slice::from_ref(&answer.json),
        };
        let ids: Vec<String> = lines.iter().filter_map(|line| line["id"].as_str()).map(str::to_owned).collect();
        assert_eq!(ids.len() as u64, self.numbers.end - self.numbers.start, "{}", answer.json);
        ids
    }
}
