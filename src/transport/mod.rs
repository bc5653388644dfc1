//! One attempt over real sockets: what goes out, over which connection, and
//! what came of it. Decides what may be dialled (by asking an
//! [`AddressGuard`]), how long each stage may take and how an error is
//! classed. Leaves to others whether and when to try again, what is signed,
//! and where outcomes are kept.

mod body;
mod client;
mod clients;
mod connector;
mod failure;
mod proxy;
mod resolver;
mod retry_after;
mod socket;
mod source;
mod stages;
mod target;
mod tls;

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, LocalBoxFuture};

pub use client::{HttpTransport, HttpTransportFactory};
pub use proxy::Proxy;
pub use resolver::SystemResolver;
pub use source::SourceAddresses;
pub use tls::{CaFileError, TlsClient};

use crate::domain::{ClientCertificate, Outcome};

/// What only `fuzz/` calls from outside.
#[cfg(fuzzing)]
pub mod fuzzing {
    use awc::http::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    /// A value of `Retry-After`.
    pub fn retry_after(value: &[u8]) {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value);
        let _ = super::retry_after::read(&headers);
    }
}

/// Sends attempts. One lives on each arbiter: connections cannot cross
/// threads.
pub trait Transport {
    /// Makes one attempt. It never fails to answer: whatever goes wrong is an
    /// [`Outcome`]. Dropping the future closes the connection it was using.
    fn send(&self, request: Request) -> LocalBoxFuture<'static, Outcome>;
}

/// Opens a [`Transport`] on whichever arbiter asks for one.
pub trait TransportFactory: Send + Sync + 'static {
    /// A transport of the calling thread's own.
    fn open(&self) -> Rc<dyn Transport>;
}

/// What one attempt sends.
#[derive(Clone)]
pub struct Request {
    /// Where to: the normalised serialization that `policy::address` made.
    pub url: Arc<str>,
    /// These, and nothing else but `host`, `content-length` and `date`, which
    /// belong to the exchange. A name may come twice; the order of different
    /// names is not kept (it means nothing in HTTP). Values may be secrets.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The very bytes.
    pub body: Bytes,
    /// The whole attempt, from DNS to the last byte read.
    pub timeout: Duration,
    /// What is shown to a receiver that asks who calls, over https. Requests that show
    /// different ones share no connection.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// What outbound requests may do; from configuration.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Longest that each stage of connecting (name, TCP, TLS) may take, within
    /// the attempt's own timeout.
    pub connect_timeout: Duration,
    /// Response body bytes after which reading stops.
    pub response_read_bytes: usize,
    /// Response body bytes kept as evidence.
    pub response_keep_bytes: usize,
    /// Bytes of a response's headers kept as evidence, names and values.
    pub response_headers_keep_bytes: usize,
    /// How long a set of pooled connections is used before all of it is let go
    /// and new ones are opened: no idle socket outlives this, and none goes
    /// on using an address that DNS or policy has since taken back.
    pub client_lifetime: Duration,
    /// Which addresses of this machine connections are opened from.
    pub source: SourceAddresses,
    /// What they go through; `None` is straight to the receiver.
    pub proxy: Option<Proxy>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_read_bytes: 64 * 1024,
            response_keep_bytes: 4 * 1024,
            response_headers_keep_bytes: 2 * 1024,
            client_lifetime: Duration::from_secs(60),
            source: SourceAddresses::default(),
            proxy: None,
        }
    }
}

/// The rule about addresses: which may be dialled.
pub trait AddressGuard: Send + Sync {
    /// `Err` is the sentence that the partner gets to read.
    fn check(&self, address: IpAddr) -> Result<(), String>;
}

/// Turns a name into addresses.
pub trait Resolve: Send + Sync {
    /// Every address of a host, best first; `Err` is a plain sentence. Hosts
    /// that are addresses already are never asked about.
    fn resolve(&self, host: Arc<str>) -> BoxFuture<'static, Result<Vec<IpAddr>, String>>;
}
