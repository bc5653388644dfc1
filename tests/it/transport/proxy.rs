//! The forward proxy: told where to go and never whom for, and bounded in time and
//! bytes like any receiver.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use posthaste::domain::{ErrorClass, Outcome};
use posthaste::transport::{Proxy, SourceAddresses};

use super::receiver::{Connection, OK, Receiver, Seen};
use super::tls;
use super::{Answer, Guard, Names, World, addresses, failed, request, within};
use crate::support::forward_proxy::{ForwardProxy, Manners};

/// Time enough for anything that happens at all.
const AMPLE: Duration = Duration::from_secs(10);
/// For what does not.
const SHORT: Duration = Duration::from_millis(300);

/// So many headers at once.
static FLOOD: [[u8; 8]; 512] = [*b"v: via\r\n"; 512];

fn through(proxy: &ForwardProxy) -> World {
    let mut world = World::new();
    world.options.proxy = Some(Proxy::new("127.0.0.1", proxy.address.port(), Some(("acme", "s3cret"))));
    world.names = Names::of([
        ("receiver.test", vec![addresses(&["127.0.0.1"])]),
        ("many.test", vec![addresses(&["127.0.0.3", "127.0.0.2", "127.0.0.1"])]),
    ]);
    world
}

/// What comes of an attempt when the proxy has these manners.
async fn attempt(manners: Manners, connect_timeout: Duration) -> (ForwardProxy, Outcome) {
    let proxy = ForwardProxy::start(manners);
    let mut world = through(&proxy);
    world.options.connect_timeout = connect_timeout;
    let outcome = within(world.open().send(request("http://receiver.test:8099/"))).await;
    (proxy, outcome)
}

#[actix_rt::test]
async fn it_is_told_the_vetted_address_and_the_receiver_hears_the_name() {
    let (heads, heard) = std::sync::mpsc::channel();
    let heads = std::sync::Mutex::new(heads);
    let receiver = Receiver::start(move |mut connection| {
        while let Some((head, _)) = connection.request() {
            heads.lock().expect("no panic").send(head).expect("the test listens");
            connection.write(OK);
        }
    });
    let proxy = ForwardProxy::start(Manners::Pass);
    let transport = through(&proxy).open();
    let port = receiver.address.port();
    for _ in 0..2 {
        assert!(within(transport.send(request(format!("http://receiver.test:{port}/hook")))).await.is_delivered());
        let head = heard.recv().expect("a request");
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: receiver.test:{port}\r\n")), "{head}");
        assert!(!head.contains("proxy-"), "{head}");
    }
    // One tunnel for both, and no name in what the proxy was told.
    let [asked] = proxy.asked().try_into().expect("asked once");
    let expected = format!(
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nproxy-authorization: Basic YWNtZTpzM2NyZXQ=\r\n\r\n"
    );
    assert_eq!(asked.head, expected);
}

#[actix_rt::test]
async fn https_goes_through_it_unseen() {
    let receiver = tls::start(rustls::ALL_VERSIONS, |mut connection| {
        while connection.request().is_some() {
            connection.write(OK);
        }
    });
    let proxy = ForwardProxy::start(Manners::Pass);
    let mut world = through(&proxy);
    world.tls = tls::client();
    let outcome = within(world.open().send(request(tls::url("receiver.test", &receiver)))).await;
    assert!(outcome.is_delivered(), "{:?}", outcome.error);
    assert_eq!(proxy.targets(), [receiver.address.to_string()]);
    // The name is still what the certificate is checked for.
    world.names = Names::of([("other.test", vec![addresses(&["127.0.0.1"])])]);
    failed(&within(world.open().send(request(tls::url("other.test", &receiver)))).await, ErrorClass::Tls);
}

#[actix_rt::test]
async fn what_is_forbidden_is_not_asked_of_it() {
    let proxy = ForwardProxy::start(Manners::Pass);
    let mut world = through(&proxy);
    // The proxy's own address is forbidden to everybody else.
    world.guard = Guard::denying(&["127.0.0.1"]);
    let transport = world.open();
    for host in ["receiver.test", "many.test", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        failed(&within(transport.send(request(format!("http://{host}/")))).await, ErrorClass::BlockedAddress);
    }
    assert_eq!(proxy.asked(), []);
    // And what is not goes through it all the same.
    let listener = TcpListener::bind("127.0.0.2:0").expect("all of 127/8 is this machine");
    let receiver = Receiver::listen(listener, |mut connection| {
        connection.request();
        connection.write(OK);
    });
    assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
}

#[actix_rt::test]
async fn a_refusal_is_a_connection_error_that_says_the_status_and_no_more() {
    for (said, expected) in [
        (
            &b"HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nforbidden"[..],
            "could not connect to 127.0.0.1:8099: the forward proxy answered with status 403",
        ),
        (
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n<h1>bad</h1>",
            "could not connect to 127.0.0.1:8099: the forward proxy answered with status 502",
        ),
        (
            b"HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1/\r\n\r\n",
            "could not connect to 127.0.0.1:8099: the forward proxy answered with status 301",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "could not connect to 127.0.0.1:8099: the forward proxy answered with status 100",
        ),
        (b"HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\n\r\n", "the forward proxy answered with status 407"),
        (b"SSH-2.0-OpenSSH\r\n", "the forward proxy's answer is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "the forward proxy went on talking after it had opened a connection",
        ),
    ] {
        let (_proxy, outcome) = attempt(Manners::Say(said), AMPLE).await;
        assert_eq!(failed(&outcome, ErrorClass::Connect), expected);
    }
}

#[actix_rt::test]
async fn it_is_bounded_in_time_and_bytes() {
    let silent = "the forward proxy did not connect to 127.0.0.1:8099 within 300 ms";
    for (manners, limit, expected) in [
        (Manners::Say(b""), SHORT, silent),
        (Manners::Say(b"HTTP/1.1 200 OK\r\nvia: "), SHORT, silent),
        (
            Manners::SayForever(b"HTTP/1.1 200 OK\r\n", FLOOD.as_flattened()),
            AMPLE,
            "the head of the forward proxy's answer is longer than 8192 bytes",
        ),
        (
            Manners::SayForever(b"HTTP/1.1 200 ", &[b'x'; 4_096]),
            AMPLE,
            "the head of the forward proxy's answer is longer than 8192 bytes",
        ),
        (Manners::Close, AMPLE, "the forward proxy closed its connection before it answered"),
    ] {
        let (_proxy, outcome) = attempt(manners, limit).await;
        assert_eq!(failed(&outcome, ErrorClass::Connect), expected, "{manners:?}");
    }
    // A drip is cut off where the time for connecting ends.
    let (_proxy, outcome) = attempt(Manners::SayForever(b"HTTP/1.1 200 OK\r\n", b"x"), SHORT).await;
    failed(&outcome, ErrorClass::Connect);
}

#[actix_rt::test]
async fn the_attempts_own_time_bounds_it_too() {
    let proxy = ForwardProxy::start(Manners::Say(b""));
    let mut request = request("http://receiver.test/");
    request.timeout = Duration::from_millis(100);
    failed(&within(through(&proxy).open().send(request)).await, ErrorClass::Timeout);
}

#[actix_rt::test]
async fn a_tls_handshake_through_it_is_bounded_as_without() {
    let mut silent = Receiver::start(Connection::hold);
    let proxy = ForwardProxy::start(Manners::Pass);
    let mut world = through(&proxy);
    world.tls = tls::client();
    world.options.connect_timeout = Duration::from_secs(1);
    let outcome = within(world.open().send(request(tls::url("receiver.test", &silent)))).await;
    assert_eq!(failed(&outcome, ErrorClass::Tls), "the TLS handshake took too long");
    assert_eq!(silent.next().await, Seen::End(1), "the tunnel is closed to its end");
}

#[actix_rt::test]
async fn another_address_is_asked_for_where_that_may_help() {
    let receiver = Receiver::answering(OK);
    let port = receiver.address.port();
    let proxy = ForwardProxy::start(Manners::Pass);
    // Nobody listens on the first two: the proxy answers 502.
    assert!(within(through(&proxy).open().send(request(format!("http://many.test:{port}/")))).await.is_delivered());
    assert_eq!(proxy.targets(), ["127.0.0.3", "127.0.0.2", "127.0.0.1"].map(|address| format!("{address}:{port}")));
    // But not by who is not let in at all.
    let proxy = ForwardProxy::start(Manners::Say(b"HTTP/1.1 407 Who\r\n\r\n"));
    failed(&within(through(&proxy).open().send(request("http://many.test/"))).await, ErrorClass::Connect);
    assert_eq!(proxy.asked().len(), 1);
}

#[actix_rt::test]
async fn one_that_is_not_there_is_not_told_where_it_should_be() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    let check = async |host: &str, expected: &str| {
        let mut world = World::new();
        world.names = Names::of([
            ("receiver.test", vec![addresses(&["127.0.0.1"])]),
            ("proxy.test", vec![addresses(&["127.0.0.1"])]),
            ("missing.test", vec![Answer::Failure("there is no host named missing.test")]),
        ]);
        world.options.proxy = Some(Proxy::new(host, free.port(), Some(("acme", "s3cret"))));
        let outcome = within(world.open().send(request("http://receiver.test/"))).await;
        let message = failed(&outcome, ErrorClass::Connect);
        assert!(message.starts_with(expected), "{message}");
        for hidden in ["s3cret", "proxy.test", "missing.test", &free.to_string()] {
            assert!(!message.contains(hidden), "{message}");
        }
    };
    check("127.0.0.1", "the forward proxy cannot be reached: ").await;
    check("proxy.test", "the forward proxy cannot be reached: ").await;
    check("missing.test", "the forward proxy has a name that does not resolve").await;
}

#[actix_rt::test]
async fn connections_to_it_come_from_the_source_address() {
    let receiver = Receiver::answering(OK);
    let proxy = ForwardProxy::start(Manners::Pass);
    let mut world = through(&proxy);
    world.options.source = SourceAddresses { v4: Some([127, 0, 0, 9].into()), v6: None };
    assert!(within(world.open().send(request(receiver.url()))).await.is_delivered());
    assert_eq!(proxy.asked()[0].from.ip().to_string(), "127.0.0.9");
}

/// A listener whose queue is full: what else asks for a connection hears nothing.
fn swallowing(address: &str) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind(address).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        waiting.push(stream);
        assert!(waiting.len() < 10_000, "its queue has an end");
    }
    (listener, waiting)
}

#[actix_rt::test]
async fn one_of_its_addresses_that_swallows_packets_leaves_time_to_the_next() {
    let receiver = Receiver::start(|mut connection| {
        connection.request();
        connection.write(OK);
    });
    let proxy = ForwardProxy::start(Manners::Pass);
    let port = proxy.address.port();
    let _full = swallowing(&format!("127.0.0.2:{port}"));
    let mut world = through(&proxy);
    world.options.proxy = Some(Proxy::new("proxy.test", port, None));
    world.options.connect_timeout = Duration::from_secs(3);
    world.names = Names::of([
        ("receiver.test", vec![addresses(&["127.0.0.1"])]),
        ("proxy.test", vec![addresses(&["127.0.0.2", "127.0.0.1"])]),
    ]);
    let url = format!("http://receiver.test:{}/", receiver.address.port());
    assert!(within(world.open().send(request(url))).await.is_delivered());
}
