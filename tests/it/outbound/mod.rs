//! The way out of a real node: names that lead astray, URLs that hide where they
//! go, and what an operator says of proxies, certificates and addresses.

mod certificates;
mod corpus;
mod names;
mod options;
mod proxied;
mod urls;

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::node::Tenant;
use crate::transport::receiver::Receiver;

/// Plays the internet: the one loopback address that may be dialled here.
pub const PUBLIC: &str = "127.0.0.2";
/// What lets it.
pub const ALLOWED: &str = "127.0.0.2/32";

/// A receiver at the address that may be dialled. It closes after each answer, so
/// that every request has to find its way anew.
pub fn public_receiver(answer: &'static [u8]) -> Receiver {
    let listener = TcpListener::bind((PUBLIC, 0)).expect("all of 127/8 is this machine");
    Receiver::listen(listener, move |mut connection| {
        connection.request();
        connection.write(answer);
    })
}

/// What comes of one request to this URL.
#[track_caller]
pub fn tried(tenant: &Tenant, url: &str) -> Value {
    tried_with(tenant, url, json!({}))
}

/// The same with some settings.
#[track_caller]
pub fn tried_with(tenant: &Tenant, url: &str, settings: Value) -> Value {
    let mut webhook = json!({ "url": url, "events": ["*"] });
    for (name, value) in settings.as_object().unwrap() {
        webhook[name] = value.clone();
    }
    let made = tenant.webhook(&webhook);
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    let attempt = tenant.partner.post_empty(&format!("{path}/test")).expect(200);
    tenant.partner.delete(&path).expect(204);
    attempt
}
