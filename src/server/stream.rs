//! A client's connection, encrypted or not, as the HTTP server reads and writes it.
//! It carries out what [`Progress`](super::progress::Progress) decides, for every
//! request of the connection: a head that is late or too large is answered and the
//! connection closed, an answer that is not read is given up, and nothing is read
//! ahead of the request that is being worked on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::net::TcpStream;
use actix_rt::time::{Sleep, sleep};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::domain::Monotonic;

use crate::routes::problem::{Kind, Problem};

use super::progress::{Over, Reading};
use super::room::{Connection, Stay};

/// Bytes that are read before the server looks at what it has. As much as it may
/// take of requests that were sent without waiting for answers.
const TURN_BYTES: usize = 8 * 1024;
/// How long what a client goes on sending is thrown away after its last answer: to
/// close at once would take the answer from its hands.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// And how much of it.
const LINGER_BYTES: usize = 1024 * 1024;

/// The bytes on the wire.
pub enum Socket {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// See the module.
pub struct Watched {
    socket: Socket,
    stay: Stay,
    timer: Pin<Box<Sleep>>,
    /// When the timer rings; `None` while it is not set.
    rings_at: Option<Monotonic>,
    /// Bytes read since the server last looked at what it has.
    turn_bytes: usize,
    ending: Ending,
}

/// How far the end is.
#[derive(PartialEq, Eq)]
enum Ending {
    NotYet,
    /// Nothing more is read; the client has had a last word if it was to have one.
    Said {
        words: bool,
    },
    /// Our side is closed; so many bytes of theirs were thrown away.
    Closed {
        thrown_away: usize,
    },
}

impl Watched {
    /// A connection that was let in.
    pub fn new(socket: Socket, stay: Stay) -> Self {
        Self {
            socket,
            stay,
            timer: Box::pin(sleep(Duration::ZERO)),
            rings_at: None,
            turn_bytes: 0,
            ending: Ending::NotYet,
        }
    }

    /// The connection, for those who work for it.
    pub fn connection(&self) -> Connection {
        self.stay.connection().clone()
    }

    /// Whether its time is over. If not, the task is woken when it is.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<Over> {
        loop {
            let Some((deadline, over)) = self.stay.connection().deadline() else { return Poll::Pending };
            // Most deadlines move on before they come: the timer is left as it is,
            // and rings too early once.
            if self.rings_at.is_none_or(|rings_at| rings_at > deadline) {
                self.timer.set(sleep(self.stay.connection().until(deadline)));
                self.rings_at = Some(deadline);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.rings_at = None;
            if self.stay.connection().until(deadline).is_zero() {
                return Poll::Ready(over);
            }
        }
    }

    /// Nothing is to be read just now.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stay.connection().wakes(context);
        match self.poll_over(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(over) => self.end(over, context),
        }
    }

    /// Tells the client why, and the server that nothing more will come.
    fn end(&mut self, over: Over, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let last_words = self.stay.connection().is_over(over);
        if over == Over::UnreadAnswer {
            return Poll::Ready(self.give_up());
        }
        self.ending = Ending::Said { words: last_words.is_some() };
        if let Some(problem) = last_words {
            // Nothing else is on its way to the client, so that it fits or is not to
            // be had; and whoever does not take it is not waited for.
            let _ = self.socket.poll_write(context, &problem.last_words());
            let _ = self.socket.poll_flush(context);
        }
        Poll::Ready(Ok(()))
    }

    /// What is said in place of the server's own answer to a head that it cannot read,
    /// which is a status and nothing else. It closes the connection after it.
    fn unreadable(&self, answer: &[u8]) -> Option<Problem> {
        let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..4))?;
        let (kind, detail) = match status {
            b"400 " => (Kind::BadRequest, "its head is not that of a request, or its length can be read in two ways"),
            b"431 " => (Kind::HeadTooLarge, "a request has 96 headers at most"),
            _ => return None,
        };
        let is_bare = answer.ends_with(b"\r\n\r\n") && self.stay.connection().expects_no_answer();
        is_bare.then(|| Problem::new(kind, detail))
    }

    /// What was written and not taken is thrown away with the connection.
    fn give_up<T>(&self) -> io::Result<T> {
        if let Err(error) = self.socket.tcp().set_zero_linger() {
            log::debug!("a connection cannot be reset: {error}");
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// The client takes nothing.
    fn stuck<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let connection = self.stay.connection();
        connection.wakes(context);
        if connection.is_gone() {
            return Poll::Ready(self.give_up());
        }
        connection.blocked();
        match self.poll_over(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(over) => {
                self.stay.connection().is_over(over);
                Poll::Ready(self.give_up())
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending != Ending::NotYet {
            return Poll::Ready(Ok(()));
        }
        if this.stay.connection().is_gone() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let most = match this.stay.connection().reading() {
            Reading::UpTo(most) => most.min(TURN_BYTES.saturating_sub(this.turn_bytes)),
            Reading::Later => return this.wait(context),
        };
        if most == 0 {
            if this.turn_bytes == 0 {
                return this.end(Over::LargeHead, context);
            }
            this.turn_bytes = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = if buffer.remaining() <= most {
            this.socket.poll_read(context, buffer)
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
            let read = this.socket.poll_read(context, &mut part);
            let filled = part.filled().len();
            buffer.advance(filled);
            read
        };
        match read {
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled().len() - before;
                this.turn_bytes += bytes;
                if bytes > 0 {
                    this.stay.connection().came(bytes);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                this.turn_bytes = 0;
                this.wait(context)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(problem) = this.unreadable(bytes) {
            let _ = this.socket.poll_write(context, &problem.last_words());
            this.ending = Ending::Said { words: true };
            return Poll::Ready(Ok(bytes.len()));
        }
        match this.socket.poll_write(context, bytes) {
            Poll::Pending => this.stuck(context),
            written => written,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.socket.poll_flush(context) {
            Poll::Pending => this.stuck(context),
            flushed => {
                this.stay.connection().unblocked();
                flushed
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !matches!(this.ending, Ending::Closed { .. }) {
            match this.socket.poll_shutdown(context) {
                Poll::Pending => return this.stuck(context),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {}
            }
            if this.ending != (Ending::Said { words: true }) {
                return Poll::Ready(Ok(()));
            }
            this.ending = Ending::Closed { thrown_away: 0 };
            this.timer.set(sleep(LINGER));
        }
        let Ending::Closed { thrown_away } = &mut this.ending else { return Poll::Ready(Ok(())) };
        let mut scratch = [0; 4 * 1024];
        this.stay.connection().wakes(context);
        loop {
            if this.stay.connection().is_gone() || *thrown_away >= LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            match this.socket.poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => *thrown_away += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return this.timer.as_mut().poll(context).map(Ok),
            }
        }
    }
}
