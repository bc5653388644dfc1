//! HTTP/1.1 as cheap as it gets: messages over kept-alive connections, framed by
//! their `content-length`. Requests and answers are framed alike, so that the
//! sink and the load generator share it. What it cannot read it refuses; that is
//! enough between a benchmark and a server that it knows.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const FIRST_BUFFER_BYTES: usize = 16 << 10;
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// One end of a connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How much of the buffer has been read into.
    filled: usize,
    /// How much of that is the last message, which nobody needs any more.
    spent: usize,
}

/// A request or an answer.
pub struct Message<'a> {
    /// Its first line.
    pub first_line: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

impl Connection {
    /// Opens one.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?)
    }

    /// Takes one that was opened. A message is written whole; waiting to fill a
    /// packet would only delay it.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; FIRST_BUFFER_BYTES], filled: 0, spent: 0 })
    }

    /// Writes all of it.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = poll_fn(|context| Pin::new(&mut self.stream).poll_write(context, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The next message, or `None` if the other end has closed between two.
    pub async fn read(&mut self) -> io::Result<Option<Message<'_>>> {
        self.buffer.copy_within(self.spent..self.filled, 0);
        self.filled -= self.spent;
        self.spent = 0;
        let frame = loop {
            let frame = Frame::find(&self.buffer[..self.filled])?;
            if let Some(frame) = frame.as_ref().filter(|frame| frame.end() <= self.filled) {
                break *frame;
            }
            if !self.read_more(frame.map_or(0, |frame| frame.end())).await? {
                return if self.filled == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        };
        self.spent = frame.end();
        let (head, body) = self.buffer[..frame.end()].split_at(frame.head_bytes);
        Ok(Some(Message { first_line: &head[..frame.first_line_bytes], body }))
    }

    /// Sends a request and takes its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Message<'_>> {
        self.write(request).await?;
        self.read().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Reads once, into a buffer of at least so many bytes; false at the end.
    async fn read_more(&mut self, expected_bytes: usize) -> io::Result<bool> {
        let wanted = expected_bytes.max(if self.filled == self.buffer.len() { 2 * self.filled } else { 0 });
        if wanted > MAX_MESSAGE_BYTES {
            return Err(unreadable("a message is too long"));
        }
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted, 0);
        }
        let mut free = ReadBuf::new(&mut self.buffer[self.filled..]);
        // Unlike readiness and `try_read`, this knows from a short read that
        // nothing is left, and saves a system call a message.
        poll_fn(|context| Pin::new(&mut self.stream).poll_read(context, &mut free)).await?;
        let read_bytes = free.filled().len();
        self.filled += read_bytes;
        Ok(read_bytes > 0)
    }
}

impl Message<'_> {
    /// An answer's status.
    pub fn status(&self) -> io::Result<u16> {
        let word = self.first_line.split(|byte| *byte == b' ').nth(1);
        let status = word.and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.parse().ok());
        status.ok_or_else(|| unreadable("an answer has no status"))
    }

    /// A request's target.
    pub fn target(&self) -> &[u8] {
        self.first_line.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
    }
}

/// Where a message's parts end.
#[derive(Clone, Copy)]
struct Frame {
    first_line_bytes: usize,
    head_bytes: usize,
    body_bytes: usize,
}

impl Frame {
    fn end(&self) -> usize {
        self.head_bytes.saturating_add(self.body_bytes)
    }

    /// `None` while the head is not complete.
    fn find(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut frame = Self { first_line_bytes: 0, head_bytes: 0, body_bytes: 0 };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                return Ok(None);
            }
            frame.head_bytes += line.len();
            let line = line.trim_ascii_end();
            if frame.first_line_bytes == 0 {
                frame.first_line_bytes = line.len();
            } else if line.is_empty() {
                return Ok(Some(frame));
            } else if let Some(value) = header(line, b"content-length:") {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                frame.body_bytes = number.ok_or_else(|| unreadable("a content-length is no number"))?;
            } else if header(line, b"transfer-encoding:").is_some() {
                return Err(unreadable("a message has a transfer-encoding instead of a content-length"));
            }
        }
        Ok(None)
    }
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn unreadable(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
