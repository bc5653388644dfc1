//! The HTTP API of `product.md`. A route authenticates, limits, parses and
//! answers; what it wants done it asks of the journal, what it wants to know
//! of the store, and of the engine only by message.

mod actors;
mod audit;
mod brakes;
mod catalogs;
mod certificate;
pub mod cluster;
mod coherence;
mod configuration;
mod deliveries;
mod description;
mod encryption;
mod event_types;
mod events;
mod exhausted;
mod explaining;
mod extract;
mod figures;
#[cfg(fuzzing)]
pub mod fuzzing;
mod harm;
mod health;
mod hurrying;
mod idempotency;
mod ingest;
mod nodes;
pub mod openapi;
mod operator;
mod page;
mod pausing;
mod portal_links;
pub mod problem;
mod pull;
mod rates;
mod refused;
mod replays;
mod reporting;
mod retention;
pub(crate) mod retry;
mod search;
mod settings;
mod shared_read;
mod show;
mod signing;
mod statistics;
mod timing;
mod webhook;

use std::future::Future;
use std::sync::Arc;

use actix::Addr;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};

use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::cluster::{ACTORS_PATH, HINTS_PATH, Hold, NODE_PATH, Neighbours};
use crate::domain::NodeId;
use crate::engine::{Statistics, Supervisor};
use crate::metrics::Metrics;
use crate::policy::address::AddressPolicy;
use crate::store::{self, Journal, Scope, Store, SubscriptionCache, Subscriptions};

pub use catalogs::{Catalogs, Dated};
pub use cluster::HintsIn;
pub use coherence::Coherence;
pub use configuration::{Configured, Source};
pub use extract::{body as read_body, known_by, sign_in};
pub use figures::{JustNow, Watch};
pub use portal_links::{Openable, PORTAL_PATH, end as end_link, find as find_link, open as open_link};
use problem::{Kind, PROBLEM_JSON, Problem};
pub use rates::{RateLimits, Rates};
pub use refused::Refusals;
pub use retry::RetryLimits;

/// What a request may ask for (`product.md`, the table of limits).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest event body.
    pub event_bytes: usize,
    /// Largest batch body.
    pub batch_bytes: usize,
    /// Most events of a batch.
    pub batch_events: usize,
    /// Largest settings body.
    pub settings_bytes: usize,
    /// A page's entries by default.
    pub page: usize,
    /// A page's entries at most.
    pub page_max: usize,
    /// Most endpoints of a partner in an environment.
    pub endpoints_per_partner: usize,
    /// Most deliveries that one request may make.
    pub max_fan_out: usize,
    /// Most endpoints that one replay may be for.
    pub endpoints_per_replay: usize,
    /// Most replays of a partner in an environment that may run at once.
    pub replays_per_partner: usize,
    /// Most stretches of time that one answer of statistics tells.
    pub stats_buckets: usize,
    /// Largest schedule of retries.
    pub retries: RetryLimits,
}

/// The node that answers.
#[derive(Debug, Clone)]
pub struct ThisNode {
    /// Which run of it.
    pub id: NodeId,
    /// Where other nodes reach it.
    pub address: Option<String>,
}

/// What all routes share.
pub struct Api {
    /// The durable truth.
    pub store: Arc<dyn Store>,
    /// The way to change it.
    pub journal: Journal,
    /// The endpoints' actors.
    pub supervisor: Addr<Supervisor>,
    /// Whose key is it?
    pub auth: Authenticator,
    /// What events may look like.
    pub catalogs: Arc<Catalogs>,
    /// Whether other nodes change either of them.
    pub coherence: Coherence,
    /// What events are matched against.
    pub subscriptions: SubscriptionCache,
    /// Which URLs may be registered.
    pub addresses: AddressPolicy,
    /// How much a request may ask for.
    pub limits: Limits,
    /// How many requests who may send.
    pub rates: Rates,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Which node this is.
    pub node: ThisNode,
    /// Whether it is held.
    pub hold: Hold,
    /// What becomes of other nodes' hints; `None` where there are no others.
    pub hints: Option<HintsIn>,
    /// Who the other nodes are; `None` where there are none.
    pub neighbours: Option<Neighbours>,
    /// Counts for people who look.
    pub statistics: Arc<Statistics>,
    /// What this node is configured with, for people who look.
    pub configured: Vec<Configured>,
    /// The last posts that were not taken.
    pub refusals: Refusals,
    /// What this node has done of late.
    pub watch: Watch,
    /// What it tells of itself.
    pub document: openapi::Document,
}

impl Api {
    /// What a scope's events are matched against: as cached, or as stored.
    async fn subscriptions(&self, scope: &Scope) -> Result<Arc<Subscriptions>, Problem> {
        let load = || async {
            let wanted = scope.clone();
            let found = store::blocking(&self.store, move |store| store.subscriptions(&wanted)).await?;
            found.ok_or_else(|| Problem::not_found("partner"))
        };
        self.subscriptions.get_or_load(scope, load).await
    }

    /// Refuses a partner that does not exist.
    async fn known(&self, scope: Scope) -> Result<Scope, Problem> {
        if let Some(name) = scope.partner.clone() {
            let found = store::blocking(&self.store, move |store| store.partner(&name)).await?;
            // One that is being erased is nobody.
            let found = found.filter(|partner| partner.erasing_since.is_none());
            found.ok_or_else(|| Problem::not_found("partner"))?;
        }
        Ok(scope)
    }
}

/// Runs a change and what must follow it to their end, also when the client
/// goes away in between: a dropped request drops only its answer.
async fn to_the_end<T, F>(work: F) -> Result<T, Problem>
where
    T: 'static,
    F: Future<Output = Result<T, Problem>> + 'static,
{
    actix_rt::spawn(work).await.unwrap_or_else(|error| {
        log::error!("a request's work ended early: {error}");
        Err(Problem::new(Kind::Internal, "the work ended early; look before you try again"))
    })
}

/// Every route, for a server to be built with.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        // Routes are tried in order, and most requests are events.
        .service(
            web::resource("/events")
                .route(web::post().to(ingest::one))
                .route(web::get().to(events::list))
                .default_service(web::to(|request| wrong_method(request, "GET, POST"))),
        )
        .service(
            web::resource("/events/batch")
                .route(web::post().to(ingest::batch))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook")
                .route(web::post().to(webhook::create))
                .route(web::get().to(webhook::list))
                .default_service(web::to(|request| wrong_method(request, "GET, POST"))),
        )
        .service(
            web::resource("/webhook-health")
                .route(web::get().to(harm::list))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/partner-health")
                .route(web::get().to(harm::partners))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/webhook/{id}/attempts")
                .route(web::get().to(harm::attempts))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/webhook/{id}")
                .route(web::get().to(webhook::read))
                .route(web::patch().to(webhook::change))
                .route(web::delete().to(webhook::delete))
                .default_service(web::to(|request| wrong_method(request, "GET, PATCH, DELETE"))),
        )
        .service(
            web::resource("/webhook/{id}/secret")
                .route(web::get().to(webhook::secret))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/webhook/{id}/secret/rotate")
                .route(web::post().to(webhook::rotate))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook/{id}/pause")
                .route(web::post().to(pausing::pause))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook/{id}/resume")
                .route(web::post().to(pausing::resume))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook/{id}/events")
                .route(web::get().to(pull::events))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/webhook/{id}/stats")
                .route(web::get().to(statistics::of_endpoint))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/webhook/{id}/test")
                .route(web::post().to(webhook::test))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook/{id}/replay")
                .route(web::post().to(replays::of_webhook))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook/{id}/retry-now")
                .route(web::post().to(hurrying::retry_now))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/webhook/{id}/dismiss")
                .route(web::post().to(exhausted::dismiss))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/replays")
                .route(web::post().to(replays::create))
                .route(web::get().to(replays::list))
                .default_service(web::to(|request| wrong_method(request, "GET, POST"))),
        )
        .service(
            web::resource("/replays/{id}")
                .route(web::get().to(replays::read))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/replays/{id}/cancel")
                .route(web::post().to(replays::cancel))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/exhausted")
                .route(web::get().to(exhausted::count))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/events/refused")
                .route(web::get().to(refused::list))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/events/{id}/payload")
                .route(web::get().to(events::payload))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/events/{id}")
                .route(web::get().to(events::read))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/deliveries")
                .route(web::get().to(deliveries::list))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/deliveries/{id}")
                .route(web::get().to(deliveries::read))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/deliveries/{id}/skip")
                .route(web::post().to(deliveries::skip))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/deliveries/{id}/dismiss")
                .route(web::post().to(deliveries::dismiss))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/deliveries/{id}/retry")
                .route(web::post().to(deliveries::retry))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/search")
                .route(web::get().to(search::search))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/event-types")
                .route(web::get().to(event_types::list))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/event-types/{name}")
                .route(web::get().to(event_types::read))
                .route(web::put().to(event_types::put))
                .route(web::delete().to(event_types::delete))
                .default_service(web::to(|request| wrong_method(request, "GET, PUT, DELETE"))),
        )
        .service(
            web::resource("/event-types/{name}/check")
                .route(web::post().to(event_types::check))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/partners")
                .route(web::post().to(operator::create_partner))
                .route(web::get().to(operator::list_partners))
                .default_service(web::to(|request| wrong_method(request, "GET, POST"))),
        )
        .service(
            web::resource("/partners/{name}")
                .route(web::get().to(operator::read_partner))
                .route(web::delete().to(operator::erase_partner))
                .default_service(web::to(|request| wrong_method(request, "GET, DELETE"))),
        )
        .service(
            web::resource("/partners/{name}/portal-links")
                .route(web::post().to(portal_links::create))
                .route(web::get().to(portal_links::list))
                .default_service(web::to(|request| wrong_method(request, "GET, POST"))),
        )
        .service(
            web::resource("/partners/{name}/portal-links/{id}")
                .route(web::delete().to(portal_links::revoke))
                .default_service(web::to(|request| wrong_method(request, "DELETE"))),
        )
        .service(
            web::resource("/keys")
                .route(web::post().to(operator::create_key))
                .route(web::get().to(operator::list_keys))
                .default_service(web::to(|request| wrong_method(request, "GET, POST"))),
        )
        .service(
            web::resource("/keys/{id}")
                .route(web::get().to(operator::read_key))
                .route(web::delete().to(operator::revoke_key))
                .default_service(web::to(|request| wrong_method(request, "GET, DELETE"))),
        )
        .service(
            web::resource("/nodes")
                .route(web::get().to(nodes::list))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/nodes/partitions")
                .route(web::get().to(nodes::partitions))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/nodes/health")
                .route(web::get().to(nodes::health))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/settings")
                .route(web::get().to(configuration::read))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/nodes/{id}/release")
                .route(web::post().to(nodes::release))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        .service(
            web::resource("/stats")
                .route(web::get().to(statistics::read))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/brakes")
                .route(web::post().to(brakes::set))
                .route(web::get().to(brakes::list))
                .route(web::delete().to(brakes::release))
                .default_service(web::to(|request| wrong_method(request, "GET, POST, DELETE"))),
        )
        .service(
            web::resource("/retention")
                .route(web::get().to(retention::read))
                .route(web::put().to(retention::set))
                .route(web::delete().to(retention::clear))
                .default_service(web::to(|request| wrong_method(request, "GET, PUT, DELETE"))),
        )
        .service(
            web::resource("/audit")
                .route(web::get().to(audit::list))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/audit/verify")
                .route(web::get().to(audit::verify))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/encryption")
                .route(web::get().to(encryption::read))
                .default_service(web::to(|request| wrong_method(request, "GET"))),
        )
        .service(
            web::resource("/encryption/reencrypt")
                .route(web::post().to(encryption::reencrypt))
                .default_service(web::to(|request| wrong_method(request, "POST"))),
        )
        // They answer wrong methods themselves: where there is no cluster, there are no such routes.
        .service(web::resource(HINTS_PATH).default_service(web::to(cluster::hints)))
        .service(web::resource(ACTORS_PATH).default_service(web::to(actors::answer)))
        .service(web::resource(NODE_PATH).default_service(web::to(reporting::answer)))
        .service(web::resource("/healthz").route(web::get().to(health::live)).route(web::head().to(health::live)))
        .service(web::resource("/readyz").route(web::get().to(health::ready)).route(web::head().to(health::ready)))
        .service(web::resource("/metrics").route(web::get().to(health::metrics)))
        .service(web::resource("/openapi.json").route(web::get().to(description::document)))
        .service(web::resource("/docs").route(web::get().to(description::page)))
        .service(web::resource("/docs/{file}").route(web::get().to(description::file)))
        .default_service(web::to(nowhere));
}

/// Turns what actix-web answers by itself (an unreadable request, a method of
/// a route without a default) into problems, so that every error reads alike.
pub fn all_errors_are_problems<S, B>() -> impl actix_web::dev::Transform<
    S,
    ServiceRequest,
    Response = ServiceResponse<BoxBody>,
    Error = actix_web::Error,
    InitError = (),
>
where
    S: actix_web::dev::Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    from_fn(problems_only)
}

async fn problems_only<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    // A page of the dashboard says it to people.
    let is_told = |found: &HeaderValue| found == PROBLEM_JSON || found.as_bytes().starts_with(b"text/html");
    if !is_error || response.headers().get(CONTENT_TYPE).is_some_and(is_told) {
        return Ok(response);
    }
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => Kind::RequestTimeout,
        status if status.is_client_error() => Kind::BadRequest,
        _ => Kind::Internal,
    };
    let allow = response.headers().get(ALLOW).cloned();
    let (request, _) = response.into_parts();
    let problem = Problem { allow, ..Problem::new(kind, "the request does not fit this route") };
    Ok(ServiceResponse::new(request, problem.error_response()))
}

/// The answer where there is no route.
pub fn nowhere(request: HttpRequest) -> impl Future<Output = HttpResponse> {
    std::future::ready(no_such_route(&request).error_response())
}

fn wrong_method(request: HttpRequest, methods: &'static str) -> impl Future<Output = HttpResponse> {
    std::future::ready(not_the_method(&request, methods).error_response())
}

/// There is no such route.
fn no_such_route(request: &HttpRequest) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no route `{}`", request.path().escape_default()))
}

/// There is, but for other methods.
fn not_the_method(request: &HttpRequest, methods: &'static str) -> Problem {
    let method: &Method = request.method();
    Problem {
        allow: Some(HeaderValue::from_static(methods)),
        ..Problem::new(Kind::MethodNotAllowed, format!("the route takes {methods}, not {method}"))
    }
}
