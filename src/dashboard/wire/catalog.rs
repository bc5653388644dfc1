//! Event types, and what a change of one would do.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dashboard::wire::At;

#[derive(Debug, Deserialize)]
pub struct EventType {
    pub name: String,
    pub description: String,
    pub schema: Box<RawValue>,
    pub example: Box<RawValue>,
    pub retry: Option<Box<RawValue>>,
    pub indexed: Vec<String>,
    pub built_in: bool,
}

#[derive(Debug, Deserialize)]
pub struct TypeChecked {
    pub is_new: bool,
    pub changed: Vec<String>,
    pub breaking: Vec<Breaking>,
    pub recent: RecentEvents,
}

#[derive(Debug, Deserialize)]
pub struct Breaking {
    pub pointer: String,
    pub detail: String,
    pub whom: String,
}

#[derive(Debug, Deserialize)]
pub struct RecentEvents {
    pub looked_at: u64,
    pub refused: u64,
    pub oldest_at: Option<At>,
    pub has_more: bool,
    pub sample: Vec<RefusedEvent>,
}

#[derive(Debug, Deserialize)]
pub struct RefusedEvent {
    pub event: String,
    pub accepted_at: At,
    pub pointer: String,
    pub detail: String,
}
