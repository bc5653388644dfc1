//! The socket under an HTTP connection, held so that an attempt can close the
//! very connection it used. awc's pool takes a connection back as soon as it
//! has parsed a head, also when that head was no final answer; whoever sent
//! next would then read the rest of the last exchange as its own answer.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TCP connection that can be closed from outside the pool that holds it.
pub(super) struct Socket(RefCell<Option<TcpStream>>);

impl Socket {
    /// Closes it now. The pool throws away what is left when it next looks.
    pub(super) fn close(&self) {
        self.0.borrow_mut().take();
    }
}

/// Knows which socket was used last on this thread.
#[derive(Clone, Default)]
pub(super) struct Traffic(Rc<RefCell<Weak<Socket>>>);

impl Traffic {
    /// Runs one poll of an attempt and remembers in `used` the last socket it
    /// touched: the one that carries the attempt. Weak, so that remembering
    /// keeps no socket open.
    pub(super) fn watch<T>(&self, used: &mut Weak<Socket>, poll: impl FnOnce() -> T) -> T {
        self.0.replace(Weak::new());
        let polled = poll();
        let touched = self.0.take();
        if touched.strong_count() > 0 {
            *used = touched;
        }
        polled
    }
}

/// What awc reads from and writes to.
pub(super) struct Stream {
    socket: Rc<Socket>,
    traffic: Traffic,
}

impl Stream {
    pub(super) fn new(connected: TcpStream, traffic: Traffic) -> Self {
        Self { socket: Rc::new(Socket(RefCell::new(Some(connected)))), traffic }
    }

    fn poll_open<T>(&self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        *self.traffic.0.borrow_mut() = Rc::downgrade(&self.socket);
        match self.socket.0.borrow_mut().as_mut() {
            Some(open) => poll(Pin::new(open)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_open(|open| open.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_open(|open| open.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(|open| open.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(|open| open.poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_open(|open| open.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl ActixStream for Stream {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.poll_open(|open| ActixStream::poll_read_ready(&*open, context))
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.poll_open(|open| ActixStream::poll_write_ready(&*open, context))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.socket.0.borrow().as_ref().and_then(|open| open.peer_addr().ok());
        formatter.debug_tuple("Stream").field(&peer).finish()
    }
}
