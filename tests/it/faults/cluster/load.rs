//! Upstream: clients that post one event after the other, each to a node of its
//! own for as long as that one takes them, and to the next one when it does not.
//! A request that was not answered with a 202 is repeated with the same key.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use awc::http::Method;
use futures_util::future;
use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use serde_json::json;

use super::super::api::{Answer, Api};
use super::super::ledger::Ledger;
use super::super::{eventually, within};
use super::lanes::{LANES, body};
use super::nodes::{Cluster, Entrances};

/// Clients for each node that there is at the beginning.
const POSTERS_PER_NODE: usize = 2;
/// What each waits between two events. The machine is shared with the nodes,
/// the server and the receivers.
const PACE: Duration = Duration::from_millis(40);
/// What a client waits before it repeats a request.
const REPEAT_AFTER: Duration = Duration::from_millis(50);
/// When a client gives up on an answer: nobody keeps it waiting longer, except
/// a node that is stopped.
pub const HANGS: Duration = Duration::from_secs(25);

/// Clients that post until they are told to stop.
pub struct Load {
    shared: Rc<Shared>,
    posters: Vec<JoinHandle<()>>,
}

struct Shared {
    entrances: Entrances,
    clock: Clock,
    next_number: Cell<u64>,
    is_over: Cell<bool>,
    gives_up_after: Duration,
    /// By where they lead.
    clients: RefCell<BTreeMap<String, Api>>,
    taken: RefCell<BTreeMap<u64, Taken>>,
    refusals: RefCell<Vec<Refusal>>,
}

/// An event that was answered with a 202.
#[derive(Debug, Clone)]
pub struct Taken {
    pub id: String,
    /// The node that took it.
    pub url: String,
    pub answered_at: Timestamp,
}

/// A request that was not.
#[derive(Debug)]
pub struct Refusal {
    pub number: u64,
    /// The node that refused it.
    pub url: String,
    pub took: Duration,
    /// Nothing came, or not all of it.
    pub answer: Option<Answer>,
}

/// What a load came to.
pub struct Outcome {
    pub taken: BTreeMap<u64, Taken>,
    pub refusals: Vec<Refusal>,
}

impl Load {
    /// Starts posting to all nodes.
    pub fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, HANGS)
    }

    /// The same by clients that give up on an answer after this long.
    pub fn start_with(cluster: &Cluster, gives_up_after: Duration) -> Self {
        let shared = Rc::new(Shared {
            entrances: cluster.entrances(),
            clock: Clock::system(),
            next_number: Cell::new(0),
            is_over: Cell::new(false),
            gives_up_after,
            clients: RefCell::default(),
            taken: RefCell::default(),
            refusals: RefCell::default(),
        });
        let posters = (0..POSTERS_PER_NODE * cluster.len())
            .map(|poster| {
                let shared = Rc::clone(&shared);
                actix_rt::spawn(async move {
                    while !shared.is_over.get() {
                        let number = shared.next_number.replace(shared.next_number.get() + 1);
                        shared.post(poster, number).await;
                        actix_rt::time::sleep(PACE).await;
                    }
                })
            })
            .collect();
        Self { shared, posters }
    }

    /// Waits until so many more events were accepted.
    pub async fn more(&self, count: usize) {
        let enough = self.accepted() + count;
        eventually("events are accepted", async || (self.accepted() >= enough).then_some(())).await;
    }

    pub fn accepted(&self) -> usize {
        self.shared.taken.borrow().len()
    }

    pub fn refused(&self) -> usize {
        self.shared.refusals.borrow().len()
    }

    /// Whether somebody was refused in this way.
    pub fn has_refused(&self, way: impl Fn(&Refusal) -> bool) -> bool {
        self.shared.refusals.borrow().iter().any(way)
    }

    /// One event on each lane, besides the load, by whoever takes it. Answers
    /// their numbers.
    pub async fn on_each_lane(&self) -> Vec<u64> {
        let first = self.shared.next_number.get().next_multiple_of(LANES);
        let numbers: Vec<u64> = (first..first + LANES).collect();
        self.shared.next_number.set(first + LANES);
        let posts = numbers.iter().enumerate().map(|(poster, number)| self.shared.post(poster, *number));
        within("one event on each lane is accepted", future::join_all(posts)).await;
        numbers
    }

    /// When an event was accepted, and under which id.
    pub fn taken(&self, number: u64) -> Taken {
        self.shared.taken.borrow()[&number].clone()
    }

    /// Posts no more, once every request that was begun is accepted.
    pub async fn stop(self) -> Outcome {
        self.shared.is_over.set(true);
        for poster in self.posters {
            within("what was begun is accepted", poster).await.expect("posters do not panic");
        }
        Outcome { taken: self.shared.taken.take(), refusals: self.shared.refusals.take() }
    }
}

impl Shared {
    /// One of the nodes that run, as a client that gives up in time.
    fn entrance(&self, place: usize) -> Api {
        let entrances = self.entrances.borrow();
        let entrance = &entrances[place % entrances.len()];
        let mut clients = self.clients.borrow_mut();
        let client = clients.entry(entrance.url().to_owned());
        client.or_insert_with(|| entrance.within(self.gives_up_after)).clone()
    }

    /// Posts one event until somebody takes it.
    async fn post(&self, poster: usize, number: u64) {
        for try_number in 0.. {
            let api = self.entrance(poster + try_number);
            let begun = self.clock.now().monotonic;
            let answer = api
                .send(Method::POST, "/events", body(number).to_string(), Some(&format!("event-{number}")))
                .await
                .ok();
            let took = self.clock.now().monotonic.since(begun);
            if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 202) {
                assert_eq!(answer.json["deliveries"], json!(1), "event {number}: {}", answer.json);
                let id = answer.json["id"].as_str().expect("an event has an id").to_owned();
                let taken = Taken { id, url: api.url().to_owned(), answered_at: self.clock.wall() };
                self.taken.borrow_mut().insert(number, taken);
                return;
            }
            let url = api.url().to_owned();
            self.refusals.borrow_mut().push(Refusal { number, url, took, answer });
            actix_rt::time::sleep(REPEAT_AFTER).await;
        }
    }
}

impl Outcome {
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, taken) in &self.taken {
            ledger.note(*number, taken.id.clone());
        }
        ledger
    }

    /// Every node that ran said no in the way that is promised: a 503 that says
    /// when to come again, soon enough, or it was none that `is_excused`.
    pub fn check_refusals(&self, is_excused: impl Fn(&Refusal) -> bool) {
        for refusal in self.refusals.iter().filter(|refusal| !is_excused(refusal)) {
            assert!(self.taken.contains_key(&refusal.number), "it was not sent again: {refusal:?}");
            let Some(answer) = &refusal.answer else { panic!("no answer from a node that runs: {refusal:?}") };
            assert_eq!(answer.status, 503, "{refusal:?}");
            assert!(answer.retry_after.is_some(), "it does not say when to come again: {refusal:?}");
            assert_eq!(answer.content_type, "application/problem+json", "{refusal:?}");
        }
        let slowest = self.refusals.iter().filter(|refusal| refusal.answer.is_some()).map(|refusal| refusal.took).max();
        println!("{} accepted, {} refused, the slowest after {slowest:?}", self.taken.len(), self.refusals.len());
    }
}
