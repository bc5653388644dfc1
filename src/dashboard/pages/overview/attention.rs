//! What needs somebody, worst first: what it is, since when, what waits, what went wrong
//! last, and what to do. Each source is asked for itself; one that cannot be had says so, and
//! the others stand.

use std::time::Duration;

use futures_util::future::{join_all, join5};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::event_outcomes::last_failed;
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::overview::{LATELY, told};
use crate::dashboard::pages::{endpoint, exhausted, outcome, portal, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{At, Brake, Endpoint, ExhaustedEndpoint, List, Node};
use crate::dashboard::{answers, icons, words};
use crate::domain::Timestamp;

/// Endpoints in trouble that are named.
const NAMED: usize = 8;
/// Endpoints that are looked at, the most harmed of all.
const LOOKED_AT: &str = "25";
/// Endpoints with exhausted deliveries that are looked at.
const GIVEN_UP: &str = "3";
/// An endpoint that has failed for so long is warned of, and disabled later on.
const SOON_DISABLED: Duration = Duration::from_secs(24 * 3_600);
/// A commit that takes longer than this keeps everybody waiting.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// Of fewer nothing is said.
const COMMITS_MIN: u64 = 20;
/// A disk that has less than this left is about to be full.
const DISK_MIN: u64 = 1_000_000_000;
/// A backlog below this is none to speak of.
const BACKLOG_MIN: u64 = 1_000;
/// The rank of endpoints that have failed for a while: over all partners there always are.
const FAILING: u8 = 7;

/// Something that somebody should look at.
#[derive(Default)]
struct Item {
    /// The smaller, the worse.
    rank: u8,
    mark: Markup,
    what: Markup,
    since: Option<Timestamp>,
    detail: Markup,
    /// How many deliveries wait because of it, where that is known.
    waiting: Option<String>,
    /// What went wrong last.
    error: Option<String>,
    action: Markup,
    /// The endpoint that it is about.
    endpoint: Option<String>,
    /// How many others it stands for, and whether there are more than are known.
    others: (u64, bool),
}

/// All of it.
pub async fn part(visitor: &Visitor) -> Markup {
    if !visitor.may(Permission::ManageEndpoints) {
        // Nothing is said of what a key cannot see.
        return html! {
            section #attention .panel {
                p { "This key posts events, and sees what became of them: " a href=(visitor.to("/events", &[])) { "Events" } ", " a href=(visitor.to("/deliveries", &[])) { "Deliveries" } "." }
            }
        };
    }
    let (nodes, brakes, endpoints, given_up, machine) =
        join5(of_nodes(visitor), of_brakes(visitor), of_endpoints(visitor), of_exhausted(visitor), async {
            Ok(of_machine(visitor))
        })
        .await;
    let (mut items, mut troubles) = (Vec::new(), Vec::new());
    for found in [nodes, brakes, endpoints, given_up, machine] {
        match found {
            Ok(found) => items.extend(found),
            Err(trouble) => troubles.push(trouble),
        }
    }
    items.sort_by_key(|item| (item.rank, item.since));
    // A row may stand for many.
    let count = items.len() as u64 + items.iter().map(|item| item.others.0).sum::<u64>();
    let has_more = items.iter().any(|item| item.others.1);
    html! {
        section #attention .panel {
            h2 #headline {
                @match count {
                    0 if troubles.is_empty() => { "All well" }
                    0 => { "Not everything can be seen" }
                    1 => { "1 thing needs you" }
                    count => { (words::at_least(count, has_more)) " things need you" }
                }
            }
            @for trouble in &troubles { (answers::part(trouble)) }
            @if !items.is_empty() {
                div.list {
                    table {
                        caption { "Worst first." }
                        thead { tr { th scope="col" { "State" } th scope="col" { "What" } th scope="col" { "Since" } th.num scope="col" { "Waiting" } th scope="col" { "Last error" } th scope="col" { "Action" } } }
                        tbody {
                            @for item in &items {
                                tr {
                                    td.nowrap { (item.mark) }
                                    td.line2 { (item.what) @if !item.detail.0.is_empty() { br; span.small.muted { (item.detail) } } }
                                    td.nowrap.last { (words::maybe_time(item.since, visitor.now)) }
                                    td.num data-l="waiting" { @if let Some(waiting) = &item.waiting { (waiting) } }
                                    td data-l="last error" { @if let Some(error) = &item.error { (error) } }
                                    td.nowrap { (item.action) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A button of a row.
fn deed(visitor: &Visitor, to: &str, label: &str, name: &str, value: &str) -> Markup {
    html! {
        form method="post" action=(to) {
            (frame::token(visitor))
            input type="hidden" name=(name) value=(value);
            button { (label) }
        }
    }
}

fn look(to: &str, label: &str) -> Markup {
    html! { a.button href=(to) { (label) } }
}

async fn of_nodes(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    if !visitor.may(Permission::Operate) {
        return Ok(Vec::new());
    }
    let nodes: List<Node> = visitor.get("/nodes", About::Nobody, &[]).await?;
    let at = visitor.to("/nodes", &[]);
    let link = |node: &Node| html! { a href=(at) { "Node " (words::id(&node.id)) } };
    let mut items = Vec::new();
    for node in &nodes.data {
        if node.held {
            items.push(Item {
                rank: 1,
                mark: icons::state("held", "held"),
                what: link(node),
                since: None,
                detail: html! { "It was started held and sends nothing until somebody releases it." },
                action: look(&at, "Look"),
                ..Item::default()
            });
        }
        if let Some(until) = node.lease_until.filter(|until| until.0 < visitor.now) {
            items.push(Item {
                rank: 1,
                mark: icons::state("failing", "late"),
                what: link(node),
                since: Some(until.0),
                detail: html! { "It has not renewed its leases; others take its partitions." },
                action: look(&at, "Look"),
                ..Item::default()
            });
        }
    }
    Ok(items)
}

/// What this node's counters say of the machine below.
fn of_machine(visitor: &Visitor) -> Vec<Item> {
    if !visitor.may(Permission::Operate) {
        return Vec::new();
    }
    let now = visitor.api.watch.figures();
    let mut items = Vec::new();
    let this = |what: &str| html! { (what) " of node " (words::id(&visitor.api.node.id.to_string())) };
    let nodes = || look(&visitor.to("/nodes", &[]), "Look");
    if let Some(left) = now.disk_free_bytes.filter(|left| *left < DISK_MIN.max(now.store_bytes / 10)) {
        items.push(Item {
            rank: 2,
            mark: icons::state("failing", "disk fills up"),
            what: this("The disk"),
            since: None,
            detail: html! { (words::bytes(left)) " left, beside a store of " (words::bytes(now.store_bytes)) ". While it is full, nothing is accepted." },
            action: nodes(),
            ..Item::default()
        });
    }
    let slow = now.commit_p99.filter(|took| now.commits >= COMMITS_MIN && *took > SLOW_COMMIT);
    if now.rollbacks > 0 || slow.is_some() {
        items.push(Item {
            rank: 3,
            mark: icons::state("retrying", "slow journal"),
            what: this("The journal"),
            since: None,
            detail: html! {
                @if now.rollbacks > 0 { (words::of(now.rollbacks, "commit")) " undone in 5 min, because the store was busy or full. " }
                @if let Some(took) = slow { "99 % of commits in 5 min took up to " (words::span(took)) "." }
            },
            action: nodes(),
            ..Item::default()
        });
    }
    let grown = now.in_memory_before.filter(|before| now.now.waiting >= BACKLOG_MIN && now.now.waiting / 2 > *before);
    if let Some(before) = grown {
        items.push(Item {
            rank: 6,
            // What waits in the store was counted by nobody ten minutes ago.
            mark: icons::state("pending", "memory fills"),
            what: this("What waits in the memory"),
            detail: html! { "10 min ago it was " (words::count(before)) "; what waits in the store is not counted here." },
            waiting: Some(words::count(now.now.waiting)),
            action: look(&visitor.to("/deliveries", &[("status", "pending")]), "Look"),
            ..Item::default()
        });
    }
    items
}

async fn of_brakes(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    if !visitor.may(Permission::Brake) {
        return Ok(Vec::new());
    }
    let brakes: List<Brake> = visitor.get("/brakes", About::Nobody, &[]).await?;
    let is_about = |brake: &Brake| visitor.partner().is_none_or(|partner| ["*", partner].contains(&&*brake.partner));
    let items = brakes.data.into_iter().filter(is_about).map(|brake| {
        let is_here = brake.environment == visitor.environment();
        let partner = visitor.address(&format!("/partners/{}", segment(&brake.partner)), None, &[]);
        let is_over_all = brake.partner == "*";
        Item {
            // It stops everybody: nothing else matters as much.
            rank: if is_over_all && is_here { 0 } else { 8 },
            mark: icons::state("held", "braked"),
            what: html! {
                @if is_over_all { "All partners in " (brake.environment) } @else {
                    a href=(partner) { (brake.partner) } " in " (brake.environment)
                }
            },
            since: Some(brake.since.0),
            detail: html! { (brake.reason.as_deref().unwrap_or("No reason was given.")) },
            action: html! {
                @if is_here { (deed(visitor, &visitor.to("/overview/release", &[]), "Release", "partner", &brake.partner)) }
            },
            ..Item::default()
        }
    });
    Ok(items.collect())
}

/// What was given up within a day and is not dealt with. It is counted only where the
/// statistics know of any.
async fn of_exhausted(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    let day = told(visitor, LATELY, "hour").await?;
    if day.is_none_or(|day| day.totals.retries_exhausted == 0) {
        return Ok(Vec::new());
    }
    let found: List<ExhaustedEndpoint> = visitor.get("/exhausted", About::These, &[("limit", GIVEN_UP)]).await?;
    let since = visitor.now - LATELY;
    let names = Names::read(visitor, found.data.iter().map(|found| found.endpoint.as_str())).await;
    let items = found.data.iter().filter(|found| found.last_at.is_some_and(|at| at.0 >= since)).map(|found| {
        let reason = found.reasons.first();
        Item {
            rank: 9,
            mark: icons::state("exhausted", "given up"),
            what: html! {
                (words::count(found.count)) @if found.at_least { "+" } " to "
                a href=(visitor.to_one(&format!("/endpoints/{}", segment(&found.endpoint)))) {
                    @match names.url(&found.endpoint) { Some(url) => (url), None => (words::id(&found.endpoint)) }
                }
                @if visitor.partner().is_none() { span.muted { " " (found.partner) } }
            },
            since: found.reasons.iter().map(|reason| reason.first_at.0).min(),
            detail: html! {
                @if let Some(reason) = reason { "Most of them ended with " (exhausted::word(reason)) ". " }
                @if let Some(At(last)) = found.last_at { "The last " (words::time(last, visitor.now)) "." }
            },
            error: reason.map(exhausted::word),
            action: look(&visitor.to("/exhausted", &[]), "Replay or dismiss"),
            ..Item::default()
        }
    });
    Ok(items.collect())
}

/// Endpoints in trouble, the most harmed of all. Over all partners those whose breaker is
/// open, that are soon disabled, and that Posthaste disabled lately.
async fn of_endpoints(visitor: &Visitor) -> Result<Vec<Item>, Trouble> {
    let found = portal::most_harmed(visitor, LOOKED_AT).await?;
    let (is_over_all, lately) = (visitor.partner().is_none(), visitor.now - LATELY * 7);
    let disabled_at = |endpoint: &Endpoint| endpoint.health.as_ref().and_then(|health| health.disabled_at);
    let harmed = found.data.iter().filter(|endpoint| {
        // What was disabled long ago is no news there.
        !is_over_all || disabled_at(endpoint).is_none_or(|at| at.0 >= lately)
    });
    let mut items: Vec<Item> = harmed.filter_map(|endpoint| in_trouble(visitor, endpoint)).collect();
    let is_meant = |item: &Item| !is_over_all || item.rank < FAILING;
    items.retain(is_meant);
    // The most harmed come first: behind one that is not meant there is none that is.
    let last = found.data.last().filter(|_| found.next_cursor.is_some());
    let has_more = last.and_then(|last| in_trouble(visitor, last)).is_some_and(|item| is_meant(&item));
    items.sort_by_key(|item| (item.rank, item.since));
    let more = items.len().saturating_sub(NAMED);
    if more > 0 {
        items.truncate(NAMED);
        items.push(Item {
            rank: FAILING,
            mark: icons::state("failing", "failing"),
            what: html! {
                (words::at_least(more as u64, has_more))
                @if more == 1 && !has_more { " more endpoint" } @else { " more endpoints" }
            },
            since: None,
            detail: html! { "The list of endpoints has all of them." },
            action: look(&visitor.to("/endpoints", &[]), "Look"),
            others: (more as u64 - 1, has_more),
            ..Item::default()
        });
    }
    // Each is asked for by its index, and only of those that are named.
    let errors = join_all(items.iter().map(|item| async {
        match &item.endpoint {
            Some(endpoint) => last_failed(visitor, endpoint).await,
            None => None,
        }
    }))
    .await;
    for (item, error) in items.iter_mut().zip(errors) {
        item.error = error.map(|seen| outcome::word(seen.status_code, seen.error_class.as_deref(), outcome::NO_ANSWER));
    }
    Ok(items)
}

fn in_trouble(visitor: &Visitor, found: &Endpoint) -> Option<Item> {
    let health = found.health.as_ref()?;
    let lasts = health.failing_since.is_some_and(|since| visitor.now.since(since.0) >= SOON_DISABLED);
    let is_open = health.breaker == "open";
    let (rank, mark, since) = if health.disabled_at.is_some() {
        (4, icons::state("exhausted", "disabled"), health.disabled_at)
    } else if lasts {
        (5, icons::state("failing", "soon disabled"), health.failing_since)
    } else if is_open {
        // How Posthaste works inside is its operators'.
        let mark = match visitor.is_partner() {
            true => icons::state("failing", "failing"),
            false => icons::state("breaker", "breaker open"),
        };
        // Where nothing waits, nobody is kept waiting.
        (if health.backlog > 0 { 5 } else { 6 }, mark, health.breaker_opened_at)
    } else {
        (FAILING, icons::state("failing", "failing"), Some(health.failing_since?))
    };
    let page = visitor.to_one(&format!("/endpoints/{}", segment(&found.id)));
    let is_flowing = found.status == "active" && found.braked_at.is_none();
    // What waits behind an open breaker waits for its probe, and not for a time.
    let may_hurry = is_flowing && !is_open && visitor.may(Permission::RetryDeliveries) && health.backlog > 0;
    let test = visitor.to_one(&format!("/endpoints/{}/test", segment(&found.id)));
    Some(Item {
        rank,
        mark,
        what: html! {
            a href=(page) { (found.url) }
            @if visitor.partner().is_none() { span.muted { " " (found.partner) } }
        },
        since: since.map(|since| since.0),
        detail: html! {
            @if visitor.is_partner() && health.disabled_at.is_none() {
                @if let Some(since) = health.failing_since { "It has only failed since " (words::time(since.0, visitor.now)) "." }
            } @else { (endpoint::trouble(visitor, health, is_flowing)) }
            @if is_open && !is_flowing && health.disabled_at.is_none() { " It is held: nothing is tried until it is let go." }
            @if lasts && health.disabled_at.is_none() { " An endpoint that goes on failing is disabled." }
        },
        waiting: Some(words::at_least(health.backlog, health.backlog_has_more)),
        action: html! {
            @if is_open && is_flowing { (frame::action(visitor, &test, "Test")) }
            @else if may_hurry { (deed(visitor, &visitor.to("/overview/retry-now", &[]), "Retry now", "endpoint", &found.id)) }
            @else { (look(&page, "Look")) }
        },
        endpoint: Some(found.id.clone()),
        ..Item::default()
    })
}
