//! Nodes: who works here, and what each owns.

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{List, Node};
use crate::dashboard::words;
use crate::domain::PARTITIONS;

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let found: List<Node> = visitor.get("/nodes", About::Nobody, &[]).await?;
    let owned: usize = found.data.iter().map(|node| node.partitions).sum();
    let body = html! {
        (head("Nodes", html! {}))
        p.sentence {
            @match found.data.len() {
                1 => { "One node has all of the work." }
                nodes => { (nodes) " nodes share " (PARTITIONS) " partitions." }
            }
            @if owned < PARTITIONS { " " (PARTITIONS - owned) " are owned by nobody just now: what is due there waits for a node to take them." }
        }
        div.list {
            table {
                caption { "Those that live. A partition is a slice of all endpoints, and one node's at a time." }
                thead {
                    tr {
                        th scope="col" { "Node" } th scope="col" { "State" } th.num scope="col" { "Partitions" } th scope="col" { "Share" }
                        th.num scope="col" { "In flight" } th scope="col" { "Lease" } th scope="col" { "Address" } th scope="col" { "Release" }
                    }
                }
                tbody {
                    @for node in &found.data {
                        tr {
                            td.nowrap { (words::id(&node.id)) @if node.id == visitor.api.node.id.to_string() { span.muted { " (answers you)" } } }
                            td.nowrap { (state(visitor, node)) }
                            td.num data-l="partitions" { (node.partitions) }
                            td { (share(node)) }
                            td.num data-l="in flight" { (words::count(node.in_flight)) }
                            td.nowrap data-l="lease" { @match node.lease_until { Some(until) => (words::time(until.0, visitor.now)), None => span.muted { "alone" } } }
                            td { (node.address.as_deref().unwrap_or("—")) }
                            td.nowrap data-l="release" { (node.version) }
                        }
                    }
                }
            }
        }
        (frame::as_call(visitor, "/nodes", About::Nobody, &[]))
    };
    Ok(Page::new("Nodes", body).about_all())
}

fn state(visitor: &Visitor, node: &Node) -> Markup {
    let is_late = node.lease_until.is_some_and(|until| until.0 < visitor.now);
    html! {
        @if node.held {
            (icons::state("held", "held"))
            " " (frame::action(visitor, &visitor.to(&format!("/nodes/{}/release", segment(&node.id)), &[]), "Release"))
        } @else if is_late { (icons::state("failing", "late")) } @else { (icons::endpoint("active")) }
    }
}

/// Its share of all partitions, as a bar.
fn share(node: &Node) -> Markup {
    let percent = node.partitions as f64 * 100.0 / PARTITIONS as f64;
    html! {
        svg width="120" height="8" aria-hidden="true" {
            rect width="100%" height="100%" rx="2" fill="var(--raised)" {}
            rect width={ (format!("{percent:.1}")) "%" } height="100%" rx="2" fill="var(--primary)" {}
        }
    }
}

/// Lets a held node send.
pub async fn release(posted: Posted, id: web::Path<String>) -> HttpResponse {
    let visitor = posted.visitor;
    let done = visitor.send(Method::POST, &format!("/nodes/{}/release", segment(&id)), About::Nobody, None).await;
    visitor.say_either(&visitor.to("/nodes", &[]), done, |_| "Released: it sends what is due.".to_owned())
}
