//! The API as an operator's client sees it. A node that is killed in mid-answer
//! gives an [`Unanswered`]; everything else is an answer.

use std::time::Duration;

use awc::http::Method;
use serde_json::{Value, json};

use super::subscriber::{SECRET, Subscriber};

/// The key of every node here.
pub const OPERATOR_KEY: &str = "an-operator-key-for-faults";
/// Only a node that hangs takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A connection is used again only while the node is sure to keep it.
const IDLE_CONNECTION: Duration = Duration::from_secs(1);
/// As much as a list gives at once.
const PAGE: usize = 250;

/// One node's API.
#[derive(Clone)]
pub struct Api {
    client: awc::Client,
    url: String,
    key: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub json: Value,
}

/// No answer came, or not all of it.
#[derive(Debug)]
pub struct Unanswered;

impl Api {
    pub fn new(url: String) -> Self {
        Self { client: client(TIMEOUT), url, key: OPERATOR_KEY.to_owned() }
    }

    /// The same, for somebody who gives up after this long.
    pub fn within(&self, timeout: Duration) -> Self {
        Self { client: client(timeout), ..self.clone() }
    }

    /// The same, for whoever has this key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One request; `key` is its `Idempotency-Key`.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
        key: Option<&str>,
    ) -> Result<Answer, Unanswered> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .insert_header(("authorization", format!("Bearer {}", self.key)))
            .insert_header(("content-type", "application/json"));
        if let Some(key) = key {
            request = request.insert_header(("idempotency-key", key));
        }
        let mut response = request.send_body(body).await.map_err(|_| Unanswered)?;
        let body = response.body().limit(16 << 20).await.map_err(|_| Unanswered)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            retry_after: header("retry-after"),
            json: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).map_err(|_| Unanswered)? },
        })
    }

    /// What a healthy node has there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, String::new(), None).await.expect("a running node answers");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.json);
        answer.json
    }

    /// What a counter without labels stands at.
    pub async fn counted(&self, name: &str) -> u64 {
        let sent = self.client.get(format!("{}/metrics", self.url)).send();
        let body = sent.await.expect("a running node answers").body().limit(1 << 20).await.expect("it is short");
        let text = std::str::from_utf8(&body).expect("metrics are text");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no `{name}` in {text}"))
    }

    /// Every entry of a list, newest first.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut entries = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get(&format!("{path}{separator}limit={PAGE}{cursor}")).await;
            if let Value::Array(data) = page["data"].take() {
                entries.extend(data);
            }
            let Some(next) = page["next_cursor"].as_str() else { return entries };
            cursor = format!("&cursor={next}");
        }
    }

    /// Whether no delivery of an endpoint is under way or waits for a retry.
    pub async fn nothing_waits(&self, endpoint: &str) -> bool {
        self.none_is(&["pending", "retrying"], &format!("&endpoint={endpoint}")).await
    }

    /// The same of all endpoints.
    pub async fn nothing_waits_anywhere(&self) -> bool {
        self.none_is(&["pending", "retrying"], "").await
    }

    async fn none_is(&self, statuses: &[&str], filter: &str) -> bool {
        for status in statuses {
            let page = self.get(&format!("/deliveries?status={status}{filter}&limit=1")).await;
            if page["data"] != json!([]) {
                return false;
            }
        }
        true
    }

    /// Makes an endpoint with these settings, and answers with its id.
    pub async fn subscribe(&self, url: &str, events: &[&str], settings: Value) -> String {
        let mut body = json!({ "url": url, "events": events, "secret": SECRET });
        for (name, value) in settings.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let answer = self.send(Method::POST, "/webhook", body.to_string(), None).await.expect("a running node answers");
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["id"].as_str().expect("an endpoint has an id").to_owned()
    }

    /// Makes an endpoint of a subscriber.
    pub async fn subscribe_to(&self, subscriber: &Subscriber, events: &[&str], settings: Value) -> String {
        self.subscribe(&subscriber.url(), events, settings).await
    }

    /// Lets an endpoint that was made with `enabled: false` have its deliveries.
    pub async fn enable(&self, endpoint: &str) {
        self.change(endpoint, json!({ "enabled": true })).await;
    }

    /// Changes settings of an endpoint.
    pub async fn change(&self, endpoint: &str, settings: Value) {
        let answer = self.send(Method::PATCH, &format!("/webhook/{endpoint}"), settings.to_string(), None).await;
        let answer = answer.expect("a running node answers");
        assert_eq!(answer.status, 200, "{}", answer.json);
    }

    /// One request of a healthy node, and the status that it has to answer with.
    pub async fn expect(&self, method: Method, path: &str, body: Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(method.clone(), path, body, None).await.expect("a running node answers");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.json);
        answer.json
    }
}

fn client(timeout: Duration) -> awc::Client {
    let connector = awc::Connector::new().conn_keep_alive(IDLE_CONNECTION);
    awc::Client::builder().connector(connector).timeout(timeout).finish()
}
