//! What became of an event at each endpoint: a sentence, and beside it what cures it.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame;
use crate::dashboard::icons;
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::{outcome, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{AttemptSeen, AttemptsSeen, Delivery, Outcome, WaitsFor, WholeEvent};
use crate::dashboard::words;

/// Endpoints that are shown; of an event over all partners there may be thousands.
pub const SHOWN_MAX: usize = 50;

/// Endpoints behind an open breaker of which it is asked what their receivers answered last.
const ASKED_MAX: usize = 8;

/// What is known of the endpoints that are shown.
pub struct Known {
    names: Names,
    /// Of those behind an open breaker, what went wrong last.
    failed: HashMap<String, String>,
}

/// What the endpoints that are shown are called, and what those that are tried no more
/// answered last.
pub async fn known(visitor: &Visitor, event: &WholeEvent) -> Known {
    let shown = event.endpoints.iter().take(SHOWN_MAX);
    let names = Names::read(visitor, shown.clone().map(|found| found.endpoint.as_str())).await;
    let behind: BTreeSet<&str> = shown
        .filter(|found| is_behind_a_breaker(found.waits_for.as_ref()))
        .map(|found| found.endpoint.as_str())
        .collect();
    let failed = join_all(behind.into_iter().take(ASKED_MAX).map(|endpoint| async move {
        last_failed(visitor, endpoint).await.map(|seen| (endpoint.to_owned(), failed_with(&seen)))
    }))
    .await;
    Known { names, failed: failed.into_iter().flatten().collect() }
}

/// Whether it waits for a breaker to close.
pub fn is_behind_a_breaker(waits_for: Option<&WaitsFor>) -> bool {
    waits_for.is_some_and(|waits_for| waits_for.kind == "breaker")
}

/// An endpoint's last attempt, where that failed and the visitor may know.
pub async fn last_failed(visitor: &Visitor, endpoint: &str) -> Option<AttemptSeen> {
    if !visitor.may(Permission::ManageEndpoints) {
        return None;
    }
    let path = format!("/webhook/{}/attempts", segment(endpoint));
    let found: AttemptsSeen = visitor.get(&path, About::These, &[("limit", "1")]).await.ok()?;
    found.data.into_iter().next().filter(|seen| seen.error_class.is_some())
}

/// `answered 503`, `did not answer in time`.
pub fn failed_with(seen: &AttemptSeen) -> String {
    match (seen.status_code, seen.error_class.as_deref()) {
        (Some(code), _) => format!("answered {code}"),
        (None, Some("timeout")) => "did not answer in time".to_owned(),
        (None, class) => format!("gave no answer ({})", outcome::word(None, class, outcome::NO_ANSWER)),
    }
}

/// The newest of its deliveries.
pub fn newest(event: &WholeEvent) -> Option<&str> {
    event.endpoints.iter().filter_map(|found| Some(found.delivery.as_ref()?.id.as_str())).max()
}

/// What an outcome's row is known by.
fn row_id(found: &Outcome) -> String {
    format!("at-{}", found.delivery.as_ref().map_or(&found.endpoint, |delivery| &delivery.id))
}

/// The same part while somebody looks: without deliveries that are newer than this one, so
/// that nothing moves under them. The event is left with the outcomes of these.
pub fn part_until(visitor: &Visitor, event: &mut WholeEvent, known: &Known, top: &str) -> Markup {
    // Ids grow with time.
    let was_there = |found: &&Outcome| found.delivery.as_ref().is_none_or(|delivery| delivery.id.as_str() <= top);
    // Whether one was sent again since is told by all of them.
    let shown = event.endpoints.iter().filter(was_there).take(SHOWN_MAX);
    let superseded = shown.filter(|found| is_superseded(event, found)).map(row_id).collect();
    event.endpoints.retain(|found| was_there(&found));
    table(visitor, event, known, &superseded)
}

/// The table; nothing where there is no endpoint.
pub fn part(visitor: &Visitor, event: &WholeEvent, known: &Known) -> Markup {
    let shown = event.endpoints.iter().take(SHOWN_MAX);
    let superseded = shown.filter(|found| is_superseded(event, found)).map(row_id).collect();
    table(visitor, event, known, &superseded)
}

fn table(visitor: &Visitor, event: &WholeEvent, known: &Known, superseded: &BTreeSet<String>) -> Markup {
    html! {
        div #outcomes .panel-list {
            @if !event.endpoints.is_empty() {
                div.list {
                    table {
                        caption { "What became of it at each endpoint." }
                        thead {
                            tr {
                                th scope="col" { "Outcome" } th scope="col" { "Endpoint" } th scope="col" { "Delivery" }
                                th scope="col" { "Why" } th scope="col" { "What to do" }
                            }
                        }
                        tbody {
                            @for found in event.endpoints.iter().take(SHOWN_MAX) {
                                (row(visitor, event, found, known, superseded.contains(&row_id(found))))
                            }
                        }
                    }
                }
                @if event.endpoints.len() > SHOWN_MAX {
                    nav.pages { a href=(visitor.to("/deliveries", &[("event", &event.id)])) { "All of its deliveries" } }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, event: &WholeEvent, found: &Outcome, known: &Known, was_sent_again: bool) -> Markup {
    html! {
        tr id=(row_id(found)) {
            td.nowrap { (icons::status(&found.outcome)) }
            td { (known.names.link(visitor, &found.endpoint)) }
            td.nowrap {
                @if let Some(delivery) = &found.delivery {
                    a href=(visitor.to_one(&format!("/deliveries/{}", segment(&delivery.id)))) { (words::id(&delivery.id)) }
                    @if let Some(replay) = &delivery.replay {
                        br;
                        a.small href=(visitor.to("/deliveries", &[("replay", replay)])) { "by a replay" }
                    }
                }
            }
            td.line2 { (why(visitor, found, known)) @if was_sent_again { " " span.muted { "It has been sent again since." } } }
            td { @if !was_sent_again { (cure(visitor, event, found)) } }
        }
    }
}

/// Whether a replay has made another delivery of it to the same endpoint. Ids grow with time.
fn is_superseded(event: &WholeEvent, found: &Outcome) -> bool {
    let Some(delivery) = found.delivery.as_ref().filter(|delivery| delivery.status != "delivered") else {
        return false;
    };
    let others = event.endpoints.iter().filter(|other| other.endpoint == found.endpoint);
    others.filter_map(|other| other.delivery.as_ref()).any(|other| other.id > delivery.id)
}

/// An outcome as a sentence.
fn why(visitor: &Visitor, found: &Outcome, known: &Known) -> Markup {
    let now = visitor.now;
    html! {
        @match (found.outcome.as_str(), &found.delivery) {
            ("filtered", _) => {
                "Filtered out by "
                @for (at, objection) in found.filtered_by.iter().enumerate() {
                    @if at > 0 { "; " }
                    @if !objection.pointer.is_empty() { code { (objection.pointer) } " " }
                    (objection.detail)
                }
                "."
            }
            ("not_subscribed", _) => {
                "Not subscribed "
                @match found.subscribed_since { Some(at) => { "until " (words::time(at.0, now)) ", after it was accepted." }, None => "when it was accepted, nor since." }
            }
            ("not_yet_created", _) => {
                "The endpoint was made after the event was accepted"
                @if found.subscribed_since.is_none() { ", and does not take this type" }
                "."
            }
            (_, Some(delivery)) => (of_delivery(visitor, found, delivery, known)),
            _ => (found.explanation),
        }
    }
}

/// The same of one that has a delivery.
fn of_delivery(visitor: &Visitor, found: &Outcome, delivery: &Delivery, known: &Known) -> Markup {
    let now = visitor.now;
    html! {
        @match &found.last_attempt {
            Some(attempt) => { "Attempt " (attempt.number) " " (outcome::verb(attempt)) " " (words::time(attempt.started_at.0, now)) }
            None => "No attempt yet",
        }
        @match delivery.status.as_str() {
            "delivered" => ".",
            "retries_exhausted" => ", the last of its schedule.",
            "discarded" => { "; discarded: " (delivery.reason.as_deref().unwrap_or("no reason is known").replace('_', " ")) "." }
            _ => {
                "; " (waits(visitor, found.waits_for.as_ref(), delivery)) (left(found.attempts_left)) "."
                @if let Some(failed) = known.failed.get(&found.endpoint).filter(|_| is_behind_a_breaker(found.waits_for.as_ref())) {
                    " The receiver last " (failed) "."
                }
            }
        }
    }
}

/// What it waits for.
pub fn waits(visitor: &Visitor, waits_for: Option<&WaitsFor>, delivery: &Delivery) -> Markup {
    let now = visitor.now;
    // How Posthaste works inside is its operators'.
    let is_inside = !visitor.is_partner();
    let until = waits_for.and_then(|waits_for| waits_for.until).or(delivery.next_attempt_at);
    let when = html! {
        @match until { Some(at) if at.0 > now => (words::countdown(at.0, now)), _ => "now" }
    };
    html! {
        @match waits_for.map(|waits_for| (waits_for.kind.as_str(), waits_for.by.as_deref())) {
            Some(("hold", Some("operator"))) if !is_inside => "it is held by whoever runs this service",
            Some(("hold", Some("both"))) if !is_inside => "it is paused, and held by whoever runs this service",
            Some(("hold", Some("operator"))) => "an operator's brake holds it",
            Some(("hold", Some("both"))) => "it is paused, and an operator's brake holds it",
            Some(("hold", Some("partner"))) => "its endpoint is paused",
            Some(("hold", Some("failing"))) => "its endpoint was disabled because it failed for too long",
            Some(("hold", Some("gone"))) => "its endpoint was disabled because it answered 410",
            Some(("hold", _)) => "its endpoint is disabled",
            Some(("attempt", _)) => "an attempt is under way",
            Some(("deliver_at", _)) => { "it is to be delivered " (when) }
            Some(("breaker", _)) if !is_inside => { "its endpoint fails and is tried now and then, the next time " (when) }
            Some(("breaker", _)) => { "the breaker of its endpoint is open, the next probe " @if until.is_some_and(|at| at.0 > now) { (when) } @else { "is due" } }
            Some(("retry_after", _)) => { "the receiver asked for no request yet, the next " (when) }
            Some(("rate_limit", _)) => { "the rate limit lets the next go " (when) }
            Some(("order", _)) => "another is before it in the order of its endpoint",
            Some(("owner_node", _)) if !is_inside => "it is about to be taken up again",
            Some(("owner_node", _)) => "no node sends it just now",
            Some(("queue", _)) => "it is due, and waits for its turn",
            _ => { "next " (when) }
        }
    }
}

/// How many attempts its schedule has left.
pub fn left(attempts_left: Option<u64>) -> Markup {
    html! { @if let Some(left) = attempts_left { ", " (words::count(left)) " left" } }
}

/// What can be done about it.
fn cure(visitor: &Visitor, event: &WholeEvent, found: &Outcome) -> Markup {
    let endpoint = |below: &str| visitor.to_one(&format!("/endpoints/{}{below}", segment(&found.endpoint)));
    let may_set = visitor.may(Permission::ManageEndpoints);
    let may_retry = visitor.may(Permission::RetryDeliveries) && event.erased.is_none();
    let retry = |delivery: &Delivery| {
        let to = visitor.to_one(&format!("/deliveries/{}/retry", segment(&delivery.id)));
        html! { @if may_retry { (frame::action(visitor, &to, "Retry now")) } }
    };
    html! {
        @match (found.outcome.as_str(), &found.delivery) {
            ("filtered", _) if may_set => a href=(visitor.to(&format!("/endpoints/{}", segment(&found.endpoint)), &[("tab", "settings")])) { "Change its filter" },
            ("not_subscribed" | "not_yet_created", _) if found.subscribed_since.is_some() && may_retry => {
                a.button href=(missed(visitor, event, &found.endpoint)) { "Deliver it" }
            }
            ("not_subscribed" | "not_yet_created", _) if may_set => {
                a href=(visitor.to(&format!("/endpoints/{}", segment(&found.endpoint)), &[("tab", "settings")])) { "Change its types" }
            }
            ("held", _) if is_braked(found) && visitor.may(Permission::Brake) => {
                // Whether it is over this partner or over all of them, its page says.
                @let partner = Some(event.partner.as_str()).filter(|partner| *partner != "*");
                a href=(visitor.address(&partner.map_or(String::new(), |name| format!("/partners/{}", segment(name))), None, &[])) { "Release the brake" }
            }
            ("held", _) if is_braked(found) => span.muted { "Whoever runs this service releases it." },
            ("held", _) if may_set => {
                @match found.waits_for.as_ref().and_then(|waits_for| waits_for.by.as_deref()) {
                    Some("partner" | "both") => (frame::action(visitor, &endpoint("/resume"), "Resume")),
                    Some("settings" | "failing" | "gone") => (frame::action(visitor, &endpoint("/enable"), "Enable")),
                    _ => {}
                }
            }
            ("retrying" | "retries_exhausted" | "pending" | "discarded", Some(delivery)) if !is_final(delivery) => (retry(delivery)),
            _ => {}
        }
    }
}

/// Whether nothing but an operator's brake holds it.
fn is_braked(found: &Outcome) -> bool {
    found.waits_for.as_ref().and_then(|waits_for| waits_for.by.as_deref()) == Some("operator")
}

/// What nothing can be sent of any more.
fn is_final(delivery: &Delivery) -> bool {
    matches!(delivery.reason.as_deref(), Some("endpoint_deleted" | "retention"))
}

/// The page that begins a replay of what an endpoint missed, for the moment of this event.
fn missed(visitor: &Visitor, event: &WholeEvent, endpoint: &str) -> String {
    let at = event.accepted_at.0;
    let until = at + std::time::Duration::from_millis(1);
    let parameters: [(&str, &str); 4] =
        [("missing", "on"), ("types", &event.event), ("since", &at.to_string()), ("until", &until.to_string())];
    visitor.to(&format!("/endpoints/{}/replay", segment(endpoint)), &parameters)
}
