//! How other nodes are reached. The engine's transport does it, but not under
//! the rules for subscribers: addresses of nodes come from the operator, and
//! nodes live where subscribers may not, on private and loopback addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};

use crate::clock::Clock;
use crate::transport::{AddressGuard, HttpTransportFactory, Resolve, TlsClient, TransportOptions};

/// Opens transports that may go anywhere, and keep so much of an answer.
pub(in crate::cluster) fn transport(timeout: Duration, answer_bytes: usize, tls: TlsClient) -> HttpTransportFactory {
    let options = TransportOptions {
        connect_timeout: timeout,
        response_read_bytes: answer_bytes,
        response_keep_bytes: answer_bytes,
        response_headers_keep_bytes: 0,
        ..TransportOptions::default()
    };
    // What times it tells of, nobody looks at.
    HttpTransportFactory::new(options, Arc::new(Anywhere), Arc::new(MachineNames), tls, Clock::system())
}

struct Anywhere;

impl AddressGuard for Anywhere {
    fn check(&self, _: IpAddr) -> Result<(), String> {
        Ok(())
    }
}

/// Names as the machine knows them, search domains included: a node may be
/// advertised by the short name that its neighbours call it by.
struct MachineNames;

impl Resolve for MachineNames {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        async move {
            // The port is somebody else's affair; 0 says nothing.
            match tokio::net::lookup_host((&*host, 0)).await {
                Ok(found) => Ok(found.map(|address| address.ip()).collect()),
                Err(error) => Err(format!("the name {host} cannot be resolved: {error}")),
            }
        }
        .boxed()
    }
}
