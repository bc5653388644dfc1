//! What is found by whatever somebody has in hand, and which events are listed.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::{IntoParams, ToSchema};

use super::values::{
    EventPattern, EventTypeName, FieldPointer, GivenTime, IdempotencyKey, IndexedValue, PageLimit, PartnerOrAll,
    SearchText, Timestamp,
};

/// What was found.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchAnswer {
    /// Kind by kind, and of each kind the newest first.
    data: Vec<FoundThing>,
    searched: Searched,
}

/// Something that was found.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FoundThing {
    kind: FoundKind,
    /// Its id, or the name of an event type.
    id: String,
    why: FoundBy,
    /// The field whose value it is.
    #[schema(required = true)]
    pointer: Option<FieldPointer>,
    #[schema(required = true)]
    event_type: Option<EventTypeName>,
    /// Whose it is, where that is known of it.
    #[schema(required = true)]
    partner: Option<PartnerOrAll>,
    /// When it was accepted or made.
    #[schema(required = true)]
    at: Option<Timestamp>,
}

/// What something is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundKind {
    Event,
    Delivery,
    Webhook,
    EventType,
    Replay,
    Key,
}

/// Why something was found.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    Id,
    Url,
    Name,
    EventType,
    IdempotencyKey,
    Field,
}

/// Which events were looked at.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Searched {
    /// All that were accepted since then; `null` is all there are, or all since the time that was asked for.
    #[schema(required = true)]
    since: Option<Timestamp>,
    /// And before then.
    until: Timestamp,
    /// Whether that is all that was asked for. If not, there may be more that is older: ask with `until` and go on, or list one kind with `GET /events`.
    complete: bool,
}

/// What is looked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuestion {
    /// An id, a URL, an idempotency key, the name of an event type, or a value that events are indexed by.
    q: SearchText,
    /// Events that were accepted then or later.
    #[param(required = false)]
    since: GivenTime,
    /// Events that were accepted before then.
    #[param(required = false)]
    until: GivenTime,
    /// Most that are answered of each way in which something is found.
    #[param(required = false)]
    limit: PageLimit,
}

/// Which events are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuestion {
    /// Those of this type, or of the types of a pattern.
    #[param(required = false, rename = "type")]
    types: EventPattern,
    /// Those accepted then or later.
    #[param(required = false)]
    since: GivenTime,
    /// Those accepted before then.
    #[param(required = false)]
    until: GivenTime,
    /// Those that were posted with this key, also when it holds no longer.
    #[param(required = false)]
    idempotency_key: IdempotencyKey,
    /// Those with this value in a field that their type is `indexed` by: the field's pointer, a colon, the value. Whole numbers and booleans are written as in JSON.
    #[param(required = false)]
    field: IndexedValue,
}
