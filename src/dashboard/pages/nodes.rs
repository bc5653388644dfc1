//! Nodes: who works here, how each is, what each owns, and what went from one to another.

mod map;

use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use futures_util::future::join3;
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{List, Node, NodeHealth, Partitions, PartitionsMoved};
use crate::dashboard::{answers, icons, words};
use crate::domain::PARTITIONS;

/// Moves that are shown.
const MOVES: usize = 20;

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let (nodes, owned, health) = join3(
        visitor.get::<List<Node>>("/nodes", About::Nobody, &[]),
        visitor.get::<Partitions>("/nodes/partitions", About::Nobody, &[]),
        visitor.get::<List<NodeHealth>>("/nodes/health", About::Nobody, &[]),
    )
    .await;
    let nodes = nodes?.data;
    let told = health.as_ref().map(|health| health.data.as_slice()).unwrap_or_default();
    let body = html! {
        (head("Nodes", html! {}))
        (summary(&nodes))
        (table(visitor, &nodes, told))
        @if let Err(trouble) = &health { (answers::part(trouble)) }
        div.two {
            section.panel {
                h2 { "Partitions" }
                p.muted { "A partition is a slice of all endpoints, and one node's at a time. Letters are those of the table above." }
                @match &owned {
                    Ok(owned) => (map::drawn(&nodes, owned)),
                    Err(trouble) => (answers::part(trouble)),
                }
            }
            section.panel { h2 { "Takeovers" } (moves(visitor, &nodes, told)) }
        }
        (frame::as_call(visitor, "/nodes", About::Nobody, &[]))
    };
    Ok(Page::new("Nodes", body).about_all())
}

fn summary(nodes: &[Node]) -> Markup {
    let owned: usize = nodes.iter().map(|node| node.partitions).sum();
    html! {
        p.sentence {
            @match nodes.len() {
                1 => { "One node has all of the work." }
                nodes => { (nodes) " nodes share " (PARTITIONS) " partitions." }
            }
            @if owned < PARTITIONS { " " (PARTITIONS - owned) " are owned by nobody just now: what is due there waits for a node to take them." }
        }
    }
}

fn table(visitor: &Visitor, nodes: &[Node], told: &[NodeHealth]) -> Markup {
    html! {
        div.list.many {
            table {
                caption { "Those that live, the oldest first. Memory and commits are in each node's own words." }
                thead {
                    tr {
                        th scope="col" { "Node" } th scope="col" { "State" } th.num scope="col" { "Since" } th.num scope="col" { "Partitions" }
                        th.num scope="col" { "Lease ends" } th.num scope="col" { "In flight" } th.num scope="col" { "Commit p99" } th.num scope="col" { "Memory" }
                        th scope="col" { "Address" } th scope="col" { "Release" }
                    }
                }
                tbody {
                    @for (place, node) in nodes.iter().enumerate() {
                        (row(visitor, place, node, told.iter().find(|health| health.id == node.id)))
                    }
                }
            }
        }
    }
}

fn row(visitor: &Visitor, place: usize, node: &Node, health: Option<&NodeHealth>) -> Markup {
    html! {
        tr id=(node.id) {
            td.nowrap {
                b.letter { (map::letter(place)) } " " (words::id(&node.id))
                @if node.id == visitor.api.node.id.to_string() { span.muted { " (answers you)" } }
            }
            td.nowrap { (state(visitor, node, health)) }
            td.num.nowrap data-l="since" { (words::time(node.since.0, visitor.now)) }
            td.num.nowrap data-l="partitions" { (node.partitions) " " (share(node)) }
            td.num.nowrap data-l="lease ends" { @match node.lease_until { Some(until) => (words::time(until.0, visitor.now)), None => span.muted { "never" } } }
            td.num data-l="in flight" { (words::count(node.in_flight)) }
            td.num.nowrap data-l="commit p99" { (commits(health)) }
            td.num.nowrap data-l="memory" { (health.and_then(|health| health.memory_bytes).map_or("—".to_owned(), words::bytes)) }
            td.nowrap data-l="address" { (node.address.as_deref().unwrap_or("—")) }
            td.nowrap data-l="release" { (node.version) }
        }
    }
}

fn commits(health: Option<&NodeHealth>) -> Markup {
    let figure = health.and_then(|health| Some((health.commit_p99_ms?, health.commits?)));
    html! {
        @match figure {
            Some((millis, commits)) => {
                span title={ "Of the newest " (words::count(commits)) } {
                    @if millis < 10.0 { (format!("{millis:.1}")) " ms" } @else { (words::span(Duration::from_secs_f64(millis.max(0.0) / 1e3))) }
                }
            }
            None => "—",
        }
    }
}

fn state(visitor: &Visitor, node: &Node, health: Option<&NodeHealth>) -> Markup {
    let is_late = node.lease_until.is_some_and(|until| until.0 < visitor.now);
    html! {
        @if node.held {
            (icons::state("held", "held"))
            " " (frame::action(visitor, &visitor.to(&format!("/nodes/{}/release", segment(&node.id)), &[]), "Release"))
        } @else if is_late { (icons::state("failing", "late")) } @else { (icons::endpoint("active")) }
        @if health.is_some_and(|health| !health.reachable) { " " (icons::state("none", "does not answer")) }
    }
}

/// Its share of all partitions, as a bar.
fn share(node: &Node) -> Markup {
    let percent = node.partitions as f64 * 100.0 / PARTITIONS as f64;
    html! {
        svg width="60" height="8" aria-hidden="true" {
            rect width="100%" height="100%" rx="2" fill="var(--raised)" {}
            rect width={ (format!("{percent:.1}")) "%" } height="100%" rx="2" fill="var(--primary)" {}
        }
    }
}

/// What came and went, over all nodes that answered.
fn moves(visitor: &Visitor, nodes: &[Node], told: &[NodeHealth]) -> Markup {
    let mut all: Vec<(&str, &PartitionsMoved)> =
        told.iter().flat_map(|health| health.moves.iter().map(|moved| (health.id.as_str(), moved))).collect();
    all.sort_by_key(|(_, moved)| std::cmp::Reverse(moved.at));
    let letter = |id: &str| nodes.iter().position(|node| node.id == id).map(map::letter);
    html! {
        @if all.is_empty() {
            p.muted {
                @if nodes.len() == 1 && nodes.iter().all(|node| node.lease_until.is_none()) { "There is no other node on this store: nothing can change hands." }
                @else { "No node knows of any." }
            }
        } @else {
            div.list {
                table {
                    caption { "Since each node started, newest first; a node forgets all but 50 of its own." }
                    thead { tr { th scope="col" { "When" } th scope="col" { "Node" } th scope="col" { "What" } } }
                    tbody {
                        @for (node, moved) in all.iter().take(MOVES) {
                            tr {
                                td.nowrap { (words::time(moved.at.0, visitor.now)) }
                                td.nowrap { @if let Some(letter) = letter(node) { b.letter { (letter) } " " } (words::id(node)) }
                                td { (happened(moved)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn happened(moved: &PartitionsMoved) -> String {
    let partitions = words::of(moved.partitions, "partition");
    match moved.what.as_str() {
        "taken" => format!("took {partitions}"),
        "lost" => format!("lost {partitions}: its lease ended, or another node has them"),
        "handed_over" => format!("handed {partitions} over"),
        _ => format!("{} {partitions}", moved.what),
    }
}

/// Lets a held node send.
pub async fn release(posted: Posted, id: web::Path<String>) -> HttpResponse {
    let visitor = posted.visitor;
    let done = visitor.send(Method::POST, &format!("/nodes/{}/release", segment(&id)), About::Nobody, None).await;
    visitor.say_either(&visitor.to("/nodes", &[]), done, |_| "Released: it sends what is due.".to_owned())
}
