//! How far a connection is: whether a request's head is on its way, a handler has
//! the request, or nothing is asked. Decides how much more may be read, and when the
//! connection has had its time. Pure: `now` is an argument.

use std::time::Duration;

use crate::domain::Monotonic;
use crate::routes::problem::{Kind, Problem};

/// How much a connection may take of everything.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// From a head's first byte to its last; for a new connection, from its beginning,
    /// TLS included.
    pub head_timeout: Duration,
    /// From the moment at which a client stops reading an answer until it has read all
    /// of it.
    pub write_timeout: Duration,
    /// How long a connection is kept without a request.
    pub keep_alive: Duration,
}

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The last answer was given, and nothing has come since.
    Idle,
    /// A head is on its way, of which so many bytes have come.
    Head { bytes: usize },
    /// A handler has the request, and either wants more of its body or has all.
    Working { wants_body: bool },
    /// The answer was given, and the body that nobody wanted is still coming.
    Draining,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Progress {
    phase: Phase,
    /// Since when.
    since: Monotonic,
    /// Since when the client has taken nothing of what was to be written.
    blocked_since: Option<Monotonic>,
}

/// How much may be read just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// So many bytes; with none left, the head is too large.
    UpTo(usize),
    /// Nothing before the request that a handler has is answered: what comes behind it
    /// waits in the client's hands, not in our memory.
    Later,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing was asked for too long.
    Idle,
    /// A head took too long.
    SlowHead,
    /// A head is too large.
    LargeHead,
    /// An answer was not read.
    UnreadAnswer,
}

impl Over {
    /// By what the metric calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::SlowHead => "slow_head",
            Self::LargeHead => "large_head",
            Self::UnreadAnswer => "unread_answer",
        }
    }
}

impl Progress {
    /// A connection that begins.
    pub fn begun(now: Monotonic) -> Self {
        Self { phase: Phase::Head { bytes: 0 }, since: now, blocked_since: None }
    }

    /// Bytes have come.
    pub fn came(&mut self, bytes: usize, now: Monotonic) {
        match &mut self.phase {
            Phase::Idle => {
                self.phase = Phase::Head { bytes };
                self.since = now;
            }
            Phase::Head { bytes: so_far } => *so_far += bytes,
            Phase::Working { .. } | Phase::Draining => {}
        }
    }

    /// A handler has the request.
    pub fn works(&mut self, has_body: bool) {
        self.phase = Phase::Working { wants_body: has_body };
    }

    /// It has the whole body, or as much as can be had.
    pub fn has_body(&mut self) {
        if let Phase::Working { wants_body } = &mut self.phase {
            *wants_body = false;
        }
    }

    /// It has given its answer.
    pub fn answered(&mut self, now: Monotonic) {
        self.phase = match self.phase {
            Phase::Working { wants_body: true } => Phase::Draining,
            _ => Phase::Idle,
        };
        self.since = now;
    }

    /// The client takes nothing.
    pub fn blocked(&mut self, now: Monotonic) {
        self.blocked_since.get_or_insert(now);
    }

    /// The client has taken everything.
    pub fn unblocked(&mut self, now: Monotonic) {
        if self.blocked_since.take().is_some() && self.phase == Phase::Idle {
            self.since = now;
        }
    }

    /// Whether something could be written now.
    pub fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// How much may be read.
    pub fn reading(&self, limits: &ConnectionLimits) -> Reading {
        match self.phase {
            // The server looks at no further request before its answers are taken: what
            // came now would all seem to be of one head.
            Phase::Idle | Phase::Head { .. } if self.is_blocked() => Reading::Later,
            Phase::Idle => Reading::UpTo(limits.head_bytes),
            Phase::Head { bytes } => Reading::UpTo(limits.head_bytes.saturating_sub(bytes)),
            Phase::Working { wants_body: true } | Phase::Draining => Reading::UpTo(usize::MAX),
            Phase::Working { wants_body: false } => Reading::Later,
        }
    }

    /// When it is over unless something happens, and why.
    pub fn deadline(&self, limits: &ConnectionLimits) -> Option<(Monotonic, Over)> {
        // Whoever has an answer to read may read it before anything else is asked.
        if let Some(since) = self.blocked_since {
            return Some((since + limits.write_timeout, Over::UnreadAnswer));
        }
        match self.phase {
            Phase::Idle => Some((self.since + limits.keep_alive, Over::Idle)),
            Phase::Head { .. } => Some((self.since + limits.head_timeout, Over::SlowHead)),
            Phase::Draining => Some((self.since + limits.head_timeout, Over::Idle)),
            // What takes time here has limits of its own.
            Phase::Working { .. } => None,
        }
    }

    /// Whether a head is on its way that no handler has seen, and nothing else is to be
    /// said to its client before.
    pub fn expects_no_answer(&self) -> bool {
        matches!(self.phase, Phase::Head { .. }) && !self.is_blocked()
    }

    /// What the client is told before the connection ends; nothing where it has asked
    /// for nothing, or would not read it.
    pub fn last_words(&self, over: Over, limits: &ConnectionLimits) -> Option<Problem> {
        let Phase::Head { bytes: 1.. } = self.phase else { return None };
        if self.is_blocked() {
            return None;
        }
        match over {
            Over::SlowHead => Some(Problem::new(
                Kind::HeadTimeout,
                format!("the limit `head_timeout_ms` is {}; nothing was kept", limits.head_timeout.as_millis()),
            )),
            Over::LargeHead => Some(Problem::new(
                Kind::HeadTooLarge,
                format!("the limit `head_bytes` is {} bytes, of request line and headers together", limits.head_bytes),
            )),
            Over::Idle | Over::UnreadAnswer => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            head_bytes: 100,
            head_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(5),
        }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn every_head_has_the_same_time_from_its_first_byte() {
        let mut progress = Progress::begun(at(1));
        assert_eq!(progress.deadline(&limits()), Some((at(11), Over::SlowHead)), "a new one, from its beginning");
        progress.came(10, at(9));
        assert_eq!(progress.deadline(&limits()), Some((at(11), Over::SlowHead)));
        progress.works(false);
        assert_eq!(progress.deadline(&limits()), None);
        progress.answered(at(20));
        assert_eq!(progress.deadline(&limits()), Some((at(25), Over::Idle)));
        progress.came(1, at(24));
        progress.came(1, at(33));
        assert_eq!(progress.deadline(&limits()), Some((at(34), Over::SlowHead)), "later bytes buy no time");
    }

    #[test]
    fn no_more_is_read_of_a_head_than_may_come() {
        let mut progress = Progress::begun(at(0));
        progress.came(60, at(0));
        assert_eq!(progress.reading(&limits()), Reading::UpTo(40));
        progress.came(40, at(0));
        assert_eq!(progress.reading(&limits()), Reading::UpTo(0));
        progress.blocked(at(0));
        assert_eq!(progress.reading(&limits()), Reading::Later, "answers are to be taken first");
        progress.unblocked(at(0));
        assert_eq!(progress.reading(&limits()), Reading::UpTo(0));
        progress.works(true);
        assert_eq!(progress.reading(&limits()), Reading::UpTo(usize::MAX), "its body has a limit of its own");
        progress.has_body();
        assert_eq!(progress.reading(&limits()), Reading::Later);
        progress.answered(at(1));
        assert_eq!(progress.reading(&limits()), Reading::UpTo(100));
    }

    #[test]
    fn an_answer_that_is_not_read_has_its_time_from_when_it_got_stuck() {
        let mut progress = Progress::begun(at(0));
        progress.works(false);
        progress.blocked(at(2));
        progress.blocked(at(9));
        progress.answered(at(3));
        assert_eq!(progress.deadline(&limits()), Some((at(32), Over::UnreadAnswer)));
        progress.unblocked(at(30));
        assert_eq!(progress.deadline(&limits()), Some((at(35), Over::Idle)), "it is idle from then on");
    }

    #[test]
    fn a_body_that_nobody_wants_is_not_taken_for_a_head() {
        let mut progress = Progress::begun(at(0));
        progress.works(true);
        progress.answered(at(1));
        progress.came(1_000, at(2));
        assert_eq!(progress.reading(&limits()), Reading::UpTo(usize::MAX));
        assert_eq!(progress.deadline(&limits()), Some((at(11), Over::Idle)));
        assert!(progress.last_words(Over::Idle, &limits()).is_none(), "it has its answer");
    }

    #[test]
    fn whoever_asked_for_nothing_is_told_nothing() {
        let mut progress = Progress::begun(at(0));
        assert!(progress.last_words(Over::SlowHead, &limits()).is_none());
        progress.came(1, at(1));
        let told = progress.last_words(Over::SlowHead, &limits()).expect("half a head has come");
        assert!(told.detail.contains("`head_timeout_ms` is 10000"), "{told}");
        progress.blocked(at(2));
        assert!(progress.last_words(Over::SlowHead, &limits()).is_none(), "an answer is in the way");
    }
}
