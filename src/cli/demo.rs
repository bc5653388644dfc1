//! `posthaste demo`: the whole promise in a minute. A node, two receivers, one
//! of which fails at first, events of both shipped catalogs, a `kill -9` in
//! the middle. It narrates, checks itself, and fails if anything is not as
//! promised.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use actix_web::http::StatusCode;
use awc::Client;
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::auth::ApiKey;
use crate::catalog::{self, TypeDefinition};
use crate::cli::receiver::{Behaviour, Received, Receiver, Verdict};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::policy::signature::{MIN_KEY_BYTES, SigningSecret};

/// How long anything may take before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a node that is starting.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The waits of the endpoint that fails at first: the first one is long enough
/// for the node to be killed and started in between.
const SCHEDULE_MS: [u64; 3] = [3_000, 500, 500];
/// How often the second receiver fails before it recovers.
const FAILURES: u64 = 2;

/// What `demo` is told.
#[derive(Args)]
pub struct DemoArgs {
    /// Keep the store and the node's log in this directory instead of a
    /// temporary one.
    #[arg(long)]
    directory: Option<PathBuf>,
}

/// Runs the demo. An error is a promise that was not kept.
pub fn run(arguments: DemoArgs) -> Result<(), Box<dyn Error>> {
    actix_rt::System::new().block_on(async move {
        let is_temporary = arguments.directory.is_none();
        let directory = arguments
            .directory
            .unwrap_or_else(|| std::env::temp_dir().join(format!("posthaste-demo-{}", std::process::id())));
        std::fs::create_dir_all(&directory)?;
        let told = tell(&directory).await;
        if is_temporary {
            std::fs::remove_dir_all(&directory)?;
        }
        told
    })
}

async fn tell(directory: &Path) -> Result<(), Box<dyn Error>> {
    let clock = Clock::system();
    let mut checks = Checks::default();

    step("Two receivers start on this machine. The second one will answer 503 to its first two requests.");
    let secret = new_secret()?;
    let (good, mut at_good) = receiver(Behaviour::default(), &secret, &clock)?;
    let failing = Behaviour { fail_next: FAILURES, ..Behaviour::default() };
    let (flaky, mut at_flaky) = receiver(failing, &secret, &clock)?;

    step("A node starts, with an empty store and the two shipped catalogs.");
    let node = Node::new(directory)?;
    let mut process = node.start().await?;
    say(&format!("it listens on {}", node.base));

    step("A partner registers two endpoints: campaign events go to the first, everything to the second.");
    let one = node.create(&good, &["campaign.*"], &secret, None).await?;
    let other = node.create(&flaky, &["*"], &secret, Some(&SCHEDULE_MS)).await?;
    say(&format!("{one} for campaign.*"));
    say(&format!("{other} for *, retrying after {SCHEDULE_MS:?} ms"));

    step("Upstream posts one event of the ads API and one of the screenshots, and gets a durable yes for each.");
    let types = catalog::shipped();
    let campaign = node.post(example(&types, "campaign.updated")?).await?;
    let screenshots = node.post(example(&types, "screenshot_set.approved")?).await?;
    checks.that("the campaign event has two deliveries", campaign.deliveries == 2);
    checks.that("the screenshot event has one", screenshots.deliveries == 1);

    step("The first receiver gets its event, signed.");
    let received = next(&mut at_good).await?;
    show(&received);
    checks.that("it is the event that was accepted", received.webhook_id.as_deref() == Some(&campaign.id));
    checks.that("its signature verifies", received.verdict == Verdict::Verified);
    checks.that(
        "its bytes are the bytes that were posted",
        received.body.as_ref() == example(&types, "campaign.updated")?.as_bytes(),
    );

    step("The second receiver refuses both of its first requests, so both deliveries wait for their retry.");
    for _ in 0..FAILURES {
        let received = next(&mut at_flaky).await?;
        show(&received);
        checks.that("it was the first attempt", received.attempt.as_deref() == Some("1"));
    }
    let waiting = node.waiting(&other, FAILURES as usize).await?;
    for delivery in &waiting {
        say(&format!("{} waits until {}", delivery.id, delivery.next_attempt_at));
    }

    step("Now the node is killed (SIGKILL): no time to save anything.");
    process.kill()?;
    process.wait()?;
    say("it is gone");

    step("It starts again on the same store.");
    let mut process = node.start().await?;
    let again = node.waiting(&other, FAILURES as usize).await?;
    checks.that("what waited still waits, until the same times, with the same counts", again == waiting);

    step("The retries come at their time, with their number.");
    let mut retried = 0;
    while retried < waiting.len() {
        let received = next(&mut at_flaky).await?;
        show(&received);
        let due = waiting.iter().find(|delivery| received.delivery.as_deref() == Some(&delivery.id));
        checks.that("it is a delivery that was waiting", due.is_some());
        checks.that("it is attempt 2", received.attempt.as_deref() == Some("2"));
        checks.that("it is not early", due.is_some_and(|due| received.at >= due.next_attempt_at));
        checks.that("its signature verifies", received.verdict == Verdict::Verified);
        retried += 1;
    }
    let left = node.waiting(&other, 0).await?;
    checks.that("nothing waits any more", left.is_empty());

    step("The node is asked to stop, and does.");
    let stopped = stop(&mut process).await?;
    checks.that("it exits with 0", stopped);
    good.stop().await;
    flaky.stop().await;
    checks.sum()
}

fn step(text: &str) {
    println!("\n▸ {text}");
}

fn say(text: &str) {
    println!("  {text}");
}

fn show(received: &Received) {
    say(&format!(
        "{} received {} ({}), attempt {}",
        received.at,
        received.event_type.as_deref().unwrap_or("?"),
        received.webhook_id.as_deref().unwrap_or("?"),
        received.attempt.as_deref().unwrap_or("?"),
    ));
}

/// What was promised, and whether it was kept.
#[derive(Default)]
struct Checks {
    passed: u32,
    failed: u32,
}

impl Checks {
    fn that(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
            println!("  ✓ {what}");
        } else {
            self.failed += 1;
            println!("  ✗ NOT SO: {what}");
        }
    }

    fn sum(&self) -> Result<(), Box<dyn Error>> {
        println!("\n{} checks passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { Ok(()) } else { Err("a promise was not kept".into()) }
    }
}

fn new_secret() -> Result<SigningSecret, Box<dyn Error>> {
    let mut key = [0; MIN_KEY_BYTES];
    getrandom::fill(&mut key)?;
    Ok(SigningSecret::from_key(&key)?)
}

fn receiver(
    behaviour: Behaviour,
    secret: &SigningSecret,
    clock: &Clock,
) -> Result<(Receiver, mpsc::Receiver<Received>), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (sender, received) = mpsc::channel(64);
    let receiver = Receiver::start(listener, behaviour, vec![secret.clone().into()], clock.clone(), sender)?;
    Ok((receiver, received))
}

async fn next(received: &mut mpsc::Receiver<Received>) -> Result<Received, Box<dyn Error>> {
    match actix_rt::time::timeout(PATIENCE, received.recv()).await {
        Ok(Some(received)) => Ok(received),
        Ok(None) => Err("a receiver ended".into()),
        Err(_) => Err(format!("nothing arrived within {PATIENCE:?}").into()),
    }
}

fn example(types: &[TypeDefinition], name: &str) -> Result<String, Box<dyn Error>> {
    let definition = types.iter().find(|known| known.name.as_str() == name);
    Ok(definition.ok_or_else(|| format!("the shipped catalogs have no {name}"))?.example.to_string())
}

async fn stop(process: &mut NodeProcess) -> Result<bool, Box<dyn Error>> {
    let id = process.0.id().to_string();
    // The shell has it built in; a program of that name is not everywhere.
    Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status()?;
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = process.0.try_wait()? {
            return Ok(status.success());
        }
        if waited > PATIENCE {
            return Err("the node does not stop".into());
        }
        actix_rt::time::sleep(LOOK_AGAIN).await;
        waited += LOOK_AGAIN;
    }
}

/// A node as this demo runs it: this very program, as another process.
struct Node {
    base: String,
    listen: SocketAddr,
    directory: PathBuf,
    key: ApiKey,
    client: Client,
}

/// Killed when the demo ends early.
struct NodeProcess(Child);

impl NodeProcess {
    fn kill(&mut self) -> std::io::Result<()> {
        self.0.kill()
    }

    fn wait(&mut self) -> std::io::Result<()> {
        self.0.wait().map(|_| ())
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct AcceptedEvent {
    id: String,
    deliveries: u64,
}

#[derive(PartialEq)]
struct WaitingDelivery {
    id: String,
    attempt_count: u64,
    next_attempt_at: Timestamp,
}

impl Node {
    fn new(directory: &Path) -> Result<Self, Box<dyn Error>> {
        // Taken and let go: the node is told to take the same one.
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self {
            base: format!("http://{listen}"),
            listen,
            directory: directory.to_owned(),
            key: ApiKey::generate()?,
            client: Client::builder().timeout(PATIENCE).finish(),
        })
    }

    async fn start(&self) -> Result<NodeProcess, Box<dyn Error>> {
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join("node.log"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .env("POSTHASTE_LISTEN", self.listen.to_string())
            .env("POSTHASTE_STORE", format!("sqlite://{}", self.directory.join("posthaste.db").display()))
            .env("POSTHASTE_OPERATOR_KEY", self.key.reveal())
            .env("POSTHASTE_ALLOW_ADDRESSES", "127.0.0.0/8")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut process = NodeProcess(child);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = process.0.try_wait()? {
                let log = std::fs::read_to_string(self.directory.join("node.log")).unwrap_or_default();
                return Err(format!("the node ended with {status}:\n{log}").into());
            }
            let ready = self.client.get(format!("{}/readyz", self.base)).send().await;
            if ready.is_ok_and(|response| response.status() == StatusCode::OK) {
                return Ok(process);
            }
            if waited > PATIENCE {
                return Err("the node does not get ready".into());
            }
            actix_rt::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
    }

    fn authorization(&self) -> (&'static str, String) {
        ("authorization", format!("Bearer {}", self.key.reveal()))
    }

    async fn send(&self, path: &str, body: String, expected: StatusCode) -> Result<Value, Box<dyn Error>> {
        let mut response = self
            .client
            .post(format!("{}{path}", self.base))
            .insert_header(self.authorization())
            .insert_header(("content-type", "application/json"))
            .send_body(body)
            .await
            .map_err(|error| format!("POST {path}: {error}"))?;
        let body = response.body().await?;
        if response.status() != expected {
            return Err(format!("POST {path}: {}: {}", response.status(), String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn create(
        &self,
        receiver: &Receiver,
        events: &[&str],
        secret: &SigningSecret,
        schedule_ms: Option<&[u64]>,
    ) -> Result<String, Box<dyn Error>> {
        let mut body = json!({
            "url": format!("http://{}/webhook", receiver.address()),
            "events": events,
            "secret": secret.reveal(),
        });
        if let Some(schedule_ms) = schedule_ms {
            body["retry"] = json!({ "schedule_ms": schedule_ms });
        }
        let made = self.send("/webhook", body.to_string(), StatusCode::CREATED).await?;
        text(&made, "id")
    }

    async fn post(&self, event: String) -> Result<AcceptedEvent, Box<dyn Error>> {
        let accepted = self.send("/events", event, StatusCode::ACCEPTED).await?;
        let found =
            AcceptedEvent { id: text(&accepted, "id")?, deliveries: accepted["deliveries"].as_u64().unwrap_or(0) };
        say(&format!("202 {} with {} deliveries", found.id, found.deliveries));
        Ok(found)
    }

    /// The endpoint's deliveries that wait for a retry, once there are as many
    /// as expected: the receiver knows of an answer before the store does.
    async fn waiting(&self, endpoint: &str, expected: usize) -> Result<Vec<WaitingDelivery>, Box<dyn Error>> {
        let url = format!("{}/deliveries?endpoint={endpoint}&status=retrying", self.base);
        let mut waited = Duration::ZERO;
        loop {
            let mut response = self
                .client
                .get(&url)
                .insert_header(self.authorization())
                .send()
                .await
                .map_err(|error| format!("GET /deliveries: {error}"))?;
            let answer: Value = serde_json::from_slice(&response.body().await?)?;
            let rows = answer["data"].as_array().cloned().unwrap_or_default();
            if rows.len() == expected || waited > PATIENCE {
                return rows
                    .iter()
                    .map(|row| {
                        Ok(WaitingDelivery {
                            id: text(row, "id")?,
                            attempt_count: row["attempt_count"].as_u64().unwrap_or(0),
                            next_attempt_at: text(row, "next_attempt_at")?.parse()?,
                        })
                    })
                    .collect();
            }
            actix_rt::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
    }
}

fn text(value: &Value, field: &str) -> Result<String, Box<dyn Error>> {
    Ok(value[field].as_str().ok_or_else(|| format!("the answer has no `{field}`: {value}"))?.to_owned())
}
