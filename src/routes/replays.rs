//! `POST /webhook/{id}/replay` and `/replays`: what is to be delivered again, or at last, and
//! how far that has come. What a replay selects is read in `selection`; what it makes, and
//! how fast, is the engine's.

mod selection;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::auth::Permission;
use crate::domain::{
    Actor, AuditAction, EndpointId, PartnerName, ReplayId, ReplaySelection, ReplayState, Role, Timestamp,
};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::webhook::{optional_fields, scope_of};
use crate::routes::{Api, idempotency, openapi, page, show};
use crate::store::{
    self, Effect, JournalError, NewReplay, ReplayConflict, ReplayPreview, ReplayProgress, ReplayRequest, ReplaySummary,
    Scope, StoreError, WantedEndpoints,
};
use selection::Asked;

/// Begins a replay for one endpoint, or counts what it would make.
#[utoipa::path(
    post, path = "/webhook/{id}/replay", operation_id = "replay_webhook", tag = "deliveries",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::ForPartner, openapi::AskedOnce),
    request_body(content = Option<openapi::NewReplay>, description = "May be left out. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses(
        (status = 202, description = "The replay, which runs from now on.", body = openapi::Replay, headers(("Location" = String, description = "Where it is."))),
        (status = 200, description = "What it would make, if it were not for `dry_run`.", body = openapi::ReplayPreview),
    )
)]
pub async fn of_webhook(
    api: web::Data<Api>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::RetryDeliveries)?;
    caller.query().only(&[])?;
    let scope = scope_of(&api, &caller, &id).await?;
    let fields = optional_fields(&api, &request, &mut payload).await?;
    let once = request_of(&request, &caller, &fields)?;
    let asked = Asked::of_endpoint(fields)?;
    let endpoint: EndpointId = id.parse().map_err(|_| Problem::not_found("endpoint"))?;
    let scope = api.known(scope).await?;
    let wanted = WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 1 };
    begin(&api, &caller, scope, wanted, asked, once).await.map_err(|refused| match refused {
        Refused::Conflict(ReplayConflict::NoEndpoint(_)) => Problem::not_found("endpoint"),
        refused => refused.into(),
    })
}

/// Begins a replay for several endpoints, or counts what it would make.
#[utoipa::path(
    post, path = "/replays", operation_id = "create_replay", tag = "deliveries",
    params(openapi::ForPartners, openapi::AskedOnce),
    request_body(content = Option<openapi::NewReplayOfSeveral>, description = "For at most <<endpoints_per_replay>> endpoints (`endpoints_per_replay`). At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses(
        (status = 202, description = "The replay, which runs from now on.", body = openapi::Replay, headers(("Location" = String, description = "Where it is."))),
        (status = 200, description = "What it would make, if it were not for `dry_run`.", body = openapi::ReplayPreview),
    )
)]
pub async fn create(api: web::Data<Api>, caller: Caller, request: HttpRequest, mut payload: web::Payload) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only(&[])?;
    let scope = caller.scope()?;
    let most = api.limits.endpoints_per_replay;
    let fields = optional_fields(&api, &request, &mut payload).await?;
    let once = request_of(&request, &caller, &fields)?;
    let (asked, mut wanted) = Asked::of_several(fields, most)?;
    let scope = api.known(scope).await?;
    if wanted.endpoints.is_empty() && wanted.partners.is_empty() {
        match &scope.partner {
            Some(partner) => wanted.partners.push(partner.clone()),
            None => {
                let detail =
                    "over all partners a replay assumes nothing: name `endpoints`, or `partners` whose all are meant";
                return Err(Problem::invalid_field("/endpoints", detail));
            }
        }
    }
    let named = wanted.clone();
    begin(&api, &caller, scope, wanted, asked, once).await.map_err(|refused| refused.of_several(&named))
}

/// Lists replays, newest first.
#[utoipa::path(
    get, path = "/replays", operation_id = "list_replays", tag = "deliveries",
    params(openapi::ReplayQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page.", body = openapi::Replays))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    caller.query().only(&["endpoint", "limit", "cursor"])?;
    let scope = api.known(caller.scope()?).await?;
    let wanted = page::request::<ReplayId>(caller.query(), &api.limits)?;
    let endpoint = caller.query().parsed::<EndpointId>("endpoint")?;
    let found = store::blocking(&api.store, move |store| match endpoint {
        Some(endpoint) => store.replays_to(&scope, endpoint, &wanted),
        None => store.replays(&scope, &wanted),
    })
    .await?;
    let sees_operators = caller.is_operator();
    Ok(page::answer(&found, |found| found.replay.id.to_string(), |found| shown(found, sees_operators)))
}

/// One replay, and how far it has come.
#[utoipa::path(
    get, path = "/replays/{id}", operation_id = "read_replay", tag = "deliveries",
    params(("id" = openapi::ReplayId, Path, description = "Which replay."), openapi::ForPartners),
    responses((status = 200, description = "The replay.", body = openapi::ReplayWithProgress))
)]
pub async fn read(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: ReplayId = id.parse().map_err(|_| Problem::not_found("replay"))?;
    answer_with(&api, &caller, scope, id).await
}

/// Ends a replay: it makes nothing more. What it has made stays, and is delivered.
#[utoipa::path(
    post, path = "/replays/{id}/cancel", operation_id = "cancel_replay", tag = "deliveries",
    params(("id" = openapi::ReplayId, Path, description = "Which replay."), openapi::ForPartners),
    responses((status = 200, description = "The replay, cancelled.", body = openapi::ReplayWithProgress))
)]
pub async fn cancel(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::RetryDeliveries)?;
    caller.query().only(&[])?;
    let scope = api.known(caller.scope()?).await?;
    let id: ReplayId = id.parse().map_err(|_| Problem::not_found("replay"))?;
    let entry = caller.did(AuditAction::ReplayCancelled).of(&scope).about(id);
    let within = scope.clone();
    let cancelled = api.journal.change(move |transaction| {
        let cancelled = transaction.cancel_replay(&within, id)?;
        if cancelled.as_ref().is_some_and(Effect::is_change) {
            transaction.audit(&entry);
        }
        Ok(cancelled)
    });
    match cancelled.await?.map(Effect::into_inner) {
        None => Err(Problem::not_found("replay")),
        // Cancelling what was cancelled changes nothing.
        Some(ReplayState::Cancelled) => answer_with(&api, &caller, scope, id).await,
        Some(_) => Err(Problem::new(Kind::Conflict, "the replay is done: there is nothing to cancel any more")),
    }
}

/// Why a replay was not begun: for a reason of its own, or for any.
enum Refused {
    Conflict(ReplayConflict),
    Problem(Problem),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let conflict = match refused {
            Refused::Problem(problem) => return problem,
            Refused::Conflict(conflict) => conflict,
        };
        match conflict {
            ReplayConflict::NoEndpoint(endpoint) => {
                Self::invalid_field("/endpoints", format!("there is no endpoint {endpoint} here"))
            }
            ReplayConflict::NoPartner(partner) => {
                Self::invalid_field("/partners", format!("there is no partner {partner} here"))
            }
            ReplayConflict::ForAllPartners(endpoint) => Self::invalid_field(
                "/missing",
                format!("endpoint {endpoint} hears of all partners, and misses no one's events; leave `missing` out"),
            ),
            ReplayConflict::Nobody => {
                Self::new(Kind::Invalid, "what is named has no endpoints, so that nobody is meant")
            }
            ReplayConflict::TooManyEndpoints { most } => Self::new(
                Kind::LimitReached,
                format!("the limit `endpoints_per_replay` is {most}; begin a replay for some after the other"),
            ),
            ReplayConflict::AnotherRequest => Self::new(
                Kind::IdempotencyKeyReused,
                "this `Idempotency-Key` began another replay; use a new key for a new request",
            ),
            ReplayConflict::AskedBefore(before) => {
                Self::new(Kind::Conflict, format!("{} was begun by this very request", before.replay.id))
            }
            ReplayConflict::TooManyRunning { most } => Self::new(
                Kind::LimitReached,
                format!(
                    "the limit `replays_per_partner` is {most} at once; wait until one is done (`GET /replays`), or end \
                     one with `POST /replays/{{id}}/cancel`"
                ),
            ),
        }
    }
}

impl Refused {
    /// The same, with the place in the body where somebody named what is not there.
    fn of_several(self, named: &WantedEndpoints) -> Problem {
        let place = match &self {
            Self::Conflict(ReplayConflict::NoEndpoint(missing)) => {
                named.endpoints.iter().position(|endpoint| endpoint == missing).map(|at| format!("/endpoints/{at}"))
            }
            Self::Conflict(ReplayConflict::NoPartner(missing)) => {
                named.partners.iter().position(|partner| partner == missing).map(|at| format!("/partners/{at}"))
            }
            _ => None,
        };
        let problem = Problem::from(self);
        match (place, problem.errors.first()) {
            (Some(place), Some(error)) => Problem::invalid_field(place, error.detail.clone()),
            _ => problem,
        }
    }
}

async fn begin(
    api: &web::Data<Api>,
    caller: &Caller,
    scope: Scope,
    wanted: WantedEndpoints,
    asked: Asked,
    request: Option<ReplayRequest>,
) -> Result<HttpResponse, Refused> {
    let Asked { selection, per_second, is_dry_run } = asked;
    if is_dry_run {
        let now = api.clock.wall();
        let previewed =
            store::blocking(&api.store, move |store| store.preview_replay(&scope, &wanted, &selection, now)).await?;
        return Ok(HttpResponse::Ok().json(previewed_as(&previewed.map_err(Refused::Conflict)?)));
    }
    let detail = detail_of(&selection, per_second, &wanted);
    let entry = caller.did(AuditAction::ReplayStarted);
    let (actor, key) = (entry.actor.as_str().to_owned(), entry.key);
    let most_running = api.limits.replays_per_partner;
    let new = NewReplay { scope, wanted, selection, per_second, actor, key, most_running, request };
    let begun = api.journal.change(move |transaction| {
        let begun = transaction.create_replay(&new)?;
        if let Ok(ReplaySummary { replay, .. }) = &begun {
            let whose = entry.clone().belonging_to(Some(replay.environment), replay.partner.clone());
            transaction.audit(&whose.about(replay.id).with(&detail));
        }
        Ok(begun)
    });
    let begun = match begun.await? {
        // Asked again, it is answered as it was.
        Err(ReplayConflict::AskedBefore(before)) => *before,
        begun => {
            let begun = begun.map_err(Refused::Conflict)?;
            log::info!("{} was begun for {} endpoints", begun.replay.id, begun.targets);
            begun
        }
    };
    let id = begun.replay.id;
    let answer = shown(&begun, caller.is_operator());
    Ok(HttpResponse::Accepted().insert_header(("location", format!("/replays/{id}"))).json(answer))
}

/// By what a request is known when it comes again: who asks, and with which key; and what it
/// asks for, so that the same key does not stand for something else.
fn request_of(
    request: &HttpRequest,
    caller: &Caller,
    fields: &Map<String, Value>,
) -> Result<Option<ReplayRequest>, Problem> {
    let body = Value::Object(fields.clone()).to_string();
    let Some(asked) = idempotency::of(request, body.as_bytes(), Bytes::new())? else { return Ok(None) };
    let who = caller.did(AuditAction::ReplayStarted);
    let key = who.key.map(|key| key.to_string()).unwrap_or_default();
    let Scope { environment, partner } = caller.scope()?;
    let partner = partner.as_ref().map_or("*", PartnerName::as_str);
    let known = format!("{}\0{partner}\0{}\0{key}\0{}", environment.as_str(), who.actor.as_str(), asked.key);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(Some(ReplayRequest { key: hex(&Sha256::digest(known.as_bytes())), digest: hex(&asked.request) }))
}

/// Most endpoints that an entry of the audit log names.
const MOST_NOTED: usize = 50;

fn detail_of(selection: &ReplaySelection, per_second: Option<u32>, wanted: &WantedEndpoints) -> Value {
    let mut detail = selected(selection);
    detail["rate_limit"] = show_rate(per_second);
    detail["endpoints"] =
        wanted.endpoints.iter().take(MOST_NOTED).map(|endpoint| json!(endpoint.to_string())).collect();
    detail["partners"] = wanted.partners.iter().take(MOST_NOTED).map(|partner| json!(partner.as_str())).collect();
    detail
}

fn show_rate(per_second: Option<u32>) -> Value {
    per_second.map_or(Value::Null, |per_second| json!({ "per_second": per_second }))
}

fn selected(selection: &ReplaySelection) -> Value {
    json!({
        "since": show::maybe_time(selection.since),
        "until": show::maybe_time(selection.until),
        "types": selection.types.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "status": selection.statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>(),
        "missing": selection.missing,
    })
}

/// A replay. Whoever is no operator sees of one no more than that it was one.
fn shown(found: &ReplaySummary, sees_operators: bool) -> Value {
    let ReplaySummary { replay, targets, made, skipped } = found;
    let operator = Actor::Key(Role::Operator).as_str();
    let is_partners = replay.actor == Actor::Key(Role::Partner).as_str();
    let (actor, key) = match sees_operators || is_partners {
        true => (replay.actor.as_str(), replay.key.as_deref()),
        false => (operator, None),
    };
    let mut value = selected(&replay.selection);
    value["id"] = json!(replay.id.to_string());
    value["state"] = json!(replay.state.as_str());
    value["environment"] = json!(replay.environment.as_str());
    value["partner"] = json!(replay.partner.as_ref().map_or("*", |partner| partner.as_str()));
    value["rate_limit"] = show_rate(replay.per_second);
    value["targets"] = json!(targets);
    value["made"] = json!(made);
    value["skipped"] = json!(skipped);
    value["requested_by"] = json!({ "actor": actor, "key": key });
    value["created_at"] = show::time(replay.created_at);
    value["finished_at"] = show::maybe_time(replay.finished_at);
    value
}

async fn answer_with(api: &Api, caller: &Caller, scope: Scope, id: ReplayId) -> Answer {
    let found = store::blocking(&api.store, move |store| store.replay(&scope, id)).await?;
    let found = found.ok_or_else(|| Problem::not_found("replay"))?;
    let mut value = shown(&found.summary, caller.is_operator());
    value["pending"] = json!(found.pending);
    value["failed"] = json!(found.failed);
    value["delivered"] = json!(found.summary.made.saturating_sub(found.pending + found.failed));
    value["at_least"] = json!(found.at_least);
    value["looked_until"] = show::maybe_time(looked_until(&found));
    value["estimated_end_at"] = show::maybe_time(estimated_end(&found, api.clock.wall()));
    value["endpoints"] = found
        .targets
        .iter()
        .map(|target| {
            json!({
                "endpoint": target.endpoint.to_string(),
                "made": target.made,
                "skipped": target.skipped,
                "done": target.done,
                "looked_until": show::maybe_time(target.looked.map(|(until, _)| until)),
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(value))
}

/// Up to when events were looked at for every endpoint that it is not done with.
fn looked_until(progress: &ReplayProgress) -> Option<Timestamp> {
    let left = progress.targets.iter().filter(|target| !target.done);
    let looked: Option<Vec<Timestamp>> = left.map(|target| target.looked.map(|(until, _)| until)).collect();
    looked?.into_iter().min()
}

/// When the last delivery will have been made, by how far it has looked in the time that it
/// had. The slowest endpoint decides.
fn estimated_end(progress: &ReplayProgress, now: Timestamp) -> Option<Timestamp> {
    let replay = &progress.summary.replay;
    if replay.state != ReplayState::Running {
        return None;
    }
    let end = replay.selection.until.map_or(replay.created_at, |until| until.min(replay.created_at));
    let mut latest = None;
    for target in progress.targets.iter().filter(|target| !target.done) {
        let (until, first) = target.looked?;
        let (behind, ahead) = (until.since(first), end.since(until));
        if behind.is_zero() {
            return None;
        }
        let left = now.since(replay.created_at).mul_f64((ahead.as_secs_f64() / behind.as_secs_f64()).min(1e6));
        latest = latest.max(Some(now + left));
    }
    latest
}

fn previewed_as(preview: &ReplayPreview) -> Value {
    let word = |ended: Option<&'static str>| ended.unwrap_or("missing");
    json!({
        "targets": preview.targets,
        "events": preview.counts.values().sum::<u64>(),
        "skipped": preview.skipped,
        "at_least": preview.at_least,
        "oldest": show::maybe_time(preview.span.map(|(first, _)| first)),
        "newest": show::maybe_time(preview.span.map(|(_, last)| last)),
        "counts": preview.counts.iter().map(|((endpoint, event_type, ended), count)| json!({
            "endpoint": endpoint.to_string(),
            "event_type": event_type,
            "status": word(*ended),
            "count": count,
        })).collect::<Vec<_>>(),
        "samples": preview.samples.iter().map(|sample| json!({
            "endpoint": sample.endpoint.to_string(),
            "event": sample.event.to_string(),
            "event_type": sample.event_type.as_str(),
            "status": word(sample.ended.map(|ended| ended.as_str())),
            "accepted_at": show::time(sample.accepted_at),
        })).collect::<Vec<_>>(),
    })
}
