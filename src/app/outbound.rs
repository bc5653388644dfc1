//! The way out, put together from what the configuration says: what may be dialled,
//! who resolves names, who is trusted, and by which way connections go.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use crate::clock::Clock;
use crate::config::Config;
use crate::policy::address::{AddressPolicy, USUALLY_DENIED_PORTS};
use crate::transport::{
    AddressGuard, CaFileError, HttpTransportFactory, Proxy, Resolve, SourceAddresses, SystemResolver, TlsClient,
    TransportOptions,
};

/// What may be registered and dialled.
pub(super) fn addresses(config: &Config) -> AddressPolicy {
    let denied = &config.outbound.denied_ports;
    let usual = if denied.has_usual { USUALLY_DENIED_PORTS.as_slice() } else { &[] };
    AddressPolicy::new(config.addresses.allow.clone())
        .allow_http_in_production(config.addresses.allow_http)
        .deny_ports(usual.iter().chain(&denied.ranges).cloned().collect())
}

/// How attempts are made. Nothing is opened yet, but the file of root certificates
/// is read.
pub(super) fn transport(
    config: &Config,
    addresses: AddressPolicy,
    clock: &Clock,
) -> Result<HttpTransportFactory, CaFileError> {
    let outbound = &config.outbound;
    let tls = match &outbound.ca_file {
        Some(path) => TlsClient::from_ca_file(path)?,
        None => TlsClient::from_platform(),
    };
    let source = SourceAddresses { v4: outbound.source.v4, v6: outbound.source.v6 };
    for address in source.missing() {
        log::warn!(
            "this machine does not have {address}, which `source_address` says to send from: \
             attempts that need it fail until it does"
        );
    }
    let proxy = outbound.proxy.as_ref().map(|proxy| {
        log::info!("webhooks are sent through the forward proxy {}:{}", proxy.host, proxy.port);
        let credentials = proxy.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        Proxy::new(&proxy.host, proxy.port, credentials)
    });
    let options = TransportOptions {
        connect_timeout: config.transport.connect_timeout,
        response_read_bytes: config.transport.response_read_bytes,
        response_keep_bytes: config.transport.response_keep_bytes,
        response_headers_keep_bytes: config.transport.response_headers_keep_bytes,
        source,
        proxy,
        ..TransportOptions::default()
    };
    let system = match outbound.name_servers.as_slice() {
        [] => SystemResolver::from_system(),
        servers => SystemResolver::from_name_servers(servers),
    };
    let resolver = Names { addresses: addresses.clone(), system };
    Ok(HttpTransportFactory::new(options, Arc::new(Guard(addresses)), Arc::new(resolver), tls, clock.clone()))
}

/// The rule about addresses, where the connector asks for it.
struct Guard(AddressPolicy);

impl AddressGuard for Guard {
    fn check(&self, address: IpAddr) -> Result<(), String> {
        self.0.check_address(address).map_err(|forbidden| forbidden.to_string())
    }
}

/// The system's names, but for `localhost`: that is whichever loopback
/// addresses the operator allows, not what a resolver makes of it.
struct Names {
    addresses: AddressPolicy,
    system: SystemResolver,
}

impl Resolve for Names {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        if host.eq_ignore_ascii_case("localhost") {
            let allowed = self.addresses.localhost_addresses();
            if !allowed.is_empty() {
                return std::future::ready(Ok(allowed)).boxed();
            }
        }
        self.system.resolve(host)
    }
}
