//! What an endpoint is doing now, as a sentence with what comes next, and as its actor's
//! figures. This part of the page is live.

use maud::{Markup, html};

use crate::dashboard::frame;
use crate::dashboard::pages::{endpoints, segment};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::{AttemptSeen, Endpoint, Health};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// What an endpoint is doing now; what its last attempts came to says why.
pub fn state(visitor: &Visitor, endpoint: &Endpoint, attempts: &[AttemptSeen]) -> Markup {
    let Some(health) = &endpoint.health else { return html! { section #state hidden {} } };
    html! {
        section #state .panel {
            p.sentence { (endpoints::health(visitor, endpoint)) " " (sentence(visitor, endpoint, health, attempts)) }
            @if endpoint.status == "disabled" { (how_to_return(visitor, endpoint, health)) }
            (actor(visitor, endpoint, health))
        }
    }
}

fn waiting(health: &Health) -> Markup {
    html! {
        (words::at_least(health.backlog, health.backlog_has_more))
        @if health.backlog == 1 { " delivery waits" } @else { " deliveries wait" }
    }
}

fn sentence(visitor: &Visitor, endpoint: &Endpoint, health: &Health, attempts: &[AttemptSeen]) -> Markup {
    let now = visitor.now;
    html! {
        @match (endpoint.status.as_str(), &endpoint.paused_at, &endpoint.braked_at) {
            ("disabled", ..) => {
                @match (health.disabled_at, health.disabled_reason.as_deref()) {
                    (Some(at), Some("gone")) => { (visitor.service()) " disabled it " (words::time(at.0, now)) ": it answered 410 Gone. " },
                    (Some(at), _) => { (visitor.service()) " disabled it " (words::time(at.0, now)) ": it had failed for too long. " },
                    (None, _) => { "Disabled by its settings, which were last saved " (words::time(endpoint.updated_at.0, now)) ". " },
                }
                (waiting(health)) " until it is enabled."
            }
            (_, Some(at), _) => { "Paused " (words::time(at.0, now)) "; " (waiting(health)) " until it is resumed." }
            (_, _, Some(at)) => { (if visitor.is_partner() { "Whoever runs this service" } else { "An operator" }) " holds it since " (words::time(at.0, now)) "; " (waiting(health)) "." }
            _ => (flowing(visitor, health, attempts)),
        }
    }
}

fn flowing(visitor: &Visitor, health: &Health, attempts: &[AttemptSeen]) -> Markup {
    let now = visitor.now;
    // How Posthaste works inside is its operators'.
    let (begins, tries) = if visitor.is_partner() { ("Failing", "try") } else { ("Open", "probe") };
    let opened = health.breaker_opened_at.filter(|_| health.breaker == "open");
    html! {
        @if let Some(opened) = opened {
            (begins) " for " (words::span(now.since(opened.0)))
            @if let Some(why) = failures_before(attempts, opened.0) { " after " (why) }
            "; " (waiting(health)) "; "
            @if health.actor.probing == Some(true) { "a " (tries) " is under way." }
            @else if let Some(at) = health.next_probe_at { "the next " (tries) " " @if at.0 > now { (words::time(at.0, now)) } @else { "is due" } "." }
            @if health.failed_probes > 0 { " " (probes(visitor, health.failed_probes)) " failed since it " @if visitor.is_partner() { "began." } @else { "opened." } }
        } @else {
            @if let Some(since) = health.failing_since { "It has only failed since " (words::time(since.0, now)) ". " }
            @if health.backlog == 0 { "Nothing waits." } @else {
                (waiting(health))
                @if let Some(at) = health.next_attempt_at.filter(|at| at.0 > now) { "; the next attempt " (words::time(at.0, now)) }
                "."
            }
        }
    }
}

/// How often it was tried in vain.
pub fn probes(visitor: &Visitor, failed: u32) -> String {
    match (visitor.is_partner(), failed) {
        (true, 1) => "1 try".to_owned(),
        (true, failed) => format!("{} tries", words::count(u64::from(failed))),
        (false, failed) => words::of(u64::from(failed), "probe"),
    }
}

/// `37 timeouts`: how many attempts in a row had failed when the breaker opened, as far back
/// as attempts are known, and at what, where that was always the same.
fn failures_before(attempts: &[AttemptSeen], opened: Timestamp) -> Option<String> {
    let ended =
        |attempt: &AttemptSeen| attempt.started_at.0.as_millis() + i64::try_from(attempt.duration_ms).unwrap_or(0);
    let before = attempts.iter().skip_while(|attempt| ended(attempt) > opened.as_millis());
    let failed: Vec<&AttemptSeen> = before.take_while(|attempt| attempt.error_class.is_some()).collect();
    let first = failed.first()?;
    let alike = failed.iter().all(|attempt| {
        (attempt.error_class.as_ref(), attempt.status_code) == (first.error_class.as_ref(), first.status_code)
    });
    let noun = match (alike, first.status_code, first.error_class.as_deref()) {
        (true, None, Some("timeout")) => "timeout".to_owned(),
        (true, Some(code), _) => {
            format!("answer {code}").replacen("answer", if failed.len() == 1 { "answer" } else { "answers" }, 1)
        }
        _ => "failure".to_owned(),
    };
    let count = failed.len() as u64;
    Some(if noun.starts_with("answer") { format!("{} {noun}", words::count(count)) } else { words::of(count, &noun) })
}

/// What brings a disabled one back.
fn how_to_return(visitor: &Visitor, endpoint: &Endpoint, health: &Health) -> Markup {
    let enable = visitor.to_one(&format!("/endpoints/{}/enable", segment(&endpoint.id)));
    html! {
        p {
            @if health.disabled_at.is_some() { "Once its receiver is mended: send a test, then enable it. It begins anew, and what was held goes out first." }
            @else { "Events for it are kept. Enable it, and what was held goes out." }
        }
        div.actions { (frame::action(visitor, &enable, "Enable")) }
    }
}

fn actor(visitor: &Visitor, endpoint: &Endpoint, health: &Health) -> Markup {
    let now = visitor.now;
    let actor = &health.actor;
    // What is held goes at no time that is known.
    let flows = endpoint.status == "active" && endpoint.braked_at.is_none();
    let known = |number: Option<u64>| number.map_or("—".to_owned(), words::count);
    let window = &actor.window;
    let in_memory = [window.fresh, window.retries, window.manual].into_iter().flatten().sum::<u64>();
    html! {
        dl.figures {
            // How Posthaste works inside is its operators'.
            @if !visitor.is_partner() { div {
                dt { "Actor" }
                dd {
                    @match (actor.reachable, actor.live) { (false, _) => "unknown", (true, Some(true)) => "live", _ => "asleep" }
                    small {
                        @if !actor.reachable { "its node does not answer" }
                        @else if let Some(node) = &actor.node { "on " (words::id(node)) }
                        @else { "no work, no actor" }
                    }
                }
            } }
            div {
                dt { "In flight" }
                dd {
                    (known(actor.in_flight)) "/" (actor.concurrency.map_or_else(|| words::count(u64::from(endpoint.max_concurrency)), words::count))
                    small { @if actor.slow_start == Some(true) && visitor.is_partner() { "fewer at first, then " (known(actor.max_concurrency)) } @else if actor.slow_start == Some(true) { "slow start, of " (known(actor.max_concurrency)) } @else { "at once" } }
                }
            }
            @if !visitor.is_partner() { div {
                dt { "Window" }
                dd {
                    (words::count(in_memory))
                    small {
                        @if in_memory > 0 { (known(window.fresh)) " new, " (known(window.retries)) " again, " (known(window.manual)) " by hand" }
                        @else { "in memory" }
                        @if window.more_in_store == Some(true) { "; more in the store" }
                    }
                }
            } }
            div {
                dt { "Rate" }
                dd {
                    @match &endpoint.rate_limit { Some(limit) => { (limit.per_second.to_string()) "/s" }, None => "—" }
                    small {
                        @if let Some(at) = actor.paced_until.filter(|at| flows && at.0 > now) { "the next " (words::time(at.0, now)) }
                        @else if endpoint.rate_limit.is_some() { "at most" }
                        @else { "as it keeps up" }
                    }
                }
            }
            div {
                dt { "Oldest waiting" }
                dd {
                    @match &health.oldest_waiting {
                        Some(oldest) => a href=(visitor.to_one(&format!("/deliveries/{}", segment(&oldest.delivery)))) { (words::time(oldest.created_at.0, now)) },
                        None => "—",
                    }
                    small {
                        @if let Some(at) = health.retry_after.or(actor.not_before).filter(|at| flows && at.0 > now) { "the next " (words::time(at.0, now)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::wire::At;

    fn attempt(at: i64, status_code: Option<u16>, error_class: Option<&str>) -> AttemptSeen {
        AttemptSeen {
            delivery: "dlv_1".to_owned(),
            number: 1,
            started_at: At(Timestamp::from_millis(at)),
            duration_ms: 10,
            status_code,
            error_class: error_class.map(str::to_owned),
        }
    }

    #[test]
    fn what_opened_a_breaker_is_counted_back_to_the_last_success() {
        let opened = Timestamp::from_millis(1_000);
        let why = |attempts: &[AttemptSeen]| failures_before(attempts, opened);
        let (timeout, refused) =
            (|at| attempt(at, None, Some("timeout")), |at| attempt(at, Some(503), Some("http_status")));
        let well = |at| attempt(at, Some(200), None);
        // The newest first: probes since then are no reason for it.
        assert_eq!(
            why(&[timeout(5_000), timeout(900), timeout(800), well(700), timeout(600)]),
            Some("2 timeouts".to_owned())
        );
        assert_eq!(why(&[timeout(900)]), Some("1 timeout".to_owned()));
        assert_eq!(why(&[refused(900), refused(800)]), Some("2 answers 503".to_owned()));
        assert_eq!(why(&[refused(900), timeout(800), refused(700)]), Some("3 failures".to_owned()));
        assert_eq!(why(&[timeout(5_000), well(900)]), None);
        assert_eq!(why(&[]), None);
    }
}
