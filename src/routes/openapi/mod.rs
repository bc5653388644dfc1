//! The API's own description, OpenAPI 3.1, made of what stands beside the handlers.
//!
//! A new route takes four things, and tests name whichever is missing:
//!
//! 1. `#[utoipa::path(…)]` above its handler: method, path, an `operation_id` of its own,
//!    parameters, body, and what it answers when all is well. What bodies look like are the
//!    types of this folder, a file for each noun; a new field goes there. They describe what
//!    `show.rs` makes, and are never made themselves. Objects are closed
//!    (`deny_unknown_fields`), and a field that may be null is `required = true` where it
//!    is always there.
//! 2. The handler's name in `paths(…)` below.
//! 3. A row in `operations.rs`: who may, and which problems it answers.
//! 4. A row in `tests/it/routes/walk.rs`: how a test asks for it.
//!
//! Then the snapshot is renewed, as CONTRIBUTING.md says.

mod administration;
mod answers;
mod audit;
mod bounds;
mod delivery;
mod endpoint;
mod event;
mod event_type;
mod harm;
mod health;
mod kept;
mod key;
mod operations;
mod page;
mod parameters;
mod portal_link;
mod problem;
mod refused;
mod replay;
mod search;
mod statistics;
mod values;

use std::sync::OnceLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use utoipa::OpenApi;

use crate::routes::{
    Limits, audit as auditing, brakes, configuration, deliveries, description, encryption, event_types, events,
    exhausted, harm as suffering, health as watching, hurrying, ingest, nodes, operator, pausing, portal_links, pull,
    refused as refusing, replays, retention, search as searching, statistics as counting, webhook,
};

pub(super) use administration::{
    Brakes, Encryption, Liveness, NewBrake, NewPartner, Nodes, NodesHealth, Partitions, Partner, Reencrypted,
    ReleasedNode, Settings,
};
pub(super) use audit::{AuditQuestion, AuditVerdict, NotedHead};
pub(super) use delivery::{Delivery, DeliveryWithAttempts, PulledEvents, TestAttempt};
pub(super) use endpoint::{
    ChangedWebhook, MadeWebhook, NewWebhook, Nothing, Rotation, Secrets, Trial, Webhook, WebhookWithHealth,
};
pub(super) use event::{AcceptedBatch, AcceptedEvent, EventWithOutcomes};
pub(super) use event_type::{EventTypeChecked, EventTypeShown, PutEventType};
pub(super) use harm::{AttemptsSeen, HarmQuestion, Limit};
pub(super) use kept::{Retention, RetentionDays};
pub(super) use key::{Key, MadeKey, NewKey};
pub use operations::{OPERATIONS, Operation};
pub(super) use page::{
    AuditEntries, Deliveries, EventTypes, Events, Exhausted, HarmedWebhooks, Keys, Partners, PartnersStanding,
    PortalLinks, Replays, Webhooks,
};
pub(super) use parameters::{
    AskedOnce, Braked, BuiltIn, Confirmation, DeliveryQuestion, ForPartner, ForPartners, NamedScope, Page, Posting,
    PullQuestion, ReplayQuestion, WebhookQuestion,
};
pub(super) use portal_link::{MadePortalLink, NewPortalLink};
pub(super) use refused::{RefusedPosts, RefusedQuestion};
pub(super) use replay::{
    ExhaustedDismissed, NewDismissal, NewReplay, NewReplayOfSeveral, Replay, ReplayPreview, ReplayWithProgress,
    RetriesBroughtForward,
};
pub(super) use search::{EventQuestion, SearchAnswer, SearchQuestion};
pub(super) use statistics::{Statistics, StatisticsOfTypes, StatisticsQuestion, StatisticsSplit};
pub(super) use values::{
    DeliveryId, EndpointId, EventBody, EventId, EventLines, EventTypeName, KeyId, NodeId, PartnerName, ReplayId,
};

const INTRODUCTION: &str = "\
Posthaste delivers webhooks: your system posts an event, and every endpoint that wants it gets it as a signed HTTP POST, \
retried for about a day.

Send your key as `Authorization: Bearer KEY`. Bodies are JSON in UTF-8; a key twice in one object, and arrays and objects \
nested more than 100 deep, are refused. Ids are a prefix and a UUIDv7. Times are RFC 3339, UTC, with milliseconds. Lists \
come in pages: give `next_cursor` back as `cursor`.

Every error is an RFC 9457 problem of `application/problem+json` with a `type` that never changes its meaning and a \
`detail` that says how to mend it. Any path that is not here is answered `404 not-found`, any other method \
`405 method-not-allowed` with `Allow`, and a query parameter that an operation does not know, or that comes twice, \
`422 invalid`. Whatever is answered 503 or 507 changed nothing, unless its `detail` says otherwise; `Retry-After` says when to \
come again.

A request's head has the option `head_timeout_ms` to arrive and `head_bytes` to fit into: `408 head-timeout`, \
`431 head-too-large`. More requests than a rate allows are answered `429 rate-limited`, and nothing was done.

Bounds are those of the node that answers; most can be configured, by the option that is named with them.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Posthaste", description = INTRODUCTION),
    paths(
        ingest::one,
        ingest::batch,
        events::list,
        refusing::list,
        events::read,
        events::payload,
        searching::search,
        webhook::create,
        webhook::list,
        suffering::list,
        suffering::attempts,
        webhook::read,
        webhook::change,
        webhook::delete,
        webhook::secret,
        webhook::rotate,
        pausing::pause,
        pausing::resume,
        webhook::test,
        hurrying::retry_now,
        replays::of_webhook,
        exhausted::dismiss,
        counting::of_endpoint,
        deliveries::list,
        deliveries::read,
        deliveries::retry,
        deliveries::skip,
        pull::events,
        deliveries::dismiss,
        exhausted::count,
        replays::create,
        replays::list,
        replays::read,
        replays::cancel,
        event_types::list,
        event_types::read,
        event_types::put,
        event_types::check,
        event_types::delete,
        operator::create_partner,
        operator::list_partners,
        suffering::partners,
        operator::read_partner,
        operator::erase_partner,
        portal_links::create,
        portal_links::list,
        portal_links::revoke,
        operator::create_key,
        operator::list_keys,
        operator::read_key,
        operator::revoke_key,
        encryption::read,
        encryption::reencrypt,
        retention::read,
        retention::set,
        retention::clear,
        auditing::list,
        auditing::verify,
        counting::read,
        nodes::list,
        nodes::partitions,
        nodes::health,
        nodes::release,
        configuration::read,
        brakes::set,
        brakes::list,
        brakes::release,
        watching::live,
        watching::ready,
        watching::metrics,
        description::document,
        description::page,
        description::file,
    ),
    components(schemas(
        problem::Problem,
        parameters::RetainWord,
        parameters::StatusFilter,
        statistics::ResolutionWord,
        statistics::SplitBy,
        statistics::SplitByType,
        values::ActorWord,
        values::Cursor,
        values::AuditHash,
        values::AuditNumber,
        values::AuditWord,
        DeliveryId,
        EndpointId,
        values::EndpointIds,
        harm::HealthWord,
        values::EnvironmentName,
        values::EnvironmentOrAll,
        values::EventPattern,
        EventId,
        EventTypeName,
        values::ExpirySeconds,
        values::GivenTime,
        values::IdempotencyKey,
        values::IndexedValue,
        KeyId,
        NodeId,
        values::PageLimit,
        PartnerName,
        values::PartnerOrAll,
        values::SequenceNumber,
        ReplayId,
        values::SearchText,
        values::UrlPart,
        values::WebhookUrl,
    )),
    tags(
        (name = "events", description = "What happened, posted by upstream systems, and what became of it."),
        (name = "webhooks", description = "A partner's endpoints: where events go."),
        (name = "deliveries", description = "One event on its way to one endpoint, and every attempt."),
        (name = "event types", description = "The catalog that events are checked against."),
        (name = "administration", description = "Partners, keys, nodes and brakes: for operators."),
        (name = "watching", description = "For machines that watch the process, and for whoever reads this."),
    )
)]
struct Described;

/// The document, made when somebody first asks.
#[derive(Default)]
pub struct Document(OnceLock<Rendered>);

/// The document as it is sent.
pub struct Rendered {
    /// Its bytes.
    pub json: Bytes,
    /// What changes when they do: the start of their SHA-256.
    pub tag: String,
}

impl Document {
    /// The document of a node with these limits.
    pub fn of(&self, limits: &Limits) -> &Rendered {
        self.0.get_or_init(|| {
            let json = Bytes::from(render(limits));
            let tag = Sha256::digest(&json).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            Rendered { json, tag }
        })
    }
}

fn render(limits: &Limits) -> String {
    let mut document = serde_json::to_value(Described::openapi()).expect("the document is plain JSON");
    answers::complete(&mut document);
    bounds::apply(&mut document, limits);
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value prints as JSON");
    text.push('\n');
    text
}
