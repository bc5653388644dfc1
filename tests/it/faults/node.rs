//! The real binary as a process of its own: started on a store, killed,
//! stopped, waited for, and read from.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::oneshot;

use super::api::{Api, OPERATOR_KEY};
use super::{eventually, within};

/// A running node. Killed when it is dropped.
pub struct Node {
    process: Child,
    api: Api,
    log: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Node {
    /// Starts a node on the store at `path` and waits until it listens.
    pub async fn start(path: &Path) -> Self {
        Self::start_under(&[], path).await
    }

    /// The same under a command that becomes the node: one that ends in `exec`.
    pub async fn start_under(command: &[&str], path: &Path) -> Self {
        Self::start_with(command, &[("STORE", format!("sqlite://{}", path.display()))]).await
    }

    /// The same with what these variables say, named without `POSTHASTE_`.
    pub async fn start_with(command: &[&str], variables: &[(&str, String)]) -> Self {
        let mut words = command.iter().copied().chain([env!("CARGO_BIN_EXE_posthaste")]);
        let program = words.next().expect("the binary is there at least");
        let mut start = Command::new(program);
        start
            .args(words)
            // Nothing that the environment or a file says about a node of the
            // developer's is for this one.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .current_dir(std::env::temp_dir())
            .env("POSTHASTE_CONFIG", "/dev/null")
            .env("POSTHASTE_LISTEN", "127.0.0.1:0")
            .env("POSTHASTE_ALLOW_ADDRESSES", "127.0.0.0/8")
            .env("POSTHASTE_OPERATOR_KEY", OPERATOR_KEY)
            .envs(variables.iter().map(|(name, value)| (format!("POSTHASTE_{name}"), value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = start.spawn().unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
        let stderr = process.stderr.take().expect("it is piped");
        let log = Log::default();
        let (listens, address) = oneshot::channel();
        let written = Arc::clone(&log);
        thread::spawn(move || {
            let mut listens = Some(listens);
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(" listens on ")
                    && let Some(listens) = listens.take()
                {
                    let _ = listens.send(url.to_owned());
                }
                written.lock().expect("nobody panics with it").push(line);
            }
        });
        let mut node = Self { process, api: Api::new(String::new()), log };
        match within("the node listens", address).await {
            Ok(url) => node.api = Api::new(url),
            Err(_) => panic!("it ended before it listened:\n{}", node.log()),
        }
        node
    }

    /// Its API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").join("\n")
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.try_wait().expect("it is our child").is_none()
    }

    /// `kill -9`: nothing is written, closed or said any more.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs, or has ended");
        self.process.wait().expect("it is our child");
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.ended().await
    }

    /// SIGSTOP: it does nothing more, and knows nothing of it.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on where it was.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.id().to_string()]).status().expect("`kill` can be run");
        assert!(told.success());
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the node ends", async || self.process.try_wait().expect("it is our child")).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the node's last lines:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}
