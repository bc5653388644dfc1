//! A definition that is not in force, tried on the newest events of its type: how many of
//! them it would refuse. Decides how many are looked at; what a refusal is, the catalog
//! does.

use std::sync::Arc;

use actix_web::web;
use serde_json::{Value, json};

use crate::catalog::{Trial, TypeDefinition};
use crate::domain::{Environment, Event, EventId, TypePattern};
use crate::routes::problem::{Kind, Problem};
use crate::routes::{Api, show};
use crate::store::{self, EventSearch, PageRequest, Scope};

/// Events that are looked at, at most.
const EVENTS: usize = 1_000;
/// Bytes of them, at most; the last slice may go beyond that.
const BYTES: usize = 16 << 20;
/// Events that are read together.
const SLICE: usize = 100;
/// Slices that are read, at most: one may be short where the type is rare.
const SLICES: usize = 20;
/// Refused events that are named.
const SAMPLE: usize = 5;

/// What came of the events so far.
#[derive(Default)]
struct Tried {
    looked_at: usize,
    bytes: usize,
    refused: usize,
    oldest: Option<Value>,
    sample: Vec<Value>,
}

/// What it would make of the newest events of its type in an environment whose payloads
/// are still kept.
pub(super) async fn of_recent_events(
    api: &Api,
    environment: Environment,
    definition: TypeDefinition,
) -> Result<Value, Problem> {
    let internal = |error: String| Problem::new(Kind::Internal, error);
    let trial = Arc::new(Trial::of(&definition).map_err(|error| internal(error.to_string()))?);
    let search = EventSearch { types: Some(TypePattern::Exactly(definition.name)), ..EventSearch::default() };
    let scope = Scope::all(environment);
    let (mut tried, mut after, mut has_more) = (Tried::default(), None, true);
    for _ in 0..SLICES {
        let wanted = PageRequest { after, limit: SLICE.min(EVENTS - tried.looked_at) };
        let (scope, search) = (scope.clone(), search.clone());
        let page = store::blocking(&api.store, move |store| store.found_events(&scope, &search, &wanted)).await?;
        let behind = page.cursor.as_deref().and_then(|cursor| cursor.parse::<EventId>().ok());
        after = behind.or_else(|| page.items.last().filter(|_| page.more).map(|event| event.id));
        let trial = Arc::clone(&trial);
        tried =
            web::block(move || tried.and(&trial, &page.items)).await.map_err(|error| internal(error.to_string()))?;
        has_more = after.is_some();
        if !has_more || tried.looked_at >= EVENTS || tried.bytes >= BYTES {
            break;
        }
    }
    Ok(json!({
        "looked_at": tried.looked_at,
        "refused": tried.refused,
        "oldest_at": tried.oldest,
        "has_more": has_more,
        "sample": tried.sample,
    }))
}

impl Tried {
    fn and(mut self, trial: &Trial, events: &[Event]) -> Self {
        // What was erased cannot be looked at any more.
        for event in events.iter().filter(|event| event.erased.is_none()) {
            self.looked_at += 1;
            self.bytes += event.body.len();
            self.oldest = Some(show::time(event.accepted_at));
            let Some(objections) = trial.objections(&event.body) else { continue };
            self.refused += 1;
            if let Some(first) = objections.first().filter(|_| self.sample.len() < SAMPLE) {
                self.sample.push(json!({
                    "event": event.id.to_string(),
                    "accepted_at": show::time(event.accepted_at),
                    "pointer": first.pointer,
                    "detail": first.detail,
                }));
            }
        }
        self
    }
}
