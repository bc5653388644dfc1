//! Which connection an attempt goes over, and how long connections stay.

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use posthaste::domain::Outcome;

use super::receiver::{OK, Receiver, Seen};
use super::{World, bare, open, request, within};

#[actix_rt::test]
async fn attempts_one_after_another_share_a_connection() {
    let mut receiver = Receiver::answering(OK);
    let transport = open();
    for _ in 0..5 {
        assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
        assert_eq!(receiver.next().await, Seen::Request(1));
    }
}

#[actix_rt::test]
async fn attempts_side_by_side_open_no_more_connections_than_they_are() {
    let mut receiver = Receiver::answering(OK);
    let transport = open();
    for _ in 0..5 {
        let outcomes = within(join_all((0..8).map(|_| transport.send(request(receiver.url()))))).await;
        assert!(outcomes.iter().all(Outcome::is_delivered));
    }
    let seen = receiver.so_far();
    assert_eq!(seen.len(), 40);
    assert!(seen.iter().all(|seen| matches!(seen, Seen::Request(1..=8))), "{seen:?}");
}

#[actix_rt::test]
async fn slow_receivers_do_not_keep_others_waiting_for_a_connection() {
    let mut slow = Receiver::start(|mut connection| {
        connection.request();
        connection.hold();
    });
    let healthy = Receiver::answering(OK);
    let transport = open();
    let mut hanging = request(slow.url());
    hanging.timeout = Duration::from_secs(60);
    let waiting: Vec<_> = (0..150).map(|_| actix_rt::spawn(transport.send(hanging.clone()))).collect();
    for _ in &waiting {
        slow.next().await;
    }
    assert!(within(transport.send(request(healthy.url()))).await.is_delivered());
    waiting.iter().for_each(actix_rt::task::JoinHandle::abort);
}

/// After this first answer, the connection must not be used again: the rest
/// of what the receiver says would pass for the answer to the next attempt.
async fn is_not_reused_after(first: &'static [u8], outcome: Outcome) {
    let (rest, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let mut receiver = Receiver::start(move |mut connection| {
        connection.request();
        if connection.number > 1 {
            connection.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");
        } else {
            connection.write(first);
            let _ = may_go_on.lock().expect("no panic").recv();
            connection.write(OK);
        }
        connection.hold();
    });
    let name = String::from_utf8_lossy(first);
    let transport = open();
    assert_eq!(bare(within(transport.send(request(receiver.url()))).await), outcome, "{name}");
    assert_eq!(receiver.next().await, Seen::Request(1));
    let second = transport.send(request(receiver.url()));
    // The late answer goes out while the second attempt is under way.
    let (second, ()) = within(async {
        futures_util::join!(second, async {
            let _ = rest.send(());
        })
    })
    .await;
    assert_eq!(bare(second), Outcome::answered(500, Bytes::new()), "{name}");
}

#[actix_rt::test]
async fn an_answer_that_leaves_something_behind_is_its_connections_last() {
    let plain = |status| Outcome::answered(status, Bytes::new());
    is_not_reused_after(b"HTTP/1.1 103 Early Hints\r\n\r\n", plain(103)).await;
    is_not_reused_after(b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n", plain(100)).await;
    is_not_reused_after(b"HTTP/1.1 200 OK\r\n\r\n", plain(200)).await;
    is_not_reused_after(b"HTTP/1.1 500 X\r\ntransfer-encoding: identity\r\n\r\n", plain(500)).await;
    is_not_reused_after(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", plain(204)).await;
    let body = Outcome::answered(200, Bytes::from_static(b"ok"));
    is_not_reused_after(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", body).await;
}

#[actix_rt::test]
async fn an_answer_without_a_body_leaves_its_connection_usable() {
    let mut receiver = Receiver::answering(b"HTTP/1.1 204 No Content\r\n\r\n");
    let transport = open();
    for _ in 0..3 {
        assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
        assert_eq!(receiver.next().await, Seen::Request(1));
    }
}

#[actix_rt::test]
async fn one_receivers_bad_manners_cost_no_other_its_connection() {
    let mut rude = Receiver::answering(b"HTTP/1.1 103 Early Hints\r\n\r\n");
    let mut polite = Receiver::answering(OK);
    let transport = open();
    for _ in 0..3 {
        assert!(within(transport.send(request(polite.url()))).await.is_delivered());
        assert!(!within(transport.send(request(rude.url()))).await.is_delivered());
    }
    assert_eq!(polite.so_far(), [Seen::Request(1), Seen::Request(1), Seen::Request(1)]);
    let requests = rude.so_far().into_iter().filter(|seen| matches!(seen, Seen::Request(_)));
    assert_eq!(requests.collect::<Vec<_>>(), [Seen::Request(1), Seen::Request(2), Seen::Request(3)]);
}

#[actix_rt::test]
async fn idle_connections_are_let_go_although_nobody_calls_again() {
    let mut receivers: Vec<_> = (0..10).map(|_| Receiver::answering(OK)).collect();
    let mut world = World::new();
    world.options.client_lifetime = Duration::from_millis(100);
    let transport = world.open();
    for receiver in &mut receivers {
        assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
    }
    for receiver in &mut receivers {
        // One connection that served its request, and is closed.
        assert_eq!(receiver.next().await, Seen::Request(1));
        assert_eq!(receiver.next().await, Seen::End(1));
    }
}

#[actix_rt::test]
async fn letting_connections_go_disturbs_nothing_in_flight() {
    let (answer, may_answer) = mpsc::channel::<()>();
    let may_answer = Mutex::new(may_answer);
    let mut slow = Receiver::start(move |mut connection| {
        connection.request();
        let _ = may_answer.lock().expect("no panic").recv();
        connection.write(OK);
        connection.hold();
    });
    let mut other = Receiver::answering(OK);
    let mut world = World::new();
    world.options.client_lifetime = Duration::from_millis(50);
    let transport = world.open();
    let in_flight = actix_rt::spawn(transport.send(request(slow.url())));
    assert_eq!(slow.next().await, Seen::Request(1));
    // Once another receiver sees a second connection, its first is gone.
    within(async {
        loop {
            assert!(transport.send(request(other.url())).await.is_delivered());
            if other.next().await == Seen::Request(2) {
                break;
            }
        }
    })
    .await;
    answer.send(()).expect("the slow receiver waits");
    assert!(within(in_flight).await.expect("no panic").is_delivered());
    assert_eq!(slow.next().await, Seen::End(1), "the old connections close with the last attempt on them");
}

#[actix_rt::test]
async fn dropping_the_transport_closes_its_connections() {
    let mut receiver = Receiver::answering(OK);
    let transport = open();
    assert!(within(transport.send(request(receiver.url()))).await.is_delivered());
    drop(transport);
    assert_eq!(receiver.next().await, Seen::Request(1));
    assert_eq!(receiver.next().await, Seen::End(1));
}
