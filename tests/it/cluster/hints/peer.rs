//! Another node, as far as hints go: it reports each request, and answers when
//! and what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use posthaste::cluster::{Hint, decode};

pub const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";
pub const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops";

/// What takes longer to come has not been sent.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Peer {
    pub address: Arc<str>,
    requests: mpsc::Receiver<Seen>,
    answers: mpsc::Sender<&'static str>,
}

/// A request, on the connection with this number, counted from 1.
pub struct Seen {
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    #[track_caller]
    pub fn hints(&self) -> Vec<Hint> {
        decode(&self.body).expect("a sender writes what can be read")
    }
}

impl Peer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).into();
        let (report, requests) = mpsc::channel();
        let (answers, given) = mpsc::channel();
        let given = Arc::new(Mutex::new(given));
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let (report, given) = (report.clone(), Arc::clone(&given));
                std::thread::spawn(move || serve(index + 1, stream.unwrap(), &report, &given));
            }
        });
        Self { address, requests, answers }
    }

    /// The next request, waiting for it. It hangs until an answer is given.
    #[track_caller]
    pub fn next(&self) -> Seen {
        self.requests.recv_timeout(PATIENCE).expect("a request comes")
    }

    /// A request that has come already.
    pub fn already(&self) -> Option<Seen> {
        self.requests.try_recv().ok()
    }

    /// Answers one request: that which hangs, or the next one to come.
    pub fn answer(&self, answer: &'static str) {
        self.answers.send(answer).unwrap();
    }
}

fn serve(
    connection: usize,
    stream: TcpStream,
    report: &mpsc::Sender<Seen>,
    given: &Mutex<mpsc::Receiver<&'static str>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let mut body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        report.send(Seen { connection, head, body }).ok()?;
        let answer = given.lock().ok()?.recv().ok()?;
        writer.write_all(answer.as_bytes()).ok()?;
    }
}
