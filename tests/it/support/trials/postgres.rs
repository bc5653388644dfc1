//! The server of the tests' own: it takes SQL, keeps what was committed over a
//! crash, and leaves nothing behind, however its owner ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

use crate::support::node::eventually;
use crate::support::postgres::{self, Postgres};

#[test]
fn what_was_committed_is_there_after_a_crash_and_the_rest_is_not() {
    let server = Postgres::start(&["fsync=off", "application_name=it's a 'name'"]);
    assert_eq!(server.value("SELECT current_setting('application_name')"), "it's a 'name'");
    assert_eq!(server.value("SELECT current_setting('max_connections')"), "200");
    assert_eq!(server.value("SELECT current_setting('server_encoding')"), "UTF8");
    server.sql("CREATE TABLE kept (number INTEGER); INSERT INTO kept VALUES (1), (2)");
    // Emptied by a recovery, and kept by a proper stop.
    server.sql("CREATE UNLOGGED TABLE fleeting (number INTEGER); INSERT INTO fleeting VALUES (1)");
    let mut open = PgConnection::establish(&server.url()).unwrap();
    open.batch_execute("BEGIN; INSERT INTO kept VALUES (3)").unwrap();

    server.crash();
    assert!(open.batch_execute("COMMIT").is_err(), "its connection is gone");
    assert!(TcpStream::connect(server.address()).is_err(), "nobody listens while the server is down");
    server.start_again();
    assert_eq!(server.value("SELECT count(*) FROM kept"), "2");
    assert_eq!(server.value("SELECT count(*) FROM fleeting"), "0");

    server.sql("INSERT INTO fleeting VALUES (2)");
    server.stop();
    assert!(PgConnection::establish(&server.url()).is_err());
    server.start_again();
    assert_eq!(server.value("SELECT count(*) FROM fleeting"), "1");
    let before = server.value("SELECT pg_postmaster_start_time()");
    server.restart();
    assert_ne!(server.value("SELECT pg_postmaster_start_time()"), before);
    assert_eq!(server.value("SELECT sum(number) FROM kept"), "3");
}

#[test]
fn a_standby_follows_and_can_be_promoted() {
    let primary = Postgres::start(&["fsync=off"]);
    primary.sql("CREATE TABLE kept (number INTEGER); INSERT INTO kept VALUES (1)");
    let standby = Postgres::standby_of(&primary);
    assert_ne!(standby.address(), primary.address());
    primary.sql("INSERT INTO kept VALUES (2)");
    let followed = || (standby.value("SELECT count(*) FROM kept") == "2").then_some(());
    eventually("the standby has what was written since", followed);
    let refused = PgConnection::establish(&standby.url()).unwrap().batch_execute("INSERT INTO kept VALUES (3)");
    assert!(refused.is_err(), "it only follows");
    primary.crash();
    standby.promote();
    standby.sql("INSERT INTO kept VALUES (3)");
    assert_eq!(standby.value("SELECT sum(number) FROM kept"), "6");
}

#[test]
fn a_database_is_a_tests_own_and_goes_with_it() {
    let (one, other) = (Postgres::database(), Postgres::database());
    one.sql("CREATE TABLE mine (number INTEGER)");
    other.sql("CREATE TABLE mine (number INTEGER); INSERT INTO mine VALUES (1)");
    assert_eq!(one.value("SELECT count(*) FROM mine"), "0");
    assert_eq!(other.value("SELECT current_database()"), other.name());

    let exist = format!("SELECT count(*) FROM pg_database WHERE datname IN ('{}', '{}')", one.name(), other.name());
    assert_eq!(Postgres::shared().value(&exist), "2");
    let mut open = PgConnection::establish(&one.url()).unwrap();
    drop(one);
    assert_eq!(Postgres::shared().value(&exist), "1");
    assert!(open.batch_execute("SELECT 1").is_err(), "its connections are cut");
}

#[test]
#[should_panic(expected = "relation \"nothing\" does not exist")]
fn sql_that_fails_fails_the_test() {
    Postgres::shared().sql("SELECT * FROM nothing");
}

#[test]
#[should_panic(expected = "not one value")]
fn a_value_is_one() {
    Postgres::shared().value("SELECT generate_series(1, 2)");
}

#[test]
fn every_command_is_answered_with_one_line() {
    let mut command = Command::new(SCRIPT);
    command.arg("fsync=off").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut script = command.spawn().unwrap();
    // All at once, and then the end, which comes when all are carried out.
    script.stdin.take().unwrap().write_all(b"start\ncrash\ncrash\nstart\nnonsense\nrestart\nstop\nrestart\n").unwrap();
    let said = BufReader::new(script.stdout.take().unwrap()).lines().map(Result::unwrap);
    // The url comes first.
    let first_words: Vec<String> = said.skip(1).map(|answer| answer.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(first_words, ["failed:", "ok", "failed:", "ok", "failed:", "ok", "ok", "ok"]);
    assert!(script.wait().unwrap().success());
}

#[test]
fn a_server_that_is_dropped_leaves_nothing_behind() {
    let server = Postgres::start(&["fsync=off"]);
    let left = Traces::of(&server.value("SELECT current_setting('data_directory')"));
    assert!(left.are_there());
    drop(server);
    left.are_gone();
}

#[test]
fn a_server_whose_owner_is_killed_leaves_nothing_behind() {
    // A shell that starts the script with a pipe of its own, and waits.
    let owner = r#"coproc "$0" fsync=off; read -r url <&"${COPROC[0]}"; echo "$url"; read -r forever"#;
    let mut owner =
        Command::new("bash").args(["-c", owner, SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let url = first_line(&mut owner);
    let left = Traces::of(&postgres::value(&url, "SELECT current_setting('data_directory')"));
    assert!(left.are_there());
    // SIGKILL: it has no time to say anything to anybody.
    owner.kill().unwrap();
    owner.wait().unwrap();
    left.are_gone();
}

#[test]
fn a_server_is_ended_by_a_signal() {
    let mut script = Command::new(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let url = first_line(&mut script);
    let left = Traces::of(&postgres::value(&url, "SELECT current_setting('data_directory')"));
    assert!(Command::new("kill").args(["-TERM", &script.id().to_string()]).status().unwrap().success());
    eventually("the script ends", || script.try_wait().unwrap());
    left.are_gone();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let mut command = Command::new(SCRIPT);
    command.arg("shared_buffers=nonsense").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut script = command.spawn().unwrap();
    let mut said = String::new();
    script.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("invalid value for parameter \"shared_buffers\""), "{said}");
    assert_eq!(script.wait().unwrap().code(), Some(1));
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/throwaway-postgres");

fn first_line(process: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// What a running server can be seen by.
struct Traces {
    directory: PathBuf,
}

impl Traces {
    fn of(data: &str) -> Self {
        Self { directory: Path::new(data).parent().unwrap().to_owned() }
    }

    /// Waits until they are gone: a process may be seen for a moment after its end.
    #[track_caller]
    fn are_gone(&self) {
        eventually("the server's directory and processes are gone", || (!self.are_there()).then_some(()));
    }

    /// Its directory is there, or a process that lives in it.
    fn are_there(&self) -> bool {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            // A process that has ended meanwhile has none.
            fs::read_link(entry.ok()?.path().join("cwd")).ok()
        });
        let mut homes = processes.filter(|home| home.starts_with(&self.directory));
        self.directory.exists() || homes.next().is_some()
    }
}
