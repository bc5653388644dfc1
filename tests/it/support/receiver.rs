//! A subscriber for tests without a runtime of their own: the receiver of
//! `posthaste listen` on a thread, and a check of signatures that is not ours.

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use actix_rt::System;
use posthaste::cli::receiver::{Behaviour, Received, Receiver};
use posthaste::clock::Clock;
use standardwebhooks::Webhook;

/// What takes longer to arrive has not been sent.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Subscriber {
    receiver: Receiver,
    system: System,
    received: mpsc::Receiver<Received>,
}

impl Subscriber {
    /// Answers 200.
    pub fn start() -> Self {
        Self::behaving(Behaviour::default())
    }

    /// Fails the first `count` requests with 503.
    pub fn failing(count: u64) -> Self {
        Self::behaving(Behaviour { fail_next: count, ..Behaviour::default() })
    }

    pub fn behaving(behaviour: Behaviour) -> Self {
        let (started, start) = mpsc::channel();
        let (forward, received) = mpsc::channel();
        std::thread::spawn(move || {
            let system = System::new();
            system.block_on(async {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                let (reports, mut reported) = tokio::sync::mpsc::channel(1024);
                let receiver = Receiver::start(socket, behaviour, Vec::new(), Clock::system(), reports).unwrap();
                actix_rt::spawn(async move {
                    while let Some(request) = reported.recv().await {
                        let _ = forward.send(request);
                    }
                });
                started.send((receiver, System::current())).unwrap();
            });
            system.run().unwrap();
        });
        let (receiver, system) = start.recv().unwrap();
        Self { receiver, system, received }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.receiver.address())
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.receiver.behave(behaviour);
    }

    /// Fails every request from now on.
    pub fn fail(&self) {
        self.behave(Behaviour { fail_rate: 1.0, ..Behaviour::default() });
    }

    /// Answers 200 from now on.
    pub fn succeed(&self) {
        self.behave(Behaviour::default());
    }

    /// The next request, waiting for it.
    #[track_caller]
    pub fn next(&self) -> Received {
        self.received.recv_timeout(PATIENCE).expect("a request comes")
    }

    /// A request that has come already.
    pub fn already(&self) -> Option<Received> {
        self.received.try_recv().ok()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.system.stop();
    }
}

/// A header of a request, which is there once.
#[track_caller]
pub fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    let mut values = received.headers.iter().filter(|(known, _)| known == name);
    let (_, value) = values.next().unwrap_or_else(|| panic!("no `{name}` in {:?}", received.headers));
    assert!(values.next().is_none(), "`{name}` is there twice");
    value
}

/// Whether the Standard Webhooks project's own verifier takes the request.
pub fn verifies(received: &Received, secret: &str) -> bool {
    let webhook = Webhook::new(secret).unwrap();
    let mut headers = Default::default();
    // The verifier's header map is of a crate that is not among ours: this
    // first call, of which nothing is expected, is what gives it its type.
    assert!(webhook.verify(b"", &headers).is_err());
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, header(received, name).parse().unwrap());
    }
    webhook.verify(&received.body, &headers).is_ok()
}
