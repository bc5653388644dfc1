//! What comes in over the network: heads, connections, answers that nobody reads,
//! TLS, and how much anybody may ask.

mod answers;
mod connections;
mod heads;
mod json;
mod rates;
mod schemas;
mod smuggling;
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::http::{Client, Response, connect};
use crate::support::node::{Node, eventually};

/// Between two bytes of a client that is slow on purpose.
const DRIP: Duration = Duration::from_millis(20);

/// A request that is answered without a key, on a connection that stays open.
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// What is counted under this name, labels included; 0 before it was ever counted.
fn counted(client: &Client, name: &str) -> u64 {
    let metrics = client.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

/// Waits until so many connections were closed for this reason.
#[track_caller]
fn closed_for(node: &Node, reason: &str, at_least: u64) {
    let name = format!("posthaste_connections_closed_total{{reason=\"{reason}\"}}");
    eventually(&name, || (counted(&node.nobody(), &name) >= at_least).then_some(()));
}

/// One answer of a connection that may go on: its status line, headers and body.
fn next_answer(stream: &mut TcpStream) -> Option<Response> {
    let mut answer = Vec::new();
    let mut byte = [0];
    // Byte by byte, so that the next answer is left alone.
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            _ => return None,
        }
    }
    let head = Response::parse(&answer)?;
    let length = head.header("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    answer.extend_from_slice(&body);
    Response::parse(&answer)
}

/// Sends these bytes one by one, slowly, until the other side says something or
/// closes; and answers what it says.
fn drip(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let patience = stream.read_timeout().unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 4 * 1024];
    for byte in bytes {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        // What is waited for is an answer; that none has come is the signal to go on.
        stream.set_read_timeout(Some(DRIP)).unwrap();
        match stream.read(&mut buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => break,
            Ok(length) => {
                said.extend_from_slice(&buffer[..length]);
                break;
            }
        }
    }
    stream.set_read_timeout(patience).unwrap();
    said.extend(rest(stream));
    said
}

/// All that comes before the other side closes.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return said,
            Ok(length) => said.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the connection stays open; it said {:?}", String::from_utf8_lossy(&said))
            }
            Err(_) => return said,
        }
    }
}

/// A connection on which this was sent.
fn having_sent(node: &Node, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = connect(node.address);
    stream.write_all(bytes.as_ref()).unwrap();
    stream
}
