//! API keys, `ph_`, and tokens of links to the portal, `phl_`: with 52 characters of base 32
//! behind it that carry 256 random bits.

use std::fmt;

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A key as it is shown to its owner, once.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key. Fails only where the system has no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        drawn("ph_").map(Self)
    }

    /// The key. Whoever reads it can use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Enough of it to know it by, and of no use to anyone else.
    pub fn prefix(&self) -> &str {
        &self.0[..9]
    }

    /// What the store keeps.
    pub fn hash(&self) -> [u8; 32] {
        hash_key(&self.0)
    }
}

/// Behind this prefix, 256 bits that nobody can guess.
fn drawn(prefix: &str) -> Result<String, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let mut text = String::with_capacity(prefix.len() + 52);
    text.push_str(prefix);
    // Five bits a character, the last one padded with zeros.
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in random {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((held >> bits) & 31) as usize]));
        }
    }
    text.push(char::from(ALPHABET[((held << (5 - bits)) & 31) as usize]));
    Ok(text)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}… (redacted)", self.prefix())
    }
}

/// SHA-256 of a key. A key has 256 random bits, so nothing slower is needed,
/// and looking hashes up leaks nothing about keys.
pub fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// What a link to the portal ends with. It is no key: whoever opens the link gets a session
/// for it, and as a key it opens nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(String);

impl LinkToken {
    /// A new one. Fails only where the system has no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        drawn("phl_").map(Self)
    }

    /// The token. Whoever reads it can open the link.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Enough of it to know it by, and of no use to anyone else.
    pub fn prefix(&self) -> &str {
        &self.0[..10]
    }

    /// What the store keeps.
    pub fn hash(&self) -> [u8; 32] {
        hash_link(&self.0)
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}… (redacted)", self.prefix())
    }
}

/// SHA-256 of a link's token, behind words that are in front of no key: what is looked for
/// as a key is never found among links, whichever release looks.
pub fn hash_link(token: &str) -> [u8; 32] {
    Sha256::new().chain_update(b"a link to the portal\0").chain_update(token.as_bytes()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_new_each_time_and_stay_out_of_logs() {
        let one = ApiKey::generate().expect("the system has randomness");
        let other = ApiKey::generate().expect("the system has randomness");
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), 55);
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert_ne!(one.hash(), other.hash());
    }

    #[test]
    fn a_link_is_no_key() {
        let token = LinkToken::generate().expect("the system has randomness");
        assert!(token.reveal().starts_with("phl_") && token.reveal().len() == 56);
        assert_ne!(token.hash(), hash_key(token.reveal()));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
