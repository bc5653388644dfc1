//! A node whose way out is a forward proxy: what the proxy is told, and what partners
//! and operators get to read of it.

use serde_json::json;

use super::{ALLOWED, PUBLIC, public_receiver, tried};
use crate::support::forward_proxy::{ForwardProxy, Manners};
use crate::support::name_server::{NameServer, Reply};
use crate::support::node::{Node, campaign};
use crate::transport::receiver::{OK, Receiver};

const PASSWORD: &str = "correct-horse-battery";

fn node(proxy: &ForwardProxy, server: &NameServer) -> Node {
    Node::start(&[
        ("ALLOW_ADDRESSES", ALLOWED),
        ("DENIED_PORTS", ""),
        ("NAME_SERVERS", &server.address.to_string()),
        // It has a name itself, which leads where no endpoint may go.
        ("PROXY", &format!("http://posthaste:{PASSWORD}@proxy.test:{}", proxy.address.port())),
    ])
}

fn zone() -> NameServer {
    NameServer::start(
        [
            ("proxy.test", vec![Reply::addresses(&["127.0.0.1"])]),
            ("good.test", vec![Reply::addresses(&[PUBLIC])]),
            ("private.test", vec![Reply::addresses(&["127.0.0.1"])]),
            ("rebinding.test", vec![Reply::addresses(&[PUBLIC]), Reply::addresses(&["127.0.0.1"])]),
        ],
        Reply::NoSuchName,
    )
}

#[test]
fn deliveries_go_through_the_proxy_to_vetted_addresses_alone() {
    let (proxy, server) = (ForwardProxy::start(Manners::Pass), zone());
    let node = node(&proxy, &server);
    let tenant = node.tenant("sandbox");
    let receiver = public_receiver(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    let port = receiver.address.port();
    tenant.webhook(&json!({ "url": format!("http://good.test:{port}/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "proxied"));
    tenant.settled(&accepted, "delivered");
    assert_eq!(proxy.targets(), [format!("{PUBLIC}:{port}")]);
    // What is forbidden is not asked for, nor what has become forbidden since.
    let inside = Receiver::answering(OK);
    let inside_port = inside.address.port();
    for url in [format!("http://private.test:{inside_port}/"), format!("https://private.test:{inside_port}/")] {
        assert_eq!(tried(&tenant, &url)["error"]["class"], "blocked_address", "{url}");
    }
    let url = format!("http://rebinding.test:{port}/");
    assert_eq!(tried(&tenant, &url)["delivered"], true);
    assert_eq!(tried(&tenant, &url)["error"]["class"], "blocked_address");
    assert_eq!(proxy.targets().len(), 2);
    // The operator learns where the proxy is, and nobody the password.
    let log = node.log();
    assert!(log.contains(&format!("the forward proxy proxy.test:{}", proxy.address.port())), "{log}");
    assert!(!log.contains(PASSWORD) && !node.nobody().get("/metrics").body.contains(PASSWORD), "{log}");
    assert!(proxy.asked().iter().all(|asked| asked.head.contains("\r\nproxy-authorization: Basic ")));
}

#[test]
fn a_refusal_of_the_proxy_is_shown_by_its_status_alone() {
    let said: &[u8] =
        b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"corp-realm\"\r\n\
        content-length: 12\r\n\r\nwho are you?";
    let (proxy, server) = (ForwardProxy::start(Manners::Say(said)), zone());
    let node = node(&proxy, &server);
    let attempt = tried(&node.tenant("sandbox"), "http://good.test:8099/");
    assert_eq!(
        attempt["error"],
        json!({ "class": "connect", "message": "the forward proxy answered with status 407" })
    );
    assert_eq!(attempt["response_body"], "");
    assert!(!attempt.to_string().contains(PASSWORD) && !node.log().contains(PASSWORD));
}
