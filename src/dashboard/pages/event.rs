//! One event: what was posted and what became of it. Its payload is in `event_payload`, its
//! outcomes in `event_outcomes`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Pace, Parts};
use crate::dashboard::pages::event_outcomes::Known;
use crate::dashboard::pages::{event_outcomes, event_payload, events, news, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Outcome, WholeEvent};
use crate::dashboard::{answers, words};
use crate::domain::EventId;

/// Reads one.
pub async fn read(visitor: &Visitor, id: &str) -> Result<WholeEvent, Trouble> {
    // The API has other things below the same path.
    id.parse::<EventId>().map_err(|_| Trouble::not_found("no event has this id"))?;
    visitor.get(&format!("/events/{}", segment(id)), About::These, &[]).await
}

/// The page.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    // As the API calls them, whose addresses are copied from one to the other.
    if matches!(id.as_str(), "refused" | "tail") {
        return answers::go(&visitor.to("/events", &[("tab", &id)]));
    }
    visitor.answer(build(&visitor, &id).await)
}

async fn build(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let event = with_all_outcomes(visitor, id).await?;
    let path = format!("/events/{}", segment(&event.id));
    let whose = of_one_partner(visitor, &event);
    let known = event_outcomes::known(visitor, &event).await;
    let about = whose.as_deref().map_or(About::These, About::Partner);
    let payload = event_payload::shown(visitor, &event, &path).await;
    let body = html! {
        div.head {
            h1 { "Event " span.mono { (words::short(&event.id)) } " " span.muted { (event.event) } }
            div.row { (news(0, false, "")) (frame::copy(&event.id)) }
        }
        (state(visitor, &event))
        (event_outcomes::part(visitor, &event, &known))
        div.two {
            (payload)
            (facts(visitor, &event))
        }
        (frame::as_call(visitor, &path, about, &[]))
    };
    let top = event_outcomes::newest(&event).map(|top| ("top", top));
    Ok(Page::new(format!("Event {}", words::short(&event.id)), body)
        .live(visitor.to(&format!("/live/event/{}", segment(&event.id)), top.as_slice())))
}

/// Whose it is, where that is one of several that are looked at.
fn of_one_partner(visitor: &Visitor, event: &WholeEvent) -> Option<String> {
    let is_over_all = visitor.partner().is_none_or(|partner| partner == "*");
    (is_over_all && event.partner != "*").then(|| event.partner.clone())
}

/// Reads one, with who did not get it, too.
async fn with_all_outcomes(visitor: &Visitor, id: &str) -> Result<WholeEvent, Trouble> {
    let mut event = read(visitor, id).await?;
    if let Some(partner) = of_one_partner(visitor, &event) {
        // Over all partners the API leaves out who did not get it; of the partner alone it
        // leaves out who got it of all of them.
        let path = format!("/events/{}", segment(&event.id));
        let own: WholeEvent = visitor.get(&path, About::Partner(&partner), &[]).await?;
        event.endpoints.extend(own.endpoints.into_iter().filter(|found| found.delivery.is_none()));
    }
    Ok(event)
}

/// What a stream keeps in mind.
#[derive(Default)]
struct Followed {
    pace: Pace,
    /// Something is on its way.
    is_moving: Cell<bool>,
    /// How many of its outcomes wait for a breaker, and what is known of its endpoints: read
    /// again when that is another number.
    known: RefCell<Option<(usize, Rc<Known>)>>,
}

/// Its live parts: what becomes of it. Its payload does not change.
pub async fn live(visitor: Visitor, id: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let (id, followed) = (id.into_inner(), Rc::new(Followed::default()));
    live::stream(visitor, &request, move |visitor| draw(visitor, id.clone(), Rc::clone(&followed)))
}

async fn draw(visitor: Visitor, id: String, followed: Rc<Followed>) -> Result<Parts, Trouble> {
    if !followed.pace.is_due(followed.is_moving.get()) {
        return Ok(Parts::new());
    }
    let mut event = with_all_outcomes(&visitor, &id).await?;
    let moves = |word: &str| matches!(word, "pending" | "retrying");
    let is_moving = event.endpoints.iter().any(|found| moves(&found.outcome));
    followed.is_moving.set(is_moving && event.endpoints.len() <= event_outcomes::SHOWN_MAX);
    let is_behind = |found: &&Outcome| event_outcomes::is_behind_a_breaker(found.waits_for.as_ref());
    let behind = event.endpoints.iter().filter(is_behind).count();
    let known = followed.known.borrow().clone().filter(|(then, _)| *then == behind);
    let known = match known {
        Some((_, known)) => known,
        None => {
            let read = Rc::new(event_outcomes::known(&visitor, &event).await);
            followed.known.replace(Some((behind, Rc::clone(&read))));
            read
        }
    };
    let sentence = state(&visitor, &event);
    let all = event.endpoints.len();
    let top = visitor.query.get("top").unwrap_or_default();
    let shown = event_outcomes::part_until(&visitor, &mut event, &known, top);
    let new = all - event.endpoints.len();
    let to = visitor.to(&format!("/events/{}", segment(&id)), &[]);
    Ok(vec![("state", sentence), ("outcomes", shown), ("news", news(new, false, &to))])
}

fn facts(visitor: &Visitor, event: &WholeEvent) -> Markup {
    html! {
        section.panel {
            h2 { "About it" }
            dl.facts {
                dt { "Id" } dd { code { (event.id) } }
                dt { "Type" } dd { a href=(visitor.to(&format!("/catalog/{}", segment(&event.event)), &[])) { (event.event) } }
                dt { "Partner" } dd { @if event.partner == "*" { "all partners" } @else { (event.partner) } }
                dt { "Accepted" } dd { (words::time(event.accepted_at.0, visitor.now)) " " span.muted.nowrap { (words::absolute(event.accepted_at.0)) } }
                @if let Some(at) = event.deliver_at { dt { "Not before" } dd { (words::time(at.0, visitor.now)) } }
                @if let Some(at) = event.expires_at { dt { "Expires" } dd { (words::time(at.0, visitor.now)) } }
                @if !event.indexed.is_empty() { dt { "Found by" } dd { (events::indexed(&event.indexed)) } }
                @if let Some(key) = &event.idempotency_key { dt { "Idempotency key" } dd { code { (key) } } }
                dt { "Size" } dd { (words::bytes(event.bytes)) }
            }
            @for one in &event.indexed {
                p { a href=(visitor.to("/events", &[("at", &one.pointer), ("value", &one.value)])) { "All events with this " code { (one.pointer) } } }
            }
        }
    }
}

/// What became of it, in one sentence.
fn state(visitor: &Visitor, event: &WholeEvent) -> Markup {
    let is_nobodys = event.endpoints.is_empty() && visitor.may(Permission::ManageEndpoints);
    let partner = Some(event.partner.as_str()).filter(|partner| *partner != "*");
    html! {
        div #state .panel-list {
            p.sentence { "Accepted " (words::time(event.accepted_at.0, visitor.now)) (outcomes(event)) }
            @if is_nobodys {
                p { a.button href=(visitor.address("/endpoints/new", partner, &[])) { "Make an endpoint" } }
            }
        }
    }
}

/// An endpoint's outcome: delivered, if any of its deliveries was; or else that of the newest,
/// since replays make more of them. Ids grow with time.
fn by_endpoint(event: &WholeEvent) -> BTreeMap<&str, &Outcome> {
    let id = |found: &Outcome| found.delivery.as_ref().map(|delivery| delivery.id.clone());
    let mut last: BTreeMap<&str, &Outcome> = BTreeMap::new();
    for found in event.endpoints.iter().filter(|found| found.delivery.is_some()) {
        let known = last.entry(&found.endpoint).or_insert(found);
        let place = |found: &Outcome| (found.outcome == "delivered", id(found));
        if place(found) > place(known) {
            *known = found;
        }
    }
    last
}

fn outcomes(event: &WholeEvent) -> String {
    let endpoints = by_endpoint(event);
    let of = |words: &[&str]| endpoints.values().filter(|found| words.contains(&found.outcome.as_str())).count() as u64;
    let made = endpoints.len() as u64;
    let again = event.endpoints.iter().filter(|found| found.delivery.as_ref().is_some_and(|one| one.replay.is_some()));
    let again = again.count() as u64;
    if event.endpoints.is_empty() {
        return ", when its partner had no endpoint.".to_owned();
    }
    if made == 0 {
        return "; no endpoint wanted it.".to_owned();
    }
    let mut parts = vec![format!("{} of {made} delivered", of(&["delivered"]))];
    for (count, word) in [
        (of(&["pending"]), "pending"),
        (of(&["retrying"]), "retrying"),
        (of(&["held"]), "held"),
        (of(&["retries_exhausted"]), "exhausted"),
        (of(&["discarded"]), "discarded"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let again = match again {
        0 => String::new(),
        again => {
            format!(" {} of it {} made by replays.", words::deliveries(again), if again == 1 { "was" } else { "were" })
        }
    };
    format!(": {}.{again}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_counted_and_not_what_replays_made_for_them() {
        let outcome = |endpoint: &str, id: &str, outcome: &str, replay: Option<&str>| {
            json!({
                "endpoint": endpoint, "outcome": outcome, "last_attempt": null,
                "delivery": {
                    "id": id, "endpoint": endpoint, "event": "evt_1", "event_type": "a.b", "status": outcome,
                    "attempt_count": 1, "created_at": "2026-11-22T04:31:07.412Z", "replay": replay,
                },
            })
        };
        let said = |endpoints: Vec<serde_json::Value>| {
            let event = json!({
                "id": "evt_1", "event": "a.b", "partner": "acme", "accepted_at": "2026-11-22T04:31:07.412Z",
                "bytes": 2, "indexed": [], "endpoints": endpoints, "payload": {},
            });
            let event: WholeEvent = serde_json::from_str(&event.to_string()).expect("it is one");
            outcomes(&event)
        };
        let first =
            || vec![outcome("ep_1", "dlv_1", "retries_exhausted", None), outcome("ep_2", "dlv_2", "held", None)];
        assert_eq!(said(first()), ": 0 of 2 delivered, 1 held, 1 exhausted.");
        let mut again = first();
        again.push(outcome("ep_1", "dlv_3", "delivered", Some("rpl_1")));
        again.push(outcome("ep_1", "dlv_4", "retries_exhausted", Some("rpl_2")));
        assert_eq!(said(again), ": 1 of 2 delivered, 1 held. 2 deliveries of it were made by replays.");
    }
}
