//! A transport that does what the test says, and tells it of each request.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc as blocking};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, ErrorClass, EventId, Monotonic, Outcome, Timestamp};
use posthaste::transport::{Request, Transport, TransportFactory};
use tokio::sync::{mpsc, oneshot};

use super::house::within;

/// What becomes of a request.
pub enum Answer {
    /// It is answered at once.
    Status(u16),
    /// The test answers it, through [`Call::answer`].
    Later,
    /// The transport panics.
    Panic,
    /// The whole thread stands still until the sender of this is gone.
    StandStill(blocking::Receiver<()>),
}

/// For each URL, how many requests are in flight, and how many there were at most.
pub type Crowds = Arc<Mutex<HashMap<Arc<str>, (usize, usize)>>>;

/// A request that the transport was given.
#[derive(Debug)]
pub struct Call {
    pub url: Arc<str>,
    pub event: EventId,
    /// `None` is a test.
    pub delivery: Option<DeliveryId>,
    pub number: u32,
    /// Its place in the endpoint's order.
    pub sequence: Option<u64>,
    pub body: Bytes,
    pub at: Monotonic,
    pub wall: Timestamp,
    answer: Option<oneshot::Sender<u16>>,
}

impl Call {
    pub fn answer(self, status: u16) {
        let answer = self.answer.expect("a call that is answered later");
        answer.send(status).expect("whoever sent it waits for the answer");
    }

    /// Waits until whoever sent it does not wait for the answer any more.
    pub async fn until_dropped(mut self) {
        let answer = self.answer.as_mut().expect("a call that is answered later");
        within(answer.closed()).await;
    }
}

pub struct Script {
    pub answer: Box<dyn Fn(&Call) -> Answer + Send + Sync>,
    pub calls: mpsc::UnboundedSender<Call>,
    pub clock: Clock,
    /// In flight to each URL: now, and at most.
    pub in_flight: Crowds,
    /// Gone when every thread that had a transport is.
    pub _alive: blocking::Sender<()>,
}

pub struct ScriptedFactory(pub Arc<Script>);

impl TransportFactory for ScriptedFactory {
    fn open(&self) -> Rc<dyn Transport> {
        Rc::new(Scripted(Arc::clone(&self.0)))
    }
}

struct Scripted(Arc<Script>);

struct InFlight(Arc<Script>, Arc<str>);

impl InFlight {
    fn begin(script: &Arc<Script>, url: &Arc<str>) -> Self {
        let mut in_flight = script.in_flight.lock().expect("no holder of this lock can panic");
        let (now, most) = in_flight.entry(Arc::clone(url)).or_default();
        *now += 1;
        *most = (*most).max(*now);
        Self(Arc::clone(script), Arc::clone(url))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = self.0.in_flight.lock().expect("no holder of this lock can panic");
        in_flight.get_mut(&self.1).expect("it was counted when it began").0 -= 1;
    }
}

impl Transport for Scripted {
    fn send(&self, request: Request) -> LocalBoxFuture<'static, Outcome> {
        let script = Arc::clone(&self.0);
        Box::pin(async move {
            let _in_flight = InFlight::begin(&script, &request.url);
            let header = |name: &str| {
                let found = request.headers.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.as_str())
            };
            let now = script.clock.now();
            let mut call = Call {
                url: Arc::clone(&request.url),
                event: header("webhook-id").expect("every request has one").parse().expect("an event's id"),
                delivery: header("posthaste-delivery").map(|text| text.parse().expect("a delivery's id")),
                number: header("posthaste-attempt").expect("every request has one").parse().expect("a number"),
                sequence: header("posthaste-sequence").map(|text| text.parse().expect("a number")),
                body: request.body.clone(),
                at: now.monotonic,
                wall: now.wall,
                answer: None,
            };
            // The test may be over.
            let report = |call| drop(script.calls.send(call));
            match (script.answer)(&call) {
                Answer::Status(status) => {
                    report(call);
                    Outcome::answered(status, Bytes::new())
                }
                Answer::Later => {
                    let (answer, answered) = oneshot::channel();
                    call.answer = Some(answer);
                    report(call);
                    match answered.await {
                        Ok(status) => Outcome::answered(status, Bytes::new()),
                        Err(_) => Outcome::failed(ErrorClass::Connect, "the test let go of it"),
                    }
                }
                Answer::Panic => {
                    report(call);
                    // Without the hook's noise.
                    std::panic::resume_unwind(Box::new("a transport that panics"));
                }
                Answer::StandStill(gate) => {
                    report(call);
                    let _ = gate.recv();
                    Outcome::answered(200, Bytes::new())
                }
            }
        })
    }
}
