//! `kill -9` under load, again and again, of one node on one store of either kind.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future;
use posthaste::cli::receiver::{Answer, Behaviour, Received};
use posthaste::clock::Clock;
use posthaste::domain::{DEFAULT_CONCURRENCY, Timestamp};
use serde_json::json;
use tokio::sync::mpsc;

use super::api::{self, Api};
use super::events::{ALL, Post, RARE, SLOW, event_type, number_of};
use super::home::Home;
use super::ledger::{Ledger, Shown, shown, text};
use super::receipts::{self, Promise, Terms, attempt, was_taken};
use super::subscriber::Subscriber;
use super::{dice, eventually, number_from, within};

/// Kills, when `POSTHASTE_FAULT_ROUNDS` does not say. On a server each waits for
/// the leases of the node that was killed.
const ROUNDS: u64 = 10;
const ROUNDS_ON_SERVER: u64 = 4;
/// Clients that post one event after the other, and those that post batches.
const POSTERS: usize = 4;
const BATCH_POSTERS: usize = 2;
const BATCH: u64 = 12;
/// Deliveries whose every attempt is compared with what the receiver saw.
const SAMPLE: usize = 60;
/// Requests repeated after each kill although they were answered before it.
const REPEATED: usize = 5;
/// What an endpoint's actor may hold unrecorded: `window` of `defaults.toml`
/// beside what is in flight.
const WINDOW: usize = 128;

const NEVER: Duration = Duration::from_secs(3600);

/// A subscriber and the terms of its endpoint.
struct Party {
    name: &'static str,
    subscriber: Subscriber,
    events: &'static [&'static str],
    schedule: Vec<Duration>,
    endpoint: String,
}

impl Party {
    fn wants(&self, number: u64) -> bool {
        self.events.contains(&event_type(number))
    }

    /// Whether what comes to it still waits when the test ends.
    fn never_ends(&self) -> bool {
        self.schedule.last() == Some(&NEVER)
    }
}

fn parties() -> Vec<Party> {
    let failing = || Behaviour { fail_rate: 1.0, ..Behaviour::default() };
    let millis = |waits: &[u64]| waits.iter().copied().map(Duration::from_millis).collect();
    let party = |name, behaviour, events, schedule| Party {
        name,
        subscriber: Subscriber::start(behaviour),
        events,
        schedule,
        endpoint: String::new(),
    };
    let often: Vec<u64> = (0..30).map(|retry| 40 << retry.min(5)).collect();
    vec![
        party("healthy", Behaviour::default(), ALL, millis(&[])),
        party("flaky", Behaviour { fail_rate: 0.35, ..Behaviour::default() }, ALL, millis(&often)),
        party("slow", Behaviour { delay: Duration::from_millis(300), ..Behaviour::default() }, &[SLOW], millis(&[])),
        party("hopeless", failing(), &[RARE], millis(&[400])),
        // A retry outlives the test: what comes to it waits through every kill, here
        // after the first attempt, and here after others over kills.
        party("patient", failing(), &[RARE], vec![NEVER]),
        party("waiting", failing(), &[RARE], [millis(&[1_200, 1_800]), vec![NEVER]].concat()),
    ]
}

#[actix_rt::test]
async fn nothing_is_lost_or_reset_by_kill_9_under_load() {
    kill_again_and_again(&Home::file(), ROUNDS).await;
}

#[actix_rt::test]
async fn nothing_is_lost_or_reset_by_kill_9_under_load_on_postgres() {
    kill_again_and_again(&Home::server(), ROUNDS_ON_SERVER).await;
}

async fn kill_again_and_again(home: &Home, rounds: u64) {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(rounds);
    let mut dice = dice();
    let clock = Clock::system();
    let mut node = home.start().await;
    let mut parties = parties();
    for party in &mut parties {
        let millis: Vec<u128> = party.schedule.iter().map(Duration::as_millis).collect();
        let settings = json!({ "retry": { "schedule_ms": millis } });
        party.endpoint = node.api().subscribe_to(&party.subscriber, party.events, settings).await;
    }

    let mut ledger = Ledger::default();
    let mut posted: Vec<Post> = Vec::new();
    let mut kills = Vec::new();
    let mut promises: HashMap<String, Vec<Promise>> = HashMap::new();
    let mut still_waiting = 0;
    let next_number = Rc::new(Cell::new(0));
    for round in 1..=rounds {
        let target = dice.usize(30..250);
        let pause = Duration::from_micros(dice.u64(0..40_000));
        let (acknowledged, mut acknowledgements) = mpsc::unbounded_channel();
        let posters: Vec<_> = (0..POSTERS + BATCH_POSTERS)
            .map(|poster| {
                let (api, numbers) = (node.api().clone(), Rc::clone(&next_number));
                let batch = if poster < POSTERS { None } else { Some(BATCH) };
                actix_rt::spawn(post_until_killed(api, numbers, batch, acknowledged.clone()))
            })
            .collect();
        let mut taken = 0;
        while taken < target {
            taken += within("events are accepted", acknowledgements.recv()).await.expect("posters run until the kill");
        }
        let mut before = HashMap::new();
        for party in &parties {
            let waiting = retrying(node.api(), &party.endpoint).await;
            let promised = promises.entry(party.endpoint.clone()).or_default();
            promised.extend(waiting.iter().map(|(delivery, shown)| promise(delivery, shown)));
            before.extend(waiting);
        }
        // Some time or other, while everybody posts.
        actix_rt::time::sleep(pause).await;
        node.kill();
        // What the dead node sent may lie unread in a receiver's sockets.
        future::join_all(parties.iter().map(|party| party.subscriber.catch_up())).await;
        kills.push(clock.wall());

        let mut unanswered = Vec::new();
        for poster in posters {
            let posts = poster.await.expect("a poster ends with the node");
            for (post, answer) in &posts.answered {
                ledger.enter(post, answer);
            }
            posted.extend(posts.answered.into_iter().map(|(post, _)| post));
            unanswered.extend(posts.unanswered);
        }
        println!("round {round}: killed {pause:?} after {taken} events; {} requests in flight", unanswered.len());

        node = home.start().await;
        still_waiting += check_that_nothing_was_reset(node.api(), &before, &clock).await;
        // What had no answer is posted again; so is some of what had one.
        let again = dice.choose_multiple(posted.iter().cloned(), REPEATED);
        for post in again.iter().chain(&unanswered) {
            let answer = post.send(node.api()).await.expect("a running node answers");
            ledger.enter(post, &answer);
        }
        posted.append(&mut unanswered);
    }
    assert!(still_waiting > 0, "no delivery waited through a kill: the test looks at nothing");

    for party in parties.iter().filter(|party| party.name == "flaky") {
        party.subscriber.behave(Behaviour::default());
    }
    for party in parties.iter().filter(|party| !party.never_ends()) {
        let over = async || node.api().nothing_waits(&party.endpoint).await.then_some(());
        eventually(party.name, over).await;
    }
    let wanted_by =
        |number| parties.iter().filter(|party| party.wants(number)).map(|party| party.endpoint.clone()).collect();
    let deliveries = ledger.check(node.api(), wanted_by).await;
    check_that_numbers_have_one_event(&parties, &ledger);
    for party in &parties {
        let received = party.subscriber.received();
        check_outcomes(party, &deliveries, &received);
        let most_in_flight = DEFAULT_CONCURRENCY as usize + WINDOW;
        let terms = Terms { schedule: &party.schedule, most_in_flight, clock_error: home.clock_error() };
        let promises = &promises[&party.endpoint];
        let repeated = receipts::check(&received, &terms, &kills, promises);
        println!("{}: {} requests, {repeated} of them repeated over a kill", party.name, received.len());
        let sample = dice.choose_multiple(deliveries.iter(), SAMPLE);
        for (delivery, _) in sample.into_iter().filter(|(_, shown)| shown.endpoint == party.endpoint) {
            check_attempts(node.api(), delivery, &received).await;
        }
    }
    println!("{} events, {} deliveries, {still_waiting} comparisons over kills", ledger.len(), deliveries.len());
    node.kill();
    home.check();
}

/// What one client did until the node was gone.
struct Posts {
    answered: Vec<(Post, api::Answer)>,
    unanswered: Option<Post>,
}

async fn post_until_killed(
    api: Api,
    numbers: Rc<Cell<u64>>,
    batch: Option<u64>,
    acknowledged: mpsc::UnboundedSender<usize>,
) -> Posts {
    let mut answered = Vec::new();
    loop {
        let first = numbers.get();
        let post = match batch {
            None => Post::one(first),
            Some(lines) => Post::batch(first..first + lines),
        };
        numbers.set(post.numbers.end);
        match post.send(&api).await {
            Ok(answer) => {
                let events = post.ids(&answer).len();
                answered.push((post, answer));
                // Nobody counts any more when the node is about to be killed.
                let _ = acknowledged.send(events);
            }
            Err(_) => return Posts { answered, unanswered: Some(post) },
        }
    }
}

/// Deliveries of an endpoint that wait for a retry: some of them, by id.
async fn retrying(api: &Api, endpoint: &str) -> Vec<(String, Shown)> {
    let page = api.get(&format!("/deliveries?endpoint={endpoint}&status=retrying&limit=250")).await;
    let entries = page["data"].as_array().expect("a list has data");
    entries.iter().map(|entry| (text(entry, "id"), shown(entry))).collect()
}

fn next_at(shown: &Shown) -> Timestamp {
    let time = shown.next_attempt_at.as_deref().and_then(|text| text.parse().ok());
    time.unwrap_or_else(|| panic!("no next attempt: {shown:?}"))
}

fn promise(delivery: &str, shown: &Shown) -> Promise {
    Promise { delivery: delivery.to_owned(), attempt: shown.attempt_count + 1, not_before: next_at(shown) }
}

/// Deliveries whose time has not come since: they wait exactly as before.
/// Answers how many there were.
async fn check_that_nothing_was_reset(api: &Api, before: &HashMap<String, Shown>, clock: &Clock) -> usize {
    let mut compared = 0;
    let endpoints: BTreeSet<&String> = before.values().map(|shown| &shown.endpoint).collect();
    for endpoint in endpoints {
        let after: HashMap<String, Shown> = api
            .all(&format!("/deliveries?endpoint={endpoint}"))
            .await
            .iter()
            .map(|entry| (text(entry, "id"), shown(entry)))
            .collect();
        let now = clock.wall();
        for (delivery, before) in before.iter().filter(|(_, shown)| shown.endpoint == *endpoint) {
            let after = after.get(delivery).unwrap_or_else(|| panic!("{delivery} was lost"));
            assert!(after.attempt_count >= before.attempt_count, "{delivery}: {before:?} became {after:?}");
            if next_at(before) > now {
                assert_eq!(after.status, "retrying", "{delivery}");
                assert_eq!(after.attempt_count, before.attempt_count, "{delivery}");
                assert_eq!(after.next_attempt_at, before.next_attempt_at, "{delivery}");
                compared += 1;
            }
        }
    }
    compared
}

/// Whatever was repeated, an event's number is one event to every receiver.
fn check_that_numbers_have_one_event(parties: &[Party], ledger: &Ledger) {
    for party in parties {
        for receipt in party.subscriber.received() {
            let number = number_of(&receipt);
            assert_eq!(receipt.webhook_id.as_deref(), Some(ledger.id(number)), "event {number} to {}", party.name);
        }
    }
}

/// I1 at the receiver: what reads as delivered was taken, and the rest ended
/// or waits as its endpoint's terms say.
fn check_outcomes(party: &Party, deliveries: &HashMap<String, Shown>, received: &[Received]) {
    let receipts = receipts::by_delivery(received);
    for (delivery, shown) in deliveries.iter().filter(|(_, shown)| shown.endpoint == party.endpoint) {
        let came = receipts.get(delivery.as_str()).map(Vec::as_slice).unwrap_or_default();
        match party.name {
            "hopeless" => {
                assert_eq!((shown.status.as_str(), shown.attempt_count), ("retries_exhausted", 2), "{delivery}");
            }
            _ if party.never_ends() => {
                assert!(matches!(shown.status.as_str(), "pending" | "retrying"), "{delivery}: {shown:?}")
            }
            _ => {
                assert_eq!(shown.status, "delivered", "{delivery} to {}", party.name);
                assert!(came.last().is_some_and(|last| was_taken(last)), "{delivery} to {}: {came:?}", party.name);
            }
        }
        // Whoever waits may have been tried again since the list was read.
        let last = came.last().map_or(0, |last| attempt(last));
        let counted = if party.never_ends() { last >= shown.attempt_count } else { last == shown.attempt_count };
        assert!(counted, "{delivery} to {}: {shown:?}, and {last} came", party.name);
    }
}

/// The API's attempts of a delivery are numbered without a gap, and each is
/// one that the receiver saw.
async fn check_attempts(api: &Api, delivery: &str, received: &[Received]) {
    let shown = api.get(&format!("/deliveries/{delivery}")).await;
    for (index, recorded) in shown["attempts"].as_array().expect("a list").iter().enumerate() {
        assert_eq!(recorded["number"], json!(index + 1), "{shown}");
        let came = received.iter().any(|receipt| {
            let Answer::Status(status, _) = receipt.answer else { return false };
            receipt.delivery.as_deref() == Some(delivery)
                && attempt(receipt) == index as u64 + 1
                && recorded["status_code"] == json!(status.as_u16())
        });
        assert!(came, "recorded and never seen: {recorded} of {shown}");
    }
}
