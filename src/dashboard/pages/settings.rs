//! Settings: what this node is configured with, who said so, what it means, and which
//! other nodes have it otherwise. Nothing is changed here: a configuration is a node's own,
//! and holds from its start on.

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, nothing};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Setting, Settings};
use crate::dashboard::words;

/// Which of them are shown: what the address says, and what people read.
const VIEWS: [(&str, &str); 3] = [("", "All"), ("set", "Not by default"), ("differ", "Not the same on all nodes")];

/// The page.
pub async fn page(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let found: Settings = visitor.get("/settings", About::Nobody, &[]).await?;
    let view = visitor.query.get("show").unwrap_or_default();
    let is_shown = |option: &&Setting| match view {
        "set" => option.source.kind != "default",
        "differ" => !option.elsewhere.is_empty(),
        _ => true,
    };
    let shown: Vec<&Setting> = found.data.iter().filter(is_shown).collect();
    let groups: Vec<&[&Setting]> = shown.chunk_by(|one, next| one.heading == next.heading).collect();
    let body = html! {
        (head("Settings", html! {
            nav.tabs aria-label="Which settings" {
                @for (value, name) in VIEWS {
                    @let parameters: &[(&str, &str)] = if value.is_empty() { &[] } else { &[("show", value)] };
                    a href=(visitor.to("/settings", parameters)) aria-current=[(view == value).then_some("page")] { (name) }
                }
            }
        }))
        (summary(&found))
        @if groups.is_empty() {
            div.list { (nothing(!view.is_empty(), &visitor.to("/settings", &[]), &html! {})) }
        }
        @for group in groups {
            @if let Some(first) = group.first() { (table(&first.heading, group)) }
        }
        p.muted {
            "An option is a flag, an environment variable and a line of the configuration file, and wins in this order. It holds from a node's start on: "
            "to change one, say it there and start the node again."
        }
        (frame::as_call(visitor, "/settings", About::Nobody, &[]))
    };
    Ok(Page::new("Settings", body).about_all())
}

/// How much of it is not by default, and what is known of other nodes.
fn summary(found: &Settings) -> Markup {
    let set = found.data.iter().filter(|option| option.source.kind != "default").count();
    let differing = found.data.iter().filter(|option| !option.elsewhere.is_empty()).count();
    let silent: Vec<&str> = found.nodes.iter().filter(|node| !node.reachable).map(|node| node.id.as_str()).collect();
    html! {
        p.sentence {
            "This node, " (words::id(&found.node)) ", was told " (set) " of " (found.data.len()) " options; the others are as they come."
            @if found.nodes.len() > 1 {
                " " @match differing {
                    0 => { "Every node that answered has the same." }
                    1 => { "1 option is another on other nodes." }
                    count => { (count) " options are others on other nodes." }
                }
            }
        }
        @if !silent.is_empty() {
            p.note.bad {
                (words::of(silent.len() as u64, "node")) " did not answer, and may have anything: "
                @for (at, node) in silent.iter().enumerate() { @if at > 0 { ", " } (words::id(node)) }
                ". Nodes ask each other where they have a " code { "cluster_token" } " and an address."
            }
        }
    }
}

fn table(heading: &str, options: &[&Setting]) -> Markup {
    html! {
        div.list {
            table.options {
                caption { h2 { (heading) } }
                thead { tr { th scope="col" { "Option" } th scope="col" { "Value" } th scope="col" { "Source" } th scope="col" { "Meaning" } } }
                tbody { @for option in options { (row(option)) } }
            }
        }
    }
}

fn row(option: &Setting) -> Markup {
    let is_default = option.source.kind == "default";
    html! {
        tr id=(option.name) {
            td { code { (option.name) } }
            td {
                @if option.value.is_empty() { span.muted { "empty" } } @else { code { (option.value) } }
                @if option.masked { span.small.muted { " kept back" } }
                @if !is_default { div.small.muted { "default " @if option.default.is_empty() { "empty" } @else { (option.default) } } }
                @for other in &option.elsewhere {
                    div.small {
                        (icons::state("failing", "differs")) " " (words::id(&other.node)) " has "
                        @if other.value.is_empty() { "it empty" } @else { code { (other.value) } }
                    }
                }
            }
            td {
                @if is_default { span.muted { "default" } } @else {
                    (option.source.kind)
                    @if let Some(at) = &option.source.at { div.small.muted { (at) } }
                }
            }
            td.line2 { (words::marked(&option.meaning)) }
        }
    }
}
