//! A receiver that says everything that it was told.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// A receiver that answers with what it got, in every place that an answer has.
pub fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || repeat(stream));
        }
    });
    url
}

/// Answers each request of a connection, until it ends.
fn repeat(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut lines, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            lines.push(line);
        }
        if reader.read_exact(&mut vec![0; length]).is_err() {
            return;
        }
        let path = lines[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let token = lines.iter().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none").trim();
        let body = lines.concat();
        let length = body.len();
        let answer = match path.as_str() {
            "/redirect" => format!("HTTP/1.1 302 {token}\r\nlocation: /{token}\r\ncontent-length: 0\r\n\r\n"),
            "/garbage" => format!("HTTP/1.1 200 OK\r\n{token} {token}\r\n\r\n"),
            "/status" => format!("HTTP/{token} {token}\r\n\r\n"),
            "/limited" => format!("HTTP/1.1 429 No\r\nretry-after: {token}\r\ncontent-length: {length}\r\n\r\n{body}"),
            _ => format!("HTTP/1.1 500 No\r\nx-echo: {token}\r\ncontent-length: {length}\r\n\r\n{body}"),
        };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
