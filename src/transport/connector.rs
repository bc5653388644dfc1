//! The one door to the network. Every connection is opened here, and every
//! address is vetted here, whether the URL spells it or a name leads to it;
//! what is dialled is what was vetted, never a second lookup, also where a proxy
//! does the dialling. Which addresses are forbidden is the guard's business.

use std::collections::HashSet;
use std::io;
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

use crate::clock::Clock;
use crate::transport::proxy::Proxy;
use crate::transport::socket::{Stream, Traffic};
use crate::transport::source::{OpenError, SourceAddresses};
use crate::transport::{AddressGuard, Resolve, TransportOptions};

/// Addresses of one name that are tried, after all of them were vetted.
pub(super) const MAX_DIALLED: usize = 4;

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
    clock: Clock,
}

struct Rules {
    guard: Arc<dyn AddressGuard>,
    resolver: Arc<dyn Resolve>,
    stage_timeout: Duration,
    source: SourceAddresses,
    proxy: Option<Proxy>,
}

/// What came of dialling one address.
enum Dialled {
    Connected(TcpStream),
    /// This one cannot be reached; the next may be.
    Unreachable(String),
    /// It is not the address: no other will do either.
    Hopeless(String),
}

impl Connector {
    pub(super) fn new(
        guard: Arc<dyn AddressGuard>,
        resolver: Arc<dyn Resolve>,
        options: &TransportOptions,
        traffic: Traffic,
        clock: Clock,
    ) -> Self {
        let rules = Rules {
            guard,
            resolver,
            stage_timeout: options.connect_timeout,
            source: options.source,
            proxy: options.proxy.clone(),
        };
        Self { rules: Rc::new(rules), traffic, clock }
    }

    async fn open(&self, host: &str, port: u16) -> Result<Stream, ConnectFailure> {
        let has_name = literal_address(host).is_none();
        self.traffic.reached(|stages| stages.open(self.clock.monotonic(), has_name));
        let addresses = self.rules.vetted_addresses(host).await?;
        let dialling = |peer| self.traffic.reached(|stages| stages.dial(self.clock.monotonic(), peer));
        let (connected, peer) = self.rules.dial(&addresses, port, dialling).await?;
        self.traffic.reached(|stages| stages.connected(self.clock.monotonic()));
        Ok(Stream::new(connected, peer, self.traffic.clone()))
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
        // Over TCP a name may have thousands.
        let mut seen = HashSet::with_capacity(resolved.len());
        let addresses: Vec<IpAddr> =
            resolved.iter().map(IpAddr::to_canonical).filter(|address| seen.insert(*address)).collect();
        if addresses.is_empty() {
            return Err(ConnectFailure::Dns(format!("the name {host} has no addresses")));
        }
        Ok(addresses)
    }

    /// Tries the addresses in order. Each has an equal share of the time, so
    /// that one which swallows packets leaves some to the next.
    async fn dial(
        &self,
        addresses: &[IpAddr],
        port: u16,
        dialling: impl Fn(SocketAddr),
    ) -> Result<(TcpStream, SocketAddr), ConnectFailure> {
        let dialled = &addresses[..addresses.len().min(MAX_DIALLED)];
        let share = self.stage_timeout / u32::try_from(dialled.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = String::from("the host has no addresses");
        for address in dialled {
            let peer = SocketAddr::new(*address, port);
            dialling(peer);
            match timeout(share, self.dial_one(peer, share)).await {
                Ok(Dialled::Connected(connected)) => return Ok((self.admit(connected)?, peer)),
                Ok(Dialled::Unreachable(reason)) => failure = reason,
                Ok(Dialled::Hopeless(reason)) => return Err(ConnectFailure::Connect(reason)),
                Err(_) if self.proxy.is_some() => {
                    let limit_ms = share.as_millis();
                    failure = format!("the forward proxy did not connect to {peer} within {limit_ms} ms");
                }
                Err(_) => failure = format!("{peer} did not take a connection within {} ms", share.as_millis()),
            }
        }
        Err(ConnectFailure::Connect(failure))
    }

    async fn dial_one(&self, peer: SocketAddr, within: Duration) -> Dialled {
        let Some(proxy) = &self.proxy else {
            return match self.source.open(peer).await {
                Ok(connected) => Dialled::Connected(connected),
                Err(OpenError::Source(source, error)) => {
                    Dialled::Unreachable(format!("this node cannot send from its source address {source}: {error}"))
                }
                Err(OpenError::Peer(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Dialled::Unreachable(format!("{peer} refused the connection"))
                }
                Err(OpenError::Peer(error)) => Dialled::Unreachable(format!("could not connect to {peer}: {error}")),
            };
        };
        match proxy.open(peer, within, self.resolver.as_ref(), &self.source).await {
            Ok(connected) => Dialled::Connected(connected),
            Err(failure) if failure.is_about_target() => {
                Dialled::Unreachable(format!("could not connect to {peer}: {failure}"))
            }
            Err(failure) => Dialled::Hopeless(failure.to_string()),
        }
    }

    /// Looks at who answered, before a byte is sent or read. A proxy is nobody's
    /// choice but the operator's; it was told which address to pass on to.
    fn admit(&self, connected: TcpStream) -> Result<TcpStream, ConnectFailure> {
        let lost = |error| ConnectFailure::Connect(format!("the connection was lost as soon as it was made: {error}"));
        if self.proxy.is_none() {
            let peer = connected.peer_addr().map_err(lost)?.ip().to_canonical();
            self.guard.check(peer).map_err(ConnectFailure::Blocked)?;
        }
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
