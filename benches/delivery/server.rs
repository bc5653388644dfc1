//! What is measured: the real server, or the forwarder that is its limit, each a
//! child process that is set up by the same calls. The child is gone when it is
//! dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::EndpointId;
use tokio::time::{sleep, timeout};

use crate::directory::Directory;
use crate::event::EVENT_TYPE;
use crate::stores::Backend;
use crate::usage::Usage;
use crate::wire::Connection;

const READY_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(5);
/// It opens a server that lives for seconds and listens on loopback alone.
const OPERATOR_KEY: &str = "operator-key-of-a-benchmark";
const CLUSTER_TOKEN: &str = "cluster-token-of-a-benchmark";

/// Who delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// A client alone: signs and sends what nobody posted.
    Client,
    /// The journal alone: stores what nobody sends.
    Journal,
    /// A server that signs and sends, and stores nothing.
    Forwarder,
    /// The server.
    Posthaste,
}

/// What the server is made of.
pub struct Installation {
    /// Its executable.
    pub program: PathBuf,
    /// Its backend.
    pub store: &'static dyn Backend,
    /// Where directories for stores are made.
    pub parent: PathBuf,
}

/// A running system.
pub struct Server {
    system: System,
    address: SocketAddr,
    child: Child,
    ready_after: Duration,
}

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0} could not be started: {1}")]
    Start(PathBuf, #[source] io::Error),
    #[error("{0} ended before it was ready, with {1}; what it printed is above")]
    Ended(&'static str, ExitStatus),
    #[error("{0} ended under load, with {1}; what it printed is above")]
    EndedUnderLoad(&'static str, ExitStatus),
    #[error("{0} was not ready within {READY_WITHIN:?}; what it printed is above")]
    NotReady(&'static str),
    #[error("{system} answered `{request}` with {status}: {body}")]
    Refused { system: &'static str, request: String, status: u16, body: String },
    #[error("{0} answered `{1}` with what is not to be understood: {2}")]
    Unreadable(&'static str, &'static str, String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl System {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Journal => "journal",
            Self::Forwarder => "forwarder",
            Self::Posthaste => "posthaste",
        }
    }

    /// Whether it stores anything.
    pub fn uses_store(self) -> bool {
        matches!(self, Self::Journal | Self::Posthaste)
    }
}

impl Server {
    /// Starts the server on the store in this directory and waits until it is ready.
    pub async fn start(installation: &Installation, directory: &Directory) -> Result<Self, ServerError> {
        Self::start_with(installation, directory, &[]).await
    }

    /// The same for one of several on that store.
    pub async fn start_node(installation: &Installation, directory: &Directory) -> Result<Self, ServerError> {
        Self::start_with(installation, directory, &[("POSTHASTE_CLUSTER_TOKEN", CLUSTER_TOKEN)]).await
    }

    async fn start_with(
        installation: &Installation,
        directory: &Directory,
        variables: &[(&str, &str)],
    ) -> Result<Self, ServerError> {
        let program = std::path::absolute(&installation.program)?;
        let mut command = Command::new(&program);
        command
            .env("POSTHASTE_STORE", installation.store.url(directory.path()))
            .env("POSTHASTE_OPERATOR_KEY", OPERATOR_KEY)
            .env("POSTHASTE_ALLOW_ADDRESSES", "127.0.0.0/8")
            .env("RUST_LOG", "warn")
            .envs(variables.iter().copied());
        let address = free_address()?;
        command.env("POSTHASTE_LISTEN", address.to_string());
        Self::spawn(System::Posthaste, command, address, directory).await
    }

    /// Starts the forwarder and waits until it is ready.
    pub async fn start_forwarder(directory: &Directory) -> Result<Self, ServerError> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--forwarder").arg(address.to_string());
        Self::spawn(System::Forwarder, command, address, directory).await
    }

    async fn spawn(
        system: System,
        mut command: Command,
        address: SocketAddr,
        directory: &Directory,
    ) -> Result<Self, ServerError> {
        // A configuration file where the benchmark was started is not meant.
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let clock = Clock::system();
        let child = command.spawn().map_err(|error| ServerError::Start(command.get_program().into(), error))?;
        let mut server = Self { system, address, child, ready_after: Duration::ZERO };
        server.ready().await?;
        server.ready_after = clock.now().monotonic.since_start();
        Ok(server)
    }

    /// How long it took from being started until it was ready.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `authorization` header that it takes.
    pub fn authorization() -> String {
        format!("Bearer {OPERATOR_KEY}")
    }

    /// Who signs in with that.
    pub const fn operator_key() -> &'static str {
        OPERATOR_KEY
    }

    /// Fails if it has ended by itself: what it did until then is no figure.
    pub fn check_alive(&mut self) -> Result<(), ServerError> {
        let ended = self.child.try_wait()?;
        ended.map_or(Ok(()), |status| Err(ServerError::EndedUnderLoad(self.system.name(), status)))
    }

    /// What it has used so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    /// Makes a partner.
    pub async fn create_partner(&self, name: &str) -> Result<(), ServerError> {
        self.create("/partners", &format!(r#"{{"name":"{name}"}}"#)).await.map(drop)
    }

    /// Makes an endpoint of a partner that wants the benchmark's events, and
    /// answers what the server said of it.
    pub async fn subscribe(&self, partner: Option<&str>, url: &str) -> Result<String, ServerError> {
        let target = format!("/webhook?{}", of_partner(partner));
        self.create(&target, &format!(r#"{{"url":"{url}","events":["{EVENT_TYPE}"]}}"#)).await
    }

    /// Makes an endpoint of a partner and answers its id; the forwarder has none.
    pub async fn subscribe_with_id(&self, partner: Option<&str>, url: &str) -> Result<EndpointId, ServerError> {
        #[derive(serde::Deserialize)]
        struct Made {
            id: String,
        }
        let answer = self.subscribe(partner, url).await?;
        let id = serde_json::from_str(&answer).ok().and_then(|made: Made| made.id.parse().ok());
        id.ok_or(ServerError::Unreadable(self.system.name(), "POST /webhook", answer))
    }

    /// Deletes an endpoint.
    pub async fn unsubscribe(&self, partner: Option<&str>, id: EndpointId) -> Result<(), ServerError> {
        let target = format!("/webhook/{id}?{}", of_partner(partner));
        self.must_answer(204, "DELETE", &target, "").await.map(drop)
    }

    /// How many partitions each node owns that this one knows of.
    pub async fn shares(&self) -> Result<Vec<usize>, ServerError> {
        #[derive(serde::Deserialize)]
        struct Nodes {
            data: Vec<Node>,
        }
        #[derive(serde::Deserialize)]
        struct Node {
            partitions: usize,
        }
        let answer = self.must_answer(200, "GET", "/nodes", "").await?;
        let nodes = serde_json::from_str(&answer).ok();
        let nodes: Nodes = nodes.ok_or(ServerError::Unreadable(self.system.name(), "GET /nodes", answer))?;
        Ok(nodes.data.iter().map(|node| node.partitions).collect())
    }

    async fn create(&self, target: &str, body: &str) -> Result<String, ServerError> {
        self.must_answer(201, "POST", target, body).await
    }

    async fn must_answer(&self, wanted: u16, method: &str, target: &str, body: &str) -> Result<String, ServerError> {
        let (status, answer) = self.ask(method, target, body).await?;
        if status == wanted {
            return Ok(answer);
        }
        let request = format!("{method} {target}");
        Err(ServerError::Refused { system: self.system.name(), request, status, body: answer })
    }

    /// What a counter of the server stands at, over all its labels.
    pub async fn counter(&self, name: &str) -> Result<u64, ServerError> {
        let (_, text) = self.ask("GET", "/metrics", "").await?;
        let values = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    async fn ready(&mut self) -> Result<(), ServerError> {
        let name = self.system.name();
        let asking = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    return Err(ServerError::Ended(name, status));
                }
                // Until it listens, connections are refused.
                if let Ok((200, _)) = self.ask("GET", "/readyz", "").await {
                    return Ok(());
                }
                sleep(ASK_AGAIN_AFTER).await;
            }
        };
        timeout(READY_WITHIN, asking).await.unwrap_or(Err(ServerError::NotReady(name)))
    }

    async fn ask(&self, method: &str, target: &str, body: &str) -> io::Result<(u16, String)> {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            Self::authorization(),
            body.len()
        );
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.exchange(request.as_bytes()).await?;
        Ok((answer.status()?, String::from_utf8_lossy(answer.body).into_owned()))
    }
}

fn of_partner(partner: Option<&str>) -> String {
    format!("environment=production&partner={}", partner.unwrap_or("default"))
}

/// Somebody else may take the port before the child does; then the child says so.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and its store is deleted either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
