//! A name server of the tests' own, on loopback, over UDP and TCP: what it says of
//! each name is scripted, question by question, and need not be true, sound or
//! anything at all.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// Bytes of a message's header.
const HEADER_BYTES: usize = 12;
/// More than a question takes.
const MAX_QUESTION_BYTES: usize = 4_096;

/// One record of an answer. Those behind an alias are of the name it stands for.
#[derive(Debug, Clone, Copy)]
pub enum Record {
    Address(IpAddr),
    Alias(&'static str),
}

/// What it says to one question. Of addresses, those of the type that is asked for.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Records, to be kept for so many seconds.
    Records(u32, Vec<Record>),
    NoSuchName,
    ServerFailure,
    Silence,
    /// Bytes that are no answer.
    Garbage,
    /// An answer to a question that was not asked.
    WrongId(Vec<Record>),
    /// These over UDP, said to be cut short; those over TCP.
    Truncated(Vec<Record>, Vec<Record>),
}

impl Reply {
    /// Addresses that nobody may keep.
    pub fn addresses(addresses: &[&str]) -> Self {
        Self::Records(0, records(addresses))
    }

    /// Another name to ask for.
    pub fn alias(name: &'static str) -> Self {
        Self::Records(0, vec![Record::Alias(name)])
    }
}

pub fn records(addresses: &[&str]) -> Vec<Record> {
    addresses.iter().map(|text| Record::Address(text.parse().expect("a test's own address"))).collect()
}

/// A running name server. It runs as long as the test process.
pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

struct Zone {
    /// Replies in turn, the last one for good.
    names: HashMap<&'static str, Vec<Reply>>,
    /// What is said of all other names.
    otherwise: Reply,
    /// How often each name was asked for, by type.
    asked: HashMap<(String, u16), usize>,
}

impl NameServer {
    pub fn start(names: impl IntoIterator<Item = (&'static str, Vec<Reply>)>, otherwise: Reply) -> Self {
        let (udp, tcp) = sockets();
        let address = tcp.local_addr().expect("it is bound");
        let zone = Zone { names: names.into_iter().collect(), otherwise, asked: HashMap::new() };
        let zone = Arc::new(Mutex::new(zone));
        let asked = Arc::clone(&zone);
        thread::spawn(move || {
            let mut question = [0; MAX_QUESTION_BYTES];
            while let Ok((length, client)) = udp.recv_from(&mut question) {
                if let Some(answer) = asked.lock().unwrap().answer(&question[..length], Over::Udp) {
                    let _ = udp.send_to(&answer, client);
                }
            }
        });
        let asked = Arc::clone(&zone);
        thread::spawn(move || {
            for stream in tcp.incoming().map_while(Result::ok) {
                let zone = Arc::clone(&asked);
                thread::spawn(move || serve(stream, &zone));
            }
        });
        Self { address, zone }
    }

    /// How often its IPv4 addresses were asked for.
    pub fn times_asked(&self, name: &str) -> usize {
        self.zone.lock().unwrap().asked.get(&(name.to_owned(), A)).copied().unwrap_or(0)
    }
}

/// One port of both kinds.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("it is bound")) {
            return (udp, tcp);
        }
    }
}

/// Each message has its length in front of it.
fn serve(mut stream: TcpStream, zone: &Mutex<Zone>) {
    loop {
        let mut length = [0; 2];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        let answer = zone.lock().unwrap().answer(&question, Over::Tcp);
        let Some(answer) = answer else { continue };
        let length = u16::try_from(answer.len()).expect("a scripted answer fits a message");
        if stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat()).is_err() {
            return;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
}

impl Zone {
    fn answer(&mut self, question: &[u8], over: Over) -> Option<Vec<u8>> {
        let (name, kind, end) = parse(question)?;
        let replies = self.names.get(name.as_str()).map_or(std::slice::from_ref(&self.otherwise), Vec::as_slice);
        let turn = |turn: usize| &replies[turn.min(replies.len() - 1)];
        let count = self.asked.entry((name.clone(), kind)).or_default();
        // What was cut short and comes again over TCP is the same question.
        let is_again = over == Over::Tcp && *count > 0 && matches!(turn(*count - 1), Reply::Truncated(..));
        if !is_again {
            *count += 1;
        }
        let reply = turn(*count - 1).clone();
        let question = &question[..end];
        match reply {
            Reply::Records(seconds, records) => Some(message(question, kind, 0, seconds, &records)),
            Reply::NoSuchName => Some(message(question, kind, 3, 0, &[])),
            Reply::ServerFailure => Some(message(question, kind, 2, 0, &[])),
            Reply::Silence => None,
            Reply::Garbage => Some(vec![0xa5; 40]),
            Reply::WrongId(records) => {
                let mut forged = message(question, kind, 0, 0, &records);
                forged[0] ^= 0xff;
                Some(forged)
            }
            Reply::Truncated(beginning, _) if over == Over::Udp => {
                let mut cut = message(question, kind, 0, 0, &beginning);
                cut[2] |= 0x02;
                Some(cut)
            }
            Reply::Truncated(_, whole) => Some(message(question, kind, 0, 0, &whole)),
        }
    }
}

/// The name in lower case, the type, and where the question ends.
fn parse(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 4))
}

/// An answer to a question.
fn message(question: &[u8], kind: u16, code: u8, seconds: u32, records: &[Record]) -> Vec<u8> {
    let mut message = question.to_vec();
    // An answer, by a server that asks others for whoever wants it.
    (message[2], message[3]) = (0x81, 0x80 | code);
    message[4..HEADER_BYTES].fill(0);
    message[5] = 1;
    // The name of the question, by pointer.
    let mut owner = vec![0xc0, HEADER_BYTES as u8];
    let mut count = 0_u16;
    for record in records {
        let (record_kind, data) = match record {
            Record::Alias(name) => (CNAME, encoded(name)),
            Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        };
        if record_kind != CNAME && record_kind != kind {
            continue;
        }
        message.extend_from_slice(&owner);
        message.extend(record_kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend(seconds.to_be_bytes());
        message.extend(u16::try_from(data.len()).expect("a name or an address is short").to_be_bytes());
        message.extend_from_slice(&data);
        count += 1;
        if record_kind == CNAME {
            owner = data;
        }
    }
    message[6..8].copy_from_slice(&count.to_be_bytes());
    message
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
