//! The catalog's entries.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::endpoint::Retry;
use super::values::{EventExample, EventSchema, EventTypeName, FieldPointer, TypeDescription};

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
