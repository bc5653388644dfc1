//! `GET /audit`, who changed what, and `GET /audit/verify`, whether that is still
//! what was written. Operators see all of it, partners what was done to what is
//! theirs, and nothing more of an operator than that it was one.

mod detail;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::{Actor, AuditHash, AuditHead, AuditRecord, Environment, PartnerName, Role};
use crate::policy::audit_chain::Verdict;
use crate::routes::extract::{Caller, Query};
use crate::routes::problem::{Answer, Problem};
use crate::routes::{Api, openapi, page, show};
use crate::store::audit::{begin_check, check_more};
use crate::store::{self, AuditFilter, Scope};

pub(super) use detail::{endpoint_changed, endpoint_made};

/// Lists entries, newest first.
#[utoipa::path(
    get, path = "/audit", operation_id = "list_audit", tag = "administration",
    params(openapi::AuditQuestion, openapi::Page),
    responses((status = 200, description = "Who did what: a partner's part, or all of it.", body = openapi::AuditEntries))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadAudit)?;
    let query = caller.query();
    query.only(&["limit", "cursor", "action", "subject", "actor", "key", "since", "until"])?;
    // To others operators are all the same, and are not to be told apart by asking.
    if let Some(name) = ["actor", "key"].into_iter().find(|name| !caller.is_operator() && query.get(name).is_some()) {
        return Err(Problem::invalid_query(name, "only an operator's key may ask by who it was"));
    }
    let (environment, partner) = asked_for(&api, &caller).await?;
    let subject = query.get("subject").map(str::to_owned);
    if subject.as_ref().is_some_and(|subject| subject.contains('\0')) {
        return Err(Problem::invalid_query("subject", "must not contain the character U+0000"));
    }
    let filter = AuditFilter {
        environment,
        partner,
        action: query.parsed("action")?,
        subject,
        actor: actor(query)?,
        key: query.parsed("key")?,
        since: query.parsed("since")?,
        until: query.parsed("until")?,
    };
    let wanted = page::request::<u64>(query, &api.limits)?;
    let found = store::blocking(&api.store, move |store| store.audit(&filter, &wanted)).await?;
    let show = if caller.is_operator() { show_to_operator } else { show_to_partner };
    Ok(page::answer(&found, |record| record.number.to_string(), show))
}

/// Who it was, in a word of the log.
fn actor(query: &Query) -> Result<Option<String>, Problem> {
    let Some(asked) = query.get("actor") else { return Ok(None) };
    let known: Vec<&str> = Actor::ALL.iter().map(|actor| actor.as_str()).collect();
    if !known.contains(&asked) {
        let words = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        return Err(Problem::invalid_query("actor", format!("one of {words}")));
    }
    Ok(Some(asked.to_owned()))
}

/// An operator sees everything, unless something narrower is named; a partner's key
/// has no choice.
async fn asked_for(api: &Api, caller: &Caller) -> Result<(Option<Environment>, Option<PartnerName>), Problem> {
    if !caller.is_operator() {
        let Scope { environment, partner } = caller.partner_scope()?;
        return Ok((Some(environment), partner));
    }
    let environment = caller.query().parsed("environment")?;
    let partner = match caller.query().get("partner") {
        None | Some("*") => None,
        Some(_) => api.known(caller.partner_scope()?).await?.partner,
    };
    Ok((environment, partner))
}

fn show_to_operator(record: &AuditRecord) -> Value {
    json!({
        "number": record.number,
        "at": show::time(record.at),
        "actor": record.actor,
        "key": record.key,
        "address": record.address,
        "action": record.action,
        "subject": record.subject,
        "environment": record.environment.map(Environment::as_str),
        "partner": record.partner,
        // It is JSON as it was written, and is shown if it is not any more.
        "detail": serde_json::from_str::<Value>(&record.detail).unwrap_or_else(|_| json!(record.detail)),
        "hash": record.hash.to_string(),
        "previous_hash": record.previous_hash.to_string(),
    })
}

/// Which operator it was and from where is not the partner's to know; nor is what
/// operators note for each other about brakes and keys.
fn show_to_partner(record: &AuditRecord) -> Value {
    let mut value = show_to_operator(record);
    let operator = Actor::Key(Role::Operator).as_str();
    if [operator, Actor::Configured.as_str(), Actor::Command.as_str()].contains(&record.actor.as_str()) {
        value["actor"] = json!(operator);
        (value["key"], value["address"]) = (Value::Null, Value::Null);
        let is_seen_elsewhere =
            ["endpoint.", "secret.", "delivery.", "replay."].iter().any(|noun| record.action.starts_with(noun));
        if !is_seen_elsewhere {
            value["detail"] = json!({});
        }
    }
    value
}

/// Checks the whole chain.
#[utoipa::path(
    get, path = "/audit/verify", operation_id = "verify_audit", tag = "administration",
    params(openapi::NotedHead),
    responses((status = 200, description = "Whether every entry is as it was written.", body = openapi::AuditVerdict))
)]
pub async fn verify(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    let query = caller.query();
    // There is one chain for all partners and environments.
    query.only_these(&["number", "head"])?;
    let noted = noted(&caller)?;
    let mut check = store::blocking(&api.store, move |store| begin_check(store, noted)).await?;
    while !check.is_over() {
        // Each part is a read of its own, and others have their turn in between.
        check = store::blocking(&api.store, move |store| check_more(store, &mut check).map(|()| check)).await?;
    }
    let Verdict { head, broken } = check.verdict();
    let mut value = json!({
        "intact": broken.is_none(),
        "entries": head.number,
        "head": head.hash.to_string(),
    });
    if let Some((number, why)) = broken {
        log::error!("the audit log is broken at entry {number}: {why}");
        value["broken_at"] = json!(number);
        value["reason"] = json!(why.to_string());
    }
    Ok(HttpResponse::Ok().json(value))
}

/// The entry that the query says was in the log before.
fn noted(caller: &Caller) -> Result<Option<AuditHead>, Problem> {
    let query = caller.query();
    let hash: Option<AuditHash> = query.parsed("head")?;
    let number = query
        .get("number")
        .map(|text| {
            let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
            number.ok_or_else(|| Problem::invalid_query("number", "expected the number of an entry, such as 42"))
        })
        .transpose()?;
    match (number, hash) {
        (Some(number), Some(hash)) => Ok(Some(AuditHead { number, hash })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Problem::invalid_query("head", "name the hash that entry `number` had")),
        (None, Some(_)) => Err(Problem::invalid_query("number", "name the entry that had the hash `head`")),
    }
}
