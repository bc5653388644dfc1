//! The tables behind `policy::address`: which addresses and ports are no
//! place for a webhook, and why. Whether an operator has excepted one of them
//! is not known here.
//!
//! Sources: IANA's IPv4 and IPv6 Special-Purpose Address Registries, its
//! multicast and IPv6 global unicast registries. Entries that the registries
//! call globally reachable are here too: they are anycast helpers of the
//! network, often answered by the nearest router, never a subscriber.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{Ipv4Net, Ipv6Net};

/// An answer to "may this be dialled?". The text leaves the address out: for a
/// name, a partner must not learn what our resolver says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenAddress {
    /// Inside a range that is not for subscribers.
    #[error("the address is {purpose}; use a public one, or have the operator allow it")]
    Special {
        /// The address, in canonical form.
        address: IpAddr,
        /// What the range is for.
        purpose: &'static str,
    },
    /// A name resolved to nothing.
    #[error("the host has no address")]
    NoAddress,
}

/// Why an address may not be dialled, in a few words; `None` if it may.
/// Expects the canonical form: an IPv4-mapped address is IPv6 to it.
pub(super) fn forbidden_purpose(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            FORBIDDEN_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, purpose)| *purpose)
        }
        // Everything outside is loopback, private, link-local, multicast, a way
        // to carry IPv4 (`::/96`, `64:ff9b::/96`) or not given out at all.
        IpAddr::V6(address) if !GLOBAL_UNICAST_V6.contains(&address) => Some("outside the public IPv6 internet"),
        IpAddr::V6(address) => {
            FORBIDDEN_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, purpose)| *purpose)
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const FORBIDDEN_V4: [(Ipv4Net, &str); 20] = [
    (v4(0, 0, 0, 0, 8), "this host itself"),
    (v4(10, 0, 0, 0, 8), "a private network"),
    (v4(100, 64, 0, 0, 10), "shared by a provider's customers"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    // The metadata service of most clouds is in here.
    (v4(169, 254, 0, 0, 16), "link-local"),
    // Not in any registry: inside Azure this one answers for the platform.
    (v4(168, 63, 129, 16, 32), "a cloud platform's own service"),
    (v4(172, 16, 0, 0, 12), "a private network"),
    (v4(192, 0, 0, 0, 24), "kept for protocols"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 31, 196, 0, 24), "an anycast name service"),
    (v4(192, 52, 193, 0, 24), "a multicast relay"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
    (v4(192, 168, 0, 0, 16), "a private network"),
    (v4(192, 175, 48, 0, 24), "an anycast name service"),
    (v4(198, 18, 0, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// All that has been given out for hosts of the public internet so far.
const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

const FORBIDDEN_V6: [(Ipv6Net, &str); 5] = [
    // Teredo, which carries an IPv4 address, benchmarks, ORCHID and others.
    (v6(0x2001, 0, 0, 23), "kept for protocols"),
    (v6(0x2001, 0xdb8, 0, 32), "for documentation"),
    (v6(0x2002, 0, 0, 16), "6to4, which carries an IPv4 address"),
    (v6(0x2620, 0x4f, 0x8000, 48), "an anycast name service"),
    (v6(0x3fff, 0, 0, 20), "for documentation"),
];

/// Ports that no webhook is served on, unless an operator says otherwise. The
/// addresses above keep requests out of inner networks; this keeps a partner
/// from having us knock at other services of the public internet, some of
/// which obey whatever bytes arrive. Below 1024 only the web's own two remain;
/// above it are those that attackers look for, and not the many that people
/// serve HTTP on (3000, 5000, 8000, 8080, 8443, 9000 and so on).
pub const USUALLY_DENIED_PORTS: [RangeInclusive<u16>; 31] = [
    1..=79,
    81..=442,
    444..=1_023,
    // Databases: SQL Server, Oracle, MySQL, PostgreSQL, CouchDB, MongoDB.
    1_433..=1_434,
    1_521..=1_521,
    3_306..=3_306,
    33_060..=33_060,
    5_432..=5_433,
    5_984..=5_984,
    27_017..=27_019,
    // Caches and stores: Cassandra, Redis with its cluster bus and sentinel, Elasticsearch, memcached.
    9_042..=9_042,
    6_379..=6_380,
    16_379..=16_379,
    26_379..=26_379,
    9_200..=9_200,
    9_300..=9_300,
    11_211..=11_211,
    // Brokers: MQTT, AMQP with and without TLS, Kafka, NATS, ZooKeeper.
    1_883..=1_883,
    5_671..=5_672,
    9_092..=9_094,
    4_222..=4_222,
    2_181..=2_181,
    // What runs machines: Docker, etcd, the kubelet, Consul, Salt.
    2_375..=2_377,
    2_379..=2_380,
    10_250..=10_256,
    8_500..=8_502,
    4_505..=4_506,
    // Files, desktops, telephones and chat: NFS, RDP, VNC with X11, SIP, IRC.
    2_049..=2_049,
    3_389..=3_389,
    5_060..=5_061,
    6_665..=6_669,
];

#[cfg(test)]
pub(super) mod tests {
    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::*;

    const FORBIDDEN: [&str; 34] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/8",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
        "4000::/2",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ];

    #[test]
    fn ranges_are_forbidden_to_their_edges() {
        for network in FORBIDDEN.map(|network| network.parse::<IpNet>().unwrap()) {
            for edge in [network.network(), network.broadcast()] {
                assert!(forbidden_purpose(edge).is_some(), "{edge} of {network}");
            }
        }
    }

    #[test]
    fn neighbours_of_the_ranges_are_public() {
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2620:4f:8001::",
            "3ffe:ffff::",
            "3fff:1000::",
            "3fff:ffff::",
        ] {
            assert_eq!(forbidden_purpose(public.parse().unwrap()), None, "{public}");
        }
    }

    /// Addresses inside the forbidden IPv4 ranges, as the test above lists them.
    pub(in crate::policy) fn forbidden_v4() -> impl Strategy<Value = Ipv4Addr> {
        let networks: Vec<Ipv4Net> = FORBIDDEN.iter().filter_map(|network| network.parse().ok()).collect();
        (prop::sample::select(networks), any::<u32>()).prop_map(|(network, bits)| {
            Ipv4Addr::from(u32::from(network.network()) | (bits & u32::from(network.hostmask())))
        })
    }

    proptest! {
        #[test]
        fn what_the_standard_library_calls_special_is_forbidden(v4 in any::<Ipv4Addr>(), v6 in any::<Ipv6Addr>()) {
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || forbidden_purpose(v4.into()).is_some());
            let special = v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local()
                || v6.is_unique_local() || v6.is_unspecified();
            prop_assert!(!special || forbidden_purpose(v6.into()).is_some());
        }
    }
}
