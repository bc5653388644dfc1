//! The proxy that misbehaves: each of its verbs, as a client and a server on
//! either side of it see it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

use crate::support::fault_proxy::FaultProxy;
use crate::support::postgres::{self, Postgres};

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long nothing comes where nothing must; what is wrong comes at once.
const SILENCE: Duration = Duration::from_millis(100);

#[test]
fn it_passes_on_everything_and_the_end_as_well() {
    let proxy = FaultProxy::start(echo().address);
    let mut client = connect(&proxy);
    // More than any buffer on the way holds.
    let sent: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let expected = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == expected, "{} of {} bytes came back, or others", back.len(), expected.len());
}

#[test]
fn what_stalls_goes_on_where_it_stopped() {
    let server = echo();
    let proxy = FaultProxy::start(server.address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    proxy.stall();
    client.write_all(b"second").unwrap();
    let mut newcomer = connect(&proxy);
    newcomer.write_all(b"third").unwrap();
    silent(&mut client);
    silent(&mut newcomer);
    assert_eq!(server.heard.try_iter().collect::<Vec<_>>().concat(), b"first", "nothing gets through either");
    proxy.pass();
    hear(&mut client, "second");
    hear(&mut newcomer, "third");
}

#[test]
fn an_answer_stalls_as_a_request_does() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = FaultProxy::start(socket.local_addr().unwrap());
    let mut client = connect(&proxy);
    client.write_all(b"request").unwrap();
    let (mut server, _) = socket.accept().unwrap();
    hear(&mut server, "request");
    proxy.stall();
    server.write_all(b"answer").unwrap();
    silent(&mut client);
    proxy.pass();
    hear(&mut client, "answer");
}

#[test]
fn what_is_cut_is_reset_and_so_are_newcomers_until_it_passes() {
    let proxy = FaultProxy::start(echo().address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    proxy.cut();
    reset(&mut client);
    reset(&mut connect(&proxy));
    proxy.pass();
    ask(&mut connect(&proxy), "second");
}

#[test]
fn what_stalls_can_be_cut() {
    let proxy = FaultProxy::start(echo().address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    proxy.stall();
    client.write_all(b"second").unwrap();
    let mut newcomer = connect(&proxy);
    proxy.cut();
    reset(&mut client);
    reset(&mut newcomer);
}

#[test]
fn connections_can_be_cut_once() {
    let proxy = FaultProxy::start(echo().address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    proxy.cut_existing();
    reset(&mut client);
    ask(&mut connect(&proxy), "second");
}

#[test]
fn new_connections_follow_a_failover_and_old_ones_stay() {
    let (old, new) = (echo(), echo());
    let proxy = FaultProxy::start(old.address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    proxy.set_upstream(new.address);
    ask(&mut connect(&proxy), "second");
    ask(&mut client, "third");
    assert_eq!(old.heard.try_iter().collect::<Vec<_>>().concat(), b"firstthird");
    assert_eq!(new.heard.try_iter().collect::<Vec<_>>().concat(), b"second");
}

#[test]
fn nobody_behind_it_is_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    reset(&mut connect(&FaultProxy::start(gone)));
}

#[test]
fn replies_are_dropped_when_the_request_was_heard() {
    let server = echo();
    let proxy = FaultProxy::start(server.address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    proxy.drop_replies();
    client.write_all(b"second").unwrap();
    reset(&mut client);
    assert_eq!(proxy.lost_count(), 1);
    assert_eq!(server.heard.try_iter().collect::<Vec<_>>().concat(), b"firstsecond");
}

#[test]
fn a_text_is_found_where_it_is_said_in_pieces() {
    let server = echo();
    let proxy = FaultProxy::start(server.address);
    let mut client = connect(&proxy);
    ask(&mut client, "COMMIT");
    proxy.cut_at_request("COMMIT");
    ask(&mut client, "so far: COM");
    client.write_all(b"MIT").unwrap();
    reset(&mut client);
    assert_eq!(
        server.heard.try_iter().collect::<Vec<_>>().concat(),
        b"COMMITso far: COM",
        "what was said before does not count"
    );
    ask(&mut connect(&proxy), "COMMIT");
    assert_eq!(proxy.lost_count(), 1);
}

#[test]
fn a_commit_is_lost_on_its_way_there_or_its_answer_on_the_way_back() {
    let database = Postgres::database();
    database.sql("CREATE TABLE written (number INTEGER)");
    let proxy = FaultProxy::start(Postgres::shared().address());
    let url = database.url_through(proxy.address());
    let insert = |number: u32| {
        let mut connection = PgConnection::establish(&url).unwrap();
        connection.batch_execute(&format!("BEGIN; INSERT INTO written VALUES ({number})")).unwrap();
        connection.batch_execute("COMMIT")
    };
    proxy.cut_at_request("COMMIT");
    assert!(insert(1).is_err());
    proxy.cut_at_answer("COMMIT");
    assert!(insert(2).is_err());
    assert!(insert(3).is_ok(), "the next one is heard again");
    assert_eq!(database.value("SELECT string_agg(number::text, ' ' ORDER BY number) FROM written"), "2 3");
    assert_eq!(proxy.lost_count(), 2);
    proxy.cut();
    assert!(PgConnection::establish(&url).is_err());
    proxy.pass();
    assert_eq!(postgres::value(&url, "SELECT count(*) FROM written"), "2");
}

#[test]
fn a_proxy_that_is_dropped_ends_what_goes_through_it() {
    let proxy = FaultProxy::start(echo().address);
    let mut client = connect(&proxy);
    ask(&mut client, "first");
    let address = proxy.address();
    drop(proxy);
    assert!(!matches!(client.read(&mut [0; 1]), Ok(1)));
    assert!(TcpStream::connect(address).is_err());
}

struct Echo {
    address: SocketAddr,
    /// What it was told, of all connections.
    heard: Receiver<Vec<u8>>,
}

/// A server that says what it hears. It lasts as long as the test process.
fn echo() -> Echo {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, heard) = channel();
    thread::spawn(move || {
        for mut stream in socket.incoming().map_while(Result::ok) {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read_bytes @ 1..) = stream.read(&mut buffer) {
                    // A test that is over listens no more.
                    let _ = tell.send(buffer[..read_bytes].to_vec());
                    if stream.write_all(&buffer[..read_bytes]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Echo { address, heard }
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn ask(client: &mut TcpStream, words: &str) {
    client.write_all(words.as_bytes()).unwrap();
    hear(client, words);
}

#[track_caller]
fn hear(client: &mut TcpStream, words: &str) {
    let mut heard = vec![0; words.len()];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(heard, words.as_bytes());
}

#[track_caller]
fn silent(client: &mut TcpStream) {
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let nothing = client.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    client.set_read_timeout(Some(PATIENCE)).unwrap();
}

#[track_caller]
fn reset(client: &mut TcpStream) {
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
