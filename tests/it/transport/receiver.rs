//! A receiver on loopback whose every byte the test decides. It reports what
//! happens to it, so that tests wait for events and not for time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::within;

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a receiver saw, with the number of the connection, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Request(usize),
    /// The sender closed the connection.
    End(usize),
}

pub struct Receiver {
    pub address: SocketAddr,
    seen: UnboundedReceiver<Seen>,
}

/// One connection, in the hands of the test.
pub struct Connection<S = TcpStream> {
    pub stream: S,
    pub number: usize,
    seen: UnboundedSender<Seen>,
}

impl Receiver {
    /// Runs `behave` for each connection on a thread of its own.
    pub fn start(behave: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        Self::listen(listener, behave)
    }

    pub fn listen(listener: TcpListener, behave: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a bound listener has an address");
        let (report, seen) = unbounded_channel();
        let behave = Arc::new(behave);
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let connection =
                    Connection { stream: stream.expect("a connection"), number: index + 1, seen: report.clone() };
                let behave = Arc::clone(&behave);
                std::thread::spawn(move || behave(connection));
            }
        });
        Self { address, seen }
    }

    /// Answers every request alike and keeps connections open.
    pub fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut connection| {
            while connection.request().is_some() {
                connection.write(answer);
            }
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next thing it saw.
    pub async fn next(&mut self) -> Seen {
        within(self.seen.recv()).await.expect("the receiver runs as long as the test")
    }

    /// Everything it has seen so far and nobody has asked for.
    pub fn so_far(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

impl<S: Read + Write> Connection<S> {
    /// The same connection with something on top of it.
    pub fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Connection<T> {
        Connection { stream: wrap(self.stream), number: self.number, seen: self.seen }
    }

    /// The next request's head and body; `None` when the sender closed.
    pub fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => {
                    let _ = self.seen.send(Seen::End(self.number));
                    return None;
                }
            }
        }
        let head = String::from_utf8(head).expect("a request's head is text");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().expect("a length is a number")];
        self.stream.read_exact(&mut body).expect("the body comes with its head");
        let _ = self.seen.send(Seen::Request(self.number));
        Some((head, body))
    }

    /// Writes as long as the sender takes it.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Holds the connection until the sender closes it.
    pub fn hold(mut self) {
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
        let _ = self.seen.send(Seen::End(self.number));
    }
}
