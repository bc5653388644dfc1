//! What waits in the journal's queue, and how it is answered.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::store::{Accept, Accepted, Record, StoreError, Transaction};

use super::{Heard, JournalError};

pub(super) enum Entry {
    Accept(AcceptEntry),
    Record { record: Arc<Record>, heard: Heard },
    Change(Box<dyn Change>),
    Close,
}

/// Events to be accepted, and who waits for that.
pub(super) struct AcceptEntry {
    pub(super) accept: Accept,
    reply: Reply<Accepted>,
    /// Given back when the events are durable, or are not to be.
    bytes: OwnedSemaphorePermit,
}

impl AcceptEntry {
    pub(super) fn new(accept: Accept, reply: Reply<Accepted>, bytes: OwnedSemaphorePermit) -> Self {
        Self { accept, reply, bytes }
    }

    pub(super) fn answer(self, answer: Result<Accepted, JournalError>) {
        // Whoever hears the answer may count on the room. One that has gone
        // away learns nothing; what is written stays.
        drop(self.bytes);
        let _ = self.reply.send(answer);
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// About how many deliveries this makes.
    pub(super) fn deliveries(&self) -> usize {
        let subscriptions = &self.accept.subscriptions;
        self.accept.events.iter().map(|event| subscriptions.recipients(event).len()).sum()
    }
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, JournalError>>;

/// A rare verb, with its answer kept until the commit.
pub(super) trait Change: Send {
    fn apply(&mut self, transaction: &mut dyn Transaction) -> Result<(), StoreError>;
    fn committed(self: Box<Self>);
    fn failed(self: Box<Self>, error: JournalError);
}

pub(super) struct TypedChange<T, F> {
    verb: F,
    answer: Option<T>,
    reply: Reply<T>,
}

impl<T, F> TypedChange<T, F> {
    pub(super) fn new(verb: F, reply: Reply<T>) -> Self {
        Self { verb, answer: None, reply }
    }
}

impl<T, F> Change for TypedChange<T, F>
where
    T: Send,
    F: FnMut(&mut dyn Transaction) -> Result<T, StoreError> + Send,
{
    fn apply(&mut self, transaction: &mut dyn Transaction) -> Result<(), StoreError> {
        self.answer = Some((self.verb)(transaction)?);
        Ok(())
    }

    fn committed(self: Box<Self>) {
        let answer = self.answer.expect("a committed change was applied before");
        // A caller that has gone away learns nothing; what is written stays.
        let _ = self.reply.send(Ok(answer));
    }

    fn failed(self: Box<Self>, error: JournalError) {
        let _ = self.reply.send(Err(error));
    }
}

impl Entry {
    pub(super) fn fail(self, error: JournalError) {
        match self {
            Self::Accept(entry) => entry.answer(Err(error)),
            Self::Record { heard, .. } => heard(Err(error)),
            Self::Change(change) => change.failed(error),
            Self::Close => {}
        }
    }
}
