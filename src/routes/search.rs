//! `GET /search`: whatever somebody has in hand (an id, a URL, an idempotency key, the
//! name of a type, a value of a payload), and what there is that goes by it. Lists that
//! are asked for one such thing at a time are in the files of their nouns.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::catalog::{Catalog, read_json};
use crate::clock::Clock;
use crate::domain::{
    DeliveryId, EndpointId, Event, EventId, EventType, FieldPointer, KeyId, Monotonic, ReplayId, Timestamp, TypePattern,
};
use crate::policy::address;
use crate::routes::extract::{Caller, Query};
use crate::routes::problem::{Answer, Problem};
use crate::routes::{Api, idempotency, openapi, page, show};
use crate::store::{self, EventSearch, Page, PageRequest, Scope, Store, StoreError};

/// Longest text that is searched for: a URL, with room to spare.
pub(super) const MAX_TEXT_BYTES: usize = 4_096;

/// Fields that a text is looked for in, at most: of a catalog that is indexed by more, `GET /events`
/// takes one at a time.
const MAX_FIELDS: usize = 16;

/// Longest value that is shown beside an event.
pub(super) const SHOWN_VALUE_BYTES: usize = 256;

/// How long it goes on where nothing is found: well within the time that a read may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Finds whatever goes by a text.
#[utoipa::path(
    get, path = "/search", operation_id = "search", tag = "events",
    params(openapi::SearchQuestion, openapi::ForPartners),
    responses((status = 200, description = "What was found.", body = openapi::SearchAnswer))
)]
pub async fn search(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    let query = caller.query();
    query.only(&["q", "since", "until", "limit"])?;
    let text = query.get("q").filter(|text| !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.contains('\0'));
    let text = text.ok_or_else(|| {
        let what = "an id, a URL, an idempotency key, the name of an event type, or a value that events are indexed by";
        Problem::invalid_query("q", format!("name what to look for, at most {MAX_TEXT_BYTES} bytes: {what}"))
    })?;
    let scope = api.known(caller.scope()?).await?;
    let wanted = Wanted {
        catalog: api.catalogs.of(scope.environment),
        since: query.parsed("since")?,
        until: query.parsed("until")?,
        limit: page::request::<EventId>(query, &api.limits)?.limit,
        sees_endpoints: caller.may(Permission::ManageEndpoints).is_ok(),
        sees_keys: caller.may(Permission::Operate).is_ok(),
        text: text.to_owned(),
        now: api.clock.wall(),
        scope,
    };
    let clock = api.clock.clone();
    let until = wanted.until.unwrap_or(wanted.now).min(wanted.now);
    let found = store::blocking(&api.store, move |store| wanted.find(store, &clock)).await?;
    Ok(HttpResponse::Ok().json(json!({
        "data": found.data,
        "searched": {
            "since": found.looked_since.map(show::time),
            "until": show::time(until),
            "complete": found.looked_since.is_none(),
        },
    })))
}

/// What is looked for, for whom.
struct Wanted {
    text: String,
    scope: Scope,
    catalog: std::sync::Arc<Catalog>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    limit: usize,
    sees_endpoints: bool,
    sees_keys: bool,
    now: Timestamp,
}

#[derive(Default)]
struct Found {
    data: Vec<Value>,
    /// Since when all events were looked at, where it was not for ever.
    looked_since: Option<Timestamp>,
}

/// One line of the answer.
fn line(kind: &str, id: String, why: &str, more: &Value) -> Value {
    let mut value = json!({
        "kind": kind, "id": id, "why": why,
        "pointer": null, "event_type": null, "partner": null, "at": null,
    });
    for (name, shown) in more.as_object().into_iter().flatten() {
        value[name] = shown.clone();
    }
    value
}

fn event_line(event: &Event, why: &str, pointer: Option<&FieldPointer>) -> Value {
    let more = json!({
        "pointer": pointer.map(FieldPointer::as_str),
        "event_type": event.event_type.as_str(),
        "partner": event.partner.as_ref().map_or("*", |partner| partner.as_str()),
        "at": show::time(event.accepted_at),
    });
    line("event", event.id.to_string(), why, &more)
}

impl Wanted {
    fn find(&self, store: &dyn Store, clock: &Clock) -> Result<Found, StoreError> {
        let end = clock.monotonic() + PATIENCE;
        let mut found = Found::default();
        self.by_id(store, &mut found)?;
        self.by_url(store, &mut found)?;
        let mut searches = Vec::new();
        self.by_name(&mut found, &mut searches);
        if idempotency::is_key(&self.text) {
            let search = EventSearch { idempotency_key: Some(self.text.clone()), ..self.events() };
            searches.push((search, "idempotency_key"));
        }
        let pointers = indexed_by(&self.catalog);
        if pointers.len() > MAX_FIELDS {
            // Not all of them are asked: nothing was looked at by all.
            found.looked_back_to(Some(self.newest()));
        }
        for pointer in pointers.into_iter().take(MAX_FIELDS) {
            let search = EventSearch { field: Some((pointer, self.text.clone())), ..self.events() };
            searches.push((search, "field"));
        }
        let mut left = u32::try_from(searches.len()).unwrap_or(u32::MAX);
        for (search, why) in searches {
            let now = clock.monotonic();
            // Each may take its part of the time that is left: none is at the cost of all others.
            let share = end.since(now) / left;
            left -= 1;
            if share.is_zero() {
                found.looked_back_to(Some(self.newest()));
                continue;
            }
            let page = until_something(clock, now + share, |after| {
                store.found_events(&self.scope, &search, &PageRequest { after, limit: self.limit })
            })?;
            found.add_events(&page, &search, why);
        }
        Ok(found)
    }

    /// Up to when anything was looked for.
    fn newest(&self) -> Timestamp {
        self.until.unwrap_or(self.now).min(self.now)
    }

    fn events(&self) -> EventSearch {
        EventSearch { since: self.since, until: self.until, ..EventSearch::default() }
    }

    fn by_id(&self, store: &dyn Store, found: &mut Found) -> Result<(), StoreError> {
        if let Ok(id) = self.text.parse::<EventId>()
            && let Some(event) = store.event(&self.scope, id)?
        {
            found.data.push(event_line(&event, "id", None));
        }
        if let Ok(id) = self.text.parse::<DeliveryId>()
            && let Some(delivery) = store.delivery(&self.scope, id)?
        {
            let more = json!({ "event_type": delivery.event_type.as_str(), "at": show::time(delivery.created_at) });
            found.data.push(line("delivery", id.to_string(), "id", &more));
        }
        if let Ok(id) = self.text.parse::<EndpointId>()
            && self.sees_endpoints
            && let Some(endpoint) = store.endpoint(&self.scope, id)?
        {
            found.data.push(endpoint_line(&endpoint, "id"));
        }
        if let Ok(id) = self.text.parse::<ReplayId>()
            && let Some(progress) = store.replay(&self.scope, id)?
        {
            let more = json!({ "at": show::time(progress.summary.replay.id.made_at()) });
            found.data.push(line("replay", id.to_string(), "id", &more));
        }
        if let Ok(id) = self.text.parse::<KeyId>()
            && self.sees_keys
            && let Some(key) = store.key(id)?
        {
            let partner = key.partner.as_ref().map(|partner| partner.as_str());
            let more = json!({ "partner": partner, "at": show::time(key.created_at) });
            found.data.push(line("key", id.to_string(), "id", &more));
        }
        Ok(())
    }

    fn by_url(&self, store: &dyn Store, found: &mut Found) -> Result<(), StoreError> {
        let Ok(url) = address::normal_spelling(&self.text) else { return Ok(()) };
        if !self.sees_endpoints {
            return Ok(());
        }
        let page = store.endpoints_at(&self.scope, &url, &PageRequest { after: None, limit: self.limit })?;
        found.data.extend(page.items.iter().map(|endpoint| endpoint_line(endpoint, "url")));
        if page.more {
            found.looked_back_to(page.items.last().map(|endpoint| endpoint.created_at));
        }
        Ok(())
    }

    fn by_name(&self, found: &mut Found, searches: &mut Vec<(EventSearch, &'static str)>) {
        let Ok(name) = self.text.parse::<EventType>() else { return };
        let Some(definition) = self.catalog.get(&name) else { return };
        let more = json!({ "event_type": name.as_str() });
        found.data.push(line("event_type", definition.name.to_string(), "name", &more));
        let search = EventSearch { types: Some(TypePattern::Exactly(name)), ..self.events() };
        searches.push((search, "event_type"));
    }
}

/// The first page that has something on it, or nothing behind it, or after which the time
/// is up. One page is always asked for.
fn until_something<Item>(
    clock: &Clock,
    end: Monotonic,
    mut page_behind: impl FnMut(Option<EventId>) -> Result<Page<Item>, StoreError>,
) -> Result<Page<Item>, StoreError> {
    let mut page = page_behind(None)?;
    while page.items.is_empty() && page.more && clock.monotonic() < end {
        let Some(after) = stopped_at(&page) else { break };
        page = page_behind(Some(after))?;
    }
    Ok(page)
}

fn stopped_at<Item>(page: &Page<Item>) -> Option<EventId> {
    page.cursor.as_deref().and_then(|cursor| cursor.parse().ok())
}

impl Found {
    fn add_events(&mut self, page: &Page<Event>, search: &EventSearch, why: &str) {
        let pointer = search.field.as_ref().map(|(pointer, _)| pointer);
        self.data.extend(page.items.iter().map(|event| event_line(event, why, pointer)));
        if page.more {
            let last = stopped_at(page).or_else(|| page.items.last().map(|event| event.id));
            self.looked_back_to(last.map(EventId::made_at));
        }
    }

    /// What was looked for in several ways was looked for as far as each of them went.
    fn looked_back_to(&mut self, time: Option<Timestamp>) {
        self.looked_since = self.looked_since.max(time);
    }
}

fn endpoint_line(endpoint: &crate::domain::Endpoint, why: &str) -> Value {
    let partner = endpoint.partner.as_ref().map_or("*", |partner| partner.as_str());
    let more = json!({ "partner": partner, "at": show::time(endpoint.created_at) });
    line("webhook", endpoint.id.to_string(), why, &more)
}

/// The fields that events of any type are found by, each once.
pub(super) fn indexed_by(catalog: &Catalog) -> Vec<FieldPointer> {
    let mut pointers: Vec<FieldPointer> = Vec::new();
    for pointer in catalog.iter().flat_map(|definition| &definition.indexed) {
        if !pointers.contains(pointer) {
            pointers.push(pointer.clone());
        }
    }
    pointers
}

/// The values that an event is found by, as they are asked for, in the order of its type's
/// fields. Very long ones are left out.
pub(super) fn indexed_values(catalog: &Catalog, event: &Event) -> Vec<(FieldPointer, String)> {
    let pointers = catalog.get(&event.event_type).map_or(&[][..], |definition| &definition.indexed);
    if pointers.is_empty() || event.erased.is_some() {
        return Vec::new();
    }
    // What was accepted does read.
    read_json(&event.body).map_or_else(|_| Vec::new(), |body| values_at(pointers, &body))
}

/// The values at these places of an event.
pub(super) fn values_at(pointers: &[FieldPointer], event: &Value) -> Vec<(FieldPointer, String)> {
    let value_of = |pointer: &FieldPointer| {
        let value = store::text_at(pointer, event).filter(|value| value.len() <= SHOWN_VALUE_BYTES)?;
        Some((pointer.clone(), value.into_owned()))
    };
    pointers.iter().filter_map(value_of).collect()
}

/// The field and the value of `?field=/id:VALUE`.
pub(super) fn field(query: &Query, catalog: &Catalog) -> Result<Option<(FieldPointer, String)>, Problem> {
    let Some(text) = query.get("field") else { return Ok(None) };
    if text.len() > MAX_TEXT_BYTES {
        return Err(Problem::invalid_query("field", format!("at most {MAX_TEXT_BYTES} bytes")));
    }
    let known = indexed_by(catalog);
    // A pointer may have a colon in it: the longest one that fits is meant.
    let fits =
        |pointer: &&FieldPointer| text.strip_prefix(pointer.as_str()).is_some_and(|behind| behind.starts_with(':'));
    let Some(pointer) = known.iter().filter(fits).max_by_key(|pointer| pointer.as_str().len()) else {
        let list: Vec<String> = known.iter().map(|pointer| format!("`{}`", pointer.as_str())).collect();
        let there_is =
            if list.is_empty() { "there is none".to_owned() } else { format!("there is {}", list.join(", ")) };
        return Err(Problem::invalid_query(
            "field",
            format!("expected `POINTER:VALUE` with a field that an event type is `indexed` by; {there_is}"),
        ));
    };
    Ok(Some((pointer.clone(), text[pointer.as_str().len() + 1..].to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages with nothing on them, each of which takes half a second, and then one with this.
    fn asked(empty: usize, last: Page<u8>) -> (Page<u8>, usize) {
        let clock = Clock::manual(Timestamp::from_millis(0));
        let ids: Vec<EventId> =
            (0..=empty as u128).map(|number| EventId::from_uuid(uuid::Uuid::from_u128(number))).collect();
        let mut asked = 0_usize;
        let page = until_something(&clock, clock.monotonic() + Duration::from_secs(2), |after| {
            assert_eq!(after, asked.checked_sub(1).map(|before| ids[before]), "it goes on where it stopped");
            clock.advance(Duration::from_millis(500));
            asked += 1;
            Ok(if asked <= empty { Page::up_to(Vec::new(), ids[asked - 1].to_string()) } else { last.clone() })
        });
        (page.expect("nothing fails"), asked)
    }

    #[test]
    fn it_goes_on_until_there_is_something_or_nothing_is_left_or_the_time_is_up() {
        let hit = Page { items: vec![7], more: true, cursor: None };
        for empty in 0..4 {
            assert_eq!(asked(empty, hit.clone()), (hit.clone(), empty + 1));
            assert_eq!(asked(empty, Page::empty()), (Page::empty(), empty + 1));
        }
        let (page, pages) = asked(5, hit);
        assert_eq!((page.items.len(), page.more, pages), (0, true, 4));
        assert!(page.cursor.is_some(), "it says how far it came");
    }
}
