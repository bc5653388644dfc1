//! What may be dialled: nothing that the guard forbids, however it is spelled
//! and whenever a name starts to lead there.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use posthaste::domain::ErrorClass;
use posthaste::transport::SourceAddresses;

use super::receiver::{OK, Receiver, Seen};
use super::{Answer, Guard, Names, World, address, addresses, failed, request, within};

/// Whether anybody has connected, now that the attempt is over.
fn untouched(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).expect("a listener can be asked without waiting");
    listener.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[actix_rt::test]
async fn a_forbidden_address_in_the_url_is_never_dialled() {
    let mut world = World::new();
    world.guard = Guard::denying(&["127.0.0.1", "::1"]);
    let transport = world.open();
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"] {
        let spelled = if host.starts_with("[::1") { "[::1]:0" } else { "127.0.0.1:0" };
        // A machine without IPv6 has nothing to protect there.
        let Ok(listener) = TcpListener::bind(spelled) else { continue };
        let port = listener.local_addr().expect("a bound listener has an address").port();
        for scheme in ["http", "https"] {
            if scheme == "https" {
                world.tls = super::tls::client();
            }
            let outcome = within(world.open().send(request(format!("{scheme}://{host}:{port}/")))).await;
            let message = failed(&outcome, ErrorClass::BlockedAddress);
            assert!(message.ends_with("is off limits"), "{message}");
        }
        let outcome = within(transport.send(request(format!("http://{host}:{port}/")))).await;
        failed(&outcome, ErrorClass::BlockedAddress);
        assert!(untouched(&listener), "{host}");
    }
}

#[actix_rt::test]
async fn one_forbidden_address_among_many_forbids_the_name() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let mut world = World::new();
    world.guard = Guard::denying(&["127.0.0.66"]);
    world.names = Names::of([
        ("first.test", vec![addresses(&["127.0.0.66", "127.0.0.1"])]),
        ("last.test", vec![addresses(&["127.0.0.1", "127.0.0.66"])]),
        ("mapped.test", vec![addresses(&["127.0.0.1", "::ffff:127.0.0.66"])]),
        // Further down than would ever be dialled.
        (
            "hidden.test",
            vec![addresses(&["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.66"])],
        ),
    ]);
    let transport = world.open();
    for name in ["first.test", "last.test", "mapped.test", "hidden.test"] {
        let outcome = within(transport.send(request(format!("http://{name}:{port}/")))).await;
        assert_eq!(failed(&outcome, ErrorClass::BlockedAddress), "127.0.0.66 is off limits", "{name}");
    }
    assert!(untouched(&listener));
}

#[actix_rt::test]
async fn a_name_that_comes_to_lead_elsewhere_is_vetted_anew() {
    let mut outside = Receiver::start(|mut connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    let port = outside.address.port();
    let inside = TcpListener::bind(("127.0.0.66", port)).expect("the same port on another loopback address");
    let mut world = World::new();
    world.guard = Guard::denying(&["127.0.0.66"]);
    world.names = Names::of([("rebinding.test", vec![addresses(&["127.0.0.1"]), addresses(&["127.0.0.66"])])]);
    let transport = world.open();
    let url = format!("http://rebinding.test:{port}/");
    assert!(within(transport.send(request(url.as_str()))).await.is_delivered());
    assert_eq!(outside.next().await, Seen::Request(1));
    failed(&within(transport.send(request(url))).await, ErrorClass::BlockedAddress);
    assert!(untouched(&inside));
}

#[actix_rt::test]
async fn who_answers_is_vetted_too() {
    let receiver = Receiver::answering(OK);
    let world = World::new();
    assert!(within(world.open().send(request(receiver.url()))).await.is_delivered());
    // Before dialling, and after.
    assert_eq!(*world.guard.asked.lock().expect("no panic"), [address("127.0.0.1"), address("127.0.0.1")]);
}

#[actix_rt::test]
async fn what_a_forbidden_peer_says_is_not_heard() {
    // It is let through to be dialled, and found out by who answered.
    let mut receiver = Receiver::start(|mut connection| {
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ns3cret");
        connection.request();
    });
    let mut world = World::new();
    world.guard = Arc::new(Guard { patience: Some(1), ..Guard::default() });
    let outcome = within(world.open().send(request(receiver.url()))).await;
    assert_eq!(failed(&outcome, ErrorClass::BlockedAddress), "127.0.0.1 is off limits");
    assert!(outcome.response_body.is_empty() && outcome.retry_after.is_none());
    assert_eq!(receiver.next().await, Seen::End(1), "it is closed without a word");
}

#[actix_rt::test]
async fn every_new_connection_is_vetted_anew() {
    let mut receiver = Receiver::start(|mut connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
    let mut world = World::new();
    // Twice for each connection: before it is dialled, and when it is there.
    world.guard = Arc::new(Guard { patience: Some(4), ..Guard::default() });
    let transport = world.open();
    for _ in 0..2 {
        assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
    }
    failed(&within(transport.send(request(receiver.url()))).await, ErrorClass::BlockedAddress);
    let requests = receiver.so_far().into_iter().filter(|seen| matches!(seen, Seen::Request(_))).count();
    assert_eq!(requests, 2);
}

#[actix_rt::test]
async fn a_connection_comes_from_the_address_of_its_family() {
    let check = async |bind: &str, expected: Option<&str>| {
        // A machine without IPv6 has no choice of addresses there.
        let Ok(listener) = TcpListener::bind(bind) else { return };
        let (sender, from) = std::sync::mpsc::channel();
        let sender = std::sync::Mutex::new(sender);
        let receiver = Receiver::listen(listener, move |mut connection| {
            let peer = connection.stream.peer_addr().expect("it is connected").ip();
            sender.lock().expect("no panic").send(peer).expect("the test listens");
            connection.request();
            connection.write(OK);
        });
        let mut world = World::new();
        world.options.source =
            SourceAddresses { v4: Some([127, 0, 0, 9].into()), v6: Some("2001:db8::77".parse().expect("an address")) };
        let outcome = within(world.open().send(request(receiver.url()))).await;
        match expected {
            Some(expected) => assert_eq!((outcome.is_delivered(), from.recv()), (true, Ok(address(expected)))),
            None => {
                let message = failed(&outcome, ErrorClass::Connect);
                assert!(message.starts_with("this node cannot send from its source address 2001:db8::77"), "{message}");
            }
        }
    };
    check("127.0.0.1:0", Some("127.0.0.9")).await;
    // No machine has this one: it is kept for documentation.
    check("[::1]:0", None).await;
}

#[actix_rt::test]
async fn a_name_that_does_not_resolve_is_a_dns_failure() {
    let mut world = World::new();
    world.options.connect_timeout = Duration::from_millis(100);
    world.names = Names::of([
        ("missing.test", vec![Answer::Failure("there is no host named missing.test")]),
        ("empty.test", vec![addresses(&[])]),
        ("silent.test", vec![Answer::Silence]),
    ]);
    let transport = world.open();
    let check = async |name: &str, sentence: &str| {
        let outcome = within(transport.send(request(format!("http://{name}/")))).await;
        assert_eq!(failed(&outcome, ErrorClass::Dns), sentence);
    };
    check("missing.test", "there is no host named missing.test").await;
    check("empty.test", "the name empty.test has no addresses").await;
    check("silent.test", "the name silent.test did not resolve within 100 ms").await;
}

#[actix_rt::test]
async fn the_attempts_own_time_bounds_connecting() {
    let mut world = World::new();
    world.names = Names::of([("silent.test", vec![Answer::Silence])]);
    let mut request = request("http://silent.test/");
    request.timeout = Duration::from_millis(100);
    failed(&within(world.open().send(request)).await, ErrorClass::Timeout);
}

#[actix_rt::test]
async fn the_next_address_is_tried_when_one_is_dead() {
    let receiver = Receiver::answering(OK);
    let mut world = World::new();
    world.names = Names::of([("receiver.test", vec![addresses(&["127.0.0.2", "127.0.0.3", "127.0.0.1"])])]);
    let url = format!("http://receiver.test:{}/", receiver.address.port());
    assert!(within(world.open().send(request(url))).await.is_delivered());
}
