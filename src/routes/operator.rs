//! `/partners` and `/keys`: what operators administer.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::auth::{ApiKey, Permission, told_of_key};
use crate::catalog::pointer_below;
use crate::domain::{AuditAction, Environment, KeyId, PartnerName, Role, Timestamp};
use crate::routes::extract::{self, Caller};
use crate::routes::problem::{Answer, FieldProblem, Kind, Problem};
use crate::routes::{Api, openapi, page, settings, show, to_the_end};
use crate::store::{self, AuditEntry, KeyRecord, NewKey};

async fn fields(api: &Api, request: &HttpRequest, payload: &mut web::Payload) -> Result<Map<String, Value>, Problem> {
    let limit = api.limits.settings_bytes;
    let body = extract::body(request, payload, &["application/json"], "settings_bytes", limit).await?;
    settings::object(&body)
}

/// A field that is text and reads as a `T`; absent and null are `None`.
fn parsed<T: std::str::FromStr>(
    fields: &mut Map<String, Value>,
    name: &str,
    errors: &mut Vec<FieldProblem>,
) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    let problem = match fields.remove(name) {
        None | Some(Value::Null) => return None,
        Some(Value::String(text)) => match text.parse() {
            Ok(value) => return Some(value),
            Err(error) => format!("{error}"),
        },
        Some(_) => "expected a string".to_owned(),
    };
    errors.push(FieldProblem::new(format!("/{name}"), problem));
    None
}

fn no_more(fields: &Map<String, Value>, known: &str, errors: &mut Vec<FieldProblem>) {
    for unknown in fields.keys() {
        errors.push(FieldProblem::new(pointer_below("", unknown), format!("unknown field; there is {known}")));
    }
}

/// Makes a partner, in both environments at once.
#[utoipa::path(
    post, path = "/partners", operation_id = "create_partner", tag = "administration",
    request_body(content = openapi::NewPartner, description = "The partner. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 201, description = "The partner.", body = openapi::Partner))
)]
pub async fn create_partner(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let mut fields = fields(&api, &request, &mut payload).await?;
    let mut errors = Vec::new();
    let is_given = fields.contains_key("name");
    let name: Option<PartnerName> = parsed(&mut fields, "name", &mut errors);
    if !is_given {
        errors.push(FieldProblem::new("/name", "`name` is required"));
    }
    no_more(&fields, "`name`", &mut errors);
    let Some(name) = name.filter(|_| errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let wanted = name.clone();
    let entry = caller.did(AuditAction::PartnerCreated).belonging_to(None, Some(name.clone())).about(&name);
    let made = api.journal.change(move |transaction| {
        let made = transaction.create_partner(&wanted)?;
        if made.is_some() {
            transaction.audit(&entry);
        }
        Ok(made)
    });
    let Some(partner) = made.await? else {
        let named = name.clone();
        let found = store::blocking(&api.store, move |store| store.partner(&named)).await?;
        let detail = match found.and_then(|partner| partner.erasing_since) {
            Some(since) => {
                format!("partner `{name}` is being erased, since {since}; its name is free when that has ended")
            }
            None => format!("there is a partner `{name}`"),
        };
        return Err(Problem::new(Kind::AlreadyExists, detail));
    };
    log::info!("partner {} was made", partner.name);
    Ok(HttpResponse::Created().json(show::partner(&partner)))
}

/// Lists partners, newest first.
#[utoipa::path(
    get, path = "/partners", operation_id = "list_partners", tag = "administration",
    params(openapi::Page),
    responses((status = 200, description = "A page.", body = openapi::Partners))
)]
pub async fn list_partners(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&["limit", "cursor"])?;
    let wanted = page::request::<PartnerName>(caller.query(), &api.limits)?;
    let found = store::blocking(&api.store, move |store| store.partners(&wanted)).await?;
    Ok(page::answer(&found, |partner| partner.name.to_string(), show::partner))
}

/// One partner.
#[utoipa::path(
    get, path = "/partners/{name}", operation_id = "read_partner", tag = "administration",
    params(("name" = openapi::PartnerName, Path, description = "Which partner.")),
    responses((status = 200, description = "The partner.", body = openapi::Partner))
)]
pub async fn read_partner(api: web::Data<Api>, caller: Caller, name: web::Path<String>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let name: PartnerName = name.parse().map_err(|_| Problem::not_found("partner"))?;
    let found = store::blocking(&api.store, move |store| store.partner(&name)).await?;
    let partner = found.ok_or_else(|| Problem::not_found("partner"))?;
    Ok(HttpResponse::Ok().json(show::partner(&partner)))
}

/// Erases a partner and everything of it, in both environments: from the answer on nobody
/// finds or accepts anything of it, and all of it goes in the background.
#[utoipa::path(
    delete, path = "/partners/{name}", operation_id = "erase_partner", tag = "administration",
    params(("name" = openapi::PartnerName, Path, description = "Which partner."), openapi::Confirmation),
    responses((status = 202, description = "It has begun. `GET /partners/{name}` is a 404 once nothing is left.", body = openapi::Partner))
)]
pub async fn erase_partner(api: web::Data<Api>, caller: Caller, name: web::Path<String>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&["confirm"])?;
    let name: PartnerName = name.parse().map_err(|_| Problem::not_found("partner"))?;
    if caller.query().get("confirm") != Some(name.as_str()) {
        let detail = format!("this erases everything of the partner for ever: repeat its name, `confirm={name}`");
        return Err(Problem::invalid_query("confirm", detail));
    }
    let entry = caller.did(AuditAction::PartnerErasing).belonging_to(None, Some(name.clone())).about(&name);
    let forgotten = name.clone();
    let erasing = to_the_end(async move {
        let begun = api.journal.change(move |transaction| {
            let begun = transaction.begin_erasing(&name)?;
            if begun.as_ref().is_some_and(store::Effect::is_change) {
                transaction.audit(&entry);
            }
            Ok(begun)
        });
        let begun = begun.await;
        api.auth.keys_changed().await;
        api.refusals.forget(&forgotten);
        Ok(begun?)
    });
    let partner = erasing.await?.ok_or_else(|| Problem::not_found("partner"))?.into_inner();
    log::warn!("partner {} is being erased", partner.name);
    Ok(HttpResponse::Accepted().json(show::partner(&partner)))
}

/// Makes a key and shows it, this once.
#[utoipa::path(
    post, path = "/keys", operation_id = "create_key", tag = "administration",
    request_body(content = openapi::NewKey, description = "The key. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 201, description = "What is known of it, and the key.", body = openapi::MadeKey))
)]
pub async fn create_key(
    api: web::Data<Api>,
    caller: Caller,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let mut fields = fields(&api, &request, &mut payload).await?;
    let now = api.clock.wall();
    let (new, key) = new_key(&mut fields, now)?;
    if let Some(partner) = new.partner.clone() {
        let named = partner.to_string();
        let found = store::blocking(&api.store, move |store| store.partner(&partner)).await?;
        found
            .filter(|partner| partner.erasing_since.is_none())
            .ok_or_else(|| Problem::invalid_field("/partner", format!("there is no partner `{named}`")))?;
    }
    let entry = caller.did(AuditAction::KeyCreated);
    let made = api.journal.change(move |transaction| {
        let made = transaction.create_key(&new)?;
        transaction.audit(&told_of_key(entry.clone(), &made));
        Ok(made)
    });
    let record = made.await?;
    log::info!("key {} ({}) was made", record.id, record.role);
    let mut value = show::key(&record);
    value["key"] = json!(key.reveal());
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(value))
}

fn new_key(fields: &mut Map<String, Value>, now: Timestamp) -> Result<(NewKey, ApiKey), Problem> {
    let mut errors = Vec::new();
    let role: Option<Role> = parsed(fields, "role", &mut errors);
    let mut environment: Option<Environment> = parsed(fields, "environment", &mut errors);
    let partner: Option<PartnerName> = parsed(fields, "partner", &mut errors);
    let description: Option<String> = parsed(fields, "description", &mut errors);
    errors.extend(description.as_deref().and_then(settings::not_text));
    let expires_at: Option<Timestamp> = parsed(fields, "expires_at", &mut errors);
    no_more(fields, "`role`, `partner`, `environment`, `description` and `expires_at`", &mut errors);
    let wrong = |errors: &mut Vec<FieldProblem>, field: &str, detail: &str| {
        errors.push(FieldProblem::new(format!("/{field}"), detail));
    };
    match role {
        None if errors.is_empty() => {
            wrong(&mut errors, "role", "`role` is required: `partner`, `producer` or `operator`");
        }
        None => {}
        Some(Role::Operator) => {
            if partner.is_some() {
                wrong(&mut errors, "partner", "an operator's key serves all partners; leave it out");
            }
            if environment.is_some() {
                wrong(&mut errors, "environment", "an operator's key serves both environments; leave it out");
            }
        }
        Some(role) => {
            environment = environment.or(Some(Environment::Production));
            if role == Role::Partner && partner.is_none() {
                wrong(&mut errors, "partner", "`partner` is required for a key of role `partner`");
            }
        }
    }
    if expires_at.is_some_and(|end| end <= now) {
        wrong(&mut errors, "expires_at", "this time is past");
    }
    let Some(role) = role.filter(|_| errors.is_empty()) else { return Err(Problem::invalid(errors)) };
    let key = ApiKey::generate().map_err(|error| {
        log::error!("the system has no randomness: {error}");
        Problem::new(Kind::Internal, "no key can be made now")
    })?;
    let new = NewKey {
        hash: key.hash(),
        prefix: key.prefix().to_owned(),
        role,
        environment,
        partner,
        description,
        expires_at,
    };
    Ok((new, key))
}

/// Lists keys, newest first.
#[utoipa::path(
    get, path = "/keys", operation_id = "list_keys", tag = "administration",
    params(openapi::Page),
    responses((status = 200, description = "A page.", body = openapi::Keys))
)]
pub async fn list_keys(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&["limit", "cursor"])?;
    let wanted = page::request::<KeyId>(caller.query(), &api.limits)?;
    let found = store::blocking(&api.store, move |store| store.keys(&wanted)).await?;
    Ok(page::answer(&found, |key| key.id.to_string(), show::key))
}

/// One key, without the key.
#[utoipa::path(
    get, path = "/keys/{id}", operation_id = "read_key", tag = "administration",
    params(("id" = openapi::KeyId, Path, description = "Which key.")),
    responses((status = 200, description = "What is known of it.", body = openapi::Key))
)]
pub async fn read_key(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let id: KeyId = id.parse().map_err(|_| Problem::not_found("key"))?;
    let found = store::blocking(&api.store, move |store| store.key(id)).await?;
    let record = found.filter(is_key).ok_or_else(|| Problem::not_found("key"))?;
    Ok(HttpResponse::Ok().json(show::key(&record)))
}

/// Links to the portal are in `portal_links`.
fn is_key(record: &KeyRecord) -> bool {
    record.link.is_none()
}

/// Ends a key, or a link that is kept as one, and writes down who did: once that is answered
/// it opens nothing. `false` is that it opened nothing before.
pub(super) async fn end_key(api: web::Data<Api>, id: KeyId, entry: AuditEntry) -> Result<bool, Problem> {
    to_the_end(async move {
        let revoking = api.journal.change(move |transaction| {
            let revoked = transaction.revoke_key(id)?;
            if revoked {
                transaction.audit(&entry);
            }
            Ok(revoked)
        });
        let revoked = revoking.await;
        api.auth.keys_changed().await;
        Ok(revoked?)
    })
    .await
}

/// Revokes a key: from the answer on it opens nothing.
#[utoipa::path(
    delete, path = "/keys/{id}", operation_id = "revoke_key", tag = "administration",
    params(("id" = openapi::KeyId, Path, description = "Which key.")),
    responses((status = 204, description = "It opens nothing any more."))
)]
pub async fn revoke_key(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let id: KeyId = id.parse().map_err(|_| Problem::not_found("key"))?;
    let found = store::blocking(&api.store, move |store| store.key(id)).await?;
    let record = found.filter(is_key).ok_or_else(|| Problem::not_found("key"))?;
    let entry = told_of_key(caller.did(AuditAction::KeyRevoked), &record);
    if !end_key(api, id, entry).await? {
        return Err(Problem::not_found("key"));
    }
    log::info!("key {id} was revoked");
    Ok(HttpResponse::NoContent().finish())
}
