//! How an endpoint signs, in requests and answers: what is asked for, what is
//! made where nothing was brought, and what is shown. A private key is never
//! shown; a secret only where its owner asks for it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::catalog::pointer_below;
use crate::domain::{Signing, SigningError, Timestamp};
use crate::policy::signature::{self, KeyPair, MIN_KEY_BYTES, SEED_BYTES, SigningKey, SigningSecret};
use crate::routes::problem::{Kind, Problem};
use crate::store::{StoreError, StoredSecret};

/// How long the old secrets sign beside the new one.
pub(super) const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The longest overlap that can be asked for.
pub(super) const MAX_OVERLAP_SECONDS: u64 = 7 * 24 * 3600;

/// How to sign, as a field says it; `None` where it leaves it open.
pub fn read(value: &Value) -> Result<Option<Signing>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|error: SigningError| error.to_string()),
        _ => Err("expected a string, `v1` or `v1a`".to_owned()),
    }
}

/// What an endpoint that signs so begins with, when its partner brings nothing.
pub fn make(signing: Signing) -> Result<SigningKey, Problem> {
    match signing {
        Signing::V1 => {
            let key: [u8; MIN_KEY_BYTES] = drawn()?;
            Ok(SigningSecret::from_key(&key).expect("the key has the length that the standard asks for").into())
        }
        Signing::V1a => Ok(KeyPair::from_seed(&drawn::<SEED_BYTES>()?).into()),
    }
}

fn drawn<const BYTES: usize>() -> Result<[u8; BYTES], Problem> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        log::error!("the system has no randomness: {error}");
        Problem::new(Kind::Internal, "no secret can be made now")
    })?;
    Ok(bytes)
}

/// What the body of a rotation asks for.
pub struct Wanted {
    /// How long those from before sign beside the new secret.
    pub overlap: Duration,
    signing: Option<Signing>,
    secret: Option<String>,
}

impl Wanted {
    /// Reads the fields of a body.
    pub fn read(mut fields: Map<String, Value>) -> Result<Self, Problem> {
        let overlap = match fields.remove("overlap_seconds") {
            None | Some(Value::Null) => DEFAULT_OVERLAP,
            Some(value) => {
                let seconds = value.as_u64().filter(|seconds| *seconds <= MAX_OVERLAP_SECONDS).ok_or_else(|| {
                    let detail = format!("expected a whole number from 0 to {MAX_OVERLAP_SECONDS} (7 days)");
                    Problem::invalid_field("/overlap_seconds", detail)
                })?;
                Duration::from_secs(seconds)
            }
        };
        let signing = read(&fields.remove("signing").unwrap_or_default())
            .map_err(|detail| Problem::invalid_field("/signing", detail))?;
        let secret = match fields.remove("secret") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => return Err(Problem::invalid_field("/secret", "expected a string")),
        };
        if let Some(unknown) = fields.keys().next() {
            let detail = "unknown field; there is `secret`, `signing` and `overlap_seconds`";
            return Err(Problem::invalid_field(pointer_below("", unknown), detail));
        }
        Ok(Self { overlap, signing, secret })
    }

    /// What signs from now on, for an endpoint that has signed so until now.
    pub fn key(&self, before: Signing) -> Result<SigningKey, Problem> {
        let signing = self.signing.unwrap_or(before);
        match &self.secret {
            None => make(signing),
            Some(text) => {
                signature::given(text, signing).map_err(|error| Problem::invalid_field("/secret", error.to_string()))
            }
        }
    }
}

/// What a partner sees of what signs: the secret or, of a key pair, its public half.
pub fn show(key: Option<&SigningKey>) -> Map<String, Value> {
    let mut shown = Map::new();
    match key {
        Some(SigningKey::Secret(secret)) => {
            shown.insert("secret".to_owned(), json!(secret.reveal()));
        }
        Some(SigningKey::Pair(pair)) => {
            shown.insert("secret".to_owned(), Value::Null);
            shown.insert("public_key".to_owned(), json!(pair.public_key().to_string()));
        }
        None => {
            shown.insert("secret".to_owned(), Value::Null);
        }
    }
    shown
}

/// What a partner sees of all that signs now.
pub fn show_all(secrets: &[StoredSecret]) -> Result<Value, Problem> {
    let mut current = None;
    let mut previous = Vec::new();
    for stored in secrets {
        let key = SigningKey::parse(&stored.secret)
            .map_err(|error| StoreError::Corrupt(format!("an endpoint's secret: {error}")))?;
        match stored.expires_at {
            None => current = Some(key),
            Some(end) => previous.push(ending(&key, end)),
        }
    }
    let mut shown = show(current.as_ref());
    shown.insert("previous".to_owned(), Value::Array(previous));
    Ok(Value::Object(shown))
}

fn ending(key: &SigningKey, end: Timestamp) -> Value {
    let mut shown = show(Some(key));
    shown.insert("expires_at".to_owned(), json!(end.to_string()));
    Value::Object(shown)
}
