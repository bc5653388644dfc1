//! The sender, against peers on loopback.

use std::sync::Arc;
use std::time::Duration;

use posthaste::cluster::{Forward, Hint, HintOptions, HintSender};
use posthaste::domain::{EndpointId, Partition};
use posthaste::metrics::Metrics;

use super::peer::{BROKEN, Peer, TAKEN};
use super::{TOKEN, births, born, nowhere, until};

/// Longer than any test takes.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// A sender, and the counters that it counts on.
struct Sending {
    sender: HintSender,
    metrics: Arc<Metrics>,
}

impl Sending {
    /// The owner of partition 0, of partition 1, and so on; nobody owns the rest.
    fn to<const COUNT: usize>(owners: [&Arc<str>; COUNT], options: HintOptions) -> Self {
        let owners = owners.map(Arc::clone);
        let metrics = Arc::new(Metrics::default());
        let owner_of = Arc::new(move |partition: Partition| owners.get(partition.index()).cloned());
        Self { sender: HintSender::start(owner_of, TOKEN, Arc::clone(&metrics), options), metrics }
    }

    fn forward(&self, partition: u8, hints: impl IntoIterator<Item = Hint>) {
        for hint in hints {
            self.sender.forward(Partition::numbered(partition), hint);
        }
    }

    #[track_caller]
    fn counts(&self, sent: u64, dropped: u64) {
        let counted = || (self.metrics.node_hints_sent.get(), self.metrics.node_hints_dropped.get());
        until(&format!("{sent} sent and {dropped} dropped"), || counted() == (sent, dropped));
    }
}

#[actix_rt::test]
async fn a_hint_goes_out_as_it_is_documented() {
    let peer = Peer::start();
    let sending = Sending::to([&peer.address], HintOptions::default());
    let endpoint: EndpointId = "ep_01h455vb4pex5vsknk084sn02q".parse().unwrap();
    sending.forward(0, [Hint::Changed(endpoint)]);
    let seen = peer.next();
    assert!(seen.head.starts_with("POST /cluster/hints HTTP/1.1\r\n"), "{}", seen.head);
    let has = |line: &str| seen.head.lines().any(|found| found.eq_ignore_ascii_case(line));
    assert!(has(&format!("authorization: Bearer {TOKEN}")) && has("content-type: application/json"), "{}", seen.head);
    let host = peer.address.strip_prefix("http://").unwrap();
    assert!(has(&format!("host: {host}")), "{}", seen.head);
    assert_eq!(seen.body, br#"{"hints":[["changed","ep_01h455vb4pex5vsknk084sn02q"]]}"#);
    peer.answer(TAKEN);
    sending.counts(1, 0);
}

#[actix_rt::test]
async fn what_comes_during_a_request_goes_with_the_next_one() {
    let peer = Peer::start();
    let sending = Sending::to([&peer.address], HintOptions { timeout: FOR_EVER, ..HintOptions::default() });
    sending.forward(0, [born(0)]);
    assert_eq!(peer.next().hints(), [born(0)], "the first hint waits for no other");
    sending.forward(0, births(1..3_000));
    peer.answer(TAKEN);
    let second = peer.next();
    assert_eq!(second.hints(), births(1..3_000));
    peer.answer(TAKEN);
    sending.counts(3_000, 0);
    sending.forward(0, [born(3_000)]);
    let third = peer.next();
    assert_eq!((third.hints(), third.connection, second.connection), (vec![born(3_000)], 1, 1), "connections are kept");
}

#[actix_rt::test]
async fn what_finds_no_room_is_dropped_and_counted() {
    let peer = Peer::start();
    let options = HintOptions { queue: 8, request_hints: 5, timeout: FOR_EVER, ..HintOptions::default() };
    let sending = Sending::to([&peer.address], options);
    sending.forward(0, [born(0)]);
    assert_eq!(peer.next().hints(), [born(0)]);
    sending.forward(0, births(1..21));
    sending.counts(0, 12);
    peer.answer(TAKEN);
    assert_eq!(peer.next().hints(), births(1..6));
    peer.answer(TAKEN);
    assert_eq!(peer.next().hints(), births(6..9));
    peer.answer(TAKEN);
    sending.counts(9, 12);
    sending.forward(1, [born(0)]);
    sending.counts(9, 13);
}

#[actix_rt::test]
async fn requests_of_a_steady_stream_keep_their_distance() {
    let peers = [(); 6].map(|()| Peer::start());
    let options = HintOptions { spacing: FOR_EVER, ..HintOptions::default() };
    let sending = Sending::to(peers.each_ref().map(|peer| &peer.address), options);
    let [peer, others @ ..] = &peers;
    sending.forward(0, [born(0)]);
    assert_eq!(peer.next().hints(), [born(0)], "the first one goes at once");
    peer.answer(TAKEN);
    peer.answer(TAKEN);
    sending.forward(0, [born(1)]);
    // That others are told afterwards shows that the sender's thread was not
    // just too slow.
    for (other, partition) in others.iter().zip(1..) {
        other.answer(TAKEN);
        sending.forward(partition, [born(2)]);
        assert_eq!(other.next().hints(), [born(2)]);
    }
    assert!(peer.already().is_none());
}

#[actix_rt::test]
async fn nodes_that_do_not_answer_delay_no_other() {
    let (silent, well) = (Peer::start(), Peer::start());
    let gone = nowhere();
    let options = HintOptions { timeout: FOR_EVER, pause: FOR_EVER, pause_max: FOR_EVER, ..HintOptions::default() };
    let sending = Sending::to([&silent.address, &gone, &well.address], options);
    sending.forward(0, births(0..10_000));
    sending.forward(1, [born(0)]);
    silent.next();
    for number in 0..100 {
        well.answer(TAKEN);
        sending.forward(2, [born(number)]);
        assert_eq!(well.next().hints(), [born(number)]);
    }
    until("100 sent", || sending.metrics.node_hints_sent.get() == 100);
    assert!(silent.already().is_none(), "one request at a time");
}

#[actix_rt::test]
async fn a_node_that_fails_is_left_alone_for_a_while() {
    let peer = Peer::start();
    let sending = Sending::to([&peer.address], HintOptions { pause: FOR_EVER, ..HintOptions::default() });
    sending.forward(0, [born(0)]);
    peer.next();
    peer.answer(BROKEN);
    sending.counts(0, 1);
    sending.forward(0, births(1..501));
    sending.counts(0, 501);
    assert!(peer.already().is_none(), "what came during the pause is dropped");
}

#[actix_rt::test]
async fn a_node_that_is_back_is_told_again() {
    let peer = Peer::start();
    let pause = Duration::from_millis(1);
    let sending = Sending::to([&peer.address], HintOptions { pause, pause_max: pause, ..HintOptions::default() });
    sending.forward(0, [born(0)]);
    peer.next();
    peer.answer(BROKEN);
    sending.counts(0, 1);
    peer.answer(TAKEN);
    until("a request", || {
        sending.forward(0, [born(1)]);
        peer.already().is_some_and(|seen| seen.hints().contains(&born(1)))
    });
    until("hints are taken", || sending.metrics.node_hints_sent.get() > 0);
}

#[actix_rt::test]
async fn a_request_does_not_hang_for_ever() {
    let peer = Peer::start();
    let short = Duration::from_millis(50);
    let options = HintOptions { timeout: short, pause: Duration::from_millis(1), ..HintOptions::default() };
    let sending = Sending::to([&peer.address], options);
    sending.forward(0, births(0..1));
    let first = peer.next();
    sending.counts(0, 1);
    let mut second = None;
    until("another request", || {
        sending.forward(0, [born(1)]);
        second = peer.already();
        second.is_some()
    });
    let second = second.expect("it was waited for");
    assert_eq!((first.connection, second.connection), (1, 2), "what hangs is not used again");
}

#[actix_rt::test]
async fn an_address_that_is_none_is_a_node_that_fails() {
    let addresses: [Arc<str>; 3] = ["".into(), "node-1:8080".into(), "http://no such host".into()];
    let sending = Sending::to(addresses.each_ref(), HintOptions { pause: FOR_EVER, ..HintOptions::default() });
    for partition in 0..3 {
        sending.forward(partition, [born(0)]);
    }
    sending.counts(0, 3);
}

#[actix_rt::test]
async fn a_node_is_known_by_its_name_too() {
    let peer = Peer::start();
    let named: Arc<str> = peer.address.replace("127.0.0.1", "localhost").into();
    let sending = Sending::to([&named], HintOptions::default());
    sending.forward(0, [born(0)]);
    peer.answer(TAKEN);
    assert_eq!(peer.next().hints(), [born(0)]);
    sending.counts(1, 0);
}

#[actix_rt::test]
async fn nodes_that_own_nothing_any_more_are_forgotten() {
    let (peer, gone) = (Peer::start(), nowhere());
    let options = HintOptions { forget_after: Duration::from_millis(20), ..HintOptions::default() };
    let sending = Sending::to([&peer.address, &gone], options);
    for number in 0..2 {
        peer.answer(TAKEN);
        sending.forward(0, [born(number)]);
        sending.forward(1, [born(number)]);
        assert_eq!(peer.next().hints(), [born(number)]);
        until("both are forgotten", || sending.sender.peers() == 0);
    }
    sending.counts(2, 2);
}
