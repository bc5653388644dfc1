//! How a test asks for each operation of the API so that it answers as it should, and the
//! things it asks for. Whoever adds an operation adds a row.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::support::contract::Operation;
use crate::support::http::{Client, Response};
use crate::support::node::{Node, campaign, eventually};
use crate::support::receiver::Subscriber;

/// What an operation is about, and so who is a stranger to it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum About {
    /// One thing of a partner in an environment, by its id.
    Thing,
    /// What a partner has in an environment.
    Scope,
    /// A partner in an environment that must both be named.
    Named,
    /// Neither: the store as a whole, or this node.
    Whole,
}

/// One operation's row.
pub struct Row {
    pub id: &'static str,
    pub about: About,
    /// What it answers when all is well.
    pub status: u16,
    /// What is sent: a fresh name goes where `NEW` stands, the receiver where `URL` does.
    body: Option<&'static str>,
}

const fn row(id: &'static str, about: About, status: u16) -> Row {
    Row { id, about, status, body: None }
}

const fn with(body: &'static str, row: Row) -> Row {
    Row { body: Some(body), ..row }
}

const EVENT: &str =
    r#"{"event": "campaign.created", "provider": "facebook", "type": "link_clicks", "id": "NEW", "status": "ACTIVE"}"#;
const WEBHOOK: &str = r#"{"url": "URL/NEW", "events": ["screenshot_set.approved"], "headers": {"x-token": "abc"}, "retry": {"retries": 2}}"#;
const TYPE: &str = r#"{"schema": {"type": "object"}, "example": {"event": "NEW"}, "retry": {"schedule_ms": [1000]}}"#;

/// The table.
pub const ROWS: &[Row] = &[
    with(EVENT, row("post_event", About::Scope, 202)),
    with(EVENT, row("post_events", About::Scope, 202)),
    row("list_events", About::Scope, 200),
    row("list_refused", About::Scope, 200),
    row("read_event", About::Thing, 200),
    row("read_payload", About::Thing, 200),
    row("search", About::Scope, 200),
    with(WEBHOOK, row("create_webhook", About::Scope, 201)),
    row("list_webhooks", About::Scope, 200),
    row("list_webhook_health", About::Scope, 200),
    row("list_webhook_attempts", About::Thing, 200),
    row("read_webhook", About::Thing, 200),
    with(r#"{"description": "NEW", "ordering": {"by": "/id"}}"#, row("change_webhook", About::Thing, 200)),
    row("delete_webhook", About::Thing, 204),
    row("read_secret", About::Thing, 200),
    with(r#"{"overlap_seconds": 60}"#, row("rotate_secret", About::Thing, 200)),
    row("pause_webhook", About::Thing, 200),
    with("{}", row("resume_webhook", About::Thing, 200)),
    with(r#"{"event_type": "campaign.updated"}"#, row("test_webhook", About::Thing, 200)),
    row("pull_events", About::Thing, 200),
    row("retry_webhook_now", About::Thing, 200),
    with(r#"{"status": ["delivered"], "types": ["campaign.*"]}"#, row("replay_webhook", About::Thing, 202)),
    with(r#"{"status_code": 503, "error_class": "http_status"}"#, row("dismiss_webhook_exhausted", About::Thing, 200)),
    row("read_webhook_stats", About::Thing, 200),
    row("list_deliveries", About::Scope, 200),
    row("read_delivery", About::Thing, 200),
    row("retry_delivery", About::Thing, 202),
    row("skip_delivery", About::Thing, 200),
    row("dismiss_delivery", About::Thing, 200),
    row("count_exhausted", About::Scope, 200),
    with(r#"{"rate_limit": {"per_second": 5}}"#, row("create_replay", About::Scope, 202)),
    row("list_replays", About::Scope, 200),
    row("read_replay", About::Thing, 200),
    row("cancel_replay", About::Thing, 200),
    row("list_event_types", About::Scope, 200),
    row("read_event_type", About::Scope, 200),
    with(TYPE, row("put_event_type", About::Scope, 201)),
    with(TYPE, row("check_event_type", About::Scope, 200)),
    row("delete_event_type", About::Scope, 204),
    with(r#"{"name": "NEW"}"#, row("create_partner", About::Whole, 201)),
    row("list_partners", About::Whole, 200),
    row("list_partner_health", About::Scope, 200),
    row("read_partner", About::Whole, 200),
    row("erase_partner", About::Whole, 202),
    with(r#"{"expires_in_seconds": 60, "description": "NEW"}"#, row("create_portal_link", About::Whole, 201)),
    row("list_portal_links", About::Whole, 200),
    row("revoke_portal_link", About::Whole, 204),
    with(r#"{"role": "producer", "description": "NEW"}"#, row("create_key", About::Whole, 201)),
    row("list_keys", About::Whole, 200),
    row("read_key", About::Whole, 200),
    row("revoke_key", About::Whole, 204),
    row("read_encryption", About::Whole, 200),
    with("{}", row("reencrypt", About::Whole, 200)),
    row("read_retention", About::Scope, 200),
    with(r#"{"payload_days": 7}"#, row("set_retention", About::Named, 200)),
    row("clear_retention", About::Named, 200),
    row("list_audit", About::Scope, 200),
    row("verify_audit", About::Whole, 200),
    row("read_stats", About::Scope, 200),
    row("list_nodes", About::Whole, 200),
    row("list_partitions", About::Whole, 200),
    row("read_nodes_health", About::Whole, 200),
    row("read_settings", About::Whole, 200),
    row("release_node", About::Whole, 200),
    with(r#"{"reason": "NEW"}"#, row("set_brake", About::Named, 200)),
    row("list_brakes", About::Whole, 200),
    row("release_brake", About::Named, 200),
    row("live", About::Whole, 200),
    row("live_head", About::Whole, 200),
    row("ready", About::Whole, 200),
    row("ready_head", About::Whole, 200),
    row("metrics", About::Whole, 200),
    row("describe", About::Whole, 200),
    row("show_docs", About::Whole, 200),
    row("show_docs_file", About::Whole, 200),
];

/// The row of an operation.
#[track_caller]
pub fn row_of(operation: &Operation) -> &'static Row {
    let found = ROWS.iter().find(|row| row.id == operation.id);
    found.unwrap_or_else(|| panic!("tests/it/routes/walk.rs has no row for `{}`", operation.id))
}

/// A partner in an environment whose things are asked for.
pub struct Owner<'a> {
    pub node: &'a Node,
    pub partner: String,
    pub environment: &'static str,
    pub subscriber: &'a Subscriber,
}

/// A name that nothing has.
pub fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("walk-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Owner<'_> {
    /// The query that names it whole, for an operator.
    pub fn query(&self) -> String {
        format!("partner={}&environment={}", self.partner, self.environment)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Response {
        let path = format!("{path}{}{}", if path.contains('?') { '&' } else { '?' }, self.query());
        self.node.operator().send(method, &path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// A new endpoint that hears of one new event, the event, and its delivery.
    fn things(&self) -> (String, String, String) {
        let name = fresh();
        let settings = json!({
            "url": self.subscriber.url(&format!("/{name}")), "events": ["campaign.updated"],
            "filter": { "properties": { "id": { "const": name } } }, "rate_limit": { "per_second": 100 },
        });
        let made = self.ask("POST", "/webhook", &settings).expect(201);
        let event: Value = serde_json::from_str(&campaign("campaign.updated", &name)).unwrap();
        let endpoint = made["id"].as_str().unwrap().to_owned();
        let accepted = self.ask("POST", "/events", &event).expect(202);
        assert_eq!(accepted["deliveries"], 1, "only this endpoint hears of it");
        let event = accepted["id"].as_str().unwrap().to_owned();
        let operator = self.node.operator();
        let list = format!("/deliveries?event={event}&{}", self.query());
        let delivery = eventually("it is delivered", || {
            let found = operator.get(&list).expect(200)["data"][0].clone();
            (found["status"] == "delivered").then_some(found)
        });
        (endpoint, event, delivery["id"].as_str().unwrap().to_owned())
    }

    /// A new thing of the kind that the operation's path names.
    pub fn thing(&self, operation: &Operation) -> String {
        let (endpoint, event, delivery) = match operation.path.split('/').nth(1).unwrap() {
            "deliveries" if operation.id == "dismiss_delivery" => return self.exhausted(),
            "replays" if operation.path.contains("{id}") => return self.cancelled(),
            "webhook" | "events" | "deliveries" => self.things(),
            _ => return self.administered(operation),
        };
        match operation.id.as_str() {
            // What has ended cannot be given up.
            "skip_delivery" => self.held(),
            _ if operation.path.starts_with("/webhook") => endpoint,
            _ if operation.path.starts_with("/events") => event,
            _ => delivery,
        }
    }

    /// A delivery that waits for its endpoint to be resumed.
    fn held(&self) -> String {
        let name = fresh();
        let settings = json!({
            "url": self.subscriber.url(&format!("/{name}")), "events": ["campaign.updated"], "enabled": false,
            "filter": { "properties": { "id": { "const": name } } },
        });
        self.ask("POST", "/webhook", &settings).expect(201);
        let event: Value = serde_json::from_str(&campaign("campaign.updated", &name)).unwrap();
        let accepted = self.ask("POST", "/events", &event).expect(202);
        let list = format!("/deliveries?event={}", accepted["id"].as_str().unwrap());
        let listed = self.node.operator().get(&format!("{list}&{}", self.query())).expect(200);
        listed["data"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A delivery that nobody answers, and that is tried once.
    fn exhausted(&self) -> String {
        let name = fresh();
        let settings = json!({
            "url": format!("http://127.0.0.1:1/{name}"), "events": ["campaign.updated"], "retry": { "schedule_ms": [] },
            "filter": { "properties": { "id": { "const": name } } },
        });
        self.ask("POST", "/webhook", &settings).expect(201);
        let event: Value = serde_json::from_str(&campaign("campaign.updated", &name)).unwrap();
        let accepted = self.ask("POST", "/events", &event).expect(202);
        let list = format!("/deliveries?event={}&{}", accepted["id"].as_str().unwrap(), self.query());
        let operator = self.node.operator();
        let delivery = eventually("it is given up", || {
            let found = operator.get(&list).expect(200)["data"][0].clone();
            (found["status"] == "retries_exhausted").then_some(found)
        });
        delivery["id"].as_str().unwrap().to_owned()
    }

    /// A replay that was cancelled while it ran: its endpoint takes nothing, and there is
    /// more than it is given at all.
    fn cancelled(&self) -> String {
        let name = fresh();
        let event: Value = serde_json::from_str(&campaign("campaign.updated", &name)).unwrap();
        let lines = format!("{event}\n").repeat(40);
        let path = format!("/events/batch?{}", self.query());
        let media_type = [("content-type", "application/x-ndjson")];
        self.node.operator().send("POST", &path, &media_type, lines.as_bytes()).expect(202);
        let settings = json!({
            "url": self.subscriber.url(&format!("/{name}")), "events": ["campaign.updated"], "enabled": false,
            "filter": { "properties": { "id": { "const": name } } },
        });
        let made = self.ask("POST", "/webhook", &settings).expect(201);
        let path = format!("/webhook/{}/replay", made["id"].as_str().unwrap());
        let begun = self.ask("POST", &path, &json!({ "missing": true })).expect(202);
        let id = begun["id"].as_str().unwrap().to_owned();
        self.ask("POST", &format!("/replays/{id}/cancel"), &json!({})).expect(200);
        id
    }

    fn administered(&self, operation: &Operation) -> String {
        let operator = self.node.operator();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        match operation.path.as_str() {
            "/partners/{name}" if operation.id == "erase_partner" => {
                let name = fresh();
                operator.post("/partners", json!({ "name": name }).to_string()).expect(201);
                name
            }
            "/partners/{name}" | "/partners/{name}/portal-links" => self.partner.clone(),
            "/partners/{name}/portal-links/{id}" => {
                let made = operator.post_empty(&format!("/partners/{}/portal-links", self.partner)).expect(201);
                format!("{}/portal-links/{}", self.partner, text(&made["id"]))
            }
            "/keys/{id}" => text(&operator.post("/keys", r#"{"role": "producer"}"#).expect(201)["id"]),
            "/nodes/{id}/release" => text(&operator.get("/nodes").expect(200)["data"][0]["id"]),
            "/docs/{file}" => "start.js".to_owned(),
            "/event-types/{name}" | "/event-types/{name}/check" => {
                let name = fresh();
                if operation.method != "PUT" {
                    let body = json!({ "schema": { "type": "object" }, "example": { "event": name } });
                    self.ask("PUT", &format!("/event-types/{name}"), &body).expect(201);
                }
                name
            }
            other => panic!("tests/it/routes/walk.rs knows no thing for `{other}`"),
        }
    }

    /// What has to be so that the operation can do what it is for.
    pub fn prepare(&self, operation: &Operation) {
        if operation.id == "release_brake" {
            self.ask("POST", "/brakes", &json!({})).expect(200);
        }
        if operation.id == "create_replay" {
            self.things();
        }
    }

    /// The same for whoever comes after it.
    pub fn restore(&self, operation: &Operation) {
        if operation.id == "set_brake" {
            self.ask("DELETE", "/brakes", &json!({})).expect(200);
        }
    }

    /// Asks for an operation about a thing, with its row's body.
    pub fn send(&self, client: &Client, operation: &Operation, thing: &str, query: &str) -> Response {
        let row = row_of(operation);
        let mut path = filled(&operation.path, thing) + query;
        if operation.id == "search" {
            path += if query.is_empty() { "?q=NEW" } else { "&q=NEW" };
        }
        if operation.id == "erase_partner" {
            path = format!("{path}{}confirm={thing}", if query.is_empty() { '?' } else { '&' });
        }
        let new = if operation.path.contains("/event-types/") { thing.to_owned() } else { fresh() };
        let url = self.subscriber.url("");
        match row.body {
            None => client.send(&operation.method, &path, &[], b""),
            Some(body) => {
                let body = body.replace("NEW", &new).replace("URL", &url);
                client.send(&operation.method, &path, &[("content-type", "application/json")], body.as_bytes())
            }
        }
    }
}

/// A path with its parameters filled in. A thing below another brings both of their names,
/// and what stands between them.
pub fn filled(path: &str, thing: &str) -> String {
    let is_below = thing.contains("/portal-links/");
    match (path.find('{'), path.find('}'), path.rfind('}')) {
        (Some(begin), _, Some(end)) if is_below => format!("{}{thing}{}", &path[..begin], &path[end + 1..]),
        (Some(begin), Some(end), _) => format!("{}{thing}{}", &path[..begin], filled(&path[end + 1..], thing)),
        _ => path.to_owned(),
    }
}
