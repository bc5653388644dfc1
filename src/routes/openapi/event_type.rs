//! The catalog's entries.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::endpoint::Retry;
use super::values::{EventExample, EventId, EventSchema, EventTypeName, FieldPointer, Timestamp, TypeDescription};

/// An event type of the catalog.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTypeShown {
    name: EventTypeName,
    description: TypeDescription,
    schema: EventSchema,
    example: EventExample,
    /// When its events are tried again at endpoints without a schedule of their own; `null` is the default schedule.
    #[schema(required = true)]
    retry: Option<Retry>,
    /// Places in an event by whose values it is found: `GET /events?field=`.
    #[schema(max_items = 8)]
    indexed: Vec<FieldPointer>,
    /// Whether it is one of Posthaste's own.
    built_in: bool,
}

/// What an event type is to be. One may be put back as it was read.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "description": "An invoice was paid.",
    "schema": { "type": "object", "required": ["event", "id"], "properties": { "id": { "type": "string" } } },
    "example": { "event": "invoice.paid", "id": "inv_1" },
})))]
pub struct PutEventType {
    /// The same as in the path, or left out.
    #[schema(required = false)]
    name: EventTypeName,
    #[schema(required = false)]
    description: TypeDescription,
    schema: EventSchema,
    example: EventExample,
    retry: Option<Retry>,
    /// Places by whose values its events are to be found, each once: strings, whole numbers and booleans.
    #[schema(max_items = 8)]
    indexed: Option<Vec<FieldPointer>>,
    /// `false`, or left out.
    #[schema(required = false)]
    built_in: bool,
}

/// What would come of putting a type.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTypeChecked {
    /// Whether there is none of this name yet.
    is_new: bool,
    /// Which of its parts are others than before; none of a new one.
    changed: Vec<TypePart>,
    /// Changes of the schema that may break somebody: the first 50.
    #[schema(max_items = 50)]
    breaking: Vec<BreakingChange>,
    recent: RecentEvents,
}

/// A part of a type.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TypePart {
    Description,
    Schema,
    Example,
    Retry,
    Indexed,
}

/// A change that may break somebody.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakingChange {
    /// Where in the body.
    pointer: String,
    /// What is other than before.
    detail: String,
    whom: BrokenWord,
}

/// `producers`: what was accepted is refused. `receivers`: what could not come may come, or what always came may not. `either`: it cannot be told by comparing.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BrokenWord {
    Producers,
    Receivers,
    Either,
}

/// The newest events of the type that are kept, as the new schema takes them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecentEvents {
    /// How many were looked at: 1,000 at most.
    looked_at: u32,
    /// How many of those it would refuse.
    refused: u32,
    /// When the oldest of those was accepted.
    #[schema(required = true)]
    oldest_at: Option<Timestamp>,
    /// Whether there may be older ones, which were not looked at.
    has_more: bool,
    /// The newest that it would refuse.
    #[schema(max_items = 5)]
    sample: Vec<RefusedEvent>,
}

/// An event that would be refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedEvent {
    event: EventId,
    accepted_at: Timestamp,
    /// Where in its payload.
    pointer: String,
    /// What was expected there, and what is found.
    detail: String,
}
