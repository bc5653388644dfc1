//! How keys are written down: `id:key`, the key in base64, the first of them the one
//! that seals. As an option they stand in one line with commas between them, in a file
//! one a line. No message repeats what it is about: it may be a key.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::{CLEAR, KEY_BYTES, Keyring, RingKey, RingKeyId, RingKeyIdProblem};

/// Keys as somebody wrote them down.
#[derive(Clone, Copy)]
pub enum KeysText<'a> {
    /// In one line, with commas.
    Option(&'a str),
    /// One a line; what begins with `#` is a remark.
    File(&'a str),
}

/// Where in the text something is wrong. Counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Between commas.
    Item(usize),
    /// In a file.
    Line(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(number) => write!(formatter, "key {number}"),
            Self::Line(number) => write!(formatter, "line {number}"),
        }
    }
}

/// Keys that cannot be used as they are written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysProblem {
    /// None at all.
    #[error("there is no key in it; write one as `id:key`, with 32 random bytes in base64 for the key")]
    Empty,
    /// No colon.
    #[error("{0} is not written as `id:key`, such as `2027-01:` followed by 32 random bytes in base64")]
    NotAKey(Place),
    /// Not a name.
    #[error("{0}: {1}")]
    Id(Place, RingKeyIdProblem),
    /// Not base64.
    #[error("{0}: the key `{1}` is not in base64 (standard, padded with `=`)")]
    Base64(Place, RingKeyId),
    /// Another length.
    #[error("{place}: the key `{id}` has {found} bytes, and must have {KEY_BYTES}")]
    Length {
        /// Where.
        place: Place,
        /// Which.
        id: RingKeyId,
        /// Its bytes, decoded.
        found: usize,
    },
    /// The same name for two keys.
    #[error("{0}: there are two keys with the id `{1}`; give each its own")]
    Twice(Place, RingKeyId),
    /// `clear` behind a key.
    #[error("{0}: `{CLEAR}` comes first: then values are written as they are, and the keys behind it only open")]
    ClearNotFirst(Place),
}

impl<'a> KeysText<'a> {
    fn items(self) -> impl Iterator<Item = (Place, &'a str)> {
        let (text, separator) = match self {
            Self::Option(text) => (text, ','),
            Self::File(text) => (text, '\n'),
        };
        let is_file = separator == '\n';
        let place = move |index: usize| if is_file { Place::Line(index + 1) } else { Place::Item(index + 1) };
        let items = text.split(separator).enumerate().map(move |(index, item)| (place(index), item.trim()));
        items.filter(move |(_, item)| !(item.is_empty() || is_file && item.starts_with('#')))
    }

    /// The ring that these keys make.
    pub fn keyring(self) -> Result<Keyring, KeysProblem> {
        let mut keys: Vec<RingKey> = Vec::new();
        let mut is_clear = false;
        for (place, item) in self.items() {
            if item == CLEAR {
                if is_clear || !keys.is_empty() {
                    return Err(KeysProblem::ClearNotFirst(place));
                }
                is_clear = true;
                continue;
            }
            let key = key(place, item)?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeysProblem::Twice(place, key.id));
            }
            keys.push(key);
        }
        if is_clear {
            return Ok(Keyring { current: None, older: keys });
        }
        let mut keys = keys.into_iter();
        let current = keys.next().ok_or(KeysProblem::Empty)?;
        Ok(Keyring { current: Some(current), older: keys.collect() })
    }
}

fn key(place: Place, item: &str) -> Result<RingKey, KeysProblem> {
    let (id, encoded) = item.split_once(':').ok_or(KeysProblem::NotAKey(place))?;
    let id: RingKeyId = id.trim().parse().map_err(|problem| KeysProblem::Id(place, problem))?;
    let Ok(bytes) = BASE64_STANDARD.decode(encoded.trim()).map(Zeroizing::new) else {
        return Err(KeysProblem::Base64(place, id));
    };
    match <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()) {
        Ok(key) => Ok(RingKey::new(id, key)),
        Err(_) => Err(KeysProblem::Length { place, id, found: bytes.len() }),
    }
}

/// A new key as it is written down.
pub(super) fn new_key() -> Result<Zeroizing<String>, getrandom::Error> {
    let (mut name, mut key) = ([0; 4], Zeroizing::new([0; KEY_BYTES]));
    getrandom::fill(&mut name)?;
    getrandom::fill(key.as_mut_slice())?;
    let mut text = Zeroizing::new(String::with_capacity(64));
    text.push_str(&format!("k-{:08x}:", u32::from_be_bytes(name)));
    BASE64_STANDARD.encode_string(key.as_slice(), &mut text);
    Ok(text)
}
