//! Two corpora of URLs against a real node: each is refused when it is registered,
//! or its name is found to lead inside when it is tried. No listener on a forbidden
//! address ever sees a connection (I8).

use serde_json::json;

use super::corpus;
use crate::support::forbidden::Forbidden;
use crate::support::name_server::{NameServer, Reply};
use crate::support::node::Node;

#[test]
fn no_url_reaches_a_forbidden_address() {
    // Every name there is leads inside.
    let server = NameServer::start([], Reply::addresses(&["127.0.0.1", "::1"]));
    let forbidden = Forbidden::everywhere();
    let listeners = forbidden.addresses();
    let servers = server.address.to_string();
    // So lenient that a refusal can only be about where a URL leads.
    let node = Node::start(&[
        ("ALLOW_ADDRESSES", ""),
        ("ALLOW_HTTP", "true"),
        ("DENIED_PORTS", ""),
        ("NAME_SERVERS", &servers),
        ("ENDPOINTS_PER_PARTNER", "100000"),
        ("KEY_REQUESTS_PER_SECOND", "0"),
        ("PARTNER_REQUESTS_PER_SECOND", "0"),
        ("TESTS_PER_MINUTE", "0"),
    ]);
    let ports: Vec<u16> = listeners.iter().map(std::net::SocketAddr::port).collect();
    let (shared, own) = (corpus::shared(&ports[..2]), corpus::own(&listeners));
    assert!(shared.len() > 200 && own.len() > 1_000, "{} and {}", shared.len(), own.len());
    for environment in ["sandbox", "production"] {
        let tenant = node.tenant(environment);
        let (mut refused, mut tried, mut otherwise) = (0, 0, Vec::new());
        for url in shared.iter().chain(&own) {
            let answer = tenant.partner.post("/webhook", json!({ "url": url, "events": ["*"] }).to_string());
            match answer.status {
                // Another spelling of one that is there.
                409 => {}
                422 => {
                    assert_eq!(answer.pointers(), ["/url"], "{url:?}");
                    refused += 1;
                }
                _ => {
                    let made = answer.expect(201);
                    let id = made["id"].as_str().unwrap();
                    let attempt = tenant.partner.post_empty(&format!("/webhook/{id}/test")).expect(200);
                    let found = (&attempt["error"]["class"], &attempt["response_body"]);
                    if found != (&json!("blocked_address"), &json!("")) {
                        otherwise.push((url, attempt));
                    }
                    tried += 1;
                }
            }
        }
        assert!(otherwise.is_empty(), "{environment}: {otherwise:#?}");
        // Both ways of failing are there.
        assert!(refused > 1_000 && tried > 20, "{environment}: {refused} refused, {tried} tried");
    }
    forbidden.saw_nobody();
}

#[test]
fn a_url_may_not_come_in_by_a_change_either() {
    let node = Node::start(&[("ALLOW_ADDRESSES", ""), ("DENIED_PORTS", "")]);
    let forbidden = Forbidden::everywhere();
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    for address in forbidden.addresses() {
        let change = json!({ "url": format!("http://{address}/"), "enabled": true });
        let refused = tenant.partner.patch(&path, change.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), ["/url"]);
    }
    assert_eq!(tenant.partner.get(&path).expect(200)["version"], 1);
    forbidden.saw_nobody();
}
