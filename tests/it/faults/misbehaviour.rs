//! Receivers that do what a receiver must not: each is one function on a
//! connection that has just brought a request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Between two bytes of those who drip.
const DRIP: Duration = Duration::from_millis(50);
/// More than a head may be.
const HUGE_BYTES: usize = 80 * 1024;

/// So many at once that the receiver has less work with them than the node.
const MANY: usize = 1_000;

/// What is done with a connection. Its end closes it.
pub type Misbehaviour = fn(&mut TcpStream);

/// Listens, and misbehaves on each connection on a thread of its own. Answers
/// the URL.
pub fn listen(misbehave: Misbehaviour) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut stream = stream;
                misbehave(&mut stream);
            });
        }
    });
    url
}

/// Reads until a request's head is there; its body may be under way. False
/// when nobody asks any more.
fn read_head(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(count) if count > 0 => seen.extend_from_slice(&bytes[..count]),
            _ => return false,
        }
    }
    true
}

/// Writes the same thing until nobody takes it any more.
fn write_forever(stream: &mut TcpStream, bytes: &[u8], pause: Duration) {
    while stream.write_all(bytes).is_ok() {
        thread::sleep(pause);
    }
}

/// Says nothing.
pub fn is_silent(stream: &mut TcpStream) {
    let _ = std::io::copy(stream, &mut std::io::sink());
}

/// A head that comes byte by byte and never ends.
pub fn drips_its_head(stream: &mut TcpStream) {
    read_head(stream);
    if stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").is_ok() {
        write_forever(stream, b"z", DRIP);
    }
}

/// A body that does.
pub fn drips_its_body(stream: &mut TcpStream) {
    read_head(stream);
    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").is_ok() {
        write_forever(stream, b"z", DRIP);
    }
}

/// A body as fast as it goes.
pub fn never_ends_its_body(stream: &mut TcpStream) {
    read_head(stream);
    let chunk = [b"10000\r\n".as_slice(), &[b'z'; 0x10000], b"\r\n"].concat();
    if stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_ok() {
        write_forever(stream, &chunk, Duration::ZERO);
    }
}

/// Closes with the request unread, which the kernel answers with a reset.
pub fn resets(stream: &mut TcpStream) {
    let _ = stream.peek(&mut [0]);
}

/// Speaks something else.
pub fn talks_garbage(stream: &mut TcpStream) {
    read_head(stream);
    let _ = stream.write_all(b"\x00\xffSSH-2.0-\x80\r\n\r\nHTTP/9.9 abc\r\n\r\n");
}

/// Says again and again that an answer is to come.
pub fn floods_with_interim_answers(stream: &mut TcpStream) {
    read_head(stream);
    write_forever(stream, &b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(MANY), Duration::ZERO);
}

/// A header name longer than any buffer for it.
pub fn has_a_huge_header_name(stream: &mut TcpStream) {
    read_head(stream);
    let name = "n".repeat(HUGE_BYTES);
    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{name}: 1\r\ncontent-length: 0\r\n\r\n").as_bytes());
}

/// A head that never ends, as fast as it goes.
pub fn has_endless_headers(stream: &mut TcpStream) {
    read_head(stream);
    if stream.write_all(b"HTTP/1.1 200 OK\r\n").is_ok() {
        write_forever(stream, &b"x-more: and more and more\r\n".repeat(MANY), Duration::ZERO);
    }
}

/// A body where there is none, on a connection that it keeps.
pub fn has_a_body_with_204(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\nHTTP/1";
    while read_head(stream) && stream.write_all(answer).is_ok() {}
}

/// A lying length: it closes before its body's end.
pub fn breaks_off_its_body(stream: &mut TcpStream) {
    read_head(stream);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
}

/// Sends elsewhere.
pub fn redirects(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    while read_head(stream) && stream.write_all(answer).is_ok() {}
}

/// A body that is no text, and no gzip either, though it says so.
pub fn answers_bytes_that_are_no_text(stream: &mut TcpStream) {
    let head = b"HTTP/1.1 500 No\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: 8\r\n\r\n";
    let answer = [head.as_slice(), b"a\x00\xff\xfe\x1b[2J"].concat();
    while read_head(stream) && stream.write_all(&answer).is_ok() {}
}

/// Few bytes that become 10 MiB where somebody unpacks them.
pub fn answers_a_packed_bomb(stream: &mut TcpStream) {
    let bomb = include_bytes!("../transport/bomb.gz");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let answer = [head.as_bytes(), bomb].concat();
    while read_head(stream) && stream.write_all(&answer).is_ok() {}
}

/// A body that breaks off with a reset: a part of the request is left unread.
pub fn resets_in_its_body(stream: &mut TcpStream) {
    let mut first = [0; 16];
    if stream.read_exact(&mut first).is_ok() && stream.peek(&mut first).is_ok() {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
    }
}

/// A header longer than all of a head may be.
pub fn has_a_huge_header_value(stream: &mut TcpStream) {
    read_head(stream);
    let value = "v".repeat(4 * HUGE_BYTES);
    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nx-huge: {value}\r\ncontent-length: 0\r\n\r\n").as_bytes());
}

/// A lying length the other way: what follows would be the next answer.
pub fn says_more_than_its_length(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
    while read_head(stream) && stream.write_all(answer).is_ok() {}
}

/// What is no TLS, to whoever begins it.
pub fn answers_a_hello_with_garbage(stream: &mut TcpStream) {
    if stream.read_exact(&mut [0; 16]).is_ok() {
        let _ = stream.write_all(b"\x16\x03\x03\xff\xff garbage in place of a hello");
        let _ = std::io::copy(stream, &mut std::io::sink());
    }
}
