//! How many requests who may send to this node: each key, each partner, and whoever
//! tries keys. Decides it in memory, which is bounded; what is beyond a rate is
//! refused before anything is done for it. Nothing of it outlives the process, and
//! other nodes count for themselves.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use actix_web::HttpRequest;

use crate::auth::Principal;
use crate::clock::Clock;
use crate::domain::{Environment, Monotonic, PartnerName, Role};
use crate::metrics::Metrics;
use crate::policy::allowance::{Rate, Used};
use crate::routes::problem::Problem;

/// Of so many somebodies it is remembered what they have used; a few MiB for each
/// rate. More than these at once share one allowance.
const REMEMBERED: usize = 65_536;
/// Keys of which it is remembered that they have opened something.
const KNOWN_KEYS: usize = 100_000;

/// The rates, each with its option's name; `None` is no limit.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    /// Requests with one key of a partner's.
    pub key: Option<Rate>,
    /// Requests with all keys of a partner's in an environment.
    pub partner: Option<Rate>,
    /// Requests with one producer's key.
    pub producer: Option<Rate>,
    /// Keys that open nothing, from one address.
    pub failed_authentications: Option<Rate>,
    /// Tests of a partner's endpoints in an environment.
    pub tests: Option<Rate>,
}

/// See the module.
pub struct Rates {
    keys: Option<Allowances>,
    partners: Option<Allowances>,
    producers: Option<Allowances>,
    failures: Option<Allowances>,
    tests: Option<Allowances>,
    /// Keys that have opened something since this node was started, by a hash that
    /// nobody outside can compute. They are looked up whatever others at their address do.
    known: RwLock<HashSet<u64>>,
    hasher: RandomState,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Rates {
    /// Nobody has used anything.
    pub fn new(limits: &RateLimits, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let of = |name, rate: Option<Rate>| rate.map(|rate| Allowances::new(name, rate, REMEMBERED));
        Self {
            keys: of("key_requests_per_second", limits.key),
            partners: of("partner_requests_per_second", limits.partner),
            producers: of("producer_requests_per_second", limits.producer),
            failures: of("failed_authentications_per_minute", limits.failed_authentications),
            tests: of("tests_per_minute", limits.tests),
            known: RwLock::default(),
            hasher: RandomState::new(),
            clock,
            metrics,
        }
    }

    /// Whether a key may be looked up for whoever sends it. One that has opened
    /// something always may, so that nobody who shares an address with somebody is
    /// shut out by their guesses.
    pub fn may_try(&self, request: &HttpRequest, key: &str) -> Result<(), Problem> {
        let (Some(failures), Some(from)) = (&self.failures, network(request)) else { return Ok(()) };
        let looked = failures.look(self.hasher.hash_one(from), self.now());
        match looked {
            Err(_) if self.known.read().expect(UNPOISONED).contains(&self.hasher.hash_one(key)) => Ok(()),
            looked => self.answer(failures, looked),
        }
    }

    /// A key opened nothing.
    pub fn failed(&self, request: &HttpRequest, key: &str) {
        let (Some(failures), Some(from)) = (&self.failures, network(request)) else { return };
        // Beyond the rate there is nothing more to use.
        let _ = failures.take(self.hasher.hash_one(from), self.now());
        let key = self.hasher.hash_one(key);
        if self.known.read().expect(UNPOISONED).contains(&key) {
            self.known.write().expect(UNPOISONED).remove(&key);
        }
    }

    /// Whether whoever was recognised by a key may send one more request.
    pub fn may_ask(&self, principal: &Principal, key: &str) -> Result<(), Problem> {
        if self.failures.is_some() {
            self.remember(self.hasher.hash_one(key));
        }
        match principal.role {
            Role::Partner => {
                self.take(self.keys.as_ref(), key)?;
                self.take(self.partners.as_ref(), (principal.environment, &principal.partner))
            }
            Role::Producer => self.take(self.producers.as_ref(), key),
            Role::Operator => Ok(()),
        }
    }

    /// Whether one more test may be sent to an endpoint of a partner's.
    pub fn may_test(&self, environment: Environment, partner: Option<&PartnerName>) -> Result<(), Problem> {
        self.take(self.tests.as_ref(), (environment, partner))
    }

    fn take(&self, allowances: Option<&Allowances>, whose: impl Hash) -> Result<(), Problem> {
        let Some(allowances) = allowances else { return Ok(()) };
        self.answer(allowances, allowances.take(self.hasher.hash_one(whose), self.now()))
    }

    fn answer(&self, allowances: &Allowances, used: Result<(), std::time::Duration>) -> Result<(), Problem> {
        used.map_err(|wait| {
            self.metrics.count_limited(allowances.name);
            Problem::rate_limited(allowances.name, allowances.rate, wait)
        })
    }

    fn remember(&self, key: u64) {
        if self.known.read().expect(UNPOISONED).contains(&key) {
            return;
        }
        let mut known = self.known.write().expect(UNPOISONED);
        if known.len() >= KNOWN_KEYS {
            known.clear();
        }
        known.insert(key);
    }

    fn now(&self) -> Monotonic {
        self.clock.now().monotonic
    }
}

const UNPOISONED: &str = "no holder of this lock can panic";

/// Where a request comes from: its address, or, since one client easily has 2^64 of
/// them, the network of an IPv6 address.
fn network(request: &HttpRequest) -> Option<[u8; 8]> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => u64::from(u32::from(address)).to_be_bytes(),
        IpAddr::V6(address) => (u128::from(address) >> 64).to_be_bytes()[8..].try_into().expect("half of 16 are 8"),
    };
    request.peer_addr().map(|peer| octets(peer.ip().to_canonical()))
}

/// What everybody has used of one rate.
struct Allowances {
    name: &'static str,
    rate: Rate,
    most: usize,
    book: Mutex<Book>,
}

struct Book {
    used: HashMap<u64, Used>,
    /// What those have used together who found no place in it.
    others: Used,
    /// When those who had everything back were last crossed out.
    swept_at: Option<Monotonic>,
}

impl Allowances {
    fn new(name: &'static str, rate: Rate, most: usize) -> Self {
        let book = Book { used: HashMap::new(), others: Used::nothing(), swept_at: None };
        Self { name, rate, most, book: Mutex::new(book) }
    }

    fn take(&self, whose: u64, now: Monotonic) -> Result<(), std::time::Duration> {
        let mut book = self.book();
        if let Some(used) = book.used.get_mut(&whose) {
            return used.take(self.rate, now);
        }
        if book.used.len() >= self.most {
            self.sweep(&mut book, now);
        }
        if book.used.len() >= self.most {
            return book.others.take(self.rate, now);
        }
        let mut used = Used::nothing();
        let taken = used.take(self.rate, now);
        book.used.insert(whose, used);
        taken
    }

    fn look(&self, whose: u64, now: Monotonic) -> Result<(), std::time::Duration> {
        let book = self.book();
        match book.used.get(&whose) {
            Some(used) => used.look(self.rate, now),
            None if book.used.len() >= self.most => book.others.look(self.rate, now),
            None => Ok(()),
        }
    }

    /// Crosses out who has everything back. It takes a while, and is worth it only
    /// after a time in which that comes about.
    fn sweep(&self, book: &mut Book, now: Monotonic) {
        if book.swept_at.is_none_or(|swept_at| now.since(swept_at) >= self.rate.whole() / 4) {
            book.used.retain(|_, used| !used.is_nothing(now));
            book.swept_at = Some(now);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect(UNPOISONED)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::test::TestRequest;

    use crate::domain::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn memory_is_bounded_and_who_is_in_it_keeps_what_they_have() {
        let rate = Rate::per_minute(2).expect("more than none");
        let allowances = Allowances::new("x", rate, 3);
        for whose in 0..3 {
            allowances.take(whose, at(0)).expect("one is used");
        }
        // Those who find no place have one allowance together.
        assert!(allowances.take(10, at(1)).is_ok() && allowances.take(11, at(1)).is_ok());
        assert!(allowances.take(12, at(1)).is_err() && allowances.look(13, at(1)).is_err());
        assert!(allowances.take(0, at(1)).is_ok(), "this one has a place");
        assert_eq!(allowances.book().used.len(), 3);
        // A while later two of them have everything back, and are crossed out.
        assert!(allowances.take(13, at(40)).is_ok());
        assert_eq!(allowances.book().used.len(), 2);
    }

    fn from(address: &str) -> HttpRequest {
        TestRequest::default().peer_addr(address.parse().expect("an address")).to_http_request()
    }

    fn rates(limits: &RateLimits) -> (Rates, Clock) {
        let clock = Clock::manual(Timestamp::from_millis(0));
        (Rates::new(limits, clock.clone(), Arc::default()), clock)
    }

    #[test]
    fn guesses_shut_out_their_address_but_no_key_that_was_good() {
        let limits = RateLimits { failed_authentications: Rate::per_minute(2), ..RateLimits::default() };
        let (rates, clock) = rates(&limits);
        let principal = Principal { role: Role::Operator, environment: None, partner: None, key: None };
        rates.may_ask(&principal, "good").expect("there is no limit for it");
        for guess in ["a", "b"] {
            rates.may_try(&from("192.0.2.1:5"), guess).expect("the rate allows it");
            rates.failed(&from("192.0.2.1:5"), guess);
        }
        let refused = rates.may_try(&from("192.0.2.1:6"), "c").expect_err("one too many");
        assert!(refused.detail.contains("`failed_authentications_per_minute` is 2 a minute"), "{refused}");
        assert_eq!(refused.retry_after, Some(30));
        assert!(rates.may_try(&from("[::ffff:192.0.2.1]:6"), "c").is_err(), "the same address, written otherwise");
        assert!(rates.may_try(&from("192.0.2.2:6"), "c").is_ok(), "another address");
        assert!(rates.may_try(&from("192.0.2.1:6"), "good").is_ok());
        // Revoked, it is like any other.
        rates.failed(&from("192.0.2.1:6"), "good");
        assert!(rates.may_try(&from("192.0.2.1:6"), "good").is_err());
        clock.advance(Duration::from_secs(30));
        assert!(rates.may_try(&from("192.0.2.1:6"), "c").is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let limits = RateLimits { failed_authentications: Rate::per_minute(1), ..RateLimits::default() };
        let (rates, _) = rates(&limits);
        rates.failed(&from("[2001:db8:1:2::1]:5"), "a");
        assert!(rates.may_try(&from("[2001:db8:1:2:ffff::9]:5"), "b").is_err());
        assert!(rates.may_try(&from("[2001:db8:1:3::1]:5"), "b").is_ok());
    }

    #[test]
    fn each_role_has_its_own_limits() {
        let limits = RateLimits {
            key: Rate::per_second(1),
            partner: Rate::per_second(2),
            producer: Rate::per_second(1),
            ..RateLimits::default()
        };
        let (rates, clock) = rates(&limits);
        let partner = |name: &str| Principal {
            role: Role::Partner,
            environment: Some(Environment::Sandbox),
            partner: Some(name.parse().expect("a name")),
            key: None,
        };
        let refused = |answer: Result<(), Problem>| answer.expect_err("one too many").detail;
        for _ in 0..2 {
            rates.may_ask(&partner("acme"), "one").expect("the burst is twice the rate");
        }
        assert!(refused(rates.may_ask(&partner("acme"), "one")).contains("`key_requests_per_second` is 1 a second"));
        for _ in 0..2 {
            rates.may_ask(&partner("acme"), "two").expect("another key");
        }
        assert!(refused(rates.may_ask(&partner("acme"), "three")).contains("`partner_requests_per_second` is 2"));
        rates.may_ask(&partner("other"), "four").expect("another partner");
        let producer = Principal { role: Role::Producer, environment: None, partner: None, key: None };
        for _ in 0..2 {
            rates.may_ask(&producer, "five").expect("its burst");
        }
        assert!(refused(rates.may_ask(&producer, "five")).contains("`producer_requests_per_second`"));
        let operator = Principal { role: Role::Operator, environment: None, partner: None, key: None };
        for _ in 0..100 {
            rates.may_ask(&operator, "six").expect("operators have none");
        }
        clock.advance(Duration::from_secs(2));
        rates.may_ask(&partner("acme"), "one").expect("everything has come back");
    }
}
