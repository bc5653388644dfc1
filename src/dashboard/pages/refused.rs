//! Posts that were refused at the door, as this node remembers them.

use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::filters::{self, Filter};
use crate::dashboard::pages::{events, nothing};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Refusals, RefusedPost};
use crate::dashboard::words;

const PATH: &str = "/events";

/// The tab.
pub async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let api: Vec<(&str, &str)> =
        ["type", "q", "cursor"].into_iter().filter_map(|name| Some((name, visitor.query.filled(name)?))).collect();
    let mut typed = vec![("tab", "refused")];
    typed.extend(&api);
    let found: Result<Refusals, Trouble> = visitor.get("/events/refused", About::These, &api).await;
    let mut in_use: Vec<Filter<'static>> = Vec::new();
    let of = |name: &str| visitor.query.filled(name).map(str::to_owned);
    in_use.extend(of("type").map(|value| Filter { label: "type", value, parameters: &["type"] }));
    in_use.extend(of("q").map(|value| Filter { label: "goes by", value, parameters: &["q"] }));
    let chips = filters::chips(visitor, PATH, &typed, &in_use);
    let body = html! {
        (events::tabs(visitor, "refused", html! {}))
        form.filters action={ (ROOT) (PATH) } {
            (frame::carried(visitor))
            input type="hidden" name="tab" value="refused";
            (filters::field(visitor, "type", "Type", "campaign.*"))
            (filters::field(visitor, "q", "Key, idempotency key or value", "cmp_1"))
            button { "Filter" }
        }
        @match &found {
            Err(trouble) => { (chips) (answers::part(trouble)) }
            Ok(found) if found.data.is_empty() && in_use.is_empty() => div.list { (nothing(false, "", &none(visitor, found))) },
            Ok(found) if found.data.is_empty() => div.list { (filters::none_fits("refused post", &chips, None)) },
            Ok(found) => {
                (chips)
                (table(visitor, &found.data, html! { (remembered(visitor, found)) }))
                (frame::next(visitor, PATH, &typed, found.next_cursor.as_deref()))
            }
        }
        (frame::as_call(visitor, "/events/refused", About::These, &api))
    };
    Ok(Page::new("Refused posts", body))
}

fn none(visitor: &Visitor, found: &Refusals) -> Markup {
    html! { p { "Nothing was refused. " (remembered(visitor, found)) } }
}

/// How far back it goes.
fn remembered(visitor: &Visitor, found: &Refusals) -> Markup {
    html! {
        @if visitor.is_partner() { (visitor.service()) " remembers the last " (words::count(found.keeps)) ", since " }
        @else { "Node " (words::id(&found.node)) " remembers the last " (words::count(found.keeps)) " that it refused since it started " }
        (words::time(found.since.0, visitor.now)) ", for a day at most, and no bodies."
    }
}

/// A table of them.
pub fn table(visitor: &Visitor, posts: &[RefusedPost], caption: Markup) -> Markup {
    html! {
        div.list {
            table {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "Refused" } th scope="col" { "Answer" } th scope="col" { "Type" } th scope="col" { "Key" }
                        th scope="col" { "Partner" } th scope="col" { "What was wrong" }
                    }
                }
                tbody { @for post in posts { (row(visitor, post)) } }
            }
        }
    }
}

fn row(visitor: &Visitor, post: &RefusedPost) -> Markup {
    html! {
        tr {
            td.nowrap.when { (words::time(post.at.0, visitor.now)) }
            td.nowrap { b { (post.status) } @if let Some(line) = post.line { " " span.muted { "line " (line) } } }
            td.nowrap { @match &post.event_type { Some(name) => span.cut title=(name) { (name) }, None => span.muted { "none" } } }
            td.nowrap data-l="key" {
                @match &post.key {
                    Some(key) if visitor.may(Permission::Operate) => a href=(visitor.address("/keys", None, &[])) { (words::id(key)) },
                    Some(key) => (words::id(key)),
                    None => span.muted { "configured" },
                }
            }
            td { @match post.partner.as_deref() { Some("*") => "all", Some(name) => span.cut title=(name) { (name) }, None => span.muted { "—" } } }
            td.line2 {
                @if post.errors.is_empty() { (words::marked(&post.detail)) }
                @for (at, error) in post.errors.iter().enumerate() {
                    @if at > 0 { br; }
                    @if !error.pointer.is_empty() { code { (error.pointer) } " " }
                    (words::marked(&error.detail))
                }
                @if !post.indexed.is_empty() || post.idempotency_key.is_some() {
                    br;
                    span.small.muted {
                        (events::indexed(&post.indexed))
                        @if let Some(key) = &post.idempotency_key { " idempotency key " (key) }
                    }
                }
            }
        }
    }
}
