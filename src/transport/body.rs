//! A request's body that says when it is asked for, which is when its connection is
//! ready: behind a TLS handshake nothing else tells.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;

/// The bytes, and whom to tell.
pub(super) struct Announced<F> {
    bytes: Option<Bytes>,
    length: usize,
    tell: F,
}

impl<F: Fn()> Announced<F> {
    pub(super) fn new(bytes: Bytes, tell: F) -> Self {
        Self { length: bytes.len(), bytes: Some(bytes), tell }
    }
}

impl<F: Fn() + Unpin> MessageBody for Announced<F> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        (self.tell)();
        Poll::Ready(self.bytes.take().filter(|bytes| !bytes.is_empty()).map(Ok))
    }
}
