//! Receivers in the test's own process that keep all that reaches them.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;

use posthaste::cli::receiver::{Behaviour, Received, Receiver, Verdict};
use posthaste::clock::Clock;
use posthaste::policy::signature::SigningSecret;
use tokio::sync::mpsc;

use super::within;

/// What every endpoint here signs with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Requests that may wait to be noted down; more wait for their answers.
const UNREAD: usize = 1_024;

/// Where a subscriber asks itself how far it has read.
const CAUGHT_UP: &str = "/caught-up";

/// A receiver, and everything that it was sent.
pub struct Subscriber {
    receiver: Receiver,
    received: Rc<RefCell<Vec<Received>>>,
}

impl Subscriber {
    pub fn start(behaviour: Behaviour) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let secret = SigningSecret::parse(SECRET).expect("it is one");
        let (reports, mut reported) = mpsc::channel(UNREAD);
        let receiver = Receiver::start(socket, behaviour, vec![secret.into()], Clock::system(), reports)
            .expect("a bound socket can be served");
        let received = Rc::default();
        let noted: Rc<RefCell<Vec<Received>>> = Rc::clone(&received);
        actix_rt::spawn(async move {
            while let Some(report) = reported.recv().await {
                if report.path != CAUGHT_UP {
                    noted.borrow_mut().push(report);
                }
            }
        });
        Self { receiver, received }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.receiver.address())
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.receiver.behave(behaviour);
    }

    /// Waits until all has been read that reached its sockets before: it has
    /// one thread, and takes what is there in turn.
    pub async fn catch_up(&self) {
        let url = format!("http://{}{CAUGHT_UP}", self.receiver.address());
        within("a subscriber answers itself", awc::Client::default().post(url).send()).await.expect("it listens");
    }

    /// All that came so far, in order. Every signature fits (I7), or this
    /// fails.
    pub fn received(&self) -> Vec<Received> {
        let received = self.received.borrow().clone();
        for report in &received {
            assert_eq!(report.verdict, Verdict::Verified, "{report:?}");
        }
        received
    }
}
