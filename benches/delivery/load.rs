//! Upstream: one thread that posts events over kept-alive connections for a
//! while, by a scenario's pace, and enters in the ledger when each was posted and
//! accepted. Requests are made once; between two posts only digits change.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::audience::{NAME_DIGITS, partner_name};
use crate::event::{EVENT_BYTES, Template, number, write_digits};
use crate::ledger::{Ledger, Nanos, nanos};
use crate::scenario::Pace;
use crate::wire::Connection;

/// How long a connection rests after a no; a server that refuses is not helped
/// by being asked again at once.
pub const REST: Duration = Duration::from_millis(10);

/// What to post, and where to.
#[derive(Clone)]
pub struct Load {
    /// Where connections go, one after the other.
    pub addresses: Vec<SocketAddr>,
    /// The `authorization` header.
    pub authorization: String,
    pub connections: usize,
    pub events_per_call: usize,
    pub pace: Pace,
    pub duration: Duration,
    /// The sequence number of the first event.
    pub first: usize,
    pub ledger: Arc<Ledger>,
}

/// What became of the calls, beyond what the ledger says.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Tally {
    /// The sequence number after the last that was used.
    #[serde(skip)]
    pub next: usize,
    /// Answers other than 202, by status; a refused line of a batch counts as 422.
    pub refused: BTreeMap<u16, u64>,
    /// Calls without an answer.
    pub failed: u64,
    /// How late, at worst, a paced call was made.
    pub worst_lateness_ms: f64,
}

impl Load {
    /// Posts in a thread of its own; the future ends when that is done. It fails
    /// if the thread could not be started or panicked.
    pub async fn run(self) -> io::Result<Tally> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (done, result) = oneshot::channel();
        std::thread::Builder::new().name("load".into()).spawn(move || {
            let tally = runtime.block_on(LocalSet::new().run_until(self.post_all()));
            // Nobody waits for it when the benchmark is being stopped.
            let _ = done.send(tally);
        })?;
        result.await.map_err(|_| io::Error::other("the load generator panicked"))
    }

    async fn post_all(self) -> Tally {
        let started = self.ledger.now();
        let upstream = Rc::new(Upstream {
            started,
            ends: started + nanos(self.duration),
            claimed: Cell::new(0),
            tally: RefCell::new(Tally { next: self.first, ..Tally::default() }),
            load: self,
        });
        let connections: Vec<_> = (0..upstream.load.connections)
            .map(|number| tokio::task::spawn_local(Rc::clone(&upstream).post_over_one_connection(number)))
            .collect();
        for connection in connections {
            connection.await.expect("posting does not panic");
        }
        upstream.tally.take()
    }
}

/// What the connections have in common.
struct Upstream {
    load: Load,
    started: Nanos,
    ends: Nanos,
    /// Calls that have been given to a connection.
    claimed: Cell<u64>,
    tally: RefCell<Tally>,
}

/// A call that one connection is to make.
struct Claim {
    first: usize,
    due: Option<Nanos>,
}

impl Upstream {
    async fn post_over_one_connection(self: Rc<Self>, number: usize) {
        let address = self.load.addresses[number % self.load.addresses.len()];
        let mut request = Request::new(&self.load, address);
        let mut connection = None;
        while let Some(claim) = self.claim() {
            let posted = self.wait(claim.due).await;
            request.number(claim.first, self.load.ledger.audience().partner_of(claim.first));
            for sequence in self.sequences(claim.first) {
                self.load.ledger.post(sequence, posted);
            }
            match self.call(&mut connection, address, &request.bytes, claim.first).await {
                Ok(true) => {}
                Ok(false) => sleep(REST).await,
                Err(_) => {
                    connection = None;
                    self.tally.borrow_mut().failed += 1;
                    sleep(REST).await;
                }
            }
        }
    }

    /// The next call; `None` when time or room is up.
    fn claim(&self) -> Option<Claim> {
        let (load, mut tally) = (&self.load, self.tally.borrow_mut());
        let due = match load.pace {
            Pace::Closed => None,
            Pace::Open { events_per_second } => {
                let events = self.claimed.get() * load.events_per_call as u64;
                Some(self.started + events * 1_000_000_000 / u64::from(events_per_second))
            }
        };
        let end = tally.next + load.events_per_call;
        if due.unwrap_or_else(|| load.ledger.now()) >= self.ends || end > load.ledger.events() {
            return None;
        }
        self.claimed.set(self.claimed.get() + 1);
        Some(Claim { first: std::mem::replace(&mut tally.next, end), due })
    }

    /// Waits until a call is due and says when it counts as posted. One that had
    /// to wait for a free connection was posted when it was due: upstream would
    /// have had to wait, and leaving that out would flatter a slow server.
    async fn wait(&self, due: Option<Nanos>) -> Nanos {
        let now = self.load.ledger.now();
        let Some(due) = due else { return now };
        if now < due {
            sleep(Duration::from_nanos(due - now)).await;
            return self.load.ledger.now();
        }
        let lateness_ms = (now - due) as f64 / 1e6;
        let mut tally = self.tally.borrow_mut();
        tally.worst_lateness_ms = tally.worst_lateness_ms.max(lateness_ms);
        due
    }

    /// Makes one call; false if any of it was refused.
    async fn call(
        &self,
        slot: &mut Option<Connection>,
        address: SocketAddr,
        request: &[u8],
        first: usize,
    ) -> io::Result<bool> {
        let connection = match slot {
            Some(open) => open,
            None => slot.insert(Connection::open(address).await?),
        };
        let answer = connection.exchange(request).await?;
        let (at, status) = (self.load.ledger.now(), answer.status()?);
        if status != 202 {
            *self.tally.borrow_mut().refused.entry(status).or_default() += 1;
            return Ok(false);
        }
        let lines = self.load.events_per_call;
        let accepted = if lines > 1 { accepted_lines(answer.body, lines) } else { None };
        let all_accepted = accepted.is_none();
        for (line, sequence) in self.sequences(first).enumerate() {
            if accepted.as_ref().is_none_or(|accepted| accepted.get(line) == Some(&true)) {
                self.load.ledger.accept(sequence, at);
            } else {
                *self.tally.borrow_mut().refused.entry(422).or_default() += 1;
            }
        }
        Ok(all_accepted)
    }

    fn sequences(&self, first: usize) -> std::ops::Range<usize> {
        first..first + self.load.events_per_call
    }
}

/// Which lines of a batch were accepted; `None`, which is cheaper to find out, if
/// all were.
fn accepted_lines(answer: &[u8], lines: usize) -> Option<Vec<bool>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        data: Vec<Line>,
    }
    /// A line's yes has this member and a problem has not.
    #[derive(serde::Deserialize)]
    struct Line {
        deliveries: Option<serde::de::IgnoredAny>,
    }
    const YES: &[u8] = b"\"deliveries\"";
    if answer.windows(YES.len()).filter(|window| *window == YES).count() == lines {
        return None;
    }
    // An answer that cannot be read accepts nothing.
    let lines = serde_json::from_slice::<Answer>(answer).map_or_else(|_| Vec::new(), |answer| answer.data);
    Some(lines.iter().map(|line| line.deliveries.is_some()).collect())
}

/// The bytes of a call, made once for each connection.
struct Request {
    bytes: Vec<u8>,
    body_at: usize,
    /// Where the number of the partner stands, if there are several.
    partner_at: Option<usize>,
}

impl Request {
    fn new(load: &Load, address: SocketAddr) -> Self {
        let (mut path, media_type) = match load.events_per_call {
            1 => ("/events".to_owned(), "application/json"),
            _ => ("/events/batch".to_owned(), "application/x-ndjson"),
        };
        let several = load.ledger.audience().partners > 1;
        debug_assert!(!several || load.events_per_call == 1, "the events of a batch are one partner's");
        if several {
            path = format!("{path}?environment=production&partner={}", partner_name(0));
        }
        let partner_at = several.then(|| "POST ".len() + path.len() - NAME_DIGITS);
        let authorization = &load.authorization;
        let body = Template::new().body(load.events_per_call);
        debug_assert_eq!(body.len(), load.events_per_call * (EVENT_BYTES + 1) - 1);
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
             content-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        let body_at = bytes.len();
        bytes.extend_from_slice(&body);
        Self { bytes, body_at, partner_at }
    }

    /// Makes it the call that posts the events from `first` on.
    fn number(&mut self, first: usize, partner: usize) {
        if let Some(at) = self.partner_at {
            write_digits(&mut self.bytes[at..at + NAME_DIGITS], partner as u64);
        }
        number(&mut self.bytes[self.body_at..], first);
    }
}
