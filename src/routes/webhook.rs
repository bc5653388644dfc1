//! `/webhook`: a partner's endpoints.

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::catalog::{Catalog, pointer_below};
use crate::domain::{Attempt, AuditAction, Endpoint, EndpointId, EndpointStatus, EventId, EventType};
use crate::engine::{AttemptHeaders, SendTest, TestOutcome};
use crate::policy::{address, explaining, matching};
use crate::routes::extract::{self, Caller, Query};
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::settings::{self, Rules};
use crate::routes::{Api, actors, audit, brakes, openapi, page, show, signing};
use crate::store::{
    self, EndpointChange, EndpointConflict, Lane, NewEndpoint, Rotation, RotationConflict, Scope, SentSettings, Store,
    StoreError,
};

/// Deliveries of a backlog that are counted one by one.
pub(super) const COUNTED_BACKLOG: usize = 1_000;
/// How often a change is tried again when others change the same endpoint.
const CHANGE_TRIES: usize = 5;

fn rules<'a>(api: &'a Api, catalog: &'a Catalog, scope: &Scope) -> Rules<'a> {
    Rules {
        addresses: &api.addresses,
        catalog,
        environment: scope.environment,
        retries: &api.limits.retries,
        for_all_partners: scope.partner.is_none(),
        now: api.clock.wall(),
    }
}

/// The scope of an endpoint that the caller may change: the partner's that was asked
/// for or, where an operator asks for one that hears of all partners, theirs.
pub(super) async fn scope_of(api: &Api, caller: &Caller, id: &str) -> Result<Scope, Problem> {
    if let Some(all) = all_partners_of(api, caller, id).await? {
        return Ok(all);
    }
    caller.partner_scope()
}

/// The scope of all partners, where it is an endpoint that hears of them and the caller
/// may know of that.
pub(super) async fn all_partners_of(api: &Api, caller: &Caller, id: &str) -> Result<Option<Scope>, Problem> {
    let Ok(id) = id.parse::<EndpointId>() else { return Ok(None) };
    if !caller.is_operator() {
        return Ok(None);
    }
    let all = Scope::all(caller.environment()?);
    let wanted = all.clone();
    let found = store::blocking(&api.store, move |store| store.endpoint(&wanted, id)).await?;
    Ok(found.is_some_and(|endpoint| endpoint.partner.is_none()).then_some(all))
}

async fn settings_body(api: &Api, request: &HttpRequest, payload: &mut web::Payload) -> Result<Bytes, Problem> {
    extract::body(request, payload, &["application/json"], "settings_bytes", api.limits.settings_bytes).await
}

/// Whether a request says that it has a body.
pub(super) fn has_bytes(request: &HttpRequest) -> bool {
    let headers = request.headers();
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// The fields of a body that may be left out. One that is there is read or
/// refused, never passed over: it may ask for the old secret to end at once.
pub(super) async fn optional_fields(
    api: &Api,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<Map<String, Value>, Problem> {
    if !has_bytes(request) && !request.headers().contains_key(CONTENT_TYPE) {
        return Ok(Map::new());
    }
    settings::object(&settings_body(api, request, payload).await?)
}

/// Makes an endpoint.
#[utoipa::path(
    post, path = "/webhook", operation_id = "create_webhook", tag = "webhooks",
    params(openapi::ForPartners),
    request_body(content = openapi::NewWebhook, description = "At most <<endpoints_per_partner>> of a partner in an environment (`endpoints_per_partner`). At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 201, description = "The endpoint, with its secret.", body = openapi::MadeWebhook, headers(("Location" = String, description = "Where it is."))))
)]
pub async fn create(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    // Who asks is refused before what is asked is read.
    let environment = caller.environment()?;
    let asked = caller.scope()?;
    let body = settings_body(&api, &request, &mut payload).await?;
    let fields = settings::object(&body)?;
    let scope = if settings::is_for_all_partners(&fields) {
        caller.may(Permission::HearOfAllPartners).map_err(|problem| {
            let detail = format!("`\"partners\": \"*\"` hears of the troubles of all partners: {}", problem.detail);
            Problem { detail, ..problem }
        })?;
        api.known(asked).await?;
        Scope::all(environment)
    } else {
        caller.partner_scope()?
    };
    let catalog = api.catalogs.of(scope.environment);
    let rules = rules(&api, &catalog, &scope);
    let (settings, secret) = settings::new_endpoint(fields, &rules)?;
    let secret = match secret {
        Some(secret) => secret,
        None => signing::make(settings.signing)?,
    };
    let scope = api.known(scope).await?;
    let entry = caller.did(AuditAction::EndpointCreated).of(&scope);
    let new =
        NewEndpoint { scope, settings, secret: secret.reveal(), most_endpoints: api.limits.endpoints_per_partner };
    let made = api.journal.change(move |transaction| {
        let made = transaction.create_endpoint(&new)?;
        if let Ok(endpoint) = &made {
            transaction.audit(&entry.clone().about(endpoint.id).with(audit::endpoint_made(endpoint)));
        }
        Ok(made)
    });
    let endpoint = made.await??;
    let owner = endpoint.partner.as_ref().map_or("all partners", |partner| partner.as_str());
    log::info!("{} was made for {owner} in {}", endpoint.id, endpoint.environment);
    let mut value = show::endpoint(&endpoint);
    for (field, shown) in signing::show(Some(&secret)) {
        value[field] = shown;
    }
    Ok(HttpResponse::Created().insert_header(("location", format!("/webhook/{}", endpoint.id))).json(value))
}

/// Lists endpoints, newest first.
#[utoipa::path(
    get, path = "/webhook", operation_id = "list_webhooks", tag = "webhooks",
    params(openapi::WebhookQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page.", body = openapi::Webhooks))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    let query = caller.query();
    query.only(&["limit", "cursor", "url", "endpoints"])?;
    let scope = api.known(caller.scope()?).await?;
    let wanted = page::request::<EndpointId>(query, &api.limits)?;
    let url = query.get("url").map(address::normal_spelling).transpose();
    let url = url.map_err(|problem| Problem::invalid_query("url", problem))?;
    let named = named(query, wanted.limit)?;
    if url.is_some() && named.is_some() {
        return Err(Problem::invalid_query("endpoints", "goes without `url`"));
    }
    let found = store::blocking(&api.store, move |store| match (url, named) {
        (Some(url), _) => store.endpoints_at(&scope, &url, &wanted),
        (None, Some(ids)) => store.endpoints_named(&scope, &ids, &wanted),
        (None, None) => store.endpoints(&scope, &wanted),
    })
    .await?;
    Ok(page::answer(&found, |endpoint| endpoint.id.to_string(), show::endpoint))
}

/// Those that `endpoints` names, each once, in their order, and at most a page of them.
pub(super) fn named(query: &Query, limit: usize) -> Result<Option<Vec<EndpointId>>, Problem> {
    let Some(text) = query.get("endpoints") else { return Ok(None) };
    let mut ids: Vec<EndpointId> = Vec::new();
    for id in text.split(',') {
        let id = id.parse().map_err(|error| Problem::invalid_query("endpoints", error))?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.len() > limit {
        let detail = format!("names more than a page has, which is {limit}: give a larger `limit`");
        return Err(Problem::invalid_query("endpoints", detail));
    }
    Ok(Some(ids))
}

pub(super) async fn find(api: &Api, scope: &Scope, id: &str) -> Result<Endpoint, Problem> {
    let id: EndpointId = id.parse().map_err(|_| Problem::not_found("endpoint"))?;
    let scope = scope.clone();
    store::blocking(&api.store, move |store| store.endpoint(&scope, id))
        .await?
        .ok_or_else(|| Problem::not_found("endpoint"))
}

/// One endpoint, with what its actor is doing.
#[utoipa::path(
    get, path = "/webhook/{id}", operation_id = "read_webhook", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartners),
    responses((status = 200, description = "The endpoint.", body = openapi::WebhookWithHealth))
)]
pub async fn read(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    let scope = match all_partners_of(&api, &caller, &id).await? {
        Some(all) => all,
        None => caller.scope()?,
    };
    let endpoint = find(&api, &scope, &id).await?;
    let mut value = show::endpoint(&endpoint);
    value["health"] = health(&api, &endpoint).await?;
    Ok(HttpResponse::Ok().json(value))
}

async fn health(api: &Api, endpoint: &Endpoint) -> Result<Value, Problem> {
    let id = endpoint.id;
    let read = move |store: &dyn Store| {
        let first = |lane| Ok::<_, StoreError>(store.due(id, lane, None, 1)?.pop());
        let oldest = [first(Lane::Fresh)?, first(Lane::Retry)?].into_iter().flatten();
        Ok((store.backlog(id, COUNTED_BACKLOG + 1)?, oldest.min_by_key(|due| due.due_at), store.trouble(id)?))
    };
    let (backlog, oldest, trouble) = store::blocking(&api.store, read).await?;
    let found = actors::find(api, id, None).await;
    // A node that is held and owns it sends nothing of it.
    let node_is_held = api.hold.is_on() && found.is_at(api.node.id);
    let goes_out = endpoint.status() == EndpointStatus::Active && !node_is_held;
    let state = match (found.activity.live, goes_out) {
        (_, false) => "held",
        (Some(true), true) => "active",
        (Some(false), true) => "idle",
        (None, true) => "unknown",
    };
    let now = api.clock.wall();
    let mut health = show::trouble(&trouble);
    let rest = json!({
        "state": state,
        "backlog": backlog.min(COUNTED_BACKLOG),
        "backlog_has_more": backlog > COUNTED_BACKLOG,
        "oldest_waiting": oldest.as_ref().map(|oldest| show::waiting(oldest, now)),
        "next_attempt_at": oldest.filter(|_| goes_out).map(|oldest| trouble.permits(oldest.due_at).to_string()),
        "in_flight": found.activity.in_flight,
        "concurrency": found.activity.concurrency,
        "actor": found.show(),
    });
    if let (Value::Object(health), Value::Object(rest)) = (&mut health, rest) {
        health.extend(rest);
    }
    Ok(health)
}

/// Changes an endpoint's settings; what is not named stays.
#[utoipa::path(
    patch, path = "/webhook/{id}", operation_id = "change_webhook", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = openapi::ChangedWebhook, description = "What changes. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "The endpoint as it is now.", body = openapi::Webhook))
)]
pub async fn change(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let body = settings_body(&api, &request, &mut payload).await?;
    let fields = settings::object(&body)?;
    let catalog = api.catalogs.of(scope.environment);
    let rules = rules(&api, &catalog, &scope);
    for _ in 0..CHANGE_TRIES {
        let endpoint = find(&api, &scope, &id).await?;
        let settings = settings::changed(endpoint.settings.clone(), fields.clone(), &rules)?;
        if settings == endpoint.settings {
            return Ok(HttpResponse::Ok().json(show::endpoint(&endpoint)));
        }
        let entry = caller.did(AuditAction::EndpointChanged).of(&scope).about(endpoint.id);
        let entry = entry.with(audit::endpoint_changed(&endpoint, &settings));
        let change =
            EndpointChange { scope: scope.clone(), endpoint: endpoint.id, from_version: endpoint.version, settings };
        let changed = api.journal.change(move |transaction| {
            let changed = transaction.change_endpoint(&change)?;
            if changed.is_ok() {
                transaction.audit(&entry);
            }
            Ok(changed)
        });
        match changed.await? {
            Ok(changed) => {
                log::info!("{} has version {} of its settings", changed.id, changed.version);
                return Ok(HttpResponse::Ok().json(show::endpoint(&changed)));
            }
            // Someone else was faster: what was not named is taken from theirs.
            Err(EndpointConflict::Outdated) => {}
            Err(conflict) => return Err(conflict.into()),
        }
    }
    Err(EndpointConflict::Outdated.into())
}

/// Deletes an endpoint.
#[utoipa::path(
    delete, path = "/webhook/{id}", operation_id = "delete_webhook", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    responses((status = 204, description = "It is gone, and its deliveries are discarded."))
)]
pub async fn delete(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let id: EndpointId = id.parse().map_err(|_| Problem::not_found("endpoint"))?;
    let entry = caller.did(AuditAction::EndpointDeleted).of(&scope).about(id);
    let gone = api.journal.change(move |transaction| {
        let gone = transaction.delete_endpoint(&scope, id)?;
        if gone {
            transaction.audit(&entry);
        }
        Ok(gone)
    });
    if !gone.await? {
        return Err(Problem::not_found("endpoint"));
    }
    log::info!("{id} was deleted");
    Ok(HttpResponse::NoContent().finish())
}

/// Shows the secrets that sign now, once it is written down that somebody looked.
#[utoipa::path(
    get, path = "/webhook/{id}/secret", operation_id = "read_secret", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    responses((status = 200, description = "The secrets.", body = openapi::Secrets))
)]
pub async fn secret(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let endpoint = find(&api, &scope, &id).await?;
    let entry = caller.did(AuditAction::SecretRead).of(&scope).about(endpoint.id);
    let noted = api.journal.change(move |transaction| {
        transaction.audit(&entry);
        Ok(())
    });
    noted.await?;
    secrets_answer(&api, endpoint.id).await
}

async fn secrets_answer(api: &Api, endpoint: EndpointId) -> Answer {
    let now = api.clock.wall();
    let secrets = store::blocking(&api.store, move |store| store.endpoint_secrets(endpoint, now)).await?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(signing::show_all(&secrets)?))
}

/// Makes a new secret, or key pair; those from before sign beside it for a while.
#[utoipa::path(
    post, path = "/webhook/{id}/secret/rotate", operation_id = "rotate_secret", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = Option<openapi::Rotation>, description = "May be left out. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "The secrets that sign now.", body = openapi::Secrets))
)]
pub async fn rotate(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let wanted = signing::Wanted::read(optional_fields(&api, &request, &mut payload).await?)?;
    for _ in 0..CHANGE_TRIES {
        let Endpoint { id: endpoint, settings, .. } = find(&api, &scope, &id).await?;
        let key = wanted.key(settings.signing)?;
        let rotation = Rotation {
            scope: scope.clone(),
            endpoint,
            from_signing: settings.signing,
            signing: key.signing(),
            secret: key.reveal(),
            overlap: wanted.overlap,
        };
        let detail = json!({ "signing": key.signing().as_str(), "overlap_seconds": wanted.overlap.as_secs() });
        let entry = caller.did(AuditAction::SecretRotated).of(&scope).about(endpoint).with(detail);
        let rotated = api.journal.change(move |transaction| {
            let rotated = transaction.rotate_secret(&rotation)?;
            if rotated.is_ok() {
                transaction.audit(&entry);
            }
            Ok(rotated)
        });
        match rotated.await? {
            Ok(()) => {
                let overlap = wanted.overlap.as_secs();
                log::info!("{endpoint} has a new secret for {}; the old ones sign for {overlap} s more", key.signing());
                return secrets_answer(&api, endpoint).await;
            }
            // Someone else was faster: what is made is of the kind that it signs by now.
            Err(RotationConflict::Outdated) => {}
            Err(conflict) => return Err(conflict.into()),
        }
    }
    Err(RotationConflict::Outdated.into())
}

/// Sends an event type's example now and answers with the attempt.
#[utoipa::path(
    post, path = "/webhook/{id}/test", operation_id = "test_webhook", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner),
    request_body(content = Option<openapi::Trial>, description = "May be left out. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 200, description = "The attempt, whatever came of it.", body = openapi::TestAttempt))
)]
pub async fn test(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::ManageEndpoints)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let mut fields = optional_fields(&api, &request, &mut payload).await?;
    let endpoint = find(&api, &scope, &id).await?;
    // A test passes a pause, but a brake stops every request.
    brakes::refuse_braked(&endpoint)?;
    api.rates.may_test(scope.environment, scope.partner.as_ref())?;
    let catalog = api.catalogs.of(scope.environment);
    let named = match fields.remove("event_type") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            Some(text.parse::<EventType>().map_err(|error| Problem::invalid_field("/event_type", error.to_string()))?)
        }
        Some(_) => return Err(Problem::invalid_field("/event_type", "expected a string")),
    };
    if let Some(unknown) = fields.keys().next() {
        return Err(Problem::invalid_field(pointer_below("", unknown), "unknown field; there is `event_type`"));
    }
    let definition = match &named {
        Some(name) => catalog.get(name),
        None => catalog.iter().find(|known| matching::wants(&endpoint.settings.events, &known.name)),
    };
    let definition = definition
        .ok_or_else(|| Problem::invalid_field("/event_type", "not in the catalog; `GET /event-types` lists what is"))?;
    let event = test_event_id(&api)?;
    let event_type = definition.name.clone();
    let body = Bytes::from(definition.example.to_string());
    let body_bytes = body.len();
    let outcome = api
        .supervisor
        .send(SendTest { endpoint: endpoint.id, event, event_type: event_type.clone(), body })
        .await
        .unwrap_or(TestOutcome::Unavailable);
    match outcome {
        TestOutcome::Attempted(attempt) => {
            let sent = sent_by(&api, endpoint.id, &attempt).await?;
            let (number, at) = (attempt.number, attempt.started_at);
            let headers = AttemptHeaders { event, delivery: None, sequence: None, number, at };
            let mut value = show::attempt(&attempt, &explaining::attempt(&attempt, None, at));
            value["request_headers"] = show::request_headers(&headers, sent.as_ref(), Some(body_bytes));
            value["webhook_id"] = json!(event.to_string());
            value["event_type"] = json!(event_type.as_str());
            value["delivered"] = json!(attempt.outcome.is_delivered());
            Ok(HttpResponse::Ok().json(value))
        }
        TestOutcome::Held => Err(Problem::new(
            Kind::Conflict,
            format!(
                "this node is held and sends nothing; an operator releases it: `POST /nodes/{}/release`",
                api.node.id
            ),
        )),
        TestOutcome::Gone => Err(Problem::not_found("endpoint")),
        TestOutcome::Unavailable => Err(Problem::new(
            Kind::Overloaded,
            "this node is stopping, or cannot read the endpoint just now; try again",
        )),
    }
}

/// What a test's request was made of.
async fn sent_by(api: &Api, endpoint: EndpointId, attempt: &Attempt) -> Result<Option<SentSettings>, Problem> {
    let Some(version) = attempt.outcome.exchange.as_ref().and_then(|exchange| exchange.settings_version) else {
        return Ok(None);
    };
    let mut sent = store::blocking(&api.store, move |store| store.sent_settings(endpoint, &[version])).await?;
    Ok(sent.remove(&version))
}

/// A test is no event of the store, but its receiver needs a `webhook-id`.
fn test_event_id(api: &Api) -> Result<EventId, Problem> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| {
        log::error!("the system has no randomness: {error}");
        Problem::new(Kind::Internal, "no id can be made now")
    })?;
    let millis = u64::try_from(api.clock.wall().as_millis()).unwrap_or(0);
    Ok(EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
}
