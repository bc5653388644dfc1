//! Subscribers that refuse for a while and then all take what comes at once, and
//! what the sink sees of the requests to each: how many there are at the same time,
//! and when each begins, beside what a slow start permits of an endpoint that
//! answers as soon as this one.

use std::sync::Mutex;
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::{DEFAULT_CONCURRENCY, RetryPolicy};
use posthaste::policy::concurrency::Allowance;

use crate::ledger::{Nanos, nanos};

/// How long an endpoint that has been out takes to answer: without that, requests
/// would never be at one at the same time, whatever the server does.
pub const ANSWER_AFTER: Duration = Duration::from_millis(50);
/// What is early by less may be so by the rounding of times to milliseconds.
const ROUNDING_NANOS: Nanos = 1_000_000;
const SECOND: Nanos = 1_000_000_000;
const UNPOISONED: &str = "no holder of this lock can panic";

/// See the module.
pub struct Outage {
    /// Endpoints before this one are well all the time.
    first: usize,
    clock: Clock,
    book: Mutex<Book>,
}

struct Book {
    is_on: bool,
    endpoints: Vec<Seen>,
    /// How often each event was refused, and when the last time.
    refused: Vec<(u8, Nanos)>,
    /// Requests to all endpoints in each second.
    requests: Vec<u64>,
    early: u64,
    policy: RetryPolicy,
}

/// What is seen of one endpoint that has been out.
#[derive(Default, Clone)]
struct Seen {
    in_flight: usize,
    /// Successes that have been answered since it is back.
    answered: usize,
    most_in_flight: usize,
    /// The most requests beyond what its successes permit at once.
    excess: usize,
    /// When each request since the first success began.
    begun: Vec<Nanos>,
}

/// What becomes of a request.
pub enum Reply {
    /// It is taken at once.
    Taken,
    /// It is taken, and answered after a while.
    TakenSlowly,
    /// It is refused.
    Refused,
}

/// What all of it comes to.
pub struct Sightings {
    /// The most requests at once to any endpoint.
    pub most_in_flight: usize,
    /// The most beyond what its successes permit.
    pub excess: usize,
    /// By how many milliseconds a request was ahead of slow start, at worst.
    pub ahead_ms: f64,
    /// The requests to one endpoint by the end of each window of [`ANSWER_AFTER`],
    /// beside what slow start permits by then: the largest share.
    pub share: f64,
    /// The most requests to one endpoint in a second of its own.
    pub most_in_second: usize,
    /// Endpoints that have taken something again.
    pub back: usize,
    /// Attempts before they were due.
    pub early: u64,
    /// Requests to all endpoints, second by second.
    pub requests: Vec<u64>,
}

impl Outage {
    /// Endpoints from `first` on can be out; nobody is yet.
    pub fn new(clock: Clock, first: usize, endpoints: usize, events: usize) -> Self {
        let book = Book {
            is_on: false,
            endpoints: vec![Seen::default(); endpoints - first],
            refused: vec![(0, 0); events],
            requests: Vec::new(),
            early: 0,
            policy: RetryPolicy::default(),
        };
        Self { first, clock, book: Mutex::new(book) }
    }

    /// The clock it reads, which the ledger has to read as well.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// From now on they refuse everything, or nothing any more.
    pub fn set(&self, is_on: bool) {
        let mut book = self.book.lock().expect(UNPOISONED);
        book.is_on = is_on;
        for seen in &mut book.endpoints {
            // What is under way goes on.
            *seen = Seen { in_flight: seen.in_flight, ..Seen::default() };
        }
    }

    /// A request begins.
    pub fn begin(&self, sequence: usize, endpoint: usize, at: Nanos) -> Reply {
        let mut book = self.book.lock().expect(UNPOISONED);
        book.count(at);
        let Some(number) = endpoint.checked_sub(self.first) else { return Reply::Taken };
        book.look_for_early(sequence, at);
        if book.is_on {
            if let Some(refused) = book.refused.get_mut(sequence) {
                *refused = (refused.0.saturating_add(1), self.now());
            }
            return Reply::Refused;
        }
        if let Some(seen) = book.endpoints.get_mut(number) {
            seen.begin(at);
        }
        Reply::TakenSlowly
    }

    /// A request that was taken slowly is answered.
    pub fn answered(&self, endpoint: usize) {
        let mut book = self.book.lock().expect(UNPOISONED);
        let number = endpoint.checked_sub(self.first);
        if let Some(seen) = number.and_then(|number| book.endpoints.get_mut(number)) {
            seen.in_flight -= 1;
            seen.answered += 1;
        }
    }

    /// What was seen since the last change.
    pub fn sightings(&self) -> Sightings {
        let book = self.book.lock().expect(UNPOISONED);
        let longest = book.endpoints.iter().map(|seen| seen.begun.len()).max().unwrap_or(0);
        let permitted = permitted(longest);
        let most = |of: &dyn Fn(&Seen) -> usize| book.endpoints.iter().map(of).max().unwrap_or(0);
        let worst = |of: &dyn Fn(&Seen) -> f64| book.endpoints.iter().map(of).fold(0.0, f64::max);
        Sightings {
            most_in_flight: most(&|seen| seen.most_in_flight),
            excess: most(&|seen| seen.excess),
            ahead_ms: worst(&|seen| seen.ahead(&permitted) as f64 / 1e6),
            share: worst(&|seen| seen.share(&permitted)),
            most_in_second: most(&|seen| seen.by_window(SECOND).into_iter().max().unwrap_or(0)),
            back: book.endpoints.iter().filter(|seen| seen.answered > 0).count(),
            early: book.early,
            requests: book.requests.clone(),
        }
    }

    fn now(&self) -> Nanos {
        nanos(self.clock.now().monotonic.since_start()).max(1)
    }
}

impl Book {
    fn count(&mut self, at: Nanos) {
        let second = (at / SECOND) as usize;
        if self.requests.len() <= second {
            self.requests.resize(second + 1, 0);
        }
        self.requests[second] += 1;
    }

    /// A retry counts from when the last attempt was answered: no earlier than this
    /// wrote it down.
    fn look_for_early(&mut self, sequence: usize, at: Nanos) {
        let Some((count, last)) = self.refused.get(sequence).copied().filter(|(count, _)| *count > 0) else { return };
        let wait = self.policy.wait(count.into()).map_or(0, nanos);
        self.early += u64::from(at + ROUNDING_NANOS < last + wait);
    }
}

impl Seen {
    fn begin(&mut self, at: Nanos) {
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        // The success that closes the breaker permits one, each later one a further.
        let permitted = self.answered.clamp(1, DEFAULT_CONCURRENCY as usize);
        self.excess = self.excess.max(self.in_flight.saturating_sub(permitted));
        self.begun.push(at);
    }

    /// By how much its requests are ahead of what is permitted.
    fn ahead(&self, permitted: &[Nanos]) -> Nanos {
        let Some(first) = self.begun.first() else { return 0 };
        self.begun.iter().zip(permitted).map(|(begun, at)| (first + at).saturating_sub(*begun)).max().unwrap_or(0)
    }

    /// Requests in each window of this length, from the first one's beginning on.
    fn by_window(&self, length: Nanos) -> Vec<usize> {
        let mut windows = Vec::new();
        for begun in &self.begun {
            let window = ((begun - self.begun[0]) / length) as usize;
            if windows.len() <= window {
                windows.resize(window + 1, 0);
            }
            windows[window] += 1;
        }
        windows
    }

    /// The largest share of what is permitted by the end of a window that had come by
    /// then.
    fn share(&self, permitted: &[Nanos]) -> f64 {
        let (mut come, mut largest, length) = (0, 0.0_f64, nanos(ANSWER_AFTER));
        for (window, count) in self.by_window(length).into_iter().enumerate() {
            come += count;
            let until = (window as Nanos + 1) * length;
            // All of `permitted` is as long as the longest life, so that whoever has
            // come by then is among them.
            let allowed = permitted.partition_point(|at| *at < until).max(1);
            largest = largest.max(come as f64 / allowed as f64);
        }
        largest
    }
}

/// When the first so many requests may begin at the earliest, from the first one on,
/// at an endpoint that answers each after [`ANSWER_AFTER`] and always has more to get.
/// The server's own policy says so.
fn permitted(requests: usize) -> Vec<Nanos> {
    let answer_after = nanos(ANSWER_AFTER);
    let mut allowance = Allowance::beginning(DEFAULT_CONCURRENCY as usize, 1);
    // The probe, whose success permits one request and counts for no more.
    let (mut begun, mut at) = (vec![0], 0);
    let mut under_way = 0;
    while begun.len() < requests {
        at += answer_after;
        (0..under_way).for_each(|_| allowance.succeeded());
        under_way = allowance.requests();
        begun.extend(std::iter::repeat_n(at, under_way));
    }
    begun.truncate(requests.max(1));
    begun
}
