//! What is measured: the real server, or the forwarder that is its limit, each a
//! child process that is set up by the same calls. Child and store are gone when
//! it is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::Store;
use crate::event::EVENT_TYPE;
use crate::usage::Usage;
use crate::wire::Connection;

const READY_WITHIN: Duration = Duration::from_secs(30);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// It opens a server that lives for seconds and listens on loopback alone.
const OPERATOR_KEY: &str = "operator-key-of-a-benchmark";

/// Who delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Signs and sends, and stores nothing.
    Forwarder,
    /// The server.
    Posthaste,
}

/// What the server is made of.
pub struct Installation {
    /// Its executable.
    pub program: PathBuf,
    /// Its backend.
    pub store: Store,
    /// Where directories for stores are made.
    pub parent: PathBuf,
}

/// A running system.
pub struct Server {
    system: System,
    address: SocketAddr,
    child: Child,
    _directory: Directory,
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
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl System {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarder => "forwarder",
            Self::Posthaste => "posthaste",
        }
    }

    fn program(self, installation: &Installation) -> io::Result<PathBuf> {
        match self {
            Self::Forwarder => std::env::current_exe(),
            Self::Posthaste => std::path::absolute(&installation.program),
        }
    }
}

impl Server {
    /// Starts it, with a store of its own, and waits until it is ready.
    pub async fn start(system: System, installation: &Installation) -> Result<Self, ServerError> {
        let directory = Directory::create(&installation.parent)?;
        // Somebody else may take the port in between; then the child says so.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let program = system.program(installation)?;
        let mut command = Command::new(&program);
        if system == System::Forwarder {
            command.arg("--forwarder").arg(address.to_string());
        }
        let store = match installation.store {
            Store::Sqlite => format!("sqlite://{}", directory.0.join("bench.db").display()),
        };
        command
            .env("POSTHASTE_STORE", store)
            .env("POSTHASTE_LISTEN", address.to_string())
            .env("POSTHASTE_OPERATOR_KEY", OPERATOR_KEY)
            .env("POSTHASTE_ALLOW_ADDRESSES", "127.0.0.0/8")
            .env("RUST_LOG", "warn")
            // A configuration file where the benchmark was started is not meant.
            .current_dir(&directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().map_err(|error| ServerError::Start(program, error))?;
        let mut server = Self { system, address, child, _directory: directory };
        server.ready().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `authorization` header that it takes.
    pub fn authorization() -> String {
        format!("Bearer {OPERATOR_KEY}")
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

    /// Makes an endpoint that wants the benchmark's events.
    pub async fn subscribe(&self, url: &str) -> Result<(), ServerError> {
        let body = format!(r#"{{"url":"{url}","events":["{EVENT_TYPE}"]}}"#);
        let target = "/webhook?partner=default&environment=production";
        let (status, answer) = self.ask("POST", target, &body).await?;
        if status == 201 {
            return Ok(());
        }
        let request = format!("POST {target}");
        Err(ServerError::Refused { system: self.system.name(), request, status, body: answer })
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

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and its store is deleted either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory for one store.
struct Directory(PathBuf);

impl Directory {
    fn create(parent: &Path) -> io::Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let path = std::path::absolute(parent)?.join(format!("delivery-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}
