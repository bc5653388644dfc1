//! `Idempotency-Key`: what makes a repeated request the same request.

use actix_web::HttpRequest;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::routes::problem::{Kind, Problem};
use crate::routes::timing;
use crate::store::Idempotency;

/// Longest key.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// The request's key with the digest of what it asks for; `None` without one.
/// `refused` is what the answer says beside accepted events.
pub fn of(request: &HttpRequest, body: &[u8], refused: Bytes) -> Result<Option<Idempotency>, Problem> {
    let mut keys = request.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else { return Ok(None) };
    let readable =
        |key: &str| !key.is_empty() && key.len() <= MAX_KEY_BYTES && key.bytes().all(|b| (b' '..=b'~').contains(&b));
    let key = key.to_str().ok().filter(|key| readable(key) && keys.next().is_none()).ok_or_else(|| {
        Problem::new(
            Kind::BadRequest,
            format!("`Idempotency-Key` is given once and is 1 to {MAX_KEY_BYTES} visible ASCII characters"),
        )
    })?;
    let mut digest = Sha256::new();
    for part in [request.path().as_bytes(), request.query_string().as_bytes()] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    // Without them the digest is what it was before there were such headers.
    for name in [timing::DELIVER_AT, timing::EXPIRES_IN] {
        for value in request.headers().get_all(name) {
            digest.update(name);
            digest.update((value.len() as u64).to_be_bytes());
            digest.update(value.as_bytes());
        }
    }
    digest.update(body);
    Ok(Some(Idempotency { key: key.to_owned(), request: digest.finalize().into(), refused }))
}
