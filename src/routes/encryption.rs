//! `/encryption`: with which keys the secrets in the store are sealed, and how operators
//! have them sealed anew. No key is ever shown, only its id.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::catalog::pointer_below;
use crate::domain::AuditAction;
use crate::keyring::RingKeyId;
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Problem};
use crate::routes::webhook::{has_bytes, optional_fields};
use crate::routes::{Api, openapi, to_the_end};
use crate::store::{self, EncryptionCounts};

/// Rows that are counted by one read.
const COUNTED_AT_ONCE: usize = 2_000;

/// What is sealed with what.
#[utoipa::path(
    get, path = "/encryption", operation_id = "read_encryption", tag = "administration",
    responses((status = 200, description = "Which keys seal how much.", body = openapi::Encryption))
)]
pub async fn read(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let mut counts = EncryptionCounts::default();
    let mut after = None;
    loop {
        let from = after;
        let counted = store::blocking(&api.store, move |store| store.encryption_counts(from, COUNTED_AT_ONCE));
        let (some, next) = counted.await?;
        counts.add(some);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let noted = store::blocking(&api.store, |store| store.noted_keys()).await?;
    let keyring = api.store.keyring();
    let shown = |id: &RingKeyId| {
        json!({
            "id": id.as_str(),
            "in_ring": keyring.has(id),
            "in_use": noted.contains(id),
            "values": counts.by_key.get(id).copied().unwrap_or(0),
        })
    };
    // Those of the ring in its order, and what else there may be in the store.
    let others: BTreeSet<&RingKeyId> = noted.iter().chain(counts.by_key.keys()).filter(|id| !keyring.has(id)).collect();
    let keys: Vec<Value> = keyring.ids().chain(others).map(shown).collect();
    let current = keyring.current().map(RingKeyId::as_str);
    Ok(HttpResponse::Ok().json(json!({ "current": current, "keys": keys, "clear_values": counts.clear })))
}

/// Seals everything with the current key, to the end, also when nobody waits for it.
#[utoipa::path(
    post, path = "/encryption/reencrypt", operation_id = "reencrypt", tag = "administration",
    request_body(content = Option<openapi::Nothing>, description = "Needs none. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "What was sealed anew.", body = openapi::Reencrypted))
)]
pub async fn reencrypt(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    if has_bytes(&request)
        && let Some(unknown) = optional_fields(&api, &request, &mut payload).await?.keys().next()
    {
        return Err(Problem::invalid_field(pointer_below("", unknown), "unknown field; there is none"));
    }
    let worker = api.clone();
    let entry = caller.did(AuditAction::SecretsReencrypted);
    let done = to_the_end(async move {
        let current = worker.store.keyring().current().map_or("clear", RingKeyId::as_str);
        Ok(store::reencrypt(&worker.journal, entry.about(current), |_| ()).await?)
    })
    .await?;
    let current = api.store.keyring().current().map(RingKeyId::as_str);
    log::info!("re-encrypted: {} values in {} rows now have key {}", done.values, done.rows, current.unwrap_or("none"));
    let released: Vec<&str> = done.released.iter().map(RingKeyId::as_str).collect();
    Ok(HttpResponse::Ok().json(json!({
        "current": current,
        "rows": done.rows,
        "values": done.values,
        "unreadable": done.unreadable,
        "released": released,
    })))
}
