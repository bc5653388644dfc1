//! What an attempt that got no answer died of: a class and a plain sentence,
//! told apart by the types and kinds of errors, never by their text.

use std::error::Error;
use std::io;
use std::time::Duration;

use awc::error::{ConnectError, SendRequestError};

use crate::domain::{ErrorClass, Outcome};
use crate::transport::TlsClient;
use crate::transport::connector::ConnectFailure;

const ENDED_EARLY: &str = "the connection ended before an answer came";

/// No head of an answer within the attempt's time.
pub(super) fn too_slow(timeout: Duration) -> Outcome {
    Outcome::failed(ErrorClass::Timeout, format!("no answer within {} ms", timeout.as_millis()))
}

/// An answer that the HTTP client itself broke down on.
pub(super) fn unreadable() -> Outcome {
    Outcome::failed(ErrorClass::Protocol, "the answer is not HTTP that can be read")
}

/// An error on the way to an answer.
pub(super) fn outcome(error: SendRequestError, tls: &TlsClient) -> Outcome {
    match error {
        SendRequestError::Connect(error) => connecting(error, tls),
        SendRequestError::Send(error) => exchanging(&error),
        SendRequestError::Response(error) => match error.source().and_then(|source| source.downcast_ref::<io::Error>())
        {
            Some(error) => exchanging(error),
            None => Outcome::failed(ErrorClass::Protocol, format!("the answer is not HTTP that can be read: {error}")),
        },
        SendRequestError::Timeout => Outcome::failed(ErrorClass::Timeout, "no answer in time"),
        error => Outcome::failed(ErrorClass::Protocol, format!("the request could not be sent: {error}")),
    }
}

fn connecting(error: ConnectError, tls: &TlsClient) -> Outcome {
    match error {
        ConnectError::Resolver(error) => match error.downcast::<ConnectFailure>() {
            Ok(failure) => {
                let class = match *failure {
                    ConnectFailure::Dns(_) => ErrorClass::Dns,
                    ConnectFailure::Blocked(_) => ErrorClass::BlockedAddress,
                    ConnectFailure::Connect(_) => ErrorClass::Connect,
                };
                Outcome::failed(class, failure.to_string())
            }
            Err(error) => Outcome::failed(ErrorClass::Dns, error.to_string()),
        },
        ConnectError::NoRecords | ConnectError::Unresolved => {
            Outcome::failed(ErrorClass::Dns, "the host has no addresses")
        }
        ConnectError::SslIsNotSupported => {
            let reason = tls.unavailable_because().unwrap_or("this node is set up without TLS");
            Outcome::failed(ErrorClass::Tls, reason)
        }
        // Names and TCP have limits of their own in the connector and report
        // them as `ConnectFailure`; what is left to time out is the handshake.
        ConnectError::Timeout => Outcome::failed(ErrorClass::Tls, "the TLS handshake took too long"),
        // The connector reports no bare I/O error either.
        ConnectError::Io(error) if error.kind() == io::ErrorKind::InvalidInput => Outcome::failed(
            ErrorClass::Tls,
            "the host is not one that a certificate can be checked for: use a name or an IPv4 address",
        ),
        ConnectError::Io(error) => Outcome::failed(ErrorClass::Tls, format!("the TLS handshake failed: {error}")),
        ConnectError::Disconnected => Outcome::failed(ErrorClass::Connect, ENDED_EARLY),
        error => Outcome::failed(ErrorClass::Protocol, format!("the connection could not be used: {error}")),
    }
}

/// A connection that failed after it was made and before there was an answer.
fn exchanging(error: &io::Error) -> Outcome {
    let from_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(error) = from_tls {
        return Outcome::failed(ErrorClass::Tls, format!("the TLS connection failed: {error}"));
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::WriteZero => Outcome::failed(ErrorClass::Connect, ENDED_EARLY),
        // The codec's own word for a stream that stops inside a head.
        io::ErrorKind::Other => {
            Outcome::failed(ErrorClass::Protocol, "the connection ended in the middle of the answer's head")
        }
        _ => Outcome::failed(ErrorClass::Connect, format!("the connection failed before an answer came: {error}")),
    }
}
