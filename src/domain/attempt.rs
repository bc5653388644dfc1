//! One HTTP try of a delivery, and what came of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{Exchange, Timestamp};

/// Why an attempt failed, by the stage that failed (`product.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The host's name did not resolve.
    Dns,
    /// No connection: refused, unreachable, reset, or slower than connecting may be.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The whole attempt took longer than the endpoint's `timeout_ms`.
    Timeout,
    /// Policy forbids the address that the URL or its name leads to.
    BlockedAddress,
    /// What came back is not the HTTP we can read.
    Protocol,
    /// An answer that is neither 2xx nor 3xx.
    HttpStatus,
    /// A 3xx: redirects are not followed.
    Redirect,
}

impl ErrorClass {
    /// Every class, for the store's and the metrics' tables.
    pub const ALL: [Self; 8] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::BlockedAddress,
        Self::Protocol,
        Self::HttpStatus,
        Self::Redirect,
    ];

    /// The word used in the API, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::BlockedAddress => "blocked_address",
            Self::Protocol => "protocol",
            Self::HttpStatus => "http_status",
            Self::Redirect => "redirect",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why an attempt failed, in a class and a sentence for the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The stage that failed.
    pub class: ErrorClass,
    /// A plain sentence. Never what a forbidden address answered.
    pub message: String,
}

/// What the receiver did with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status, when there was an answer.
    pub status_code: Option<u16>,
    /// `None` is success: a 2xx.
    pub error: Option<AttemptError>,
    /// The response body's beginning, any bytes, already cut to what is kept.
    pub response_body: Bytes,
    /// Until when the receiver asked to be left alone. Not stored with the attempt.
    pub retry_after: Option<RetryAfter>,
    /// What it looked like on the wire; `None` where nobody looked.
    pub exchange: Option<Box<Exchange>>,
}

/// What a `Retry-After` header says (RFC 9110, 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long after the answer.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl Outcome {
    /// A failure before there was an answer.
    pub fn failed(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            status_code: None,
            error: Some(AttemptError { class, message: message.into() }),
            response_body: Bytes::new(),
            retry_after: None,
            exchange: None,
        }
    }

    /// Judges an answer by its status alone: 2xx is delivered, anything else
    /// is a failed attempt.
    pub fn answered(status_code: u16, response_body: Bytes) -> Self {
        let error = match status_code {
            200..=299 => None,
            300..=399 => Some(AttemptError {
                class: ErrorClass::Redirect,
                message: format!("answered {status_code}, and redirects are not followed"),
            }),
            100..=199 => Some(AttemptError {
                class: ErrorClass::Protocol,
                message: format!("answered {status_code} where a final answer was due"),
            }),
            _ => Some(AttemptError { class: ErrorClass::HttpStatus, message: format!("answered {status_code}") }),
        };
        Self { status_code: Some(status_code), error, response_body, retry_after: None, exchange: None }
    }

    /// Whether the event counts as delivered.
    pub fn is_delivered(&self) -> bool {
        self.error.is_none()
    }
}

/// One recorded HTTP try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first; taken when the outcome is recorded.
    pub number: u32,
    /// When the request began.
    pub started_at: Timestamp,
    /// From there to the last byte read.
    pub duration_ms: u32,
    /// What came of it.
    pub outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_delivered() {
        for status in 100..=599 {
            let outcome = Outcome::answered(status, Bytes::new());
            assert_eq!(outcome.is_delivered(), (200..300).contains(&status), "{status}");
        }
        assert_eq!(Outcome::answered(302, Bytes::new()).error.map(|error| error.class), Some(ErrorClass::Redirect));
        assert_eq!(Outcome::answered(410, Bytes::new()).error.map(|error| error.class), Some(ErrorClass::HttpStatus));
    }
}
