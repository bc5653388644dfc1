//! The forward proxy that connections go through where an operator says so: HTTP
//! `CONNECT`, for http and https targets alike. It is told an address that was
//! vetted here, never a name, so that it has nothing to resolve and cannot be made
//! to go elsewhere. Its own address is the operator's word, and no subject of policy.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_rt::time::timeout;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::transport::Resolve;
use crate::transport::connector::MAX_DIALLED;
use crate::transport::source::{OpenError, SourceAddresses};

/// Longest head of an answer that is read.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Where the proxy is, and what it wants to hear.
#[derive(Clone)]
pub struct Proxy {
    host: Arc<str>,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Arc<str>>,
}

/// Why the proxy opened no connection. Partners read these sentences: they name
/// neither the proxy's address nor what else it said.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFailure {
    #[error("the forward proxy has a name that does not resolve")]
    Unresolved,
    #[error("the forward proxy cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("this node cannot send from its source address {0}: {1}")]
    Source(IpAddr, io::Error),
    #[error("the forward proxy answered with status {0}")]
    Refused(u16),
    #[error("the forward proxy's answer is not HTTP")]
    Unreadable,
    #[error("the head of the forward proxy's answer is longer than {MAX_HEAD_BYTES} bytes")]
    TooLong,
    #[error("the forward proxy went on talking after it had opened a connection")]
    Talkative,
    #[error("the forward proxy closed its connection before it answered")]
    Ended,
}

impl ProxyFailure {
    /// Whether asking for another address of the same host may help.
    pub(super) fn is_about_target(&self) -> bool {
        // 407 is about who asks.
        matches!(self, Self::Refused(status) if *status != 407)
    }
}

impl Proxy {
    /// A proxy by its name or address; `credentials` are a user name and a password.
    pub fn new(host: &str, port: u16, credentials: Option<(&str, &str)>) -> Self {
        let authorization =
            credentials.map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Self { host: host.into(), port, authorization: authorization.map(Arc::from) }
    }

    /// A connection that the proxy passes on to this address. Where the proxy has several
    /// of its own, each has an equal part of the time, and what is said to it one more:
    /// one that swallows packets leaves some to the next.
    pub(super) async fn open(
        &self,
        target: SocketAddr,
        within: Duration,
        resolver: &dyn Resolve,
        source: &SourceAddresses,
    ) -> Result<TcpStream, ProxyFailure> {
        let addresses = self.addresses(resolver).await?;
        let tried = &addresses[..addresses.len().min(MAX_DIALLED)];
        let part = match tried.len() {
            0 | 1 => within,
            several => within / u32::try_from(several + 1).unwrap_or(u32::MAX),
        };
        let mut connected = Err(ProxyFailure::Unresolved);
        for address in tried {
            connected = match timeout(part, source.open(SocketAddr::new(*address, self.port))).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(OpenError::Source(source, error))) => Err(ProxyFailure::Source(source, error)),
                Ok(Err(OpenError::Peer(error))) => Err(ProxyFailure::Unreachable(error)),
                Err(_) => Err(ProxyFailure::Unreachable(io::ErrorKind::TimedOut.into())),
            };
            if connected.is_ok() {
                break;
            }
        }
        let stream = connected?;
        write_all(&stream, self.request(target).as_bytes()).await?;
        read_answer(&stream).await?;
        Ok(stream)
    }

    async fn addresses(&self, resolver: &dyn Resolve) -> Result<Vec<IpAddr>, ProxyFailure> {
        match self.host.trim_matches(['[', ']']).parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => resolver.resolve(Arc::clone(&self.host)).await.map_err(|_| ProxyFailure::Unresolved),
        }
    }

    fn request(&self, target: SocketAddr) -> String {
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("proxy-authorization: {authorization}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({}:{})", self.host, self.port)
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> Result<(), ProxyFailure> {
    while !bytes.is_empty() {
        stream.writable().await.map_err(|_| ProxyFailure::Ended)?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(ProxyFailure::Ended),
        }
    }
    Ok(())
}

/// Reads as much as tells what the answer is, and no byte of what the target says.
async fn read_answer(stream: &TcpStream) -> Result<(), ProxyFailure> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        stream.readable().await.map_err(|_| ProxyFailure::Ended)?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(ProxyFailure::Ended),
            Ok(count) => head.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(ProxyFailure::Ended),
        }
        if let Some(opened) = judge(&head) {
            return opened;
        }
    }
}

/// What an answer comes to whose beginning this is; `None` if that is still open.
fn judge(head: &[u8]) -> Option<Result<(), ProxyFailure>> {
    match status(head) {
        Err(failure) => return Some(Err(failure)),
        Ok(Some(status)) if !(200..300).contains(&status) => return Some(Err(ProxyFailure::Refused(status))),
        Ok(_) => {}
    }
    match head.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) if end + 4 > MAX_HEAD_BYTES => Some(Err(ProxyFailure::TooLong)),
        // Targets of webhooks speak when they are spoken to.
        Some(end) if end + 4 < head.len() => Some(Err(ProxyFailure::Talkative)),
        Some(_) => Some(Ok(())),
        None if head.len() >= MAX_HEAD_BYTES => Some(Err(ProxyFailure::TooLong)),
        None => None,
    }
}

/// The status of an answer, once its first line is there.
fn status(head: &[u8]) -> Result<Option<u16>, ProxyFailure> {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let known = head.len().min(BEGINNING.len());
    if head[..known] != BEGINNING[..known] {
        return Err(ProxyFailure::Unreadable);
    }
    let Some(end) = head.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
    let (version, rest) = head[BEGINNING.len()..end].split_at_checked(2).ok_or(ProxyFailure::Unreadable)?;
    let (digits, reason) = rest.split_at_checked(3).ok_or(ProxyFailure::Unreadable)?;
    let is_line = matches!(version, b"0 " | b"1 ")
        && digits.iter().all(u8::is_ascii_digit)
        && (reason.is_empty() || reason.starts_with(b" "));
    let status = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    status.filter(|status| is_line && *status >= 100).map(Some).ok_or(ProxyFailure::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: &str) {
        let judged = match judge(head) {
            None => "open".to_owned(),
            Some(Ok(())) => "opened".to_owned(),
            Some(Err(failure)) => failure.to_string(),
        };
        assert_eq!(judged, expected, "{:?}", String::from_utf8_lossy(head));
    }

    #[test]
    fn answers_are_judged_as_soon_as_they_can_be() {
        for head in ["", "H", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 200 OK\r", "HTTP/1.1 200 OK\r\nvia: x\r\n"] {
            check(head.as_bytes(), "open");
        }
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 299 X\r\ncontent-length: 9\r\n\r\n"] {
            check(head.as_bytes(), "opened");
        }
        for status in [100, 199, 300, 302, 403, 407, 502, 999] {
            // The rest of it is not waited for, nor read.
            check(
                format!("HTTP/1.1 {status} X\r\n").as_bytes(),
                &format!("the forward proxy answered with status {status}"),
            );
        }
        for head in [
            "x",
            "HTTP/2 200\r\n",
            "HTTP/1.1\r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 2000\r\n",
            "HTTP/1.1 2x0 OK\r\n",
            "HTTP/1.1 099 X\r\n",
            "HTTP/1.1  200 OK\r\n",
            "\u{16}\u{3}",
        ] {
            check(head.as_bytes(), "the forward proxy's answer is not HTTP");
        }
        check(b"HTTP/1.1 200 OK\r\n\r\nx", "the forward proxy went on talking after it had opened a connection");
        let long = [b"HTTP/1.1 200 OK\r\n".as_slice(), &vec![b'a'; MAX_HEAD_BYTES]].concat();
        check(&long, "the head of the forward proxy's answer is longer than 8192 bytes");
        check(
            &[long.as_slice(), b"\r\n\r\n"].concat(),
            "the head of the forward proxy's answer is longer than 8192 bytes",
        );
        check(&vec![b'H'; MAX_HEAD_BYTES], "the forward proxy's answer is not HTTP");
    }

    #[test]
    fn it_is_told_an_address_and_who_asks() {
        let target = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let plain = Proxy::new("proxy.test", 3128, None);
        let expected = "CONNECT 8.8.8.8:443 HTTP/1.1\r\nhost: 8.8.8.8:443\r\n\r\n";
        assert_eq!(plain.request(target("8.8.8.8:443")), expected);
        let known = Proxy::new("proxy.test", 3128, Some(("us:er", "pa ss")));
        let head = known.request(target("[2606:4700::1111]:80"));
        assert!(head.starts_with("CONNECT [2606:4700::1111]:80 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nproxy-authorization: Basic dXM6ZXI6cGEgc3M=\r\n"), "{head}");
        assert_eq!(format!("{known:?}"), "Proxy(proxy.test:3128)");
    }
}
