//! The real binary as a child process, on a port and a store of its own, and
//! the partners and keys that a test needs on it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use serde_json::{Value, json};

use super::folder::Folder;
use super::http::Client;
use super::receiver::Subscriber;

pub const OPERATOR_KEY: &str = "the-operator-of-these-tests";
/// What takes longer than this to come true does not come true.
const PATIENCE: Duration = Duration::from_secs(20);
/// A retry after this long does not come while a test runs.
pub const LATER_MS: u64 = 3_600_000;
/// Between two looks at something that nobody announces.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// A running node. Dropping it kills it.
pub struct Node {
    process: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    /// The store, where it is not the test's own.
    _folder: Option<Folder>,
}

impl Node {
    /// Where it is, for a browser.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A node on a new store; `options` are variables without `POSTHASTE_`.
    pub fn start(options: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let mut node = Self::on(&folder, options);
        node._folder = Some(folder);
        node
    }

    /// A node on a store that outlives it.
    pub fn on(folder: &Folder, options: &[(&str, &str)]) -> Self {
        let mut command = command(folder);
        command.env("POSTHASTE_OPERATOR_KEY", OPERATOR_KEY);
        command.envs(options.iter().map(|(name, value)| (format!("POSTHASTE_{name}"), value)));
        Self::spawn(command)
    }

    /// A node as this command starts it.
    pub fn spawn(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (listens, listening) = mpsc::channel();
        let kept = Arc::clone(&log);
        // Reads to the end: a full pipe would stop the node.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, base)) = line.split_once("listens on ") {
                    let _ = listens.send(base.split_once("://").unwrap().1.parse().unwrap());
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        match listening.recv_timeout(PATIENCE) {
            Ok(address) => Self { process, address, log, _folder: None },
            Err(_) => {
                let _ = process.kill();
                panic!("the node does not listen: {:?}\n{}", process.wait(), log.lock().unwrap())
            }
        }
    }

    pub fn client(&self, key: &str) -> Client {
        Client { address: self.address, key: Some(key.to_owned()) }
    }

    pub fn nobody(&self) -> Client {
        Client { address: self.address, key: None }
    }

    pub fn operator(&self) -> Client {
        self.client(OPERATOR_KEY)
    }

    /// A new partner, with keys in one environment.
    pub fn tenant(&self, environment: &str) -> Tenant {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("partner-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.operator().post("/partners", json!({ "name": name }).to_string()).expect(201);
        self.tenant_named(&name, environment)
    }

    /// A partner that exists, with new keys in one environment.
    pub fn tenant_named(&self, name: &str, environment: &str) -> Tenant {
        let key = |role: &str| {
            let wanted = json!({ "role": role, "partner": name, "environment": environment });
            let made = self.operator().post("/keys", wanted.to_string()).expect(201);
            self.client(made["key"].as_str().unwrap())
        };
        Tenant { name: name.to_owned(), partner: key("partner"), producer: key("producer") }
    }

    /// Asks it to stop, as an operator's scripts do, and waits for its end.
    pub fn stop(self) -> ExitStatus {
        self.stop_by("-TERM")
    }

    /// The same by another signal.
    pub fn stop_by(mut self, signal: &str) -> ExitStatus {
        assert!(Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success());
        eventually("the node ends", || self.process.try_wait().unwrap())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The memory that it takes.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the node said:\n{}", self.log());
        }
    }
}

/// The binary with a store in this folder and nothing of our own environment.
pub fn command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posthaste"));
    command.current_dir(folder.path()).env_clear();
    command.envs([("POSTHASTE_LISTEN", "127.0.0.1:0"), ("POSTHASTE_ALLOW_ADDRESSES", "127.0.0.0/8")]);
    // Tests use keys that open nothing on purpose, and all come from one address.
    command.env("POSTHASTE_FAILED_AUTHENTICATIONS_PER_MINUTE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A node that the tests of one file share as long as any of them runs.
pub struct SharedNode {
    node: Mutex<Weak<Node>>,
    options: &'static [(&'static str, &'static str)],
}

impl SharedNode {
    pub const fn new() -> Self {
        Self::with(&[])
    }

    /// One with options, as [`Node::start`] takes them.
    pub const fn with(options: &'static [(&'static str, &'static str)]) -> Self {
        Self { node: Mutex::new(Weak::new()), options }
    }

    /// The node, for as long as the test keeps what this gives.
    pub fn get(&self) -> Arc<Node> {
        // A test that failed while it started the node left nothing half done.
        let mut shared = self.node.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(node) = shared.upgrade() {
            return node;
        }
        let node = Arc::new(Node::start(self.options));
        *shared = Arc::downgrade(&node);
        node
    }
}

/// A partner in one environment, by its keys there.
pub struct Tenant {
    pub name: String,
    pub partner: Client,
    pub producer: Client,
}

/// Where a webhook is shown.
pub fn webhook_path(made: &Value) -> String {
    format!("/webhook/{}", made["id"].as_str().unwrap())
}

/// A time that is shown.
#[track_caller]
pub fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("{value} is no time")).parse().expect("an RFC 3339 time")
}

/// The id of what an answer shows.
#[track_caller]
pub fn id(shown: &Value) -> &str {
    shown["id"].as_str().unwrap()
}

impl Tenant {
    /// The partner's key.
    pub fn key(&self) -> &str {
        self.partner.key.as_deref().unwrap()
    }

    /// Registers a webhook and answers with all that is shown of it.
    #[track_caller]
    pub fn webhook(&self, settings: &Value) -> Value {
        self.partner.post("/webhook", settings.to_string()).expect(201)
    }

    /// Posts an event and answers with the 202's body.
    #[track_caller]
    pub fn event(&self, body: impl AsRef<[u8]>) -> Value {
        self.producer.post("/events", body).expect(202)
    }

    /// A webhook with a delivery that failed once and is not due again while a test runs;
    /// by now its receiver takes everything. Answers with the webhook, the event's 202
    /// and the delivery.
    #[track_caller]
    pub fn with_a_retry_far_off(&self, subscriber: &Subscriber) -> (Value, Value, Value) {
        let made = self.webhook(&json!({
            "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [LATER_MS] },
        }));
        subscriber.fail();
        let accepted = self.event(campaign("campaign.created", "was retrying"));
        let waiting = self.settled(&accepted, "retrying");
        subscriber.next();
        subscriber.succeed();
        (made, accepted, waiting)
    }

    /// What is shown of a webhook's health.
    #[track_caller]
    pub fn health(&self, made: &Value) -> Value {
        self.partner.get(&webhook_path(made)).expect(200)["health"].clone()
    }

    /// The one delivery of an event, with its attempts.
    #[track_caller]
    pub fn delivery_of(&self, accepted: &Value) -> Value {
        let event = accepted["id"].as_str().unwrap();
        let found = self.partner.get(&format!("/deliveries?event={event}")).expect(200);
        let [only] = found["data"].as_array().unwrap().as_slice() else { panic!("not one delivery: {found}") };
        self.delivery(only["id"].as_str().unwrap())
    }

    #[track_caller]
    pub fn delivery(&self, id: &str) -> Value {
        let delivery = self.partner.get(&format!("/deliveries/{id}")).expect(200);
        let attempts = delivery["attempts"].as_array().unwrap();
        assert_eq!(delivery["attempt_count"], attempts.len(), "what is counted is shown: {delivery}");
        delivery
    }

    /// Waits until the one delivery of an event has this status.
    #[track_caller]
    pub fn settled(&self, accepted: &Value, status: &str) -> Value {
        eventually(&format!("the delivery of {accepted} is {status}"), || {
            Some(self.delivery_of(accepted)).filter(|delivery| delivery["status"] == status)
        })
    }
}

/// Looks until there is something to see. For what is announced to nobody
/// outside the node, such as that an outcome is now on record.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let begun = clock.now().monotonic;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock.now().monotonic.since(begun) < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A campaign event that the shipped catalog takes.
pub fn campaign(event: &str, id: &str) -> String {
    json!({ "event": event, "provider": "facebook", "type": "link_clicks", "id": id, "status": "ACTIVE" }).to_string()
}
