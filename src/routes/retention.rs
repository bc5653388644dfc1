//! `/retention`: for how long what is kept of events is kept, and `Posthaste-Retain`: that
//! an event's payload is not to be. Operators set it, for a partner or for an environment; a
//! partner sees what holds for its own.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::catalog::pointer_below;
use crate::domain::{AuditAction, Kept, RetentionDays};
use crate::routes::extract::{self, Caller};
use crate::routes::problem::{Answer, FieldProblem, Kind, Problem};
use crate::routes::{Api, brakes, openapi, settings, timing};
use crate::store::{self, Retentions, Scope};

/// `none` has the payload erased once it is delivered.
pub const RETAIN: &str = "posthaste-retain";

const DAY_SECONDS: u64 = 24 * 3_600;

/// Whether a request asks that its events' payloads not be kept.
pub fn is_unretained(headers: &HeaderMap) -> Result<bool, Problem> {
    let refuse = |detail: String| Problem::new(Kind::Invalid, detail);
    match timing::single(headers, RETAIN).map_err(refuse)? {
        None => Ok(false),
        Some("none") => Ok(true),
        Some(_) => Err(refuse("`Posthaste-Retain` is `none`, or left out".to_owned())),
    }
}

/// For how long anything is kept: the option `retention_days`.
fn most_days(api: &Api) -> u32 {
    days(api.limits.retries.retention)
}

fn days(time: Duration) -> u32 {
    u32::try_from(time.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX)
}

/// Says for how long things of a partner, or of an environment, are kept.
#[utoipa::path(
    get, path = "/retention", operation_id = "read_retention", tag = "administration",
    params(openapi::ForPartners),
    responses((status = 200, description = "What is set, and what holds.", body = openapi::Retention))
)]
pub async fn read(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadRetention)?;
    caller.query().only(&[])?;
    let scope = caller.scope()?;
    shown(&api, &scope).await
}

async fn shown(api: &Api, scope: &Scope) -> Answer {
    let wanted = scope.clone();
    let found = store::blocking(&api.store, move |store| store.retentions(&wanted)).await?;
    let found = found.ok_or_else(|| Problem::not_found("partner"))?;
    Ok(HttpResponse::Ok().json(show(scope, &found, most_days(api))))
}

fn show(scope: &Scope, retentions: &Retentions, most_days: u32) -> Value {
    let fields = |of: &dyn Fn(Kept) -> Option<u32>| -> Map<String, Value> {
        Kept::ALL.iter().map(|kept| (kept.setting().to_owned(), json!(of(*kept)))).collect()
    };
    let effective = retentions.effective().shorter_than(most_days);
    json!({
        "environment": scope.environment.as_str(),
        "partner": brakes::whose(scope),
        "own": fields(&|kept| retentions.own.of(kept)),
        "effective": fields(&|kept| Some(effective.of(kept).unwrap_or(most_days))),
        "retention_days": most_days,
    })
}

/// Sets all of it anew: what is left out, or `null`, is as the environment says, or as the
/// option `retention_days`.
#[utoipa::path(
    put, path = "/retention", operation_id = "set_retention", tag = "administration",
    params(openapi::NamedScope),
    request_body(content = openapi::RetentionDays, description = "All of it. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "What is set, and what holds.", body = openapi::Retention))
)]
pub async fn set(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    caller.may(Permission::SetRetention)?;
    let scope = named(&api, &caller).await?;
    let limit = api.limits.settings_bytes;
    let body = extract::body(&request, &mut payload, &["application/json"], "settings_bytes", limit).await?;
    let days = read_days(settings::object(&body)?, most_days(&api)).map_err(Problem::invalid)?;
    change(&api, &caller, scope, days, AuditAction::RetentionSet).await
}

/// Has a partner's things kept as its environment says, or an environment's as the option
/// `retention_days` does.
#[utoipa::path(
    delete, path = "/retention", operation_id = "clear_retention", tag = "administration",
    params(openapi::NamedScope),
    responses((status = 200, description = "What holds now.", body = openapi::Retention))
)]
pub async fn clear(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::SetRetention)?;
    let scope = named(&api, &caller).await?;
    change(&api, &caller, scope, RetentionDays::default(), AuditAction::RetentionCleared).await
}

async fn change(api: &Api, caller: &Caller, scope: Scope, days: RetentionDays, action: AuditAction) -> Answer {
    let said: Map<String, Value> =
        Kept::ALL.iter().map(|kept| (kept.setting().to_owned(), json!(days.of(*kept)))).collect();
    let entry = caller.did(action).of(&scope).about(brakes::whose(&scope)).with(Value::Object(said));
    let of = scope.clone();
    let set = api.journal.change(move |transaction| {
        let set = transaction.set_retention(&of, days)?;
        if set.as_ref().is_some_and(store::Effect::is_change) {
            transaction.audit(&entry);
        }
        Ok(set.is_some())
    });
    if !set.await? {
        return Err(Problem::not_found("partner"));
    }
    shown(api, &scope).await
}

/// What the query names. Nothing is assumed: a word left out must not erase more than was
/// meant.
async fn named(api: &Api, caller: &Caller) -> Result<Scope, Problem> {
    let query = caller.query();
    query.only(&[])?;
    for (name, choices) in [("environment", "`sandbox` or `production`"), ("partner", "a partner, or `*` for all")] {
        if query.get(name).is_none() {
            return Err(Problem::invalid_query(name, format!("retention assumes nothing: name {choices}")));
        }
    }
    api.known(caller.scope()?).await
}

fn read_days(mut fields: Map<String, Value>, most_days: u32) -> Result<RetentionDays, Vec<FieldProblem>> {
    let (mut days, mut errors) = (RetentionDays::default(), Vec::new());
    for kept in Kept::ALL {
        let given = match fields.remove(kept.setting()) {
            None | Some(Value::Null) => continue,
            Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        match given.filter(|number| (1..=most_days).contains(number)) {
            Some(number) => days = days.with(kept, Some(number)),
            None => errors.push(FieldProblem::new(
                format!("/{}", kept.setting()),
                format!("expected a whole number of days from 1 to {most_days}, the limit `retention_days`, or null"),
            )),
        }
    }
    for unknown in fields.keys() {
        let known = Kept::ALL.map(|kept| format!("`{}`", kept.setting())).join(", ");
        errors.push(FieldProblem::new(pointer_below("", unknown), format!("unknown field; there is {known}")));
    }
    if errors.is_empty() { Ok(days) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn payloads_are_kept_unless_the_header_says_none() {
        let check = |given: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(HeaderName::from_static(RETAIN), HeaderValue::from_static(value));
            }
            is_unretained(&headers).map_err(|problem| problem.detail)
        };
        assert_eq!(check(&[]), Ok(false));
        assert_eq!(check(&["none"]), Ok(true));
        for wrong in ["", "None", "all", "none, none"] {
            let detail = check(&[wrong]).expect_err(wrong);
            assert!(detail.contains("`Posthaste-Retain` is `none`"), "{detail}");
        }
        assert!(check(&["none", "none"]).is_err(), "which of them?");
    }

    #[test]
    fn days_are_bounded_by_the_option_and_each_problem_is_named() {
        let read = |value: Value| read_days(value.as_object().expect("an object").clone(), 30);
        assert_eq!(read(json!({})), Ok(RetentionDays::default()));
        let days =
            read(json!({ "payload_days": 1, "held_days": 30, "attempts_days": null })).expect("they are in bounds");
        assert_eq!(Kept::ALL.map(|kept| days.of(kept)), [Some(1), None, Some(30), None]);
        for wrong in [json!(0), json!(31), json!(-1), json!(1.5), json!("7"), json!([]), json!(u64::MAX)] {
            let errors =
                read(json!({ "payload_days": wrong, "exhausted_days": wrong, "payloads": 1 })).expect_err("wrong");
            let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(pointers, ["/payload_days", "/exhausted_days", "/payloads"]);
            assert!(errors[0].detail.contains("1 to 30, the limit `retention_days`"), "{errors:?}");
        }
    }
}
