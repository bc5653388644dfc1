//! Parameters that several operations take: whose things are meant, which page, and when
//! an event is to be delivered.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::{IntoParams, ToSchema};

use super::values::{
    Cursor, EndpointId, EndpointIds, EnvironmentName, EnvironmentOrAll, EventId, EventPattern, ExpirySeconds,
    GivenTime, IdempotencyKey, PageLimit, PartnerName, PartnerOrAll, ReplayId, SequenceNumber, WebhookUrl,
};

/// For one partner.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ForPartner {
    /// Whose things are meant. A key that is bound to a partner need not say it; an operator's means `default` without it.
    #[param(required = false)]
    partner: PartnerName,
    /// Where. A key need not say its own; an operator's means `production` without it.
    #[param(required = false)]
    environment: EnvironmentName,
}

/// For one partner, or for all.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ForPartners {
    /// Whose things are meant; `*` is all partners, where the key may. A key that is bound to a partner need not say it; an operator's means `default` without it.
    #[param(required = false)]
    partner: PartnerOrAll,
    /// Where. A key need not say its own; an operator's means `production` without it.
    #[param(required = false)]
    environment: EnvironmentName,
}

/// What a brake is over. Nothing is assumed: both are named.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Braked {
    /// Where; `*` goes with `partner=*` only.
    environment: EnvironmentOrAll,
    /// Whose deliveries; `*` is all partners.
    partner: PartnerOrAll,
}

/// Whose things are meant. Nothing is assumed: both are named.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NamedScope {
    /// Where.
    environment: EnvironmentName,
    /// Whose; `*` is all partners that are not named by themselves.
    partner: PartnerOrAll,
}

/// That something is meant as it was said.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Confirmation {
    /// The partner's name once more.
    confirm: PartnerName,
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Entries of the page.
    #[param(required = false)]
    limit: PageLimit,
    /// Where the page begins.
    #[param(required = false)]
    cursor: Cursor,
}

/// Which event types are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BuiltIn {
    /// `true` lists Posthaste's own types, and `false` all others.
    #[param(required = false, default = false)]
    built_in: bool,
}

/// How an event's payload is kept.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetainWord {
    None,
}

/// A delivery's status, as the question has it.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusFilter {
    Pending,
    Retrying,
    Held,
    Delivered,
    RetriesExhausted,
    Discarded,
}

/// Which webhooks are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WebhookQuestion {
    /// Those with this URL, however it is spelt.
    #[param(required = false)]
    url: WebhookUrl,
    /// Those of these that there are, without `url`: at most a page.
    #[param(required = false)]
    endpoints: EndpointIds,
}

/// Which replays are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReplayQuestion {
    /// Those that are for this endpoint, alone or among others.
    #[param(required = false)]
    endpoint: EndpointId,
}

/// Which deliveries are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuestion {
    /// Those that stand so.
    #[param(required = false)]
    status: StatusFilter,
    /// Those to this endpoint.
    #[param(required = false)]
    endpoint: EndpointId,
    /// Those of this event.
    #[param(required = false)]
    event: EventId,
    /// Those that this replay made.
    #[param(required = false)]
    replay: ReplayId,
    /// Those of events of this type, or of the types of a pattern.
    #[param(required = false, rename = "type")]
    types: EventPattern,
    /// Those made then or later.
    #[param(required = false)]
    since: GivenTime,
    /// Those made before then.
    #[param(required = false)]
    until: GivenTime,
}

/// Which part of what an endpoint was sent.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PullQuestion {
    /// What comes behind this number. Without it, the page begins with the oldest that is kept.
    #[param(required = false)]
    after: SequenceNumber,
    /// Entries of the page.
    #[param(required = false)]
    limit: PageLimit,
}

/// What may be said of events beside their bodies.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Posting {
    /// The same key with the same request is answered like the first, and kept once. With another request it is refused.
    #[param(required = false, rename = "Idempotency-Key")]
    idempotency_key: IdempotencyKey,
    /// No attempt begins before then. At most the option `retention_days` ahead.
    #[param(required = false, rename = "Posthaste-Deliver-At")]
    deliver_at: GivenTime,
    /// What is not delivered within these seconds, counted from when it can be, is discarded.
    #[param(required = false, rename = "Posthaste-Expires-In")]
    expires_in: ExpirySeconds,
    /// `none`: the payload, and what receivers answered, is erased once all of it is delivered or discarded.
    #[param(required = false, rename = "Posthaste-Retain")]
    retain: RetainWord,
}

/// That something is asked for once, however often the request comes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct AskedOnce {
    /// The same key with the same request is answered with the replay that the first began, as long as that is kept. With another request it is refused.
    #[param(required = false, rename = "Idempotency-Key")]
    idempotency_key: IdempotencyKey,
}
