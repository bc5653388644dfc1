//! Names that lead astray, by a name server that lies, stalls and changes its mind:
//! no answer of it brings about a connection to a forbidden address (I8), and none
//! keeps others waiting (I5). Over the transport alone, and over a real node.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::ErrorClass;
use posthaste::policy::address::AddressPolicy;
use posthaste::transport::{
    AddressGuard, HttpTransportFactory, Resolve, SystemResolver, TlsClient, TransportFactory, TransportOptions,
};
use serde_json::json;

use super::{ALLOWED, PUBLIC, public_receiver, tried};
use crate::support::forbidden::Forbidden;
use crate::support::name_server::{NameServer, Record, Reply, records};
use crate::support::node::{Node, campaign, eventually};
use crate::transport::receiver::Seen;
use crate::transport::{failed, request, within};

const PRIVATE: &str = "127.0.0.1";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const NO: &[u8] = b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// So short that the silent do not hold up a test.
const CONNECT_TIMEOUT_MS: u64 = 1_000;

/// Names that lead to a forbidden address, in some way or other.
const ASTRAY: [&str; 13] = [
    "private.test",
    "first.test",
    "last.test",
    "alias.test",
    "far-alias.test",
    "alias-in-one.test",
    "six.test",
    "only-six.test",
    "mapped.test",
    "truncated.test",
    "crowd.test",
    "zero.test",
    "metadata.test",
];

/// Names that lead nowhere.
const NOWHERE: [&str; 8] = [
    "missing.test",
    "failing.test",
    "stalling.test",
    "garbled.test",
    "forged.test",
    "empty.test",
    "dangling.test",
    "endless.test",
];

fn zone() -> Vec<(&'static str, Vec<Reply>)> {
    let one = |reply| vec![reply];
    let crowd = (0..1_000).map(|_| Record::Address(PUBLIC.parse().expect("an address")));
    vec![
        ("good.test", one(Reply::addresses(&[PUBLIC]))),
        ("good-alias.test", one(Reply::alias("good.test"))),
        ("good-large.test", one(Reply::Truncated(Vec::new(), records(&[PUBLIC])))),
        ("private.test", one(Reply::addresses(&[PRIVATE]))),
        ("first.test", one(Reply::addresses(&[PRIVATE, PUBLIC]))),
        ("last.test", one(Reply::addresses(&[PUBLIC, PRIVATE]))),
        ("alias.test", one(Reply::alias("private.test"))),
        ("far-alias.test", one(Reply::alias("nearer-alias.test"))),
        ("nearer-alias.test", one(Reply::alias("alias.test"))),
        (
            "alias-in-one.test",
            one(Reply::Records(
                0,
                [vec![Record::Alias("cdn.test"), Record::Alias("edge.test")], records(&[PRIVATE])].concat(),
            )),
        ),
        ("six.test", one(Reply::addresses(&[PUBLIC, "::1"]))),
        ("only-six.test", one(Reply::addresses(&["::1"]))),
        ("mapped.test", one(Reply::addresses(&[PUBLIC, "::ffff:127.0.0.1"]))),
        ("truncated.test", one(Reply::Truncated(records(&[PUBLIC]), records(&[PUBLIC, PRIVATE])))),
        ("crowd.test", one(Reply::Truncated(records(&[PUBLIC]), crowd.chain(records(&[PRIVATE])).collect()))),
        ("zero.test", one(Reply::addresses(&["0.0.0.0"]))),
        ("metadata.test", one(Reply::addresses(&["169.254.169.254"]))),
        ("rebinding.test", vec![Reply::addresses(&[PUBLIC]), Reply::addresses(&[PRIVATE])]),
        ("rebinding-alias.test", vec![Reply::addresses(&[PUBLIC]), Reply::alias("private.test")]),
        ("rebinding-mixed.test", vec![Reply::addresses(&[PUBLIC]), Reply::addresses(&[PUBLIC, PRIVATE])]),
        ("missing.test", one(Reply::NoSuchName)),
        ("failing.test", one(Reply::ServerFailure)),
        ("stalling.test", one(Reply::Silence)),
        ("garbled.test", one(Reply::Garbage)),
        ("forged.test", one(Reply::WrongId(records(&[PUBLIC])))),
        ("empty.test", one(Reply::addresses(&[]))),
        ("dangling.test", one(Reply::alias("missing.test"))),
        ("endless.test", one(Reply::alias("endless.test"))),
    ]
}

/// The installation's own rules, as a node applies them.
struct Rules(AddressPolicy);

impl AddressGuard for Rules {
    fn check(&self, address: IpAddr) -> Result<(), String> {
        self.0.check_address(address).map_err(|forbidden| forbidden.to_string())
    }
}

fn transports(server: &NameServer) -> HttpTransportFactory {
    let options =
        TransportOptions { connect_timeout: Duration::from_millis(CONNECT_TIMEOUT_MS), ..TransportOptions::default() };
    let policy = AddressPolicy::new(vec![ALLOWED.parse().expect("a network")]);
    let resolver = SystemResolver::from_name_servers(&[server.address]);
    HttpTransportFactory::new(
        options,
        Arc::new(Rules(policy)),
        Arc::new(resolver),
        TlsClient::unavailable("no https"),
        Clock::system(),
    )
}

#[actix_rt::test]
async fn no_answer_of_a_name_server_leads_a_transport_astray() {
    let server = NameServer::start(zone(), Reply::NoSuchName);
    let mut receiver = public_receiver(OK);
    let port = receiver.address.port();
    let forbidden = Forbidden::on(&[PRIVATE, "::1"], port);
    let transport = transports(&server).open();
    let send = |name: &str| within(transport.send(request(format!("http://{name}:{port}/"))));

    for name in ["good.test", "good-alias.test", "good-large.test"] {
        let outcome = send(name).await;
        assert!(outcome.is_delivered(), "{name}: {:?}", outcome.error);
        assert!(matches!(receiver.next().await, Seen::Request(_)));
    }
    for name in ASTRAY {
        let outcome = send(name).await;
        let message = failed(&outcome, ErrorClass::BlockedAddress);
        assert!(!message.contains("127.") && !message.contains("::1"), "{name}: {message}");
    }
    for name in NOWHERE {
        failed(&send(name).await, ErrorClass::Dns);
    }
    for name in ["rebinding.test", "rebinding-alias.test", "rebinding-mixed.test"] {
        assert!(send(name).await.is_delivered(), "{name}");
        assert!(matches!(receiver.next().await, Seen::Request(_)));
        for _ in 0..2 {
            failed(&send(name).await, ErrorClass::BlockedAddress);
        }
        assert!(server.times_asked(name) >= 3, "{name}: each connection has its own lookup");
    }
    forbidden.saw_nobody();
    assert!(!receiver.so_far().iter().any(|seen| matches!(seen, Seen::Request(_))), "nobody else got through");
}

#[test]
fn no_answer_of_a_name_server_leads_a_node_astray() {
    let server = NameServer::start(zone(), Reply::NoSuchName);
    let receiver = public_receiver(OK);
    let port = receiver.address.port();
    let forbidden = Forbidden::on(&[PRIVATE, "::1"], port);
    let node = Node::start(&[
        ("ALLOW_ADDRESSES", ALLOWED),
        ("DENIED_PORTS", ""),
        ("NAME_SERVERS", &server.address.to_string()),
        ("CONNECT_TIMEOUT_MS", &CONNECT_TIMEOUT_MS.to_string()),
    ]);
    let tenant = node.tenant("sandbox");
    let url = |name: &str| format!("http://{name}:{port}/");
    for name in ["good.test", "good-alias.test", "good-large.test"] {
        assert_eq!(tried(&tenant, &url(name))["delivered"], true, "{name}");
    }
    for (names, class) in [(ASTRAY.as_slice(), "blocked_address"), (&NOWHERE, "dns")] {
        for name in names {
            let attempt = tried(&tenant, &url(name));
            let found = (&attempt["error"]["class"], &attempt["status_code"], &attempt["response_body"]);
            assert_eq!(found, (&json!(class), &json!(null), &json!("")), "{name}: {attempt}");
        }
    }
    forbidden.saw_nobody();
}

#[test]
fn a_name_that_rebinds_between_attempts_is_caught_at_the_retry() {
    let server = NameServer::start(zone(), Reply::NoSuchName);
    let receiver = public_receiver(NO);
    let port = receiver.address.port();
    let forbidden = Forbidden::on(&[PRIVATE], port);
    let servers = server.address.to_string();
    let node = Node::start(&[("ALLOW_ADDRESSES", ALLOWED), ("DENIED_PORTS", ""), ("NAME_SERVERS", &servers)]);
    for name in ["rebinding.test", "rebinding-alias.test", "rebinding-mixed.test"] {
        let tenant = node.tenant("sandbox");
        let url = format!("http://{name}:{port}/");
        tenant.webhook(&json!({ "url": url, "events": ["*"], "retry": { "schedule_ms": [1, 1] } }));
        let accepted = tenant.event(campaign("campaign.created", name));
        let delivery = tenant.settled(&accepted, "retries_exhausted");
        let classes: Vec<_> =
            delivery["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["error"]["class"]).collect();
        assert_eq!(classes, ["http_status", "blocked_address", "blocked_address"], "{name}");
    }
    forbidden.saw_nobody();
}

#[test]
fn names_that_stall_keep_nobody_else_waiting() {
    const STALLING: usize = 60;
    // All but one name.
    let server = NameServer::start([("good.test", vec![Reply::addresses(&[PUBLIC])])], Reply::Silence);
    let mut receiver = public_receiver(OK);
    let port = receiver.address.port();
    let servers = server.address.to_string();
    let node = Node::start(&[("ALLOW_ADDRESSES", ALLOWED), ("DENIED_PORTS", ""), ("NAME_SERVERS", &servers)]);
    let tenant = node.tenant("sandbox");
    for number in 0..STALLING {
        let url = format!("http://stalling-{number}.test:{port}/");
        tenant.webhook(&json!({ "url": url, "events": ["*"], "retry": { "schedule_ms": [] } }));
    }
    tenant.webhook(&json!({ "url": format!("http://good.test:{port}/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "stalled"));
    assert_eq!(accepted["deliveries"], STALLING + 1);
    eventually("all of them are looked up", || {
        (0..STALLING).all(|number| server.times_asked(&format!("stalling-{number}.test")) > 0).then_some(())
    });
    // While they are, the healthy one has everything it is sent.
    for number in 0..3 {
        tenant.event(campaign("campaign.updated", &number.to_string()));
    }
    let mut requests = 0;
    eventually("the healthy one has everything", || {
        requests += receiver.so_far().iter().filter(|seen| matches!(seen, Seen::Request(_))).count();
        (requests >= 4).then_some(())
    });
    let waiting = tenant.partner.get("/deliveries?status=pending&limit=250").expect(200);
    let waiting = waiting["data"].as_array().unwrap().iter().filter(|delivery| delivery["attempt_count"] == 0).count();
    assert!(waiting >= STALLING, "the stalling ones were waited for: {waiting} are left");
}

#[actix_rt::test]
async fn an_answer_is_kept_no_longer_than_it_says() {
    let server = NameServer::start(
        [
            ("moving.test", vec![Reply::addresses(&["192.0.2.1"]), Reply::addresses(&["192.0.2.2"])]),
            ("staying.test", vec![Reply::Records(3_600, records(&["192.0.2.3"])), Reply::addresses(&["192.0.2.4"])]),
            ("mended.test", vec![Reply::NoSuchName, Reply::addresses(&["192.0.2.5"])]),
        ],
        Reply::NoSuchName,
    );
    let resolver = SystemResolver::from_name_servers(&[server.address]);
    let check = async |name: &str, expected: Option<&str>| {
        let found = within(resolver.resolve(name.into())).await.ok();
        assert_eq!(found, expected.map(|text| vec![text.parse::<IpAddr>().expect("an address")]), "{name}");
    };
    check("moving.test", Some("192.0.2.1")).await;
    check("moving.test", Some("192.0.2.2")).await;
    check("staying.test", Some("192.0.2.3")).await;
    check("staying.test", Some("192.0.2.3")).await;
    // Without a word on how long a name is missing, it is asked for again.
    check("mended.test", None).await;
    check("mended.test", Some("192.0.2.5")).await;
}
