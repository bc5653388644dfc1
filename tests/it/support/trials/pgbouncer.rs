//! The PgBouncer of the tests' own: what goes through it reaches the server, one
//! transaction at a time, and it ends with whoever started it.

use std::net::TcpStream;
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

use crate::support::node::eventually;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{self, Postgres};

#[test]
fn transactions_of_one_session_share_a_servers_connection_with_others() {
    let database = Postgres::database();
    let bouncer = PgBouncer::start(Postgres::shared(), &["default_pool_size = 1"]);
    let url = bouncer.url_of(database.name());
    assert_eq!(url, database.url_through(bouncer.address()));
    postgres::run(&url, "CREATE TABLE through (number INTEGER); INSERT INTO through VALUES (7)");
    assert_eq!(database.value("SELECT number FROM through"), "7");

    let mut one = PgConnection::establish(&url).unwrap();
    let mut other = PgConnection::establish(&url).unwrap();
    one.batch_execute("SET application_name = 'one'; CREATE TEMPORARY TABLE of_the_session (number INTEGER)").unwrap();
    other.batch_execute("SELECT * FROM of_the_session").expect("a session's table meets whoever comes next");
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", database.name());
    assert_eq!(Postgres::shared().value(&sessions), "1", "both are on one connection of the server's");
}

#[test]
fn it_ends_when_it_is_dropped() {
    let bouncer = PgBouncer::start(Postgres::shared(), &[]);
    let address = bouncer.address();
    assert!(TcpStream::connect(address).is_ok());
    drop(bouncer);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn it_ends_with_the_thread_that_started_it() {
    let bouncer = thread::spawn(|| {
        let bouncer = PgBouncer::start(Postgres::shared(), &[]);
        assert!(TcpStream::connect(bouncer.address()).is_ok());
        bouncer
    });
    // Not dropped, as it would not be if the process were killed.
    let bouncer = bouncer.join().unwrap();
    eventually("nobody listens any more", || TcpStream::connect(bouncer.address()).err());
}
