//! A client of the API: one request a connection, sent as the test wrote it
//! and shown as it came back. Plain sockets, so that a test can also say what
//! no well-behaved client would.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer that takes longer has not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever holds a key, or nobody.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub key: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.json("POST", path, body)
    }

    pub fn patch(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.json("PATCH", path, body)
    }

    pub fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.json("PUT", path, body)
    }

    /// Posts nothing, as `curl -X POST` does.
    pub fn post_empty(&self, path: &str) -> Response {
        self.send("POST", path, &[], b"")
    }

    fn json(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(method, path, &[("content-type", "application/json")], body.as_ref())
    }

    /// A request with these headers beside the key and the body's length.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_to_send(method, path, headers, body)
            .unwrap_or_else(|answer| panic!("no answer to {method} {path}: {answer:?}"))
    }

    /// The same, or what came in place of an answer.
    pub fn try_to_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, Vec<u8>> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if let Some(key) = &self.key {
            head.push_str(&format!("authorization: Bearer {key}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "DELETE") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let answer = exchange(self.address, &[head.as_bytes(), body].concat());
        Response::parse(&answer).ok_or(answer)
    }
}

/// Sends bytes, and reads the answer to them; nothing where the server closes
/// without a word.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // A refusal may come, and the connection close, before all is sent.
    let _ = stream.write_all(bytes);
    read_answer(&mut stream)
}

/// The same, saying afterwards that nothing more will come.
pub fn exchange_and_close(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read_answer(&mut stream)
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One answer, whether the server closes after it or not.
pub fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            // A reset after the answer is how a server ends a body it does not want.
            Ok(0) | Err(_) => return answer,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
        }
        let whole = Response::parse(&answer).is_some_and(|response| {
            response.header("content-length").and_then(|length| length.parse().ok()) == Some(response.body.len())
        });
        if whole {
            return answer;
        }
    }
}

impl Response {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8(bytes.to_vec()).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
            .collect::<Option<_>>()?;
        Some(Self { status, headers, body: body.to_owned() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The body of an answer that must have this status; null if it has none.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        if self.body.is_empty() {
            return Value::Null;
        }
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        self.json()
    }

    /// The body of an error that must be a problem of this kind, as RFC 9457
    /// and product.md want it.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:posthaste:problem:{slug}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {problem}");
        }
        problem
    }

    /// The pointers of a problem's `errors`, in order.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().expect("each error has a pointer").to_owned()).collect()
    }
}
