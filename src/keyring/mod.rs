//! Secrets at rest: which keys seal them, what a sealed value looks like, and to what
//! it is bound. Which values are sealed is the store's to say, where keys come from
//! the configuration's; [`source`] alone reads and makes files.
//!
//! A sealed value is `§sealed:v1:KEY:` and, in base64, a nonce and what
//! XChaCha20-Poly1305 makes of the text. Whatever does not begin with the `§`, which
//! no value of ours does, was written before there were keys and is read as it is.

mod binding;
mod source;
mod text;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

pub use binding::{Binding, Purpose};
pub use source::{KeyFileError, KeySource, Origin, beside};
pub use text::{KeysProblem, KeysText, Place};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Longest name of a key.
pub const MAX_KEY_ID_CHARS: usize = 32;
/// What stands for a key where values are to be written as they are.
pub const CLEAR: &str = "clear";

const NONCE_BYTES: usize = 24;
/// No text that is sealed begins with it: they are all ASCII where they begin.
const MARK: &str = "§";
const SEALED: &str = "§sealed:v1:";
/// For a text that does begin with the mark and is not to be sealed.
const AS_IT_IS: &str = "§clear:";
/// What a ring proves itself by that has the very key a store's values are sealed with.
const CHECK_TEXT: &str = "posthaste";

/// The name of a key: 1 to 32 of `a`-`z`, `0`-`9`, `_` and `-`. No secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingKeyId(String);

/// Not the name of a key. It is not repeated: it may be the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key has 1 to {MAX_KEY_ID_CHARS} of a-z, 0-9, `_` and `-`, and is not `{CLEAR}`")]
pub struct RingKeyIdProblem;

impl RingKeyId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RingKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for RingKeyId {
    type Err = RingKeyIdProblem;

    fn from_str(text: &str) -> Result<Self, RingKeyIdProblem> {
        let fits = (1..=MAX_KEY_ID_CHARS).contains(&text.len()) && text != CLEAR;
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if fits && text.bytes().all(known) { Ok(Self(text.to_owned())) } else { Err(RingKeyIdProblem) }
    }
}

/// A key with its name. Ready to be used, and gone from memory with this.
struct RingKey {
    id: RingKeyId,
    cipher: XChaCha20Poly1305,
}

/// The keys that values are sealed and opened with.
pub struct Keyring {
    /// Seals; where there is none, values are written as they are.
    current: Option<RingKey>,
    /// They only open.
    older: Vec<RingKey>,
}

/// Why a value was not sealed, or not opened. The messages never repeat it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Sealed with a key that is not here.
    #[error("a value is sealed with key `{0}`, which is not in the key ring")]
    UnknownKey(RingKeyId),
    /// Changed, moved from where it was sealed for, or sealed with another key of that name.
    #[error("a value sealed with key `{0}` does not open: it was changed or moved, or that key is another one here")]
    DoesNotOpen(RingKeyId),
    /// It says that it is sealed, and does not look like it.
    #[error("a sealed value is damaged: {0}")]
    Damaged(&'static str),
    /// The system gives no random bytes.
    #[error("the system has no randomness to seal with: {0}")]
    Randomness(getrandom::Error),
}

/// What a stored text is.
enum Form<'a> {
    Clear(&'a str),
    Sealed { key: RingKeyId, encoded: &'a str },
}

fn form(stored: &str) -> Result<Form<'_>, KeyringError> {
    if !stored.starts_with(MARK) {
        return Ok(Form::Clear(stored));
    }
    if let Some(plain) = stored.strip_prefix(AS_IT_IS) {
        return Ok(Form::Clear(plain));
    }
    let (key, encoded) = stored
        .strip_prefix(SEALED)
        .and_then(|rest| rest.split_once(':'))
        .ok_or(KeyringError::Damaged("it has an unknown form"))?;
    let key = key.parse().map_err(|_| KeyringError::Damaged("it has an unknown form"))?;
    Ok(Form::Sealed { key, encoded })
}

/// The key that a stored value is sealed with; `None` where it stands as it is.
pub fn sealed_with(stored: &str) -> Result<Option<RingKeyId>, KeyringError> {
    Ok(match form(stored)? {
        Form::Clear(_) => None,
        Form::Sealed { key, .. } => Some(key),
    })
}

/// How every value begins that is sealed with this key.
pub fn beginning(key: &RingKeyId) -> String {
    format!("{SEALED}{key}:")
}

impl Keyring {
    /// No keys: values are written as they are, and what is sealed is not opened.
    pub const fn clear() -> Self {
        Self { current: None, older: Vec::new() }
    }

    /// The key that seals, if any does.
    pub fn current(&self) -> Option<&RingKeyId> {
        self.current.as_ref().map(|key| &key.id)
    }

    /// All keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &RingKeyId> {
        self.keys().map(|key| &key.id)
    }

    /// Whether a key of this name is here.
    pub fn has(&self, id: &RingKeyId) -> bool {
        self.ids().any(|known| known == id)
    }

    fn keys(&self) -> impl Iterator<Item = &RingKey> {
        self.current.iter().chain(&self.older)
    }

    /// Whether a stored value is already as [`seal`](Self::seal) would write it now.
    pub fn is_current(&self, stored: &str) -> Result<bool, KeyringError> {
        Ok(sealed_with(stored)?.as_ref() == self.current())
    }

    /// A text as it is to be stored.
    pub fn seal(&self, plain: &str, binding: &Binding<'_>) -> Result<String, KeyringError> {
        let Some(key) = &self.current else {
            return Ok(if plain.starts_with(MARK) { format!("{AS_IT_IS}{plain}") } else { plain.to_owned() });
        };
        let mut sealed = [0; NONCE_BYTES].to_vec();
        getrandom::fill(&mut sealed).map_err(KeyringError::Randomness)?;
        let nonce = nonce_of(&sealed).expect("it was made as long as a nonce is");
        let associated = binding.associated_data(&key.id);
        let ciphertext = key
            .cipher
            .encrypt(&nonce, Payload { msg: plain.as_bytes(), aad: &associated })
            .expect("only a text of many gigabytes is too long");
        sealed.extend_from_slice(&ciphertext);
        let mut stored = beginning(&key.id);
        BASE64_STANDARD.encode_string(&sealed, &mut stored);
        Ok(stored)
    }

    /// The text of a stored value that was sealed for this binding, or never sealed.
    pub fn open(&self, stored: &str, binding: &Binding<'_>) -> Result<Zeroizing<String>, KeyringError> {
        let (id, encoded) = match form(stored)? {
            Form::Clear(plain) => return Ok(Zeroizing::new(plain.to_owned())),
            Form::Sealed { key, encoded } => (key, encoded),
        };
        let Some(key) = self.keys().find(|key| key.id == id) else { return Err(KeyringError::UnknownKey(id)) };
        let sealed = BASE64_STANDARD.decode(encoded).map_err(|_| KeyringError::Damaged("it is not base64"))?;
        let nonce = nonce_of(&sealed).ok_or(KeyringError::Damaged("it is too short"))?;
        let associated = binding.associated_data(&id);
        let plain = key
            .cipher
            .decrypt(&nonce, Payload { msg: &sealed[NONCE_BYTES..], aad: &associated })
            .map_err(|_| KeyringError::DoesNotOpen(id))?;
        // Whoever sealed it sealed a text.
        String::from_utf8(plain).map(Zeroizing::new).map_err(|_| KeyringError::Damaged("it is no text"))
    }

    /// What a ring can be checked against later by [`is_the_key_of`](Self::is_the_key_of),
    /// with the name of the key it is of; none where no key seals.
    pub fn check_value(&self) -> Result<Option<(&RingKeyId, String)>, KeyringError> {
        let Some(id) = self.current() else { return Ok(None) };
        Ok(Some((id, self.seal(CHECK_TEXT, &Binding::CHECK)?)))
    }

    /// Whether the key that made this check value is here, and not only one of its name.
    pub fn is_the_key_of(&self, check_value: &str) -> Result<bool, KeyringError> {
        match self.open(check_value, &Binding::CHECK) {
            Ok(plain) => Ok(plain.as_str() == CHECK_TEXT),
            Err(KeyringError::DoesNotOpen(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn nonce_of(sealed: &[u8]) -> Option<XNonce> {
    let nonce: [u8; NONCE_BYTES] = sealed.get(..NONCE_BYTES)?.try_into().ok()?;
    Some(XNonce::from(nonce))
}

impl RingKey {
    fn new(id: RingKeyId, key: &[u8; KEY_BYTES]) -> Self {
        Self { id, cipher: XChaCha20Poly1305::new(key.into()) }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<&RingKeyId> = self.older.iter().map(|key| &key.id).collect();
        formatter.debug_struct("Keyring").field("current", &self.current()).field("older", &older).finish()
    }
}

#[cfg(test)]
mod tests;
