//! A forward proxy of the tests' own: it knows CONNECT and nothing else, and does
//! what it is told to do instead of it. It keeps what it was asked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is done with a connection once its CONNECT has been read.
#[derive(Debug, Clone, Copy)]
pub enum Manners {
    /// It connects and passes everything on.
    Pass,
    /// It says this, byte for byte, and then keeps still.
    Say(&'static [u8]),
    /// It says this, and then the other thing until nobody listens.
    SayForever(&'static [u8], &'static [u8]),
    /// It closes.
    Close,
}

/// What it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// By whom.
    pub from: SocketAddr,
    /// The head, as it came.
    pub head: String,
}

pub struct ForwardProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ForwardProxy {
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = Arc::clone(&noted);
                thread::spawn(move || serve(stream, manners, &noted));
            }
        });
        Self { address, asked }
    }

    /// Everything it was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The targets of it.
    pub fn targets(&self) -> Vec<String> {
        let target = |asked: Asked| {
            let line = asked.head.lines().next().unwrap_or_default();
            line.strip_prefix("CONNECT ").and_then(|line| line.strip_suffix(" HTTP/1.1")).expect("a CONNECT").to_owned()
        };
        self.asked().into_iter().map(target).collect()
    }
}

fn serve(mut stream: TcpStream, manners: Manners, noted: &Mutex<Vec<Asked>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).expect("a head is text");
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    noted.lock().unwrap().push(Asked { from: stream.peer_addr().expect("it is connected"), head });
    match manners {
        Manners::Pass => match TcpStream::connect(&target) {
            Ok(to) => {
                let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n");
                pass(stream, to);
            }
            Err(_) => {
                let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
            }
        },
        Manners::Say(bytes) => {
            let _ = stream.write_all(bytes);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        Manners::SayForever(first, then) => {
            let _ = stream.write_all(first);
            while stream.write_all(then).is_ok() {
                // So slow that a test's machine has time for others.
                thread::sleep(Duration::from_millis(1));
            }
        }
        Manners::Close => {}
    }
}

fn pass(near: TcpStream, far: TcpStream) {
    let (mut up_from, mut up_to) = (near.try_clone().expect("a descriptor"), far.try_clone().expect("a descriptor"));
    let upward = thread::spawn(move || {
        let _ = std::io::copy(&mut up_from, &mut up_to);
        let _ = up_to.shutdown(Shutdown::Write);
    });
    let (mut down_from, mut down_to) = (far, near);
    let _ = std::io::copy(&mut down_from, &mut down_to);
    let _ = down_to.shutdown(Shutdown::Both);
    let _ = upward.join();
}
