//! Names to addresses: by `/etc/hosts`, then by the name servers of
//! `/etc/resolv.conf` or those that an operator names. What may be dialled is
//! decided elsewhere; this only says where a name leads.
//!
//! An answer is kept as long as its records say and a minute at most; one whose
//! time to live is 0 is used for the lookups that wait for it and then forgotten.
//! Nothing relies on what is kept: whoever dials vets the addresses it was given,
//! old or new, and dials those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, BoxFuture, FutureExt};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::transport::Resolve;

/// How long one name server may take for one question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a question is put again.
const QUESTION_REPEATS: usize = 1;
/// How long "there is no such name" is believed, whatever the zone says: the
/// first retries come seconds later, and a partner may just have mended it.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// How long an address is believed, whatever the zone says: as long as a connection
/// to it may live. A partner that moves waits no longer than that.
const POSITIVE_TTL: Duration = Duration::from_secs(60);
/// Questions that may be open over one TCP connection to a name server. Large answers
/// take it, and one zone that stalls must not use it up.
const OPEN_QUESTIONS: usize = 1_024;

/// The machine's resolver, with a cache that all arbiters share.
pub struct SystemResolver(Result<Lookups, String>);

/// Lookups run on a thread of their own, because connections to name servers
/// belong to the runtime that opened them: on an arbiter's they would wait for
/// its work, and die with it.
struct Lookups {
    resolver: TokioResolver,
    runtime: Handle,
    /// Dropping it ends the thread.
    _running: oneshot::Sender<()>,
}

impl SystemResolver {
    /// Reads the configuration once. Where there is none that can be used, each
    /// lookup fails and says so; `localhost` and addresses still work.
    pub fn from_system() -> Self {
        Self::from_configuration(read_system_conf())
    }

    /// Asks these in place of the machine's own. `/etc/hosts` is looked at all the
    /// same.
    pub fn from_name_servers(addresses: &[SocketAddr]) -> Self {
        let servers = addresses
            .iter()
            .map(|address| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = address.port());
                NameServerConfig::new(address.ip(), true, connections)
            })
            .collect();
        Self::from_configuration(Ok((ResolverConfig::from_name_servers(servers), ResolverOpts::default())))
    }

    fn from_configuration(configuration: Result<(ResolverConfig, ResolverOpts), NetError>) -> Self {
        let lookups = configuration
            .map_err(|error| error.to_string())
            .and_then(|(servers, options)| Lookups::start(servers, options).map_err(|error| error.to_string()));
        Self(lookups.map_err(|error| {
            let reason = format!("this node cannot resolve names ({error}): set up its name servers and restart it");
            log::warn!("{reason}");
            reason
        }))
    }
}

impl Lookups {
    fn start(servers: ResolverConfig, mut options: ResolverOpts) -> Result<Self, NetError> {
        options.timeout = options.timeout.min(QUESTION_TIMEOUT);
        options.attempts = options.attempts.min(QUESTION_REPEATS);
        options.negative_max_ttl = Some(NEGATIVE_TTL);
        options.positive_max_ttl = Some(POSITIVE_TTL);
        options.max_active_requests = OPEN_QUESTIONS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options)
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("resolver".into()).spawn(move || {
            // Ends with an error when the sender is dropped, which is the signal.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { resolver, runtime: handle, _running: running })
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        if is_localhost(&host) {
            let loopback = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return future::ready(Ok(loopback)).boxed();
        }
        let lookups = match &self.0 {
            Ok(lookups) => lookups,
            Err(reason) => return future::ready(Err(reason.clone())).boxed(),
        };
        let resolver = lookups.resolver.clone();
        // Absolute, so that no search domain of this machine is tried: a URL
        // means the same host on every node.
        let name = if host.ends_with('.') { host.to_string() } else { format!("{host}.") };
        let lookup = lookups.runtime.spawn(async move { resolver.lookup_ip(name).await });
        async move {
            match lookup.await {
                Ok(Ok(found)) => Ok(found.iter().collect()),
                Ok(Err(error)) => Err(sentence(&host, &error)),
                Err(_) => Err(format!("the lookup of {host} was abandoned")),
            }
        }
        .boxed()
    }
}

fn sentence(host: &str, error: &NetError) -> String {
    match error {
        NetError::Timeout => format!("no name server answered for {host}"),
        error if error.is_nx_domain() => format!("there is no host named {host}"),
        error if error.is_no_records_found() => format!("the name {host} has no addresses"),
        error => format!("the name {host} could not be resolved: {error}"),
    }
}

/// `localhost` and what is below it never leave the machine (RFC 6761).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last_label = host.rsplit('.').next().unwrap_or(host);
    last_label.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};

    use super::*;

    /// A resolver that asks this name server and no other.
    fn asking(server: &UdpSocket) -> SystemResolver {
        let address = server.local_addr().expect("a bound socket has an address");
        let mut connection = ConnectionConfig::udp();
        connection.port = address.port();
        let servers = vec![NameServerConfig::new(address.ip(), true, vec![connection])];
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_millis(200);
        SystemResolver::from_configuration(Ok((ResolverConfig::from_parts(None, Vec::new(), servers), options)))
    }

    fn name_server() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port")
    }

    /// Answers a number of questions: A with 192.0.2.7 for names that begin
    /// with `known`, no records for their other types, and no such name else.
    fn answer(server: UdpSocket, questions: usize) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            for _ in 0..questions {
                let mut packet = [0; 512];
                let (_, client) = server.recv_from(&mut packet).expect("a question");
                let name_bytes = packet[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 1;
                let question_end = 12 + name_bytes + 4;
                let wants_a = packet[question_end - 3] == 1;
                let known = packet[13..].to_ascii_lowercase().starts_with(b"known");
                let mut reply = packet[..question_end].to_vec();
                reply[2] = 0x81;
                reply[3] = if known { 0x80 } else { 0x83 };
                reply[6..12].copy_from_slice(&[0, u8::from(known && wants_a), 0, 0, 0, 0]);
                if known && wants_a {
                    // The name by pointer, A, IN, 60 s, four bytes of address.
                    reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
                }
                server.send_to(&reply, client).expect("a reply");
            }
        })
    }

    #[actix_rt::test]
    async fn a_name_resolves_through_the_configured_server() {
        let server = name_server();
        let resolver = asking(&server);
        let answering = answer(server, 2);
        let found = resolver.resolve("known.example".into()).await;
        assert_eq!(found, Ok(vec![IpAddr::from([192, 0, 2, 7])]));
        answering.join().expect("the name server was asked for A and AAAA");
    }

    #[actix_rt::test]
    async fn a_name_that_does_not_exist_is_called_that() {
        let server = name_server();
        let resolver = asking(&server);
        let answering = answer(server, 2);
        let found = resolver.resolve("missing.example".into()).await;
        assert_eq!(found, Err("there is no host named missing.example".into()));
        answering.join().expect("the name server was asked for A and AAAA");
    }

    #[actix_rt::test]
    async fn a_silent_name_server_does_not_hold_a_lookup() {
        let server = name_server();
        let found = asking(&server).resolve("known.example".into()).await;
        assert!(found.is_err(), "{found:?}");
    }

    #[actix_rt::test]
    async fn a_machine_without_name_servers_still_knows_itself() {
        let resolver = SystemResolver::from_configuration(Err("no name servers".into()));
        let reason = resolver.resolve("example.com".into()).await.expect_err("there is nobody to ask");
        assert!(reason.contains("no name servers"), "{reason}");
        for host in ["localhost", "LOCALHOST.", "app.localhost"] {
            let found = resolver.resolve(host.into()).await.expect("localhost needs nobody");
            assert_eq!(found, [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()], "{host}");
        }
        assert!(resolver.resolve("notlocalhost".into()).await.is_err());
    }
}
