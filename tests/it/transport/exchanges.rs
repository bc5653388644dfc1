//! What is known of an attempt beside its outcome: over which connection it went and
//! where to, how long each stage took, which headers came back. The clock is the test's
//! own, and only the receivers move it: what a stage took is exact.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, BoxFuture, FutureExt};
use posthaste::clock::Clock;
use posthaste::domain::{ConnectionUse, ErrorClass, Exchange, Outcome, Timestamp, Timing};
use posthaste::transport::{HttpTransportFactory, Resolve, TransportFactory};

use super::receiver::{OK, Receiver};
use super::{Answer, Guard, Names, World, address, addresses, failed, request, tls, within};

const DNS: u32 = 20;
const TLS: u32 = 30;
const ANSWER: u32 = 70;

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

fn stopped_clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_700_000_000_000))
}

/// A world whose time only its receivers move.
fn world() -> World {
    World { clock: stopped_clock(), ..tls::world() }
}

#[track_caller]
fn exchange(outcome: &Outcome) -> &Exchange {
    outcome.exchange.as_deref().expect("the transport looks")
}

/// Of an exchange the connection, and DNS, connecting, TLS and the first byte.
type Seen = (Option<ConnectionUse>, [Option<u32>; 4]);

#[track_caller]
fn seen(outcome: &Outcome) -> Seen {
    let Exchange { connection, timing: Timing { dns_ms, connect_ms, tls_ms, first_byte_ms }, .. } = exchange(outcome);
    (*connection, [*dns_ms, *connect_ms, *tls_ms, *first_byte_ms])
}

/// Answers after a while, request by request.
fn taking_its_time(clock: &Clock) -> Receiver {
    let clock = clock.clone();
    Receiver::start(move |mut connection| {
        while connection.request().is_some() {
            clock.advance(millis(ANSWER));
            connection.write(OK);
        }
    })
}

/// A resolver that takes its time, too.
struct SlowNames(Clock);

impl Resolve for SlowNames {
    fn resolve(&self, _: Arc<str>) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        self.0.advance(millis(DNS));
        future::ready(Ok(vec![address("127.0.0.1")])).boxed()
    }
}

#[actix_rt::test]
async fn a_new_connection_has_its_stages_and_a_reused_one_only_its_answer() {
    let world = world();
    let receiver = taking_its_time(&world.clock);
    let names = Arc::new(SlowNames(world.clock.clone()));
    let (options, guard) = (world.options.clone(), world.guard.clone());
    let transport = HttpTransportFactory::new(options, guard, names, world.tls.clone(), world.clock.clone()).open();
    let url = format!("http://slow.test:{}/", receiver.address.port());
    let first = within(transport.send(request(url.as_str()))).await;
    assert_eq!(seen(&first), (Some(ConnectionUse::New), [Some(DNS), Some(0), None, Some(ANSWER)]));
    for _ in 0..3 {
        let again = within(transport.send(request(url.as_str()))).await;
        assert_eq!(seen(&again), (Some(ConnectionUse::Reused), [None, None, None, Some(ANSWER)]));
        assert_eq!(exchange(&again).address, Some(receiver.address));
    }
    assert_eq!(exchange(&first).address, Some(receiver.address));
}

#[actix_rt::test]
async fn an_address_in_the_url_is_not_looked_up() {
    let world = world();
    let receiver = taking_its_time(&world.clock);
    let outcome = within(world.open().send(request(receiver.url()))).await;
    assert_eq!(seen(&outcome), (Some(ConnectionUse::New), [None, Some(0), None, Some(ANSWER)]));
}

#[actix_rt::test]
async fn a_handshake_is_a_stage_of_its_own() {
    for version in rustls::ALL_VERSIONS {
        let world = world();
        let clock = world.clock.clone();
        let receiver = tls::start(&[version], move |mut connection| {
            // The first byte of the handshake is there, so connecting is over.
            connection.stream.sock.peek(&mut [0]).expect("the client begins");
            clock.advance(millis(TLS));
            while connection.request().is_some() {
                clock.advance(millis(ANSWER));
                connection.write(OK);
            }
        });
        let transport = world.open();
        let url = format!("https://receiver.test:{}/", receiver.address.port());
        let first = within(transport.send(request(url.as_str()))).await;
        let new = (Some(ConnectionUse::New), [Some(0), Some(0), Some(TLS), Some(ANSWER)]);
        assert_eq!(seen(&first), new, "{version:?}");
        let again = within(transport.send(request(url.as_str()))).await;
        assert_eq!(seen(&again), (Some(ConnectionUse::Reused), [None, None, None, Some(ANSWER)]), "{version:?}");
    }
}

#[actix_rt::test]
async fn what_failed_has_the_stages_that_it_came_to() {
    let mut world = world();
    world.options.connect_timeout = Duration::from_millis(50);
    world.guard = Guard::denying(&["127.0.0.66"]);
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    world.names = Names::of([
        ("nowhere.test", vec![Answer::Failure("there is no such name")]),
        ("silent.test", vec![Answer::Silence]),
        ("refusing.test", vec![addresses(&["127.0.0.1"])]),
        ("forbidden.test", vec![addresses(&["127.0.0.66"])]),
        ("receiver.test", vec![addresses(&["127.0.0.1"])]),
    ]);
    let silent = Receiver::start(|mut connection| {
        connection.request();
        connection.hold();
    });
    let mute = Receiver::start(super::receiver::Connection::hold);
    let transport = world.open();
    let check = async |url: String, class, expected: Seen, address: Option<SocketAddr>| {
        let mut request = request(url.as_str());
        request.timeout = Duration::from_millis(300);
        let outcome = within(transport.send(request)).await;
        failed(&outcome, class);
        assert_eq!((seen(&outcome), exchange(&outcome).address), (expected, address), "{url}");
        assert!(exchange(&outcome).response_headers.is_empty(), "{url}");
    };
    let (none, some) = (None, Some(0));
    check("http://nowhere.test/".into(), ErrorClass::Dns, (None, [some, none, none, none]), None).await;
    check("http://silent.test/".into(), ErrorClass::Dns, (None, [some, none, none, none]), None).await;
    check("http://forbidden.test/".into(), ErrorClass::BlockedAddress, (None, [some, none, none, none]), None).await;
    let refusing = format!("http://refusing.test:{}/", free.port());
    check(refusing, ErrorClass::Connect, (None, [some, some, none, none]), Some(free)).await;
    let new = Some(ConnectionUse::New);
    let at = Some(mute.address);
    let handshaking = format!("https://receiver.test:{}/", mute.address.port());
    check(handshaking, ErrorClass::Tls, (new, [some, some, some, none]), at).await;
    check(silent.url(), ErrorClass::Timeout, (new, [none, some, none, some]), Some(silent.address)).await;
}

#[actix_rt::test]
async fn of_several_addresses_the_one_that_answered_is_told() {
    let mut world = world();
    let receiver = taking_its_time(&world.clock);
    world.names = Names::of([("two.test", vec![addresses(&["127.0.0.2", "127.0.0.1"])])]);
    let url = format!("http://two.test:{}/", receiver.address.port());
    let outcome = within(world.open().send(request(url))).await;
    assert_eq!(exchange(&outcome).address, Some(receiver.address));
    assert_eq!(seen(&outcome), (Some(ConnectionUse::New), [Some(0), Some(0), None, Some(ANSWER)]));
}

#[actix_rt::test]
async fn a_connection_that_died_in_the_pool_is_told_of_as_what_it_was() {
    let mut receiver = Receiver::start(|mut connection| {
        connection.request();
        connection.write(OK);
        // It takes the next request, and closes in its face.
        connection.request();
    });
    let transport = world().open();
    assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
    receiver.next().await;
    let second = within(transport.send(request(receiver.url()))).await;
    failed(&second, ErrorClass::Connect);
    assert_eq!(seen(&second), (Some(ConnectionUse::Reused), [None, None, None, Some(0)]));
    assert_eq!(exchange(&second).address, Some(receiver.address));
}

#[actix_rt::test]
async fn headers_of_the_answer_are_kept_as_far_as_there_is_room() {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Busy\r\nx-reason: \xe9t\xe9, and so on\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering(ANSWER);
    let kept = async |limit| {
        let mut world = world();
        world.options.response_headers_keep_bytes = limit;
        let outcome = within(world.open().send(request(receiver.url()))).await;
        assert_eq!(outcome.status_code, Some(503));
        let mut headers: Vec<(String, String)> = exchange(&outcome)
            .response_headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.sort();
        headers
    };
    let whole = [("content-length".into(), "0".into()), ("x-reason".into(), "\u{fffd}t\u{fffd}, and so on".into())];
    assert_eq!(kept(2_048).await, whole);
    assert_eq!(kept(0).await, []);
    let little: usize = kept(24).await.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(little > 0 && little <= 24, "{little}");
}
