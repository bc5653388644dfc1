//! One attempt through awc: the request as it was given, the status as the
//! verdict, a bounded look at the body as evidence.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::time::{Sleep, sleep};
use awc::http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use awc::http::{StatusCode, Version};
use awc::{Client, ClientResponse, SendClientRequest};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;

use crate::clock::Clock;
use crate::domain::{ErrorClass, Outcome, ResponseHeaders};
use crate::transport::body::Announced;
use crate::transport::clients::{Clients, Shows};
use crate::transport::connector::Connector;
use crate::transport::failure;
use crate::transport::retry_after;
use crate::transport::socket::{Seen, Socket, Traffic};
use crate::transport::target::Targets;
use crate::transport::{AddressGuard, Request, Resolve, TlsClient, Transport, TransportFactory, TransportOptions};

/// How long an unused connection is kept for the next attempt: less than the
/// 5 s after which node, uvicorn and Apache close theirs. A request written to
/// a connection that the receiver is just closing is a failed attempt of class
/// `connect`: whether it was processed cannot be known, and sending it again
/// behind the history's back would show one attempt where there were two.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
/// Room that most answers' headers need.
const USUAL_HEADER_BYTES: usize = 128;

/// Opens [`HttpTransport`]s that share one resolver and one TLS client.
pub struct HttpTransportFactory {
    options: TransportOptions,
    guard: Arc<dyn AddressGuard>,
    resolver: Arc<dyn Resolve>,
    tls: TlsClient,
    clock: Clock,
}

impl HttpTransportFactory {
    /// Nothing is opened yet.
    pub fn new(
        options: TransportOptions,
        guard: Arc<dyn AddressGuard>,
        resolver: Arc<dyn Resolve>,
        tls: TlsClient,
        clock: Clock,
    ) -> Self {
        report_no_contained_panics();
        Self { options, guard, resolver, tls, clock }
    }
}

impl TransportFactory for HttpTransportFactory {
    fn open(&self) -> Rc<dyn Transport> {
        Rc::new(HttpTransport::new(
            self.options.clone(),
            Arc::clone(&self.guard),
            Arc::clone(&self.resolver),
            self.tls.clone(),
            self.clock.clone(),
        ))
    }
}

/// Sends over HTTP/1.1, on the arbiter that it was opened on.
pub struct HttpTransport(Rc<Sender>);

struct Sender {
    options: TransportOptions,
    tls: TlsClient,
    clock: Clock,
    connector: Connector,
    traffic: Traffic,
    clients: RefCell<Clients>,
    targets: RefCell<Targets>,
}

impl HttpTransport {
    /// A transport without connections.
    pub fn new(
        options: TransportOptions,
        guard: Arc<dyn AddressGuard>,
        resolver: Arc<dyn Resolve>,
        tls: TlsClient,
        clock: Clock,
    ) -> Self {
        let traffic = Traffic::default();
        let connector = Connector::new(guard, resolver, &options, traffic.clone(), clock.clone());
        Self(Rc::new(Sender {
            options,
            tls,
            clock,
            connector,
            traffic,
            clients: RefCell::default(),
            targets: RefCell::default(),
        }))
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> LocalBoxFuture<'static, Outcome> {
        let sender = Rc::clone(&self.0);
        Box::pin(async move { sender.attempt(request).await })
    }
}

/// A request on its way, and whether it goes over TLS.
struct Prepared {
    sending: SendClientRequest,
    is_secured: bool,
}

/// Why an attempt ended without awc's word on it.
enum Interrupted {
    TooSlow,
    Panicked,
}

impl Sender {
    async fn attempt(self: Rc<Self>, request: Request) -> Outcome {
        let timeout = request.timeout;
        let mut deadline = pin!(sleep(timeout));
        let started = self.clock.monotonic();
        let Prepared { mut sending, is_secured } = match self.prepare(request) {
            Ok(prepared) => prepared,
            Err(outcome) => return outcome,
        };
        let mut seen = Seen::default();
        let answered = poll_fn(|context| {
            // The answer is looked for first: one that came in time counts.
            let poll = || contained(&mut sending, context);
            match self.traffic.watch(&mut seen, poll) {
                Ok(Poll::Ready(answered)) => Poll::Ready(Ok(answered)),
                Ok(Poll::Pending) => deadline.as_mut().poll(context).map(|()| Err(Interrupted::TooSlow)),
                Err(_) => Poll::Ready(Err(Interrupted::Panicked)),
            }
        })
        .await;
        let mut exchange = seen.stages.exchange(started, self.clock.monotonic(), is_secured);
        let outcome = match answered {
            Ok(Ok(response)) => {
                exchange.response_headers = self.kept_headers(&response);
                self.answered(response, &seen.socket, deadline).await
            }
            Ok(Err(error)) => failure::outcome(error, &self.tls),
            Err(Interrupted::TooSlow) => failure::too_slow(timeout),
            Err(Interrupted::Panicked) => failure::unreadable(),
        };
        Outcome { exchange: Some(Box::new(exchange)), ..outcome }
    }

    fn prepare(self: &Rc<Self>, request: Request) -> Result<Prepared, Outcome> {
        let unsendable = |reason| Outcome::failed(ErrorClass::Protocol, reason);
        let target = self.targets.borrow_mut().get(&request.url).map_err(unsendable)?;
        let is_secured = target.uri.scheme_str() == Some("https");
        // Without TLS nobody asks who calls.
        let shows = request.certificate.filter(|_| is_secured);
        // Without `no_decompress` awc would ask for `identity` by header.
        let mut sending = self.client(shows)?.post(target.uri).no_decompress();
        let headers = sending.headers_mut();
        for (name, value) in request.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes());
            // The value may be a secret, so the sentence leaves it out.
            let (Ok(parsed), Ok(value)) = (parsed, HeaderValue::try_from(value)) else {
                return Err(unsendable(format!("the header {name:?} cannot be sent")));
            };
            headers.append(parsed, value);
        }
        headers.insert(HOST, target.host);
        // Nobody else tells when a handshake is over.
        let sending = if is_secured {
            let (traffic, clock) = (self.traffic.clone(), self.clock.clone());
            let send = move || traffic.reached(|stages| stages.send(clock.monotonic()));
            sending.send_body(Announced::new(request.body, send))
        } else {
            sending.send_body(request.body)
        };
        Ok(Prepared { sending, is_secured })
    }

    /// An answer's headers, as far as they are kept.
    fn kept_headers(&self, response: &ClientResponse) -> ResponseHeaders {
        let limit = self.options.response_headers_keep_bytes;
        let mut kept = ResponseHeaders::with_room(limit.min(USUAL_HEADER_BYTES));
        if limit > 0 {
            response.headers().iter().for_each(|(name, value)| kept.push(name.as_str(), value.as_bytes(), limit));
        }
        kept
    }

    async fn answered(&self, response: ClientResponse, socket: &Weak<Socket>, deadline: Pin<&mut Sleep>) -> Outcome {
        let status = response.status();
        let reusable = ends_where_it_says(&response);
        let retry_after = retry_after::read(response.headers());
        let body = if may_have_body(status) { self.read_body(response, deadline).await } else { Bytes::new() };
        // awc may have the connection in its pool by now, since the poll that
        // ended the exchange; nobody else has run between that and this.
        if !reusable && let Some(socket) = socket.upgrade() {
            socket.close();
        }
        Outcome { retry_after, ..Outcome::answered(status.as_u16(), body) }
    }

    /// What the body begins with. It ends at its end, at the limit, at the
    /// deadline or where it breaks: the verdict stands already.
    async fn read_body(&self, mut response: ClientResponse, mut deadline: Pin<&mut Sleep>) -> Bytes {
        let mut kept = Vec::new();
        let mut read_bytes = 0;
        while read_bytes < self.options.response_read_bytes {
            let next = poll_fn(|context| match contained(&mut response.next(), context) {
                Ok(Poll::Pending) => deadline.as_mut().poll(context).map(|()| None),
                Ok(Poll::Ready(next)) => Poll::Ready(next),
                Err(_) => Poll::Ready(None),
            });
            let Some(Ok(chunk)) = next.await else { break };
            read_bytes += chunk.len();
            let wanted = self.options.response_keep_bytes.saturating_sub(kept.len()).min(chunk.len());
            // Copied, because a slice would keep awc's whole read buffer.
            kept.extend_from_slice(&chunk[..wanted]);
        }
        kept.into()
    }

    /// The client in use. awc's pool forgets nothing by itself: a host that is
    /// not called again would keep its sockets for good. So each client is let
    /// go after a while, and its idle sockets close with it; what is in flight
    /// ends undisturbed.
    fn client(self: &Rc<Self>, shows: Shows) -> Result<Client, Outcome> {
        if let Some(client) = self.clients.borrow().get(&shows) {
            return Ok(client);
        }
        let client = self.new_client(&shows)?;
        let (sender, lifetime, retired) = (Rc::downgrade(self), self.options.client_lifetime, shows.clone());
        let retiring = actix_rt::spawn(async move {
            sleep(lifetime).await;
            if let Some(sender) = sender.upgrade() {
                sender.clients.borrow_mut().retire(&retired);
            }
        });
        self.clients.borrow_mut().keep(shows, client.clone(), retiring);
        Ok(client)
    }

    fn new_client(&self, shows: &Shows) -> Result<Client, Outcome> {
        let options = &self.options;
        let config = match shows {
            None => self.tls.config(),
            Some(certificate) => self.tls.config_offering(certificate).map_err(|error| {
                let reason = format!("the endpoint's client certificate cannot be used ({error}): set another");
                Outcome::failed(ErrorClass::Tls, reason)
            })?,
        };
        let connector = awc::Connector::new()
            .connector(self.connector.clone())
            // The connector's stages have limits of their own: a name, then TCP.
            .timeout(options.connect_timeout.saturating_mul(3))
            .handshake_timeout(options.connect_timeout)
            // No limit: it would be one for all hosts together, and waiting for
            // a slow one would count as the next one's time.
            .limit(0)
            .conn_keep_alive(IDLE_CONNECTION)
            // A connection lives as long as its client at most.
            .conn_lifetime(Duration::MAX);
        let connector = match config {
            Some(config) => connector.rustls_0_23(config),
            None => connector,
        };
        Ok(Client::builder().connector(connector).disable_redirects().disable_timeout().finish())
    }
}

thread_local! {
    /// Whether a panic on this thread would end one attempt only.
    static CONTAINING: Cell<bool> = const { Cell::new(false) };
}

/// Polls awc so that its panics end one attempt and no actor: a receiver can
/// cause one at will (a header name of 64 KiB does, in 3.11). The connection is
/// lost with it; the pool is only touched in single steps and stays sound.
fn contained<F: Future + Unpin>(
    future: &mut F,
    context: &mut Context<'_>,
) -> Result<Poll<F::Output>, Box<dyn Any + Send>> {
    CONTAINING.set(true);
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(context)));
    CONTAINING.set(false);
    polled
}

/// Leaves contained panics unreported: the attempt says what came of it, and a
/// receiver could otherwise fill the operator's log, with a backtrace each
/// time, for which every other endpoint of the thread would wait.
fn report_no_contained_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !CONTAINING.get() {
                report(panic);
            }
        }));
    });
}

/// Statuses whose answer ends with its head; bytes that follow are not ours.
fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Whether the next bytes on this connection can only be the next answer. awc
/// believes so too often: after a 1xx the final answer is still to come; an
/// HTTP/1.0 peer closes; and without a length the body ends with the
/// connection. The next delivery would be credited with what it finds there.
fn ends_where_it_says(response: &ClientResponse) -> bool {
    let status = response.status();
    if status.is_informational() || response.version() == Version::HTTP_10 {
        return false;
    }
    let headers = response.headers();
    let chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    !may_have_body(status)
        || headers.contains_key(CONTENT_LENGTH)
        || headers.get(TRANSFER_ENCODING).is_some_and(chunked)
}
