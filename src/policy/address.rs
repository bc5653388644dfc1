//! Where a request may go: which URLs may be registered, and which addresses
//! may be dialled (`product.md`, promise 6). Names are not resolved here: a
//! name that looks public may lead anywhere, at any time, so whoever dials asks
//! again with the addresses it is about to use. How a URL must be written is
//! `policy::target_url`'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::domain::Environment;
use crate::policy::address_ranges::forbidden_purpose;

pub use crate::policy::address_ranges::{ForbiddenAddress, USUALLY_DENIED_PORTS};
pub use crate::policy::target_url::{TargetHost, TargetUrl};
pub use crate::policy::url_problem::UrlProblem;

/// The rules of one installation.
#[derive(Debug, Clone)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
    allow_http_in_production: bool,
    denied_ports: Vec<RangeInclusive<u16>>,
}

/// How a URL is spelt where it is stored, if it can be one. Says nothing of whether it may
/// be registered.
pub fn normal_spelling(text: &str) -> Result<String, UrlProblem> {
    TargetUrl::parse(text).map(|url| url.as_str().to_owned())
}

impl AddressPolicy {
    /// The default rules, and networks that may be dialled in spite of them
    /// (`POSTHASTE_ALLOW_ADDRESSES`).
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed, allow_http_in_production: false, denied_ports: USUALLY_DENIED_PORTS.to_vec() }
    }

    /// Whether production's endpoints may do without TLS.
    pub fn allow_http_in_production(mut self, allow: bool) -> Self {
        self.allow_http_in_production = allow;
        self
    }

    /// Puts these in place of the default ports that no URL may name.
    pub fn deny_ports(mut self, ports: Vec<RangeInclusive<u16>>) -> Self {
        self.denied_ports = ports;
        self
    }

    /// Decides whether a text may be an endpoint's URL. The answer is the only
    /// form of it to be used from then on.
    pub fn check_url(&self, text: &str, environment: Environment) -> Result<TargetUrl, UrlProblem> {
        let url = TargetUrl::parse(text)?;
        match url.host() {
            // What the operator has named is spared the rules for strangers.
            TargetHost::Address(address) if self.allows(*address) => return Ok(url),
            TargetHost::Name(name) if name == "localhost" && !self.localhost_addresses().is_empty() => return Ok(url),
            TargetHost::Address(address) => {
                self.check_address(*address).map_err(|source| UrlProblem::Address { address: *address, source })?
            }
            TargetHost::Name(name) if is_private_name(name) => return Err(UrlProblem::PrivateName(name.clone())),
            TargetHost::Name(_) => {}
        }
        if !url.is_https() && environment == Environment::Production && !self.allow_http_in_production {
            return Err(UrlProblem::HttpsRequired);
        }
        if self.denied_ports.iter().any(|ports| ports.contains(&url.port())) {
            return Err(UrlProblem::PortDenied(url.port()));
        }
        Ok(url)
    }

    /// Decides whether one address may be dialled.
    pub fn check_address(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let address = address.to_canonical();
        match forbidden_purpose(address) {
            Some(purpose) if !self.allows(address) => Err(ForbiddenAddress::Special { address, purpose }),
            _ => Ok(()),
        }
    }

    /// Decides about all the addresses of one name. A single forbidden one
    /// refuses them all: a name that mixes the two is made to get past such a
    /// check, by luck or by failing over.
    pub fn check_all(&self, addresses: &[IpAddr]) -> Result<(), ForbiddenAddress> {
        if addresses.is_empty() {
            return Err(ForbiddenAddress::NoAddress);
        }
        addresses.iter().try_for_each(|address| self.check_address(*address))
    }

    /// What `localhost` stands for: those of the two loopback addresses that
    /// the operator allows. Dial these instead of asking a resolver, which
    /// would name both and so have both refused where one is allowed.
    pub fn localhost_addresses(&self) -> Vec<IpAddr> {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        both.into_iter().filter(|address| self.allows(*address)).collect()
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }
}

/// Names that the public DNS does not have: a single word, or what ends in a
/// word that is kept for machines next door.
fn is_private_name(name: &str) -> bool {
    match name.rsplit_once('.') {
        None => true,
        Some((_, last)) => matches!(last, "localhost" | "local" | "localdomain" | "internal"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::address_ranges::tests::forbidden_v4;
    use crate::policy::target_url::tests::urlish;

    fn strict() -> AddressPolicy {
        AddressPolicy::new(Vec::new())
    }

    /// So lenient that a refusal cannot be about TLS or ports.
    fn any_scheme_and_port() -> AddressPolicy {
        strict().allow_http_in_production(true).deny_ports(Vec::new())
    }

    fn allowing(networks: &[&str]) -> AddressPolicy {
        AddressPolicy::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn check(policy: &AddressPolicy, text: &str, environment: Environment, expected: Result<(), UrlProblem>) {
        assert_eq!(policy.check_url(text, environment).map(drop), expected, "{text} in {environment}");
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_hostile_url_leads_to_a_forbidden_address() {
        let policy = any_scheme_and_port();
        let vectors = include_str!("../../tests/vectors/ssrf-urls.txt");
        // Some lines begin with a space on purpose, so nothing is trimmed.
        let lines = vectors.lines().filter(|line| !line.starts_with('#'));
        let urls: Vec<String> =
            lines.map(|line| line.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")).collect();
        assert!(urls.len() > 80, "{}", urls.len());
        for environment in Environment::ALL {
            let passed: Vec<&str> =
                urls.iter().filter(|url| policy.check_url(url, environment).is_ok()).map(String::as_str).collect();
            // Public names like any other, until they are resolved.
            assert_eq!(passed, ["http://169-254-169-254.sslip.io/", "http://localtest.me/"]);
        }
        for resolved in ["169.254.169.254", "127.0.0.1", "::1"].map(address) {
            assert!(policy.check_address(resolved).is_err(), "{resolved}");
            assert!(policy.check_all(&[address("93.184.215.14"), resolved]).is_err(), "{resolved}");
        }
    }

    #[test]
    fn public_urls_pass_everywhere() {
        for url in [
            "https://example.com/webhook",
            "https://hooks.example.co.uk:8443/a/b?token=x%20y",
            "https://bücher.example/",
            "https://localhost.example.com/",
            "https://local.internal.example.com/",
            "https://8.8.8.8/",
            "https://11.0.0.1:8080/",
            "https://172.32.0.1/",
            "https://[2606:4700::1111]/",
            "https://[::ffff:8.8.8.8]/",
        ] {
            for environment in Environment::ALL {
                check(&strict(), url, environment, Ok(()));
            }
        }
    }

    #[test]
    fn production_wants_tls() {
        let url = "http://example.com/";
        check(&strict(), url, Environment::Sandbox, Ok(()));
        check(&strict(), url, Environment::Production, Err(UrlProblem::HttpsRequired));
        check(&strict().allow_http_in_production(true), url, Environment::Production, Ok(()));
    }

    #[test]
    fn ports_of_other_services_are_refused() {
        for port in [1, 22, 25, 79, 81, 442, 444, 1023, 2375, 2380, 3306, 5432, 6379, 9200, 10250, 11211, 27017] {
            let url = format!("https://example.com:{port}/");
            check(&strict(), &url, Environment::Sandbox, Err(UrlProblem::PortDenied(port)));
            check(&strict().deny_ports(Vec::new()), &url, Environment::Sandbox, Ok(()));
        }
        for port in [80, 443, 1024, 3000, 5000, 8000, 8080, 8443, 9000, 65535] {
            check(&strict(), &format!("https://example.com:{port}/"), Environment::Production, Ok(()));
        }
        let own = strict().deny_ports(std::iter::once(8080..=8080).collect());
        check(&own, "https://example.com:8080/", Environment::Sandbox, Err(UrlProblem::PortDenied(8080)));
        check(&own, "https://example.com:22/", Environment::Sandbox, Ok(()));
    }

    #[test]
    fn names_of_inner_networks_are_refused() {
        for name in ["localhost", "a.localhost", "postgres", "metadata", "printer.local", "metadata.google.internal"] {
            let url = format!("https://{name}/");
            check(&strict(), &url, Environment::Sandbox, Err(UrlProblem::PrivateName(name.to_owned())));
        }
    }

    #[test]
    fn what_the_operator_allows_is_spared_the_rules() {
        let policy = allowing(&["127.0.0.0/8", "10.1.0.0/16"]);
        for url in [
            "http://127.0.0.1:9000/",
            "http://127.8.8.8:22/x",
            "http://[::ffff:127.0.0.1]/",
            "http://10.1.2.3:5432/",
            "http://localhost:81/",
            "http://LOCALHOST/",
        ] {
            check(&policy, url, Environment::Production, Ok(()));
        }
        for url in ["http://10.2.0.1/", "http://[::1]/", "http://127.1/", "http://127.0.0.1./", "http://u@127.0.0.1/"] {
            assert!(policy.check_url(url, Environment::Sandbox).is_err(), "{url}");
        }
        for name in ["a.localhost", "postgres", "db.internal"] {
            let url = format!("http://{name}/");
            check(&policy, &url, Environment::Sandbox, Err(UrlProblem::PrivateName(name.to_owned())));
        }
        check(&policy, "http://example.com/", Environment::Production, Err(UrlProblem::HttpsRequired));
        let without_loopback = allowing(&["10.0.0.0/8"]);
        assert!(without_loopback.check_url("http://localhost/", Environment::Sandbox).is_err());
    }

    #[test]
    fn localhost_is_what_is_allowed_of_it() {
        assert_eq!(strict().localhost_addresses(), Vec::<IpAddr>::new());
        assert_eq!(allowing(&["127.0.0.0/8"]).localhost_addresses(), [address("127.0.0.1")]);
        assert_eq!(allowing(&["::1/128"]).localhost_addresses(), [address("::1")]);
        assert_eq!(allowing(&["::/0", "127.0.0.1/32"]).localhost_addresses(), ["127.0.0.1", "::1"].map(address));
    }

    #[test]
    fn one_forbidden_address_or_none_at_all_refuses_the_name() {
        let (public, private) = (address("8.8.8.8"), address("10.0.0.1"));
        assert_eq!(strict().check_all(&[]), Err(ForbiddenAddress::NoAddress));
        assert_eq!(strict().check_all(&[public, address("2606:4700::1111")]), Ok(()));
        let refused = Err(ForbiddenAddress::Special { address: private, purpose: "a private network" });
        assert_eq!(strict().check_all(&[public, private]), refused);
        assert_eq!(strict().check_all(&[private, public]), refused);
        assert_eq!(allowing(&["10.0.0.0/24"]).check_all(&[public, private]), Ok(()));
        // IPv4 seen through an IPv6 socket is judged as the IPv4 it is.
        let mapped = ["::ffff:8.8.8.8", "::ffff:10.0.0.1"].map(address);
        assert_eq!(strict().check_all(&mapped), refused);
        assert_eq!(allowing(&["10.0.0.0/24"]).check_all(&mapped), Ok(()));
    }

    #[test]
    fn refusals_do_not_tell_the_address() {
        let refused = strict().check_address(address("10.20.30.40")).unwrap_err();
        assert!(!refused.to_string().contains("10.20"), "{refused}");
    }

    proptest! {
        #[test]
        fn forbidden_ipv4_passes_in_no_clothing(inner in forbidden_v4(), environment in prop::sample::select(&Environment::ALL)) {
            let [a, b, c, d] = inner.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let number = u32::from(inner);
            let hosts = [
                inner.to_string(),
                format!("{inner}."),
                format!("{number}"),
                format!("{number:#x}"),
                format!("{a:#o}.{b}.{c}.{d}").replace("0o", "0"),
                format!("[::ffff:{inner}]"),
                format!("[::ffff:{high:x}:{low:x}]"),
                format!("[::{inner}]"),
                format!("[64:ff9b::{inner}]"),
                format!("[2002:{high:x}:{low:x}::1]"),
                format!("[2001:0:1234::{:x}:{:x}]", !high, !low),
            ];
            for host in hosts {
                let url = format!("http://{host}/");
                prop_assert!(any_scheme_and_port().check_url(&url, environment).is_err(), "{url}");
            }
            prop_assert!(strict().check_address(inner.into()).is_err());
            prop_assert!(strict().check_address(inner.to_ipv6_mapped().into()).is_err());
            prop_assert!(strict().check_address(inner.to_ipv6_compatible().into()).is_err());
        }

        #[test]
        fn what_passes_is_public_and_stays_so(text in urlish()) {
            for environment in Environment::ALL {
                if let Ok(url) = any_scheme_and_port().check_url(&text, environment) {
                    prop_assert_eq!(any_scheme_and_port().check_url(url.as_str(), environment), Ok(url.clone()));
                    match url.host() {
                        TargetHost::Address(address) => prop_assert_eq!(strict().check_address(*address), Ok(())),
                        TargetHost::Name(name) => prop_assert!(name.contains('.') && !name.ends_with('.')),
                    }
                }
            }
        }
    }
}
