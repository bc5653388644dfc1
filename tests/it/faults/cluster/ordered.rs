//! Endpoints that want events of one customer in order, on two nodes of which one is
//! killed, again and again, while both take events and receivers refuse some: what
//! arrives is in the order of acceptance, whoever sends it.

use std::collections::{BTreeMap, HashMap};

use awc::http::Method;
use posthaste::cli::receiver::{Behaviour, Received};
use serde_json::{Value, json};

use super::super::receipts::was_taken;
use super::super::subscriber::Subscriber;
use super::super::{dice, eventually, number_from};
use super::lanes::define;
use super::load::HANGS;
use super::nodes::Cluster;
use crate::support::postgres::Postgres;

/// Kills, when `POSTHASTE_FAULT_ROUNDS` does not say.
const ROUNDS: u64 = 2;
const NODES: usize = 2;
/// So many that neither node has none of them.
const ENDPOINTS: usize = 12;
const CUSTOMERS: u64 = 4;
const EVENTS_PER_ROUND: u64 = 60;
const EVENT_TYPE: &str = "customer.changed";
const FLAKINESS: f64 = 0.2;

fn customer(number: u64) -> u64 {
    number * 7 % CUSTOMERS
}

#[actix_rt::test]
async fn order_is_kept_by_whoever_sends() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let mut dice = dice();
    let server = Postgres::start(&[]);
    // How an endpoint fares as a whole is not looked at here.
    let settings = [("CLUSTER_TOKEN", super::nodes::TOKEN), ("BREAKER_OPENS_AFTER", "0")];
    let mut cluster = Cluster::start_with(&server.url(), NODES, &settings).await;
    let subscriber = Subscriber::start(Behaviour { fail_rate: FLAKINESS, ..Behaviour::default() });
    define(cluster.api(0), EVENT_TYPE).await;
    for endpoint in 0..ENDPOINTS {
        let url = format!("{}/{endpoint}", subscriber.url());
        let settings = json!({
            "ordering": { "by": "/customer" }, "retry": { "retries": 30, "base_ms": 20, "max_ms": 500 },
        });
        cluster.api(0).subscribe(&url, &[EVENT_TYPE], settings).await;
    }
    let mut posted = 0;
    for round in 0..=rounds {
        let (end, killed_at) = (posted + EVENTS_PER_ROUND, posted + dice.u64(10..EVENTS_PER_ROUND));
        while posted < end {
            if posted == killed_at && round < rounds {
                cluster.take_out(dice.usize(0..cluster.len())).kill();
                // What the dead node sent may lie unread in the receiver's sockets.
                subscriber.catch_up().await;
            }
            post(&cluster, posted).await;
            posted += 1;
        }
        if round < rounds {
            cluster.own_everything(&cluster.all()).await;
            cluster.join().await;
            cluster.settle().await;
        }
    }
    eventually("everything has arrived", async || {
        let taken = subscriber.received().iter().filter(|receipt| was_taken(receipt)).count();
        (taken as u64 >= posted * ENDPOINTS as u64)
            .then(|| is_all_taken(&subscriber.received(), posted))
            .filter(|all| *all)
    })
    .await;
    judge(&subscriber.received());
}

/// One after the other, each to another node: every event comes before the next.
async fn post(cluster: &Cluster, number: u64) {
    let body = json!({ "event": EVENT_TYPE, "id": number, "customer": customer(number) }).to_string();
    eventually("the event is accepted", async || {
        for node in 0..cluster.len() {
            let api = cluster.api((number as usize + node) % cluster.len()).within(HANGS);
            let key = format!("event-{number}");
            let answer = api.send(Method::POST, "/events", body.clone(), Some(&key)).await.ok()?;
            if answer.status == 202 {
                assert_eq!(answer.json["deliveries"], ENDPOINTS, "{}", answer.json);
                return Some(());
            }
        }
        None
    })
    .await;
}

fn number_of(receipt: &Received) -> u64 {
    let body: Value = serde_json::from_slice(&receipt.body).expect("it was JSON");
    body["id"].as_u64().expect("every event has a number")
}

fn sequence_of(receipt: &Received) -> u64 {
    let found = receipt.headers.iter().find(|(name, _)| name == "posthaste-sequence");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or_else(|| panic!("no sequence: {receipt:?}"))
}

fn is_all_taken(received: &[Received], posted: u64) -> bool {
    let mut taken: BTreeMap<(&str, u64), bool> = BTreeMap::new();
    for receipt in received {
        *taken.entry((&receipt.path, number_of(receipt))).or_default() |= was_taken(receipt);
    }
    taken.len() as u64 == posted * ENDPOINTS as u64 && taken.values().all(|taken| *taken)
}

/// I4: of one customer and endpoint, an event comes for the first time only when the one
/// before it was taken, and no earlier one comes after it. Numbers say the same.
fn judge(received: &[Received]) {
    let mut last: HashMap<(&str, u64), (u64, bool)> = HashMap::new();
    let mut sequences: HashMap<(&str, u64), u64> = HashMap::new();
    let mut repeated = 0;
    for receipt in received {
        let (path, number, sequence) = (receipt.path.as_str(), number_of(receipt), sequence_of(receipt));
        let known = sequences.entry((path, number)).or_insert(sequence);
        assert_eq!(*known, sequence, "a number is for ever: {receipt:?}");
        let line = last.entry((path, customer(number))).or_insert((number, false));
        if line.0 == number {
            repeated += usize::from(line.1);
        } else {
            assert!(line.0 < number, "{path}: {number} came behind {}", line.0);
            assert!(line.1, "{path}: {number} overtook {}", line.0);
            let before = sequences[&(path, line.0)];
            assert!(before < sequence, "{path}: {sequence} is not behind {before}");
        }
        *line = (number, was_taken(receipt) || (line.0 == number && line.1));
    }
    let mut numbers: HashMap<&str, Vec<u64>> = HashMap::new();
    for ((path, _), sequence) in sequences {
        numbers.entry(path).or_default().push(sequence);
    }
    for (path, mut numbers) in numbers {
        numbers.sort_unstable();
        assert!(numbers[0] >= 1 && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{path}: none twice: {numbers:?}");
    }
    println!("{} requests, {repeated} repeated after they were taken", received.len());
    assert!(repeated <= ENDPOINTS * CUSTOMERS as usize * 2, "more than what was in flight at a kill");
}
