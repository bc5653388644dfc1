//! The one door to the network. Every connection is opened here, and every
//! address is vetted here, whether the URL spells it or a name leads to it;
//! what is dialled is what was vetted, never a second lookup. Which addresses
//! are forbidden is the guard's business.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_rt::time::timeout;
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;

use crate::transport::socket::{Stream, Traffic};
use crate::transport::{AddressGuard, Resolve};

/// Addresses of one name that are tried, after all of them were vetted.
const MAX_DIALLED: usize = 4;

/// Why there is no connection. It travels through awc inside
/// [`ConnectError::Resolver`] and is told apart by type on the other side.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("{0}")]
    Dns(String),
    #[error("{0}")]
    Blocked(String),
    #[error("{0}")]
    Connect(String),
}

/// Resolves, vets and dials.
#[derive(Clone)]
pub(super) struct Connector {
    rules: Rc<Rules>,
    traffic: Traffic,
}

struct Rules {
    guard: Arc<dyn AddressGuard>,
    resolver: Arc<dyn Resolve>,
    stage_timeout: Duration,
}

impl Connector {
    pub(super) fn new(
        guard: Arc<dyn AddressGuard>,
        resolver: Arc<dyn Resolve>,
        stage_timeout: Duration,
        traffic: Traffic,
    ) -> Self {
        Self { rules: Rc::new(Rules { guard, resolver, stage_timeout }), traffic }
    }

    async fn open(&self, host: &str, port: u16) -> Result<Stream, ConnectFailure> {
        let addresses = self.rules.vetted_addresses(host).await?;
        let connected = self.rules.dial(&addresses, port).await?;
        Ok(Stream::new(connected, self.traffic.clone()))
    }
}

impl Rules {
    /// All addresses of a host, or a refusal if policy forbids any of them: a
    /// name that leads both inside and outside is not to be trusted.
    async fn vetted_addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectFailure> {
        let addresses = match literal_address(host) {
            Some(address) => vec![address],
            None => self.resolved_addresses(host).await?,
        };
        for address in &addresses {
            self.guard.check(*address).map_err(ConnectFailure::Blocked)?;
        }
        Ok(addresses)
    }

    async fn resolved_addresses(&self, host: &str) -> Result<Vec<IpAddr>, ConnectFailure> {
        let resolved = timeout(self.stage_timeout, self.resolver.resolve(host.into()))
            .await
            .map_err(|_| {
                let limit_ms = self.stage_timeout.as_millis();
                ConnectFailure::Dns(format!("the name {host} did not resolve within {limit_ms} ms"))
            })?
            .map_err(ConnectFailure::Dns)?;
        let mut addresses = Vec::with_capacity(resolved.len());
        for address in resolved {
            let address = address.to_canonical();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(ConnectFailure::Dns(format!("the name {host} has no addresses")));
        }
        Ok(addresses)
    }

    /// Tries the addresses in order. Each has an equal share of the time, so
    /// that one which swallows packets leaves some to the next.
    async fn dial(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, ConnectFailure> {
        let dialled = &addresses[..addresses.len().min(MAX_DIALLED)];
        let share = self.stage_timeout / u32::try_from(dialled.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = String::from("the host has no addresses");
        for address in dialled {
            let peer = SocketAddr::new(*address, port);
            match timeout(share, TcpStream::connect(peer)).await {
                Ok(Ok(connected)) => return self.admit(connected),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    failure = format!("{peer} refused the connection");
                }
                Ok(Err(error)) => failure = format!("could not connect to {peer}: {error}"),
                Err(_) => failure = format!("{peer} did not take a connection within {} ms", share.as_millis()),
            }
        }
        Err(ConnectFailure::Connect(failure))
    }

    /// Looks at who answered, before a byte is sent or read.
    fn admit(&self, connected: TcpStream) -> Result<TcpStream, ConnectFailure> {
        let lost = |error| ConnectFailure::Connect(format!("the connection was lost as soon as it was made: {error}"));
        let peer = connected.peer_addr().map_err(lost)?.ip().to_canonical();
        self.guard.check(peer).map_err(ConnectFailure::Blocked)?;
        // A request is written whole; waiting to fill a packet only delays it.
        connected.set_nodelay(true).map_err(lost)?;
        Ok(connected)
    }
}

/// The address that a URL's host spells, IPv6 in its brackets.
fn literal_address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

impl Service<ConnectInfo<Uri>> for Connector {
    type Response = Connection<Uri, Stream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    /// Goes by the URI alone: an address that was set on the request beforehand
    /// would be one that nobody vetted.
    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let uri = info.request().clone();
            match connector.open(uri.host().unwrap_or_default(), info.port()).await {
                Ok(stream) => Ok(Connection::new(uri, stream)),
                // The only variant that carries any error type. (awc panics on
                // `InvalidInput`, and `Io` is what its TLS stage reports.)
                Err(failure) => Err(ConnectError::Resolver(Box::new(failure))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_addresses_need_no_lookup() {
        let check = |host: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse::<IpAddr>().expect("a test's own address"));
            assert_eq!(literal_address(host), expected, "{host}");
        };
        check("127.0.0.1", Some("127.0.0.1"));
        check("[::1]", Some("::1"));
        check("[::ffff:10.0.0.1]", Some("10.0.0.1"));
        check("example.com", None);
        check("127.1", None);
        check("", None);
    }
}
