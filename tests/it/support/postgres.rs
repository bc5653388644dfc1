//! A PostgreSQL server of the tests' own, as `scripts/throwaway-postgres` makes
//! it, and databases on it: SQL, crashes and restarts. What the server is and how
//! it goes away is the script's; it holds the other end of a pipe that ends with
//! this process, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, RunQueryDsl};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/throwaway-postgres");
const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
/// Nothing on a server that many tests share has to outlive the machine.
const FAST: [&str; 4] = ["fsync=off", "synchronous_commit=on", "full_page_writes=off", "shared_buffers=256MB"];

/// A server. Dropping it ends the server and removes its data.
pub struct Postgres {
    script: Mutex<Script>,
    address: SocketAddr,
}

impl Postgres {
    /// A server of a test's own, which it may crash; `settings` are `name=value`.
    #[track_caller]
    pub fn start(settings: &[&str]) -> Self {
        Self::of(Script::start(settings))
    }

    /// A copy of another server that follows it.
    #[track_caller]
    pub fn standby_of(primary: &Self) -> Self {
        Self::of(Script::start(&["--standby-of", &primary.url()]))
    }

    #[track_caller]
    fn of(mut script: Script) -> Self {
        let url = script.line();
        let address = url.strip_prefix("postgres://posthaste@").and_then(|rest| rest.strip_suffix("/posthaste"));
        let address = address.unwrap_or_else(|| panic!("not a server's url: `{url}`")).parse().unwrap();
        Self { script: Mutex::new(script), address }
    }

    /// The server that all tests share, which nobody crashes. It runs from the
    /// first time it is asked for to the end of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&FAST))
    }

    /// A new, empty database of a test's own, on the server that all share.
    #[track_caller]
    pub fn database() -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let server = Self::shared();
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.sql(&format!("CREATE DATABASE {name}"));
        Database { server, name }
    }

    /// The same with the tables of a store, and nothing in them: a copy of one that was made
    /// once, which takes a fraction of the time that the migrations do.
    #[track_caller]
    pub fn migrated() -> Database {
        static TEMPLATE: OnceLock<Database> = OnceLock::new();
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let template = TEMPLATE.get_or_init(|| {
            let database = Self::database();
            let migrations = FileBasedMigrations::from_path(MIGRATIONS).expect("the migrations are where they were");
            let mut connection = connect(&database.url());
            connection.transaction(|connection| connection.run_pending_migrations(migrations).map(drop)).unwrap();
            database
        });
        let (server, name) = (Self::shared(), format!("migrated_{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        server.sql(&format!("CREATE DATABASE {name} TEMPLATE {}", template.name));
        Database { server, name }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database that every server has.
    pub fn url(&self) -> String {
        self.url_of("posthaste")
    }

    pub fn url_of(&self, database: &str) -> String {
        url_at(self.address, database)
    }

    /// Ends the server at once; what was committed is found when it starts again.
    #[track_caller]
    pub fn crash(&self) {
        self.command("crash");
    }

    /// Ends the server properly, cutting its connections.
    #[track_caller]
    pub fn stop(&self) {
        self.command("stop");
    }

    /// Starts the server that was ended, with its port and its data.
    #[track_caller]
    pub fn start_again(&self) {
        self.command("start");
    }

    #[track_caller]
    pub fn restart(&self) {
        self.command("restart");
    }

    /// Has a standby follow nobody any more, and take writes.
    #[track_caller]
    pub fn promote(&self) {
        self.command("promote");
    }

    /// Runs SQL in the database that every server has.
    #[track_caller]
    pub fn sql(&self, statements: &str) {
        run(&self.url(), statements);
    }

    /// The one value of a SELECT there, as text.
    #[track_caller]
    pub fn value(&self, select: &str) -> String {
        value(&self.url(), select)
    }

    #[track_caller]
    fn command(&self, command: &str) {
        let answer = {
            let mut script = self.script.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            script.ask(command)
        };
        assert_eq!(answer, "ok", "the server's {command}");
    }
}

/// An empty database on the server that all tests share. Dropping it cuts its
/// connections and removes it.
pub struct Database {
    server: &'static Postgres,
    name: String,
}

impl Database {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// The same database by way of something in between.
    pub fn url_through(&self, address: SocketAddr) -> String {
        url_at(address, &self.name)
    }

    #[track_caller]
    pub fn sql(&self, statements: &str) {
        run(&self.url(), statements);
    }

    /// The one value of a SELECT, as text.
    #[track_caller]
    pub fn value(&self, select: &str) -> String {
        value(&self.url(), select)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // One that stays is gone with the server, and no failure of the test.
        if let Ok(mut connection) = PgConnection::establish(&self.server.url()) {
            let _ = connection.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// The database of this name at a server, or at what stands in front of one.
pub fn url_at(address: SocketAddr, database: &str) -> String {
    format!("postgres://posthaste@{address}/{database}")
}

/// Runs statements where this URL leads to.
#[track_caller]
pub fn run(url: &str, statements: &str) {
    if let Err(error) = connect(url).batch_execute(statements) {
        panic!("{error}: {statements}");
    }
}

/// The one value of a SELECT there, as text.
#[track_caller]
pub fn value(url: &str, select: &str) -> String {
    // As text, because values come in a form that depends on their type.
    let wrapped = format!("SELECT asked.value::text FROM ({select}) AS asked (value)");
    let found: Vec<String> =
        sql::<Text>(&wrapped).load(&mut connect(url)).unwrap_or_else(|error| panic!("{error}: {select}"));
    let [only] = found.as_slice() else { panic!("not one value: {found:?}: {select}") };
    only.clone()
}

#[track_caller]
fn connect(url: &str) -> PgConnection {
    PgConnection::establish(url).unwrap_or_else(|error| panic!("no connection to {url}: {error}"))
}

/// The running script and both ways of talking to it.
struct Script {
    process: Child,
    /// None once the script is told to end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Script {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(SCRIPT);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // What kills the tests as a group spares the script, which then tidies up.
        let mut process = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{SCRIPT}: {error}"));
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { commands: process.stdin.take(), answers, process }
    }

    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().expect("the script is told to end only when this is dropped");
        writeln!(commands, "{command}").unwrap();
        self.line()
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the script ended; its error is above: {:?}", self.process.try_wait());
        line.trim_end().to_owned()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.process.wait();
    }
}
