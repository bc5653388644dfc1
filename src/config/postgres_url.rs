//! Where a PostgreSQL database is, as libpq takes it. Almost all of it is for
//! libpq to read; only what this build cannot do is refused here.

use std::fmt;

/// Modes that demand TLS.
const TLS_MODES: [&str; 3] = ["require", "verify-ca", "verify-full"];

/// A URL that libpq connects by. It may carry a password: only
/// [`PostgresUrl::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

/// Why a URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlProblem {
    /// Nothing comes after the scheme.
    #[error("must name a server after the scheme, such as postgres://user:password@host:5432/posthaste")]
    NoServer,
    /// This build cannot speak TLS to a server.
    #[error(
        "asks for TLS to the server, which this build of posthaste does not have: \
         build it with `--features postgres-tls`"
    )]
    NoTls,
}

impl PostgresUrl {
    /// Reads it; `None` when it has another scheme.
    pub fn parse(text: &str) -> Option<Result<Self, PostgresUrlProblem>> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
        if rest.is_empty() {
            return Some(Err(PostgresUrlProblem::NoServer));
        }
        if asks_for_tls(rest) && !cfg!(feature = "postgres-tls") {
            return Some(Err(PostgresUrlProblem::NoTls));
        }
        Some(Ok(Self(text.to_owned())))
    }

    /// The URL itself, password included.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("postgres://(redacted)")
    }
}

/// Whether a parameter says that there must be TLS. libpq knows `ssl=true` as
/// another spelling.
fn asks_for_tls(rest: &str) -> bool {
    let Some((_, query)) = rest.split_once('?') else { return false };
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| match name.as_ref() {
        "sslmode" => TLS_MODES.contains(&value.as_ref()),
        "ssl" => value == "true",
        _ => false,
    })
}
