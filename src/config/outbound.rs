//! How connections to receivers are opened: what the options look like as text,
//! and what they say. Whether the files and addresses they name are there is
//! found out at the start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::ConfigError;
use super::areas::Check;
use super::options::Settled;

/// Where name servers listen.
const DNS_PORT: u16 = 53;
/// More are of no use.
const MAX_NAME_SERVERS: usize = 16;
/// How a list of ports names the ports that are denied by default.
const USUAL: &str = "usual";

/// How connections to receivers are opened.
#[derive(Debug, Clone)]
pub struct OutboundConfig {
    /// Which ports no URL may name.
    pub denied_ports: PortList,
    /// Who resolves names; empty is whom the system asks.
    pub name_servers: Vec<SocketAddr>,
    /// The only root certificates to be trusted; `None` is the platform's.
    pub ca_file: Option<PathBuf>,
    /// Where connections are opened from.
    pub source: SourceList,
    /// What they go through.
    pub proxy: Option<ProxyUrl>,
}

impl Check<'_> {
    pub fn outbound(&self, values: &Settled) -> Result<OutboundConfig, ConfigError> {
        if values.name_servers.0.len() > MAX_NAME_SERVERS {
            return Err(self.refuse("name_servers", format!("must be {MAX_NAME_SERVERS} at most")));
        }
        let proxy = match values.proxy.expose() {
            "" => None,
            text => Some(ProxyUrl::parse(text).map_err(|problem| self.refuse("proxy", problem.to_string()))?),
        };
        Ok(OutboundConfig {
            denied_ports: values.denied_ports.clone(),
            name_servers: values.name_servers.0.clone(),
            ca_file: Some(&values.ca_file).filter(|path| !path.is_empty()).map(PathBuf::from),
            source: values.source_address,
            proxy,
        })
    }
}

/// The words of a list with commas between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A word for an error, never too long.
fn shortened(word: &str) -> String {
    word.chars().take(64).collect()
}

/// Ports, and ranges of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct PortList {
    /// Whether those that are denied by default are among them.
    pub has_usual: bool,
    /// The others.
    pub ranges: Vec<RangeInclusive<u16>>,
}

/// A word that names no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a port from 1 to 65535, nor a range such as 8000-8099, nor `{USUAL}`")]
pub struct PortListError(String);

impl FromStr for PortList {
    type Err = PortListError;

    fn from_str(text: &str) -> Result<Self, PortListError> {
        let mut list = Self::default();
        for word in words(text) {
            if word == USUAL {
                list.has_usual = true;
                continue;
            }
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
            match (port(first), port(last)) {
                (Some(first), Some(last)) if first <= last => list.ranges.push(first..=last),
                _ => return Err(PortListError(shortened(word))),
            }
        }
        Ok(list)
    }
}

impl TryFrom<String> for PortList {
    type Error = PortListError;

    fn try_from(text: String) -> Result<Self, PortListError> {
        text.parse()
    }
}

/// Name servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct NameServerList(pub Vec<SocketAddr>);

/// A word that is no name server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a name server, such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53; a name will not do")]
pub struct NameServerListError(String);

impl FromStr for NameServerList {
    type Err = NameServerListError;

    fn from_str(text: &str) -> Result<Self, NameServerListError> {
        let server = |word: &str| {
            let bare = word.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
            let found = bare.or_else(|_| word.parse()).ok().filter(|server: &SocketAddr| server.port() > 0);
            found.ok_or_else(|| NameServerListError(shortened(word)))
        };
        words(text).map(server).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for NameServerList {
    type Error = NameServerListError;

    fn try_from(text: String) -> Result<Self, NameServerListError> {
        text.parse()
    }
}

/// The addresses to send from: one of a family, or of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct SourceList {
    /// For receivers that are reached by IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For those that are reached by IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// A word that is no address to send from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceListError {
    /// It is no address of one machine.
    #[error("`{0}` is no address to send from: expected one IPv4 address, one IPv6 address, or one of each")]
    NoAddress(String),
    /// There is one of its family already.
    #[error("`{0}` is the second address of its family: one IPv4 and one IPv6 address at most")]
    Second(IpAddr),
}

impl FromStr for SourceList {
    type Err = SourceListError;

    fn from_str(text: &str) -> Result<Self, SourceListError> {
        let mut list = Self::default();
        for word in words(text) {
            let address =
                word.parse().ok().filter(|address: &IpAddr| !address.is_unspecified() && !address.is_multicast());
            let taken = match address.ok_or_else(|| SourceListError::NoAddress(shortened(word)))? {
                IpAddr::V4(address) => list.v4.replace(address).map(IpAddr::from),
                IpAddr::V6(address) => list.v6.replace(address).map(IpAddr::from),
            };
            if taken.is_some() {
                return Err(SourceListError::Second(word.parse().expect("it was read above")));
            }
        }
        Ok(list)
    }
}

impl TryFrom<String> for SourceList {
    type Error = SourceListError;

    fn try_from(text: String) -> Result<Self, SourceListError> {
        text.parse()
    }
}

/// A forward proxy and who asks it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    /// Its name or address, IPv6 in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A user name and a password, if it wants them.
    pub credentials: Option<(String, String)>,
}

/// Why a URL is no proxy's. None of the sentences repeats it: it may carry a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlProblem {
    /// Not `http://` and a host, or more than that.
    #[error(
        "must be `http://`, a host and a port, such as http://10.1.2.3:3128; a user and a password may stand before the host: http://user:password@proxy.example.com:3128"
    )]
    Form,
    /// TLS to the proxy itself.
    #[error(
        "must begin with `http://`: TLS to the proxy itself is not built in (what goes through it to an https endpoint is encrypted all the same)"
    )]
    Https,
    /// Credentials that cannot be sent.
    #[error("has a user name with a colon, or a user name or password that is not UTF-8 or has control characters")]
    Credentials,
}

impl ProxyUrl {
    fn parse(text: &str) -> Result<Self, ProxyUrlProblem> {
        let url = url::Url::parse(text).map_err(|_| ProxyUrlProblem::Form)?;
        if url.scheme() == "https" {
            return Err(ProxyUrlProblem::Https);
        }
        let is_origin =
            url.scheme() == "http" && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let (Some(host), Some(port), true) = (url.host_str(), url.port_or_known_default(), is_origin) else {
            return Err(ProxyUrlProblem::Form);
        };
        if port == 0 {
            return Err(ProxyUrlProblem::Form);
        }
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8().map_err(|_| ProxyUrlProblem::Credentials)?;
            if decoded.chars().any(char::is_control) {
                Err(ProxyUrlProblem::Credentials)
            } else {
                Ok(decoded.into_owned())
            }
        };
        let (user, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
        if user.contains(':') {
            return Err(ProxyUrlProblem::Credentials);
        }
        let credentials = (!user.is_empty() || !password.is_empty()).then_some((user, password));
        Ok(Self { host: host.to_owned(), port, credentials })
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_ports_ranges_and_the_usual_ones() {
        let list = |text: &str| text.parse::<PortList>();
        assert_eq!(list(""), Ok(PortList::default()));
        let expected = PortList { has_usual: true, ranges: vec![8_080..=8_080, 9_000..=9_010, 1..=65_535] };
        assert_eq!(list("usual, 8080,9000-9010,, 1 - 65535"), Ok(expected));
        for wrong in ["0", "65536", "-1", "9-8", "0-5", "1-", "http", "Usual", "80;443", "1-2-3"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn name_servers_are_addresses_with_or_without_a_port() {
        let list = |text: &str| text.parse::<NameServerList>();
        let shown = |text: &str| list(text).map(|list| list.0.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(list(""), Ok(NameServerList::default()));
        let expected = ["10.0.0.2:53", "10.0.0.2:5353", "[::1]:53", "[fd00::2]:5353"];
        assert_eq!(shown("10.0.0.2, 10.0.0.2:5353,::1,[fd00::2]:5353"), Ok(expected.map(str::to_owned).to_vec()));
        for wrong in ["dns.example.com", "10.0.0.2:0", "10.0.0.2:99999", "10.0.0", "[::1]", "udp://10.0.0.2"] {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sources_are_one_of_each_family() {
        let list = |text: &str| text.parse::<SourceList>();
        assert_eq!(list(""), Ok(SourceList::default()));
        let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 9), "fd00::9".parse().expect("an address"));
        assert_eq!(list("10.0.0.9"), Ok(SourceList { v4: Some(v4), v6: None }));
        assert_eq!(list("fd00::9 , 10.0.0.9"), Ok(SourceList { v4: Some(v4), v6: Some(v6) }));
        for wrong in
            ["10.0.0.9,10.0.0.8", "::1,fd00::9", "eth0", "10.0.0.0/8", "0.0.0.0", "::", "224.0.0.1", "10.0.0.9:80"]
        {
            assert!(list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_proxy_is_an_origin_and_perhaps_who_asks() {
        let proxy = |host: &str, port, credentials: Option<(&str, &str)>| {
            let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
            Ok(ProxyUrl { host: host.to_owned(), port, credentials })
        };
        assert_eq!(ProxyUrl::parse("http://10.1.2.3:3128"), proxy("10.1.2.3", 3_128, None));
        assert_eq!(ProxyUrl::parse("http://[fd00::1]:3128/"), proxy("[fd00::1]", 3_128, None));
        assert_eq!(ProxyUrl::parse("http://proxy"), proxy("proxy", 80, None));
        let known = proxy("proxy.test", 3_128, Some(("acme", "p@ss:word")));
        assert_eq!(ProxyUrl::parse("http://acme:p%40ss:word@proxy.test:3128"), known);
        assert_eq!(ProxyUrl::parse("http://acme@proxy.test:1"), proxy("proxy.test", 1, Some(("acme", ""))));
        assert!(!format!("{known:?}").contains("p@ss"));
        for wrong in [
            "proxy:3128",
            "10.1.2.3:3128",
            "socks5://proxy:1080",
            "http://",
            "http://proxy:3128/path",
            "http://proxy:0",
            "http://proxy:99999",
            "http://proxy?x",
            "http://proxy/#x",
        ] {
            assert_eq!(ProxyUrl::parse(wrong), Err(ProxyUrlProblem::Form), "{wrong}");
        }
        assert_eq!(ProxyUrl::parse("https://proxy:3128"), Err(ProxyUrlProblem::Https));
        for wrong in ["http://a%3ab:c@proxy", "http://a:%ff@proxy", "http://a:%0d%0ab@proxy"] {
            let problem = ProxyUrl::parse(wrong).expect_err(wrong);
            assert_eq!(problem, ProxyUrlProblem::Credentials, "{wrong}");
        }
    }
}
