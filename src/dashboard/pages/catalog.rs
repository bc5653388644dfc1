//! The catalog: which events may be sent, what they look like, who wants them, and an
//! example to send.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use futures_util::future::join4;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::form::Form;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::{catalog_form, head, nothing, schema, segment};
use crate::dashboard::payload::pretty;
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{AcceptedEvent, Endpoint, EventType, List, Partner, Refusals, Statistics};
use crate::dashboard::words;
use crate::domain::{EventType as Name, Timestamp, TypePattern};
use crate::policy::matching;

/// Types whose events are counted together.
const COUNTED: &str = "100";
/// Subscribers that are named.
const NAMED: usize = 20;
/// Subscribers of which it is asked how they are.
const HARMED: usize = 100;

/// The list, or the form of a new type.
pub async fn list(visitor: Visitor) -> HttpResponse {
    if visitor.query.get("new").is_some() && visitor.may(Permission::WriteEventTypes) {
        return catalog_form::new(&visitor);
    }
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let built_in = if visitor.query.get("built_in") == Some("true") { "true" } else { "false" };
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let mut asked = vec![("built_in", built_in)];
    asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let (found, endpoints, counts, refused) = join4(
        visitor.get::<List<EventType>>("/event-types", About::These, &asked),
        endpoints(visitor),
        counts(visitor),
        refused(visitor),
    )
    .await;
    let found = found?;
    let may_write = visitor.may(Permission::WriteEventTypes);
    let yet = html! {
        p { "No event type yet, and so no event is accepted." }
        @if may_write { a.button.primary href=(visitor.to("/catalog", &[("new", "1")])) { "Add an event type" } }
    };
    let body = html! {
        (head("Catalog", html! {
            nav.tabs aria-label="Whose types" {
                a href=(visitor.to("/catalog", &[])) aria-current=[(built_in == "false").then_some("page")] { "What is sent" }
                a href=(visitor.to("/catalog", &[("built_in", "true")])) aria-current=[(built_in == "true").then_some("page")] { "What Posthaste says" }
            }
            @if may_write { a.button.primary href=(visitor.to("/catalog", &[("new", "1")])) { "Add an event type" } }
        }))
        @for trouble in [endpoints.as_ref().err(), counts.as_ref().err(), refused.as_ref().err()].into_iter().flatten() { (answers::part(trouble)) }
        div.list {
            @if found.data.is_empty() { (nothing(false, "", &yet)) } @else {
                (table(visitor, &found.data, endpoints.ok().flatten().as_ref(), counts.ok().flatten().as_ref(), refused.ok().flatten().as_ref()))
            }
        }
        (frame::next(visitor, "/catalog", &asked, found.next_cursor.as_deref()))
        (frame::as_call(visitor, "/event-types", About::These, &asked))
    };
    Ok(Page::new("Catalog", body))
}

/// Who could want a type: the newest endpoints, as many as are listed at once. `None` where
/// that is not theirs to know.
async fn endpoints(visitor: &Visitor) -> Result<Option<List<Endpoint>>, Trouble> {
    if !visitor.may(Permission::ManageEndpoints) {
        return Ok(None);
    }
    let limit = visitor.api.limits.page_max.to_string();
    visitor.get("/webhook", About::These, &[("limit", &limit)]).await.map(Some)
}

/// How many events there were of each type in the last 24 hours, and whether there are
/// more types than that.
struct Counts {
    of: HashMap<String, u64>,
    has_more: bool,
}

async fn counts(visitor: &Visitor) -> Result<Option<Counts>, Trouble> {
    if !visitor.may(Permission::ReadStatistics) {
        return Ok(None);
    }
    let asked = [("by", "type"), ("limit", COUNTED)];
    let found: Statistics = visitor.get("/stats", About::These, &asked).await?;
    let of = found.data.into_iter().filter_map(|series| Some((series.event_type?, series.totals.events?))).collect();
    Ok(Some(Counts { of, has_more: found.next_cursor.is_some() }))
}

impl Counts {
    fn shown(&self, name: &str) -> String {
        match self.of.get(name) {
            Some(count) => words::count(*count),
            None if self.has_more => "—".to_owned(),
            None => "0".to_owned(),
        }
    }
}

/// What was refused of each type within a day, for operators who look over all partners.
async fn refused(visitor: &Visitor) -> Result<Option<Refused>, Trouble> {
    let is_of_all = visitor.is_operator() && visitor.partner().is_none();
    if !is_of_all || visitor.query.get("built_in") == Some("true") {
        return Ok(None);
    }
    let asked = [("counts", "true"), ("limit", "1")];
    let found: Refusals = visitor.get("/events/refused", About::These, &asked).await?;
    Ok(found.counts.map(|counts| Refused {
        since: counts.since.0,
        of: counts.by_type.into_iter().map(|of| (of.event_type, of.refused)).collect(),
        others: counts.others,
        nodes: counts.nodes.len(),
        silent: counts.nodes.into_iter().filter(|node| !node.reachable).map(|node| node.id).collect(),
    }))
}

/// See [`refused`].
struct Refused {
    /// From when on they are counted.
    since: Timestamp,
    of: HashMap<String, u64>,
    /// Of no type of the catalog.
    others: u64,
    nodes: usize,
    /// Nodes that did not say what they refused.
    silent: Vec<String>,
}

impl Refused {
    /// Of which nodes that is, and what no row has.
    fn note(&self, visitor: &Visitor) -> Markup {
        html! {
            " Refused are posts and lines since " (words::time(self.since, visitor.now)) ", counted by the hour, "
            @if self.nodes == 1 { "as far as this node remembers: since it started." }
            @else { "as far as " (self.nodes - self.silent.len()) " of " (self.nodes) " nodes remember: since each started." }
            @if !self.silent.is_empty() {
                " Without " @for (at, node) in self.silent.iter().enumerate() { @if at > 0 { ", " } (words::id(node)) } ", which did not answer."
            }
            @if self.others > 0 {
                " " a href=(visitor.to("/events", &[("tab", "refused")])) { (words::count(self.others)) " more" } " were of no known type."
            }
        }
    }

    fn shown(&self, visitor: &Visitor, name: &str) -> Markup {
        html! {
            @match self.of.get(name) {
                Some(count) => a href=(visitor.to("/events", &[("tab", "refused"), ("type", name)])) { (words::count(*count)) },
                None => "0",
            }
        }
    }
}

/// Those that a type goes to.
fn subscribers<'a>(endpoints: &'a List<Endpoint>, name: &str) -> Vec<&'a Endpoint> {
    let Ok(name) = name.parse::<Name>() else { return Vec::new() };
    let wants =
        |pattern: &String| pattern.parse::<TypePattern>().is_ok_and(|pattern| matching::covers(&pattern, &name));
    endpoints.data.iter().filter(|endpoint| endpoint.events.iter().any(wants)).collect()
}

fn how_many(endpoints: &List<Endpoint>, name: &str) -> String {
    let count = subscribers(endpoints, name).len();
    format!("{count}{}", if endpoints.next_cursor.is_some() { "+" } else { "" })
}

fn table(
    visitor: &Visitor,
    types: &[EventType],
    endpoints: Option<&List<Endpoint>>,
    counts: Option<&Counts>,
    refused: Option<&Refused>,
) -> Markup {
    html! {
        table {
            caption {
                "By name, in " (visitor.environment()) "."
                @if counts.is_some() { " Events are those of the last 24 hours, written down every few seconds." }
                @if let Some(refused) = refused { (refused.note(visitor)) }
            }
            thead {
                tr {
                    th scope="col" { "Type" } th scope="col" { "What it says" }
                    @if endpoints.is_some() { th.num scope="col" { "Subscribers" } }
                    @if counts.is_some() { th.num scope="col" { "Events 24 h" } }
                    @if refused.is_some() { th.num scope="col" { "Refused 24 h" } }
                }
            }
            tbody {
                @for known in types {
                    tr {
                        td.nowrap { a href=(visitor.to(&format!("/catalog/{}", segment(&known.name)), &[])) { (known.name) } }
                        td.line2 { (words::marked(&known.description)) }
                        @if let Some(endpoints) = endpoints { td.num data-l="subscribers" { (how_many(endpoints, &known.name)) } }
                        @if let Some(counts) = counts { td.num data-l="events 24 h" { (counts.shown(&known.name)) } }
                        @if let Some(refused) = refused { td.num data-l="refused 24 h" { (refused.shown(visitor, &known.name)) } }
                    }
                }
            }
        }
    }
}

/// One type, as the API has it.
pub async fn read(visitor: &Visitor, name: &str) -> Result<EventType, Trouble> {
    visitor.get(&format!("/event-types/{}", segment(name)), About::These, &[]).await
}

/// One type.
pub async fn one(visitor: Visitor, name: web::Path<String>) -> HttpResponse {
    visitor.answer(build_one(&visitor, &name).await)
}

async fn build_one(visitor: &Visitor, name: &str) -> Result<Page, Trouble> {
    let (known, endpoints, partners, healths) =
        join4(read(visitor, name), endpoints(visitor), partners(visitor), healths(visitor, name)).await;
    let known = known?;
    let may_send = visitor.may(Permission::PostEvents) && !known.built_in;
    let path = format!("/catalog/{}", segment(&known.name));
    let is_raw = visitor.query.get("view") == Some("raw");
    let body = html! {
        div.head {
            h1 { (known.name) }
            div.row {
                (frame::copy(&known.name))
                a href=(visitor.to("/events", &[("type", &known.name)])) { "Its events" }
                @if visitor.may(Permission::WriteEventTypes) && !known.built_in {
                    a.button href=(visitor.to(&format!("{path}/change"), &[])) { "Change…" }
                }
            }
        }
        p.sentence { (words::marked(&known.description)) }
        div.two {
            section.panel {
                div.head {
                    h2 { "Schema" }
                    nav.tabs aria-label="How the schema is shown" {
                        a href=(visitor.to(&path, &[])) aria-current=[(!is_raw).then_some("true")] { "Fields" }
                        a href=(visitor.to(&path, &[("view", "raw")])) aria-current=[is_raw.then_some("true")] { "Raw" }
                    }
                }
                @if is_raw { (pretty(known.schema.get())) } @else { (schema::table(known.schema.get())) }
            }
            section.panel {
                h2 { "Example" }
                (pretty(known.example.get()))
                dl.facts {
                    dt { "Retries" } dd { @match &known.retry { Some(retry) => (pretty(retry.get())), None => "the default schedule, where an endpoint has none of its own" } }
                    dt { "Found by" } dd {
                        @if known.indexed.is_empty() { "its id, type and idempotency key" }
                        @for (at, pointer) in known.indexed.iter().enumerate() { @if at > 0 { ", " } code { (pointer) } }
                    }
                }
                @if may_send { (sending(visitor, &path, partners)) }
            }
        }
        @match &endpoints {
            Ok(Some(endpoints)) => (wanted_by(visitor, endpoints, &healths, &known.name)),
            Ok(None) => {}
            Err(trouble) => (answers::part(trouble)),
        }
        @if visitor.may(Permission::WriteEventTypes) && !known.built_in {
            div.actions {
                (frame::confirmed(
                    visitor,
                    &visitor.to(&format!("{path}/delete"), &[]),
                    "Take it out",
                    "No event of it is accepted any more. What was accepted goes out as it would; endpoints may go on naming it.",
                    &format!("Take {} out", known.name),
                ))
            }
        }
        (frame::as_call(visitor, &format!("/event-types/{}", segment(&known.name)), About::These, &[]))
    };
    Ok(Page::new(known.name.clone(), body))
}

/// Those that a type goes to with how they are, the most harmed, by their ids. Of those that
/// are not there it is known how they are set.
async fn healths(visitor: &Visitor, name: &str) -> HashMap<String, Endpoint> {
    if !visitor.may(Permission::ManageEndpoints) {
        return HashMap::new();
    }
    let limit = HARMED.to_string();
    let asked = [("type", name), ("limit", limit.as_str())];
    let found: Result<List<Endpoint>, Trouble> = visitor.get("/webhook-health", About::These, &asked).await;
    found.map_or_else(|_| HashMap::new(), |found| found.data.into_iter().map(|one| (one.id.clone(), one)).collect())
}

/// The endpoints that a type goes to, as far as they are named.
fn wanted_by(visitor: &Visitor, endpoints: &List<Endpoint>, healths: &HashMap<String, Endpoint>, name: &str) -> Markup {
    let all = subscribers(endpoints, name);
    html! {
        section.panel {
            h2 { "Subscribers" }
            @if all.is_empty() {
                p.muted { "No endpoint wants it" @if endpoints.next_cursor.is_some() { ", of the newest " (endpoints.data.len()) } "." }
            } @else {
                div.list {
                    table {
                        caption {
                            (how_many(endpoints, name)) " in " (visitor.environment()) ", newest first."
                            @if all.len() > NAMED { " These are " (NAMED) " of them." }
                            @if endpoints.next_cursor.is_some() { " Only the newest " (endpoints.data.len()) " endpoints were looked through." }
                        }
                        thead { tr { th scope="col" { "State" } th scope="col" { "URL" } th scope="col" { "Partner" } th scope="col" { "Wants" } } }
                        tbody {
                            @for endpoint in all.iter().take(NAMED) {
                                tr {
                                    td.nowrap { (super::endpoints::health(visitor, healths.get(&endpoint.id).unwrap_or(endpoint))) }
                                    td { a.cut href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) title=(endpoint.url) { (endpoint.url) } }
                                    td { @if endpoint.partner == "*" { "all" } @else { (endpoint.partner) } }
                                    td { span.cut title=(endpoint.events.join(", ")) { (endpoint.events.join(", ")) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The partners that an example can be sent to: as many as are listed at once, for whoever
/// chooses one and may list them.
async fn partners(visitor: &Visitor) -> Result<Option<List<Partner>>, Trouble> {
    if !visitor.may(Permission::Operate) || !visitor.chooses_partner() || visitor.partner().is_some() {
        return Ok(None);
    }
    let limit = visitor.api.limits.page_max.to_string();
    visitor.get("/partners", About::Nobody, &[("limit", &limit)]).await.map(Some)
}

fn sending(visitor: &Visitor, path: &str, partners: Result<Option<List<Partner>>, Trouble>) -> Markup {
    // One that is being erased takes no events.
    let standing = |list: List<Partner>| {
        let names = list.data.into_iter().filter(|partner| partner.erasing.is_none()).map(|partner| partner.name);
        (names.collect::<Vec<String>>(), list.next_cursor.is_some())
    };
    let known = partners.ok().flatten().map(standing);
    if visitor.partner().is_none() && known.as_ref().is_some_and(|(names, has_more)| names.is_empty() && !has_more) {
        return html! {
            p { "The example can be sent once there is a partner whose endpoints get it." }
            p { a.button href=(visitor.address("/partners", None, &[])) { "Make a partner" } }
        };
    }
    html! {
        form.filters method="post" action=(visitor.to(&format!("{path}/send"), &[])) {
            (frame::token(visitor))
            @if visitor.chooses_partner() {
                label { span.small.muted { "To the endpoints of" }
                    @match &known {
                        Some((names, false)) => select name="to" {
                            @for name in names { option { (name) } }
                            option value="*" { "all partners" }
                        },
                        // Of more than are listed, or whoever may not list them.
                        _ => {
                            input type="text" name="to" value=[visitor.partner()] list="partners" placeholder="acme" maxlength="64" spellcheck="false" required;
                            @if let Some((names, _)) = &known { datalist #partners { @for name in names { option value=(name) {} } } }
                        }
                    }
                }
            }
            button { "Send the example" }
        }
        p.muted.small { "It is a real event in " (visitor.environment()) ": every endpoint that wants the type gets it." }
    }
}

/// Sends the example of a type as an event.
pub async fn send(posted: Posted, name: web::Path<String>) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let name = form.filled("type").map_or_else(|| name.into_inner(), str::to_owned);
    let back = visitor.to(&format!("/catalog/{}", segment(&name)), &[]);
    match sent(&visitor, &form, &name).await {
        Ok(accepted) if form.is_on("first") => {
            let said = format!("Accepted, for {}.", words::of(accepted.deliveries, "endpoint"));
            visitor.say(&visitor.address("", None, &[("first", "1")]), &said)
        }
        Ok(accepted) => {
            let said =
                format!("Accepted, for {}: this is what became of it.", words::of(accepted.deliveries, "endpoint"));
            visitor.say(&visitor.to(&format!("/events/{}", segment(&accepted.id)), &[]), &said)
        }
        failed => visitor.say_either(&back, failed, |_| String::new()),
    }
}

async fn sent(visitor: &Visitor, form: &Form, name: &str) -> Result<AcceptedEvent, Trouble> {
    let known = read(visitor, name).await?;
    let partner = form.filled("to").or(visitor.partner()).ok_or_else(|| Trouble {
        status: 422,
        title: "Nothing was sent".to_owned(),
        detail: "say whose endpoints are to get it".to_owned(),
        errors: Vec::new(),
    })?;
    inside::read(&visitor.post_event(partner, known.example.get()).await?)
}
