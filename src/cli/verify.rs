//! `posthaste verify`: tells the developer of a receiver whether a request's
//! signature is good, and if not, why. What a signature is, is
//! `policy::signature`'s; how a failure is explained is `diagnosis`'s, and how
//! headers are read from a file `headers`'s.

mod diagnosis;
mod headers;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cli::receiver::MAX_BODY_BYTES;
use crate::clock::Clock;
use crate::domain::{Signing, Timestamp};
use crate::policy::signature::{Message, ParseError, PublicKey, Verified, VerifyingKey};
use diagnosis::Age;
use headers::{Headers, HeadersError};

/// Largest file of headers.
const MAX_HEADERS_BYTES: usize = 256 << 10;
/// Bytes of what is signed that `--explain` shows.
const SHOWN_BYTES: usize = 160;
/// What `--body` and `--headers` call standard input.
const STANDARD_INPUT: &str = "-";

/// What `posthaste verify` is told. It holds secrets, and so it is never printed.
#[derive(Clone, clap::Args)]
pub struct VerifyArgs {
    /// The endpoint's secret, or several. Flags show in the list of processes, to all who use the machine: prefer the
    /// variable, in which several are separated by spaces.
    #[arg(
        long = "secret",
        value_name = "whsec_…",
        env = "POSTHASTE_SECRET",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    pub secrets: Vec<String>,
    /// The endpoint's public key, where it signs by v1a; repeat it for several.
    #[arg(long = "public-key", value_name = "whpk_…")]
    pub public_keys: Vec<String>,
    /// The header `webhook-id`.
    #[arg(long)]
    pub id: Option<String>,
    /// The header `webhook-timestamp`.
    #[arg(long, allow_hyphen_values = true)]
    pub timestamp: Option<String>,
    /// The header `webhook-signature`.
    #[arg(long)]
    pub signature: Option<String>,
    /// Take the headers that are not given by flags from this file, a line each, as they came.
    #[arg(long, value_name = "FILE")]
    pub headers: Option<PathBuf>,
    /// The body, byte for byte as it came; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = STANDARD_INPUT)]
    pub body: PathBuf,
    /// Judge the age as of this time, in seconds since 1970 or like 2027-01-31T00:00:00Z, instead of now.
    #[arg(long, value_name = "TIME", conflicts_with = "ignore_age")]
    pub at: Option<String>,
    /// Take a signature of any age; a receiver never should.
    #[arg(long)]
    pub ignore_age: bool,
    /// Show what is signed: its length, its SHA-256 and how it begins, to compare with what your receiver signs.
    #[arg(long)]
    pub explain: bool,
}

/// Why a request was not found to be good.
#[derive(Debug, thiserror::Error)]
pub enum VerifyCommandError {
    /// It is not.
    #[error("not valid: {0}")]
    NotValid(String),
    /// Nothing to verify with.
    #[error("nothing to verify with: give `--secret` or `--public-key`, or set POSTHASTE_SECRET")]
    NoKey,
    /// A secret or key that is none. The message does not repeat it.
    #[error("{kind} {number} cannot be used: {source}")]
    Key {
        /// Of which flag.
        kind: &'static str,
        /// Which of them, from 1.
        number: usize,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A header that was not given.
    #[error("the header `webhook-{0}` is missing: give `--{0}`, or `--headers` with a file that has it")]
    Missing(&'static str),
    /// A file of headers that cannot be used.
    #[error("cannot use the headers in {}", .path.display())]
    Headers {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: HeadersError,
    },
    /// One input for two things.
    #[error("standard input cannot be the headers and the body: name a file for one of them")]
    InputTwice,
    /// No time.
    #[error("`--at` takes seconds since 1970, or a time like 2027-01-31T00:00:00Z")]
    At,
    /// A file that cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than anybody sends.
    #[error("{} is larger than {most} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How much is read.
        most: usize,
    },
    /// The terminal is gone, or the disk behind it is full.
    #[error("cannot print the answer")]
    Print(#[source] io::Error),
}

/// Verifies, prints what was found, and is an error where that is not good.
pub fn run(arguments: VerifyArgs) -> Result<(), VerifyCommandError> {
    let input = io::stdin();
    if arguments.body == Path::new(STANDARD_INPUT) && input.is_terminal() {
        eprintln!("reading the body from standard input, to its end (`--body FILE` reads a file)");
    }
    verify(arguments, &Clock::system(), input.lock(), io::stdout())
}

/// The same, with what it reads and prints as arguments.
pub fn verify(
    arguments: VerifyArgs,
    clock: &Clock,
    mut input: impl Read,
    mut out: impl Write,
) -> Result<(), VerifyCommandError> {
    let keys = keys(&arguments)?;
    let age = age(&arguments, clock)?;
    let headers = headers(&arguments, &mut input)?;
    let body = read(&arguments.body, &mut input, MAX_BODY_BYTES)?;
    let required = |header: &'static str, value: Option<String>| value.ok_or(VerifyCommandError::Missing(header));
    let id = required("id", arguments.id.or(headers.id))?;
    let timestamp = required("timestamp", arguments.timestamp.or(headers.timestamp))?;
    let signatures = required("signature", arguments.signature.or(headers.signatures))?;
    let message = Message { id: &id, timestamp: &timestamp, signatures: &signatures, body: &body };
    if arguments.explain {
        out.write_all(explanation(&message, &keys).as_bytes()).map_err(VerifyCommandError::Print)?;
    }
    let verified = diagnosis::judge(&message, &keys, age).map_err(VerifyCommandError::NotValid)?;
    out.write_all(verdict(&verified, keys.len(), age).as_bytes()).map_err(VerifyCommandError::Print)
}

fn keys(arguments: &VerifyArgs) -> Result<Vec<VerifyingKey>, VerifyCommandError> {
    let problem = |kind, place: usize| move |source| VerifyCommandError::Key { kind, number: place + 1, source };
    let mut keys = Vec::new();
    // The variable may hold a public key as well.
    for (place, text) in arguments.secrets.iter().filter(|text| !text.is_empty()).enumerate() {
        keys.push(VerifyingKey::parse(text).map_err(problem("secret", place))?);
    }
    for (place, text) in arguments.public_keys.iter().enumerate() {
        let key = PublicKey::parse(text).map_err(|error| problem("public key", place)(error.into()))?;
        keys.push(key.into());
    }
    if keys.is_empty() { Err(VerifyCommandError::NoKey) } else { Ok(keys) }
}

fn age(arguments: &VerifyArgs, clock: &Clock) -> Result<Age, VerifyCommandError> {
    let now = match &arguments.at {
        None => clock.wall().as_seconds(),
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) => seconds,
            Err(_) => text.parse::<Timestamp>().map_err(|_| VerifyCommandError::At)?.as_seconds(),
        },
    };
    Ok(Age { now_seconds: now, is_ignored: arguments.ignore_age })
}

fn headers(arguments: &VerifyArgs, input: &mut impl Read) -> Result<Headers, VerifyCommandError> {
    let Some(path) = &arguments.headers else { return Ok(Headers::default()) };
    if path == Path::new(STANDARD_INPUT) && path == &arguments.body {
        return Err(VerifyCommandError::InputTwice);
    }
    let lines = read(path, input, MAX_HEADERS_BYTES)?;
    Headers::read(&lines).map_err(|source| VerifyCommandError::Headers { path: path.clone(), source })
}

fn read(path: &Path, input: &mut impl Read, most: usize) -> Result<Vec<u8>, VerifyCommandError> {
    let mut bytes = Vec::new();
    let limit = most as u64 + 1;
    let found = if path == Path::new(STANDARD_INPUT) {
        input.take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    found.map_err(|source| VerifyCommandError::Read { path: path.to_owned(), source })?;
    if bytes.len() > most {
        return Err(VerifyCommandError::TooLarge { path: path.to_owned(), most });
    }
    Ok(bytes)
}

fn verdict(verified: &Verified, keys: usize, age: Age) -> String {
    let signing = verified.signing;
    let which = if keys == 1 { String::new() } else { format!(", with key {} of {keys}", verified.key + 1) };
    let unchecked = if age.is_ignored { "; the age was not judged" } else { "" };
    format!("valid: signed by {signing} {}{which}{unchecked}\n", age.of(verified.signed_at_seconds))
}

/// What is signed, and what there is to compare it with.
fn explanation(message: &Message<'_>, keys: &[VerifyingKey]) -> String {
    let signed = message.signed_bytes();
    let mut begins = harmless(&signed[..signed.len().min(SHOWN_BYTES)]);
    if signed.len() > SHOWN_BYTES {
        begins.push('…');
    }
    let offered = message.signatures.split(' ').filter_map(|signature| signature.split_once(','));
    let versions: Vec<String> = offered.map(|(version, _)| version.escape_default().to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(VerifyingKey::signing).map(Signing::as_str).collect();
    format!(
        "signed      {} bytes: webhook-id ({}), a dot, webhook-timestamp ({}), a dot, body ({})\nbegins      {begins}\n\
         sha256      {} of all that\nbody        {} is its sha256\nsignatures  {}\nkeys        {}\n",
        signed.len(),
        message.id.len(),
        message.timestamp.len(),
        message.body.len(),
        sha256(&signed),
        sha256(message.body),
        if versions.is_empty() { "none".to_owned() } else { versions.join(" ") },
        keys.join(" "),
    )
}

/// Bytes as text that no terminal obeys, quotes as they are.
fn harmless(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
