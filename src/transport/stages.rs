//! How far an attempt has come, and how long each stage of it took. Pure: whoever
//! reaches a stage says when. A connection that was there already has no stages but
//! the last.

use std::net::SocketAddr;

use crate::domain::{ConnectionUse, Exchange, Monotonic, Timing};

/// What has been reached so far, and when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stages {
    /// A connection was asked for, because none was there.
    opening: Option<Opening>,
    /// The TLS handshake was over, and the request went out.
    sending_at: Option<Monotonic>,
    /// The other end.
    address: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy)]
struct Opening {
    begun_at: Monotonic,
    /// The host is a name, and has to be looked up.
    has_name: bool,
    /// Its addresses were known, and may be dialled.
    dialling_at: Option<Monotonic>,
    connected_at: Option<Monotonic>,
}

impl Stages {
    /// A new connection is being made: what an earlier one had to say counts no more.
    pub(super) fn open(&mut self, now: Monotonic, has_name: bool) {
        let opening = Opening { begun_at: now, has_name, dialling_at: None, connected_at: None };
        *self = Self { opening: Some(opening), ..Self::default() };
    }

    /// This address is dialled.
    pub(super) fn dial(&mut self, now: Monotonic, address: SocketAddr) {
        self.address = Some(address);
        if let Some(opening) = &mut self.opening {
            opening.dialling_at.get_or_insert(now);
        }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self, now: Monotonic) {
        if let Some(opening) = &mut self.opening {
            opening.connected_at = Some(now);
        }
    }

    /// Bytes go over the connection to this address.
    pub(super) fn touch(&mut self, address: SocketAddr) {
        self.address = Some(address);
    }

    /// The request goes out over a connection that is ready for it.
    pub(super) fn send(&mut self, now: Monotonic) {
        self.sending_at.get_or_insert(now);
    }

    /// What there is to say at the end, which is the answer's head or whatever came in
    /// its place. With TLS between connecting and sending, if `is_secured`.
    pub(super) fn exchange(&self, started: Monotonic, ended: Monotonic, is_secured: bool) -> Exchange {
        let took = |from: Monotonic, to: Option<Monotonic>| {
            Some(u32::try_from(to.unwrap_or(ended).since(from).as_millis()).unwrap_or(u32::MAX))
        };
        let mut timing = Timing::default();
        let connection = match self.opening {
            None => {
                timing.first_byte_ms = self.address.and_then(|_| took(started, None));
                self.address.map(|_| ConnectionUse::Reused)
            }
            Some(opening) => {
                timing.dns_ms = took(opening.begun_at, opening.dialling_at).filter(|_| opening.has_name);
                timing.connect_ms = opening.dialling_at.and_then(|from| took(from, opening.connected_at));
                let ready_at = if is_secured { self.sending_at } else { opening.connected_at };
                timing.tls_ms = opening.connected_at.filter(|_| is_secured).and_then(|from| took(from, ready_at));
                timing.first_byte_ms = ready_at.and_then(|from| took(from, None));
                opening.connected_at.map(|_| ConnectionUse::New)
            }
        };
        Exchange { connection, address: self.address, timing, ..Exchange::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    fn address() -> SocketAddr {
        "192.0.2.1:443".parse().expect("an address")
    }

    /// An attempt that began at 5 and got through so many of: dialling at 10,
    /// connected at 30, sending at 70.
    fn through(stages: usize, has_name: bool) -> Stages {
        let mut reached = Stages::default();
        reached.open(at(5), has_name);
        if stages > 0 {
            reached.dial(at(10), address());
        }
        if stages > 1 {
            reached.connected(at(30));
        }
        if stages > 2 {
            reached.send(at(70));
        }
        reached
    }

    #[test]
    fn a_stage_lasts_until_the_next_and_the_last_until_the_end() {
        let check = |stages, is_secured, expected: [Option<u32>; 4], connection| {
            let exchange = through(stages, true).exchange(at(5), at(100), is_secured);
            let Timing { dns_ms, connect_ms, tls_ms, first_byte_ms } = exchange.timing;
            assert_eq!([dns_ms, connect_ms, tls_ms, first_byte_ms], expected, "{stages} {is_secured}");
            assert_eq!(exchange.connection, connection, "{stages} {is_secured}");
        };
        check(0, true, [Some(95), None, None, None], None);
        check(1, true, [Some(5), Some(90), None, None], None);
        check(2, true, [Some(5), Some(20), Some(70), None], Some(ConnectionUse::New));
        check(3, true, [Some(5), Some(20), Some(40), Some(30)], Some(ConnectionUse::New));
        check(2, false, [Some(5), Some(20), None, Some(70)], Some(ConnectionUse::New));
        let literal = through(3, false).exchange(at(5), at(100), true);
        assert_eq!(literal.timing.dns_ms, None, "an address is not looked up");
    }

    #[test]
    fn a_connection_that_was_there_has_only_its_answer() {
        let mut stages = Stages::default();
        assert_eq!(stages.exchange(at(1), at(9), true), Exchange::default(), "nothing was sent");
        stages.touch(address());
        stages.send(at(2));
        let exchange = stages.exchange(at(1), at(9), true);
        assert_eq!((exchange.connection, exchange.address), (Some(ConnectionUse::Reused), Some(address())));
        assert_eq!(exchange.timing, Timing { first_byte_ms: Some(8), ..Timing::default() });
    }

    #[test]
    fn the_connection_that_was_found_dead_is_forgotten_with_the_next() {
        let mut stages = Stages::default();
        stages.touch(address());
        stages.open(at(3), false);
        assert_eq!(stages.exchange(at(1), at(9), false), Exchange::default());
    }

    proptest! {
        #[test]
        fn the_stages_are_never_longer_than_the_whole(
            times in prop::collection::vec(0..1_000_000_u64, 5), reached in 0..4_usize, secured: bool, named: bool,
        ) {
            let mut micros: Vec<u64> = times;
            micros.sort_unstable();
            let times: Vec<Monotonic> =
                micros.iter().map(|micros| Monotonic::from_start(Duration::from_micros(*micros))).collect();
            let mut stages = Stages::default();
            stages.open(times[0], named);
            if reached > 0 { stages.dial(times[1], address()); }
            if reached > 1 { stages.connected(times[2]); }
            if reached > 2 { stages.send(times[3]); }
            let Timing { dns_ms, connect_ms, tls_ms, first_byte_ms } = stages.exchange(times[0], times[4], secured).timing;
            let sum: u32 = [dns_ms, connect_ms, tls_ms, first_byte_ms].into_iter().flatten().sum();
            prop_assert!(u128::from(sum) <= times[4].since(times[0]).as_millis());
        }
    }
}
