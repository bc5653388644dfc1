//! The socket under an HTTP connection, held so that an attempt can close the
//! very connection it used. awc's pool takes a connection back as soon as it
//! has parsed a head, also when that head was no final answer; whoever sent
//! next would then read the rest of the last exchange as its own answer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::stages::Stages;

/// A TCP connection that can be closed from outside the pool that holds it.
pub(super) struct Socket {
    open: RefCell<Option<TcpStream>>,
    /// Where it leads: through a proxy, the address that the proxy was told.
    address: SocketAddr,
}

impl Socket {
    /// Closes it now. The pool throws away what is left when it next looks.
    pub(super) fn close(&self) {
        self.open.borrow_mut().take();
    }
}

/// Knows which socket was used last on this thread, and how far the attempt has come
/// that is being polled.
#[derive(Clone, Default)]
pub(super) struct Traffic(Rc<Watched>);

#[derive(Default)]
struct Watched {
    touched: RefCell<Weak<Socket>>,
    stages: Cell<Stages>,
}

/// What was seen of one attempt.
#[derive(Default)]
pub(super) struct Seen {
    /// The last socket that it touched: the one that carries it. Weak, so that
    /// remembering keeps no socket open.
    pub(super) socket: Weak<Socket>,
    pub(super) stages: Stages,
}

impl Traffic {
    /// Runs one poll of an attempt and remembers what it touched and reached.
    pub(super) fn watch<T>(&self, seen: &mut Seen, poll: impl FnOnce() -> T) -> T {
        self.0.touched.replace(Weak::new());
        self.0.stages.set(seen.stages);
        let polled = poll();
        seen.stages = self.0.stages.get();
        let touched = self.0.touched.take();
        if touched.strong_count() > 0 {
            seen.socket = touched;
        }
        polled
    }

    /// The attempt that is being polled has got somewhere.
    pub(super) fn reached(&self, stage: impl FnOnce(&mut Stages)) {
        let mut stages = self.0.stages.get();
        stage(&mut stages);
        self.0.stages.set(stages);
    }
}

/// What awc reads from and writes to.
pub(super) struct Stream {
    socket: Rc<Socket>,
    traffic: Traffic,
}

impl Stream {
    pub(super) fn new(connected: TcpStream, address: SocketAddr, traffic: Traffic) -> Self {
        Self { socket: Rc::new(Socket { open: RefCell::new(Some(connected)), address }), traffic }
    }

    fn poll_open<T>(&self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        *self.traffic.0.touched.borrow_mut() = Rc::downgrade(&self.socket);
        self.traffic.reached(|stages| stages.touch(self.socket.address));
        match self.socket.open.borrow_mut().as_mut() {
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
        formatter.debug_tuple("Stream").field(&self.socket.address).finish()
    }
}
