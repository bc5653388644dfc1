//! What each kind of answer, or of none, comes to.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{ErrorClass, Outcome};

use super::receiver::{OK, Receiver, Seen};
use super::{World, bare, failed, open, request, within};

/// The outcome of one attempt to a receiver that writes this and then closes.
async fn answered(bytes: impl Into<Vec<u8>>) -> Outcome {
    let bytes = bytes.into();
    let receiver = Receiver::start(move |mut connection| {
        connection.request();
        connection.write(&bytes);
    });
    within(open().send(request(receiver.url()))).await
}

/// The outcome for a receiver that writes this and then keeps still.
async fn answered_without_end(bytes: &'static [u8], timeout: Duration) -> Outcome {
    let receiver = Receiver::start(move |mut connection| {
        connection.request();
        connection.write(bytes);
        connection.hold();
    });
    let mut request = request(receiver.url());
    request.timeout = timeout;
    within(open().send(request)).await
}

#[actix_rt::test]
async fn the_request_arrives_as_it_was_given() {
    let (sender, requests) = mpsc::channel();
    let sender = Mutex::new(sender);
    let receiver = Receiver::start(move |mut connection| {
        let request = connection.request().expect("one request");
        sender.lock().expect("no panic").send(request).expect("the test listens");
        connection.write(OK);
    });
    let mut request = request(format!("http://{}/hook/a%20b?x=1&y=%2F", receiver.address));
    request.headers = vec![
        ("content-type".into(), "application/json".into()),
        ("user-agent".into(), "Posthaste/0.1".into()),
        ("webhook-id".into(), "evt_1".into()),
        ("x-twice".into(), "one".into()),
        ("x-twice".into(), "two".into()),
    ];
    request.body = Bytes::from_static(b"{\"a\": 1}\n");
    assert_eq!(bare(within(open().send(request)).await), Outcome::answered(200, Bytes::from_static(b"ok")));

    let (head, body) = requests.recv().expect("the receiver got it");
    assert_eq!(body, b"{\"a\": 1}\n");
    let mut lines = head.trim_end().split("\r\n");
    assert_eq!(lines.next(), Some("POST /hook/a%20b?x=1&y=%2F HTTP/1.1"));
    let mut headers: Vec<&str> = lines.filter(|line| !line.starts_with("date: ")).collect();
    headers.sort_unstable();
    let host = format!("host: {}", receiver.address);
    let mut expected = vec![
        "content-length: 9",
        "content-type: application/json",
        &host,
        "user-agent: Posthaste/0.1",
        "webhook-id: evt_1",
        "x-twice: one",
        "x-twice: two",
    ];
    expected.sort_unstable();
    assert_eq!(headers, expected);
}

#[actix_rt::test]
async fn an_empty_body_is_sent_as_one() {
    let receiver = Receiver::answering(OK);
    let mut request = request(receiver.url());
    request.body = Bytes::new();
    assert!(within(open().send(request)).await.is_delivered());
}

#[actix_rt::test]
async fn the_status_decides() {
    for status in [200, 201, 202, 204, 299, 300, 301, 302, 304, 307, 400, 404, 410, 429, 500, 503, 599, 999] {
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(bare(answered(answer).await), Outcome::answered(status, Bytes::new()), "{status}");
    }
}

#[actix_rt::test]
async fn a_body_that_breaks_does_not_change_the_verdict() {
    let check = async |answer: &'static [u8], body: &'static [u8]| {
        let expected = Outcome::answered(200, Bytes::from_static(body));
        assert_eq!(bare(answered(answer).await), expected, "{}", String::from_utf8_lossy(answer));
    };
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", b"short").await;
    check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense", b"hello").await;
    check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello").await;
    check(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nraw", b"raw").await;
}

#[actix_rt::test]
async fn a_body_without_end_is_cut_and_delivered() {
    let mut receiver = Receiver::start(|mut connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while connection.write(b"400\r\n") && connection.write(&[b'x'; 1024]) && connection.write(b"\r\n") {}
        connection.hold();
    });
    let outcome = within(open().send(request(receiver.url()))).await;
    assert_eq!(bare(outcome), Outcome::answered(200, Bytes::from(vec![b'x'; 4 * 1024])));
    assert_eq!(receiver.next().await, Seen::Request(1));
    assert_eq!(receiver.next().await, Seen::End(1), "the rest is not waited for");
}

#[actix_rt::test]
async fn a_body_that_drips_is_given_the_time_that_is_left() {
    let outcome =
        answered_without_end(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndrip", Duration::from_millis(300)).await;
    assert_eq!(bare(outcome), Outcome::answered(200, Bytes::from_static(b"drip")));
}

#[actix_rt::test]
async fn an_answer_that_has_no_body_is_not_waited_on_for_one() {
    let far = Duration::from_secs(60);
    let outcome = answered_without_end(b"HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n", far).await;
    assert_eq!(bare(outcome), Outcome::answered(204, Bytes::new()));
    let outcome = answered_without_end(b"HTTP/1.1 304 X\r\ntransfer-encoding: chunked\r\n\r\n", far).await;
    assert_eq!(bare(outcome), Outcome::answered(304, Bytes::new()));
    let outcome = answered_without_end(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", far).await;
    assert_eq!(bare(outcome), Outcome::answered(101, Bytes::new()));
}

#[actix_rt::test]
async fn silence_is_a_timeout() {
    for said in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-le"] {
        let outcome = answered_without_end(said, Duration::from_millis(200)).await;
        assert_eq!(failed(&outcome, ErrorClass::Timeout), "no answer within 200 ms");
    }
}

#[actix_rt::test]
async fn a_receiver_that_takes_nothing_is_given_the_attempts_time() {
    let (over, is_over) = mpsc::channel::<()>();
    let is_over = Mutex::new(is_over);
    let mut tarpit = Receiver::start(move |connection| {
        let _ = is_over.lock().expect("no panic").recv();
        connection.hold();
    });
    let mut request = request(tarpit.url());
    // Larger than what the kernels hold on both sides: the request is never whole.
    request.body = Bytes::from(vec![b'x'; 64 << 20]);
    request.timeout = Duration::from_millis(300);
    let outcome = within(open().send(request)).await;
    assert_eq!(failed(&outcome, ErrorClass::Timeout), "no answer within 300 ms");
    over.send(()).expect("the receiver waits");
    assert_eq!(tarpit.next().await, Seen::End(1));
}

#[actix_rt::test]
async fn packed_bodies_are_kept_as_they_came() {
    // 10 MiB of zeros: a few bytes, repeated by who unpacks them.
    let bomb = include_bytes!("bomb.gz");
    assert!(bomb.len() > 8 * 1024 && bomb.len() < 64 * 1024);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let outcome = answered([head.as_bytes(), bomb].concat()).await;
    assert_eq!(bare(outcome), Outcome::answered(200, Bytes::from_static(&bomb[..4 * 1024])));
}

#[actix_rt::test]
async fn what_is_not_http_is_a_protocol_error() {
    let mut long_name = b"HTTP/1.1 200 OK\r\n".to_vec();
    long_name.resize(long_name.len() + (1 << 16), b'a');
    long_name.extend(b": b\r\n\r\n");
    for answer in [
        b"hello there\r\n\r\n".to_vec(),
        b"HTTP/3.0 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 20 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
        [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(40_000)].concat(),
        long_name,
    ] {
        let outcome = answered(answer).await;
        failed(&outcome, ErrorClass::Protocol);
    }
}

#[actix_rt::test]
async fn an_answer_that_breaks_the_http_client_breaks_nothing_else() {
    let hostile = Receiver::start(|mut connection| {
        connection.request();
        connection.write(b"HTTP/1.1 200 OK\r\n");
        connection.write(&[b'a'; 1 << 16]);
        connection.write(b": b\r\n\r\n");
    });
    let healthy = Receiver::answering(OK);
    let transport = open();
    failed(&within(transport.send(request(hostile.url()))).await, ErrorClass::Protocol);
    assert!(within(transport.send(request(healthy.url()))).await.is_delivered());
}

#[actix_rt::test]
async fn a_connection_that_ends_without_an_answer_is_a_connection_error() {
    let message = "the connection ended before an answer came";
    assert_eq!(failed(&answered("").await, ErrorClass::Connect), message);

    let resetting = Receiver::start(|connection| {
        // Closing with unread bytes makes the kernel send a reset.
        connection.stream.peek(&mut [0]).expect("a request comes");
    });
    let outcome = within(open().send(request(resetting.url()))).await;
    assert_eq!(failed(&outcome, ErrorClass::Connect), message);
}

#[actix_rt::test]
async fn a_port_nobody_listens_on_is_a_connection_error() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its address");
    let outcome = within(open().send(request(format!("http://{free}/")))).await;
    assert_eq!(failed(&outcome, ErrorClass::Connect), format!("{free} refused the connection"));
}

#[actix_rt::test]
async fn what_cannot_be_sent_is_said_and_never_panics() {
    let transport = open();
    for (name, value) in [("a b", "x"), ("", "x"), ("x-secret", "s3cret\r\nhost: evil"), ("x-secret", "s3cret\0")] {
        let mut request = request("http://127.0.0.1:1/");
        request.headers = vec![(name.into(), value.into())];
        let outcome = within(transport.send(request)).await;
        let message = failed(&outcome, ErrorClass::Protocol);
        assert!(!message.contains("s3cret"), "{message}");
    }
    for url in ["", "nonsense", "ftp://127.0.0.1/", "http://"] {
        failed(&within(transport.send(request(url))).await, ErrorClass::Protocol);
    }
}

#[actix_rt::test]
async fn dropping_an_attempt_closes_its_connection() {
    let mut receiver = Receiver::start(|mut connection| {
        connection.request();
        connection.hold();
    });
    let transport = World::new().open();
    let attempt = actix_rt::spawn(transport.send(request(receiver.url())));
    assert_eq!(receiver.next().await, Seen::Request(1));
    attempt.abort();
    assert_eq!(receiver.next().await, Seen::End(1));
}
