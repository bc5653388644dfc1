//! Transport: attempts over loopback to receivers that misbehave on purpose.

mod addresses;
mod answers;
mod connections;
mod exchanges;
mod identities;
mod proxy;
pub mod receiver;
pub mod tls;

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, BoxFuture, FutureExt};
use posthaste::clock::Clock;
use posthaste::domain::{ErrorClass, Outcome};
use posthaste::transport::{
    AddressGuard, HttpTransportFactory, Request, Resolve, TlsClient, Transport, TransportFactory, TransportOptions,
};

/// Waits for something that must happen, so that a test fails and never hangs.
pub async fn within<F: Future>(happening: F) -> F::Output {
    actix_rt::time::timeout(Duration::from_secs(20), happening).await.expect("it happens within 20 s")
}

/// Everything a transport is made of, to be changed before it is opened.
pub struct World {
    pub options: TransportOptions,
    pub guard: Arc<Guard>,
    pub names: Arc<Names>,
    pub tls: TlsClient,
    pub clock: Clock,
}

impl World {
    /// Nothing is forbidden, no name is known, https has no roots.
    pub fn new() -> Self {
        Self {
            options: TransportOptions::default(),
            guard: Arc::default(),
            names: Arc::default(),
            tls: TlsClient::unavailable("no roots in this test"),
            clock: Clock::system(),
        }
    }

    pub fn open(&self) -> Rc<dyn Transport> {
        let guard: Arc<dyn AddressGuard> = self.guard.clone();
        let names: Arc<dyn Resolve> = self.names.clone();
        HttpTransportFactory::new(self.options.clone(), guard, names, self.tls.clone(), self.clock.clone()).open()
    }
}

/// A transport that may go anywhere.
pub fn open() -> Rc<dyn Transport> {
    World::new().open()
}

/// Denies the addresses it was told to deny, and remembers what it was asked.
#[derive(Default)]
pub struct Guard {
    pub denied: Vec<IpAddr>,
    /// How often it is asked before it denies everything.
    pub patience: Option<usize>,
    pub asked: Mutex<Vec<IpAddr>>,
}

impl Guard {
    pub fn denying(addresses: &[&str]) -> Arc<Self> {
        Arc::new(Self { denied: addresses.iter().map(|text| address(text)).collect(), ..Self::default() })
    }
}

impl AddressGuard for Guard {
    fn check(&self, address: IpAddr) -> Result<(), String> {
        let mut asked = self.asked.lock().expect("no test panics here");
        asked.push(address);
        if self.denied.contains(&address) || self.patience.is_some_and(|patience| asked.len() > patience) {
            Err(format!("{address} is off limits"))
        } else {
            Ok(())
        }
    }
}

/// Names and the answers they give in turn, the last one for good.
#[derive(Default)]
pub struct Names(pub HashMap<&'static str, Mutex<Vec<Answer>>>);

#[derive(Clone)]
pub enum Answer {
    Addresses(Vec<IpAddr>),
    Failure(&'static str),
    Silence,
}

impl Names {
    pub fn of(names: impl IntoIterator<Item = (&'static str, Vec<Answer>)>) -> Arc<Self> {
        Arc::new(Self(names.into_iter().map(|(name, answers)| (name, Mutex::new(answers))).collect()))
    }
}

impl Resolve for Names {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let mut answers = self.0.get(&*host).expect("only known names are asked for").lock().expect("no panics here");
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        match answer {
            Answer::Addresses(addresses) => future::ready(Ok(addresses)).boxed(),
            Answer::Failure(sentence) => future::ready(Err(sentence.to_owned())).boxed(),
            Answer::Silence => future::pending().boxed(),
        }
    }
}

pub fn address(text: &str) -> IpAddr {
    text.parse().expect("a test's own address")
}

pub fn addresses(texts: &[&str]) -> Answer {
    Answer::Addresses(texts.iter().map(|text| address(text)).collect())
}

/// A request with the default timeout of an endpoint.
pub fn request(url: impl Into<Arc<str>>) -> Request {
    Request {
        url: url.into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::from_static(b"{\"event\":\"campaign.updated\"}"),
        timeout: Duration::from_secs(15),
        certificate: None,
    }
}

/// What came of an attempt, without what it looked like on the wire.
pub fn bare(outcome: Outcome) -> Outcome {
    Outcome { exchange: None, ..outcome }
}

/// Asserts a failure without an answer, and hands out its sentence.
#[track_caller]
pub fn failed(outcome: &Outcome, class: ErrorClass) -> &str {
    let error = outcome.error.as_ref().expect("the attempt fails");
    assert_eq!((outcome.status_code, error.class), (None, class), "{}", error.message);
    &error.message
}
