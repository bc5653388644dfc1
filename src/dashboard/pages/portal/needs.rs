//! The first line of what a partner sees first, and what is behind it: endpoints that fail,
//! and what was given up, worst first.

use maud::{Markup, html};

use crate::dashboard::answers;
use crate::dashboard::frame;
use crate::dashboard::icons;
use crate::dashboard::pages::naming::{self, Names};
use crate::dashboard::pages::segment;
use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::{Endpoint, ExhaustedEndpoint, Health};
use crate::dashboard::words;

use super::{ENDPOINTS, Home, Shown, health, is_held, trouble};

/// Characters of a URL where it stands in a sentence.
const URL: usize = 60;

fn waiting(health: &Health) -> String {
    let more = if health.backlog_has_more { "+" } else { "" };
    format!(
        "{}{more} {}",
        words::count(health.backlog),
        if health.backlog == 1 { "delivery waits" } else { "deliveries wait" }
    )
}

/// The first line, and what is behind it: worst first. While somebody looks, what was behind it
/// when the page was loaded stays there, well or not, and what came since waits behind a link:
/// nothing below moves.
pub fn part(visitor: &Visitor, home: &Home, names: &Names, shown: Option<&Shown>) -> Markup {
    let Home { endpoints, has_more, given_up, .. } = home;
    let (troubled, given): (Vec<_>, Vec<_>) = (home.troubled().collect(), home.given().collect());
    let held = endpoints.iter().filter(|endpoint| is_held(endpoint)).count() as u64;
    let count = troubled.len() + given.len();
    // The most harmed come first: behind one that is well there is none that fails.
    let more = if *has_more && endpoints.last().is_some_and(|last| trouble(last).is_some()) { "+" } else { "" };
    let since = shown.map_or(0, |shown| {
        let is_new = |ids: &[String], id: &str| !ids.iter().any(|known| known == id);
        troubled.iter().take(ENDPOINTS).filter(|endpoint| is_new(&shown.troubled, &endpoint.id)).count()
            + given.iter().filter(|one| is_new(&shown.given, &one.endpoint)).count()
    });
    html! {
        section #needs .panel {
            p.sentence #headline {
                @match (count, given_up) {
                    (0, Ok(_)) if held > 0 => { (icons::state("held", "On hold")) " Nothing needs you: whoever runs this service holds " (words::of(held, "endpoint")) ", and what waits goes out once it is let go." }
                    (0, _) if endpoints.is_empty() => "No endpoint that fails was found; not all could be looked at.",
                    (0, Ok(_)) => { (icons::state("delivered", "All well")) " Every endpoint takes what it is sent." }
                    (0, Err(_)) => "No endpoint fails now.",
                    (1, _) if more.is_empty() => { (icons::state("failing", "1 thing")) " needs you." }
                    (count, _) => { (icons::state("failing", &format!("{count}{more} things"))) " need you." }
                }
                @if count > 0 && held > 0 { " Whoever runs this service holds " (words::of(held, "endpoint")) "." }
                @if since > 0 { " " a href=(visitor.to("", &[])) { "Show " (since) " more" } }
            }
            @if let Err(trouble) = given_up { (answers::part(trouble)) }
            @match shown {
                None => {
                    @for endpoint in troubled.into_iter().take(ENDPOINTS) { (failing(visitor, endpoint)) }
                    @for one in given { (replayable(visitor, one, names)) }
                }
                Some(shown) => {
                    @for endpoint in shown.troubled.iter().filter_map(|id| endpoints.iter().find(|endpoint| endpoint.id == *id)) {
                        @if trouble(endpoint).is_some() { (failing(visitor, endpoint)) } @else { (no_more(visitor, endpoint)) }
                    }
                    @for id in &shown.given {
                        @match given.iter().find(|one| one.endpoint == *id) {
                            Some(one) => (replayable(visitor, one, names)),
                            None => (nothing_left(visitor, id, names)),
                        }
                    }
                }
            }
        }
    }
}

/// One that failed when the page was loaded, and does not any more.
fn no_more(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    html! {
        div.row id={ "needs-" (endpoint.id) } {
            (health(endpoint))
            (endpoint_link(visitor, &endpoint.id, &endpoint.url))
            span { "does not fail any more." }
        }
    }
}

/// One whose given up deliveries were sent again, or dismissed, since the page was loaded.
fn nothing_left(visitor: &Visitor, id: &str, names: &Names) -> Markup {
    html! {
        div.row id={ "given-up-" (id) } {
            (icons::state("delivered", "done"))
            (named(visitor, id, names))
            span { "Nothing that was given up is left." }
        }
    }
}

/// An endpoint that is known by its id.
fn named(visitor: &Visitor, id: &str, names: &Names) -> Markup {
    match names.url(id) {
        Some(url) => endpoint_link(visitor, id, url),
        None => names.link(visitor, id),
    }
}

/// A link to an endpoint by its host and path, as much of them as there is room for.
fn endpoint_link(visitor: &Visitor, id: &str, url: &str) -> Markup {
    let short = words::brief(naming::short(url), URL);
    html! { a href=(visitor.to_one(&format!("/endpoints/{}", segment(id)))) title=(url) { (short) } }
}

fn failing(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let path = format!("/endpoints/{}", segment(&endpoint.id));
    html! {
        div.row id={ "needs-" (endpoint.id) } {
            (health(endpoint))
            (endpoint_link(visitor, &endpoint.id, &endpoint.url))
            @if let Some(health) = &endpoint.health {
                span {
                    @match (&health.disabled_at, &health.failing_since) {
                        (Some(at), _) if endpoint.status == "disabled" => {
                            @if health.disabled_reason.as_deref() == Some("gone") { "answered 410 Gone " } @else { "failed for too long, until " }
                            (words::time(at.0, visitor.now)) "; " (waiting(health)) " until you enable it."
                        }
                        (_, Some(since)) => { "has only failed since " (words::time(since.0, visitor.now)) "; " (waiting(health)) "." }
                        _ => { "does not take what it is sent; " (waiting(health)) "." }
                    }
                }
            }
            (frame::action(visitor, &visitor.to_one(&format!("{path}/test")), "Send a test"))
            @if endpoint.status == "disabled" { (frame::action(visitor, &visitor.to_one(&format!("{path}/enable")), "Enable")) }
        }
    }
}

/// What was given up at an endpoint, and the way to have it sent again.
fn replayable(visitor: &Visitor, one: &ExhaustedEndpoint, names: &Names) -> Markup {
    let path = format!("/endpoints/{}", segment(&one.endpoint));
    let why = one.reasons.first().map(|reason| match (reason.status_code, reason.error_class.as_deref()) {
        (Some(code), _) => format!("got {code}"),
        (None, Some(class)) => class.replace('_', " "),
        (None, None) => "no answer".to_owned(),
    });
    html! {
        div.row id={ "given-up-" (one.endpoint) } {
            (icons::state("exhausted", "given up"))
            (named(visitor, &one.endpoint, names))
            span {
                (words::count(one.count)) @if one.at_least { "+" }
                @if one.count == 1 { " delivery was given up" } @else { " deliveries were given up" }
                @if let Some(at) = one.last_at { ", the last " (words::time(at.0, visitor.now)) }
                @if let Some(why) = why { ": " (why) }
                "."
            }
            @let meant = [("status", "retries_exhausted"), ("within", "all")];
            a.button href=(visitor.to(&format!("{path}/replay"), &meant)) { "Replay…" }
        }
    }
}
