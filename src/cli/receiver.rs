//! A subscriber's side of a webhook, in this process: takes every request,
//! checks its signature, answers as it is told to and reports what came. What
//! is done with the reports is left to the command or test that starts it.

use std::future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::policy::signature::{Message, VerifyingKey};

/// Larger bodies are answered 413 and not reported.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// A running receiver. Dropping it stops it without waiting for requests.
pub struct Receiver {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    server: ServerHandle,
}

/// How a receiver answers. The default is 200, at once and always.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// Never answer; it comes before everything else.
    pub hang: bool,
    /// How long to wait before answering.
    pub delay: Duration,
    /// How many of the next requests fail.
    pub fail_next: u64,
    /// The part, from 0 to 1, of the requests after those that fails.
    pub fail_rate: f64,
    /// What a failing request is answered.
    pub failure: StatusCode,
}

/// A request that came in, reported before it is answered.
#[derive(Debug, Clone)]
pub struct Received {
    /// When its body was complete.
    pub at: Timestamp,
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// Its headers in no order, names in lower case, values as text whatever
    /// their bytes are.
    pub headers: Vec<(String, String)>,
    /// `webhook-id`.
    pub webhook_id: Option<String>,
    /// `posthaste-delivery`.
    pub delivery: Option<String>,
    /// `posthaste-attempt`.
    pub attempt: Option<String>,
    /// The `event` member of a JSON body.
    pub event_type: Option<String>,
    /// Its body.
    pub body: Bytes,
    /// Whether the signature fits.
    pub verdict: Verdict,
    /// What it is answered.
    pub answer: Answer,
}

/// What a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A status, after a delay.
    Status(StatusCode, Duration),
    /// Nothing, until the sender gives up.
    Never,
}

/// What became of checking a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// One of the secrets or keys fits.
    Verified,
    /// None does, for this reason.
    Bad(String),
    /// There was nothing to check it with.
    NotChecked,
}

impl Receiver {
    /// Starts a receiver on a bound socket; needs a running actix system. The
    /// requests are reported to `reports`: while it is full, they wait for
    /// their answers; once it is closed, they are answered without a report.
    pub fn start(
        socket: TcpListener,
        behaviour: Behaviour,
        secrets: Vec<VerifyingKey>,
        clock: Clock,
        reports: mpsc::Sender<Received>,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let behaviour = Arc::new(Mutex::new(behaviour));
        let desk = web::Data::new(Desk { behaviour: behaviour.clone(), secrets, clock, reports });
        let app = move || {
            let limit = web::PayloadConfig::new(MAX_BODY_BYTES);
            App::new().app_data(limit).app_data(desk.clone()).default_service(web::to(receive))
        };
        // Signals are the process's own business, see `cli::stop_signal`.
        let server = HttpServer::new(app).workers(1).disable_signals().listen(socket)?.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok(Self { address, behaviour, server: handle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what later requests are answered; those that wait for an answer
    /// keep theirs.
    pub fn behave(&self, behaviour: Behaviour) {
        *held(&self.behaviour) = behaviour;
    }

    /// Closes the socket and all connections, answered or not.
    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The command is sent at once; only its completion is not awaited.
        drop(self.server.stop(false));
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            hang: false,
            delay: Duration::ZERO,
            fail_next: 0,
            fail_rate: 0.0,
            failure: StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Behaviour {
    /// The next request's answer; `draw` is uniform in 0..1.
    pub fn answer(&mut self, draw: f64) -> Answer {
        if self.hang {
            return Answer::Never;
        }
        let fails = self.fail_next > 0 || draw < self.fail_rate;
        self.fail_next = self.fail_next.saturating_sub(1);
        Answer::Status(if fails { self.failure } else { StatusCode::OK }, self.delay)
    }
}

/// What the handler works with.
struct Desk {
    behaviour: Arc<Mutex<Behaviour>>,
    secrets: Vec<VerifyingKey>,
    clock: Clock,
    reports: mpsc::Sender<Received>,
}

async fn receive(request: HttpRequest, body: Bytes, desk: web::Data<Desk>) -> HttpResponse {
    let at = desk.clock.wall();
    let answer = held(&desk.behaviour).answer(fastrand::f64());
    let received = Received {
        at,
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        webhook_id: header(&request, "webhook-id"),
        delivery: header(&request, "posthaste-delivery"),
        attempt: header(&request, "posthaste-attempt"),
        event_type: event_type(&body),
        verdict: verdict(&desk.secrets, &request, &body, at),
        answer,
        body,
    };
    // Nobody may be listening any more: the sender gets its answer all the same.
    let _ = desk.reports.send(received).await;
    match answer {
        Answer::Never => future::pending().await,
        Answer::Status(status, delay) => {
            if !delay.is_zero() {
                actix_rt::time::sleep(delay).await;
            }
            HttpResponse::build(status).finish()
        }
    }
}

fn verdict(secrets: &[VerifyingKey], request: &HttpRequest, body: &[u8], at: Timestamp) -> Verdict {
    if secrets.is_empty() {
        return Verdict::NotChecked;
    }
    let required = |name| header(request, name).ok_or_else(|| format!("the header `{name}` is missing"));
    let check = || {
        let (id, timestamp) = (required("webhook-id")?, required("webhook-timestamp")?);
        let signatures = required("webhook-signature")?;
        let message = Message { id: &id, timestamp: &timestamp, signatures: &signatures, body };
        message.verify(secrets, at.as_seconds()).map_err(|error| error.to_string())
    };
    check().map_or_else(Verdict::Bad, |_| Verdict::Verified)
}

/// A header's value, as text whatever its bytes are.
fn header(request: &HttpRequest, name: &str) -> Option<String> {
    request.headers().get(name).map(text)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn event_type(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        event: String,
    }
    serde_json::from_slice::<Named>(body).ok().map(|named| named.event)
}

fn held(behaviour: &Mutex<Behaviour>) -> MutexGuard<'_, Behaviour> {
    behaviour.lock().expect("no holder of this lock can panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: Answer = Answer::Status(StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO);
    const SUCCESS: Answer = Answer::Status(StatusCode::OK, Duration::ZERO);

    #[test]
    fn the_first_few_fail_and_then_a_part() {
        let mut behaviour = Behaviour { fail_next: 2, fail_rate: 0.3, ..Behaviour::default() };
        let answers: Vec<Answer> = [0.9, 0.9, 0.9, 0.29, 0.3].map(|draw| behaviour.answer(draw)).into();
        assert_eq!(answers, [FAILURE, FAILURE, SUCCESS, FAILURE, SUCCESS]);
    }

    #[test]
    fn hanging_comes_before_failing_and_uses_none_of_it_up() {
        let mut behaviour = Behaviour { hang: true, fail_next: 1, ..Behaviour::default() };
        assert_eq!(behaviour.answer(0.0), Answer::Never);
        behaviour.hang = false;
        assert_eq!(behaviour.answer(0.5), FAILURE);
        assert_eq!(behaviour.answer(0.5), SUCCESS);
    }

    #[test]
    fn an_event_type_is_a_string_in_an_object() {
        assert_eq!(event_type(br#"{"id": 1, "event": "campaign.updated"}"#).as_deref(), Some("campaign.updated"));
        for other in [&b"{}"[..], b"[]", b"{\"event\": 3}", b"event", b"", b"\xff"] {
            assert_eq!(event_type(other), None);
        }
    }
}
