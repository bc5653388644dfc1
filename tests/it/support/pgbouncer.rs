//! A PgBouncer of a test's own in front of a PostgreSQL server, in transaction
//! mode: each transaction may run on another connection of the server's, so
//! whatever a session keeps is lost or meets strangers. Nothing else of its
//! defaults is changed, so that what a plain installation refuses is refused.

use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::folder::Folder;
use super::postgres::{Postgres, url_at};

/// How often a port is tried that somebody else may take first.
const TRIES: u32 = 20;
/// The user who owns nothing.
const NOBODY: &str = "65534";

/// A running PgBouncer. Dropping it ends it; so does the end of the thread that
/// started it, and with it that of the process.
pub struct PgBouncer {
    process: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl PgBouncer {
    /// One in front of this server; `settings` are `name=value` of its `[pgbouncer]` section.
    #[track_caller]
    pub fn start(server: &Postgres, settings: &[&str]) -> Self {
        let folder = Folder::new();
        for _ in 0..TRIES {
            // Free a moment ago; whether it still is shows when PgBouncer listens.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let file = folder.file("pgbouncer.ini");
            fs::write(&file, configuration(address, server.address(), settings)).unwrap();
            let mut process = command().arg(&file).stderr(Stdio::piped()).spawn().unwrap();
            match listens(process.stderr.take().unwrap(), address) {
                Ok(()) => return Self { process, address, _folder: folder },
                Err(log) => {
                    let _ = process.kill();
                    let status = process.wait();
                    assert!(log.contains("Address already in use"), "pgbouncer does not start: {status:?}\n{log}");
                }
            }
        }
        panic!("no free port for pgbouncer in {TRIES} tries");
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url_of(&self, database: &str) -> String {
        url_at(self.address, database)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// PgBouncer, not as root, which it refuses to run as, and gone with whoever started it.
fn command() -> Command {
    let mut command = Command::new("setpriv");
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    }
    // Debian keeps it where only administrators look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command.args(["--pdeathsig", "KILL", "pgbouncer"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn configuration(address: SocketAddr, server: SocketAddr, settings: &[&str]) -> String {
    let mut text = format!(
        "[databases]\n* = host={} port={} user=posthaste\n\n\
         [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n",
        server.ip(),
        server.port(),
        address.ip(),
        address.port(),
    );
    for setting in settings {
        let _ = writeln!(text, "{setting}");
    }
    text
}

/// Waits until it says that it listens, or gives what it said instead before it ended.
fn listens(said: ChildStderr, address: SocketAddr) -> Result<(), String> {
    let mut lines = BufReader::new(said).lines().map_while(Result::ok);
    let mut log = String::new();
    let listening = format!("listening on {address}");
    for line in lines.by_ref() {
        if line.contains(&listening) {
            // Reads to the end: a full pipe would stop it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(());
        }
        let _ = writeln!(log, "{line}");
    }
    Err(log)
}
