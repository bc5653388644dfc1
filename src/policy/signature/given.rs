//! What is taken of a secret or key pair that somebody brings: one of the kind
//! that the endpoint signs with, and none that is obviously not random. What
//! was stored once is not judged again.

use super::v1::SECRET_PREFIX;
use super::v1a::{PAIR_PREFIX, PUBLIC_PREFIX};
use super::{KeyError, KeyPair, SecretError, SigningKey, SigningSecret};
use crate::domain::Signing;

/// Different bytes in a key that may be random. Of 24 random ones, fewer than
/// these are different about once in 10^24 times.
const MIN_DIFFERENT_BYTES: usize = 8;

/// Why a secret is not taken. The messages never repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// A key pair, where a secret is shared.
    #[error(
        "this is a key pair, which signs by `v1a`: say `\"signing\": \"v1a\"` with it, or give a secret that begins \
         with `whsec_`"
    )]
    PairForV1,
    /// A shared secret, where a key pair signs.
    #[error(
        "this is a shared secret, which signs by `v1`: leave `secret` out to have a key pair made, give one that \
         begins with `whsk_`, or say `\"signing\": \"v1\"` with it"
    )]
    SecretForV1a,
    /// What only verifies.
    #[error("this is a public key, which only verifies: leave `secret` out to have a key pair made")]
    PublicKey,
    /// One byte over and over, or a few.
    #[error(
        "the key is not random, having fewer than {MIN_DIFFERENT_BYTES} different bytes: take one from a random \
         generator, or leave `secret` out to have one made"
    )]
    NotRandom,
    /// No secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No key pair.
    #[error(transparent)]
    Pair(#[from] KeyError),
}

/// What a text that somebody brings signs with, where the endpoint signs so.
pub fn given(text: &str, signing: Signing) -> Result<SigningKey, GivenError> {
    if text.starts_with(PUBLIC_PREFIX) {
        return Err(GivenError::PublicKey);
    }
    let (key, random) = match signing {
        Signing::V1 if text.starts_with(PAIR_PREFIX) => return Err(GivenError::PairForV1),
        Signing::V1a if text.starts_with(SECRET_PREFIX) => return Err(GivenError::SecretForV1a),
        Signing::V1 => {
            let secret = SigningSecret::parse(text)?;
            let random = is_perhaps_random(secret.key());
            (SigningKey::Secret(secret), random)
        }
        Signing::V1a => {
            let pair = KeyPair::parse(text)?;
            let random = is_perhaps_random(pair.seed());
            (SigningKey::Pair(pair), random)
        }
    };
    if random { Ok(key) } else { Err(GivenError::NotRandom) }
}

fn is_perhaps_random(key: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in key {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count() >= MIN_DIFFERENT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::signature::PublicKey;

    fn secret(key: &[u8]) -> String {
        SigningSecret::from_key(key).unwrap().reveal()
    }

    fn pair(seed: &[u8; 32]) -> KeyPair {
        KeyPair::from_seed(seed)
    }

    #[test]
    fn each_kind_is_taken_where_it_signs() {
        let key: [u8; 32] = std::array::from_fn(|index| index as u8);
        assert_eq!(given(&secret(&key), Signing::V1).unwrap().reveal(), secret(&key));
        assert_eq!(given(&pair(&key).reveal(), Signing::V1a).unwrap().reveal(), pair(&key).reveal());
        assert_eq!(given(&secret(&key), Signing::V1a).unwrap_err(), GivenError::SecretForV1a);
        assert_eq!(given(&pair(&key).reveal(), Signing::V1).unwrap_err(), GivenError::PairForV1);
        let public: PublicKey = pair(&key).public_key();
        for signing in [Signing::V1, Signing::V1a] {
            assert_eq!(given(&public.to_string(), signing).unwrap_err(), GivenError::PublicKey);
        }
        assert_eq!(given("hunter2", Signing::V1).unwrap_err(), GivenError::Secret(SecretError::Prefix));
        assert_eq!(given("hunter2", Signing::V1a).unwrap_err(), GivenError::Pair(KeyError::Prefix { prefix: "whsk_" }));
    }

    #[test]
    fn what_was_typed_and_not_drawn_is_refused() {
        for weak in [&[0; 32][..], &[0xff; 64], b"abcabcabcabcabcabcabcabc", b"1234567123456712345671234567", &[1; 24]]
        {
            assert_eq!(given(&secret(weak), Signing::V1).unwrap_err(), GivenError::NotRandom, "{weak:?}");
        }
        assert!(given(&secret(b"1234567812345678123456781234"), Signing::V1).is_ok(), "eight are different");
        for weak in [[0; 32], [b'x'; 32]] {
            assert_eq!(given(&pair(&weak).reveal(), Signing::V1a).unwrap_err(), GivenError::NotRandom);
        }
    }
}
