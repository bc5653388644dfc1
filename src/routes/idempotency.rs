//! `Idempotency-Key`: what makes a repeated request the same request. The key is a string as
//! the IETF's draft has it, in quotes (`"order-4711"`, a String of RFC 8941), or, as many send
//! it, the same without them; either is the same key.

use std::borrow::Cow;

use actix_web::HttpRequest;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::routes::extract::Query;
use crate::routes::problem::{Kind, Problem};
use crate::routes::{retention, timing};
use crate::store::Idempotency;

/// Longest key.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// Whether a text can be one.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_KEY_BYTES && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// The key that a list is asked for.
pub(super) fn asked_for(query: &Query) -> Result<Option<String>, Problem> {
    let Some(key) = query.get("idempotency_key") else { return Ok(None) };
    let Some(key) = key_in(key) else {
        let detail = format!("a key is 1 to {MAX_KEY_BYTES} visible ASCII characters, as they are or in quotes");
        return Err(Problem::invalid_query("idempotency_key", detail));
    };
    Ok(Some(key.into_owned()))
}

/// The request's key with the digest of what it asks for; `None` without one.
/// `refused` is what the answer says beside accepted events.
pub fn of(request: &HttpRequest, body: &[u8], refused: Bytes) -> Result<Option<Idempotency>, Problem> {
    let mut keys = request.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else { return Ok(None) };
    let written = key.to_str().ok().filter(|_| keys.next().is_none());
    let (written, key) = written.and_then(|written| Some((written, key_in(written)?))).ok_or_else(|| {
        Problem::new(
            Kind::BadRequest,
            format!(
                "`Idempotency-Key` is given once and is 1 to {MAX_KEY_BYTES} visible ASCII characters, as they are or in \
                 quotes, where `\"` and `\\` have a `\\` before them"
            ),
        )
    })?;
    let mut digest = Sha256::new();
    for part in [request.path().as_bytes(), request.query_string().as_bytes()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    // Without them the digest is what it was before there were such headers.
    for name in [timing::DELIVER_AT, timing::EXPIRES_IN, retention::RETAIN] {
        for value in request.headers().get_all(name) {
            digest.update(name);
            digest.update((value.len() as u64).to_be_bytes());
            digest.update(value.as_bytes());
        }
    }
    digest.update(body);
    let quoted = (key != written).then(|| written.to_owned());
    Ok(Some(Idempotency { key: key.into_owned(), quoted, request: digest.finalize().into(), refused }))
}

/// The key that a header says; `None` where it says none that can be used.
fn key_in(written: &str) -> Option<Cow<'_, str>> {
    let is_visible = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_visible(written) {
        return None;
    }
    let key = match written.strip_prefix('"') {
        None => Cow::Borrowed(written),
        Some(quoted) => Cow::Owned(unquoted(quoted)?),
    };
    (1..=MAX_KEY_BYTES).contains(&key.len()).then_some(key)
}

/// A String of RFC 8941 behind its first quote. Parameters may follow it, and say nothing.
fn unquoted(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    loop {
        match letters.next()? {
            '"' => break,
            '\\' => key.push(letters.next().filter(|letter| matches!(letter, '"' | '\\'))?),
            letter => key.push(letter),
        }
    }
    let behind = letters.as_str();
    (behind.is_empty() || behind.starts_with(';')).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn in_quotes_or_without_it_is_the_same_key(key in "[!#-~][ -~]{0,254}", parameters in "(;[a-z]{1,5}=[0-9]{1,3}){0,2}") {
            let quoted = format!("\"{}\"{parameters}", key.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(key_in(&quoted), Some(Cow::Borrowed(key.as_str())));
            prop_assert_eq!(key_in(&key), Some(Cow::Borrowed(key.as_str())));
        }

        #[test]
        fn junk_is_no_key_or_one_within_bounds(junk in any::<String>()) {
            if let Some(key) = key_in(&junk) {
                prop_assert!((1..=MAX_KEY_BYTES).contains(&key.len()));
            }
        }
    }

    #[test]
    fn what_is_not_one_whole_string_is_no_key() {
        for written in
            ["", "\"\"", "\"", "\"a", "\"a\\\"", "\"a\\b\"", "\"a\"b", "\"a\", \"b\"", "\"a\" ;b", "caf\u{e9}", "a\tb"]
        {
            assert_eq!(key_in(written), None, "{written}");
        }
        assert_eq!(key_in(&format!("\"{}\"", "x".repeat(256))), None);
        assert_eq!(key_in("\"a\\\\\\\"\"").as_deref(), Some("a\\\""));
        assert_eq!(key_in("a\"b\"").as_deref(), Some("a\"b\""), "only what begins with a quote is in quotes");
    }
}
