//! Listeners on addresses that policy forbids, which nobody may ever reach.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use posthaste::policy::address::AddressPolicy;

/// Whoever connects to one of these has gone past the policy.
pub struct Forbidden(Vec<TcpListener>);

impl Forbidden {
    /// On every kind of forbidden address that this machine has, on two ports each.
    pub fn everywhere() -> Self {
        let policy = AddressPolicy::new(Vec::new());
        let mut addresses: Vec<IpAddr> =
            ["127.0.0.1", "127.8.8.8", "::1"].map(|text| text.parse().expect("an address")).to_vec();
        // The machine's own, as the system would choose it to reach such a place;
        // nothing is sent.
        for (own, elsewhere) in
            [("0.0.0.0:0", "198.51.100.1:9"), ("[::]:0", "[2001:db8::1]:9"), ("[::]:0", "[fd00::1]:9")]
        {
            let found =
                UdpSocket::bind(own).and_then(|socket| socket.connect(elsewhere).and_then(|()| socket.local_addr()));
            addresses.extend(found.map(|found| found.ip()));
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.retain(|address| policy.check_address(*address).is_err());
        let twice = addresses.iter().chain(&addresses);
        // A machine without IPv6 has nothing to protect there.
        Self(twice.filter_map(|address| TcpListener::bind((*address, 0)).ok()).inspect(never_waits).collect())
    }

    /// On these addresses of one port.
    pub fn on(addresses: &[&str], port: u16) -> Self {
        let listen = |address: &&str| TcpListener::bind((address.parse::<IpAddr>().expect("an address"), port)).ok();
        Self(addresses.iter().filter_map(listen).inspect(never_waits).collect())
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
    }

    /// Nobody has connected so far.
    #[track_caller]
    pub fn saw_nobody(&self) {
        assert!(!self.0.is_empty(), "there is nothing to look at");
        for listener in &self.0 {
            let accepted = listener.accept();
            assert!(
                accepted.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
                "{accepted:?} at {:?}",
                listener.local_addr()
            );
        }
    }
}

fn never_waits(listener: &TcpListener) {
    listener.set_nonblocking(true).expect("a listener can be asked without waiting");
}
