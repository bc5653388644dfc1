//! The area of what comes in: connections, TLS, and how many requests who may send.

use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::areas::Check;
use super::options::Settled;

/// Most requests of a rate: more than a node takes, whoever sends them.
const MOST_REQUESTS: u32 = 1_000_000;

/// Who may connect and ask, and how often.
#[derive(Debug, Clone)]
pub struct InboundConfig {
    /// Where connections are encrypted: by what.
    pub tls: Option<TlsFiles>,
    /// Connections at once.
    pub max_connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// What a head may take.
    pub head_timeout: Duration,
    /// What reading an answer may take, from when it gets stuck.
    pub write_timeout: Duration,
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// Requests a second with one key of a partner's; 0 is no limit.
    pub key_requests_per_second: u32,
    /// With all keys of a partner's in an environment; 0 is no limit.
    pub partner_requests_per_second: u32,
    /// With one producer's key; 0 is no limit.
    pub producer_requests_per_second: u32,
    /// Keys that open nothing, a minute from one address; 0 is no limit.
    pub failed_authentications_per_minute: u32,
    /// Tests a minute of a partner's endpoints in an environment; 0 is no limit.
    pub tests_per_minute: u32,
}

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Check<'_> {
    pub fn inbound(&self, values: &Settled) -> Result<InboundConfig, ConfigError> {
        let rate = |name, value| self.within(name, value, 0..=MOST_REQUESTS);
        Ok(InboundConfig {
            tls: self.tls(values)?,
            max_connections: self.within("max_connections", values.max_connections, 2..=1_000_000)?,
            // The HTTP parser itself gives up at 128 KiB.
            head_bytes: self.within("head_bytes", values.head_bytes, 1_024..=65_536)?,
            head_timeout: self.millis("head_timeout_ms", values.head_timeout_ms, 100..=600_000)?,
            write_timeout: self.millis("write_timeout_ms", values.write_timeout_ms, 100..=600_000)?,
            keep_alive: self.millis("keep_alive_ms", values.keep_alive_ms, 100..=3_600_000)?,
            key_requests_per_second: rate("key_requests_per_second", values.key_requests_per_second)?,
            partner_requests_per_second: rate("partner_requests_per_second", values.partner_requests_per_second)?,
            producer_requests_per_second: rate("producer_requests_per_second", values.producer_requests_per_second)?,
            failed_authentications_per_minute: rate(
                "failed_authentications_per_minute",
                values.failed_authentications_per_minute,
            )?,
            tests_per_minute: rate("tests_per_minute", values.tests_per_minute)?,
        })
    }

    /// Both files or neither.
    fn tls(&self, values: &Settled) -> Result<Option<TlsFiles>, ConfigError> {
        let (certificate, key) = (&values.tls_certificate, &values.tls_key);
        match (certificate.is_empty(), key.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into() })),
            (false, true) => Err(self.refuse("tls_key", "must name a file where `tls_certificate` does")),
            (true, false) => Err(self.refuse("tls_certificate", "must name a file where `tls_key` does")),
        }
    }
}
