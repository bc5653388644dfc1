//! The catalog: which events may be sent, what they look like, and an example to send.

use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::form::Form;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::{head, nothing, schema, segment};
use crate::dashboard::payload::pretty;
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{AcceptedEvent, EventType, List};
use crate::dashboard::words;

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let built_in = if visitor.query.get("built_in") == Some("true") { "true" } else { "false" };
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let mut asked = vec![("built_in", built_in)];
    asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let found: List<EventType> = visitor.get("/event-types", About::These, &asked).await?;
    let yet = html! { p { "No event type yet: an operator adds one with " code { "PUT /event-types/{name}" } "." } };
    let body = html! {
        (head("Catalog", html! {
            nav.tabs aria-label="Whose types" {
                a href=(visitor.to("/catalog", &[])) aria-current=[(built_in == "false").then_some("page")] { "What is sent" }
                a href=(visitor.to("/catalog", &[("built_in", "true")])) aria-current=[(built_in == "true").then_some("page")] { "What Posthaste says" }
            }
        }))
        div.list {
            @if found.data.is_empty() { (nothing(false, "", &yet)) } @else {
                table {
                    caption { "By name, in " (visitor.environment()) "." }
                    thead { tr { th scope="col" { "Type" } th scope="col" { "What it says" } } }
                    tbody {
                        @for known in &found.data {
                            tr {
                                td.nowrap { a href=(visitor.to(&format!("/catalog/{}", segment(&known.name)), &[])) { (known.name) } }
                                td.line2 { (known.description) }
                            }
                        }
                    }
                }
            }
        }
        (frame::next(visitor, "/catalog", &asked, found.next_cursor.as_deref()))
        (frame::as_call(visitor, "/event-types", About::These, &asked))
    };
    Ok(Page::new("Catalog", body))
}

async fn read(visitor: &Visitor, name: &str) -> Result<EventType, Trouble> {
    visitor.get(&format!("/event-types/{}", segment(name)), About::These, &[]).await
}

/// One type.
pub async fn one(visitor: Visitor, name: web::Path<String>) -> HttpResponse {
    visitor.answer(build_one(&visitor, &name).await)
}

async fn build_one(visitor: &Visitor, name: &str) -> Result<Page, Trouble> {
    let known = read(visitor, name).await?;
    let path = format!("/catalog/{}", segment(&known.name));
    let is_raw = visitor.query.get("view") == Some("raw");
    let body = html! {
        div.head { h1 { (known.name) } div.row { (frame::copy(&known.name)) } }
        p.sentence { (known.description) }
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
                @if let Some(retry) = &known.retry { h3 { "Its schedule of retries" } (pretty(retry.get())) }
                @if visitor.may(Permission::PostEvents) && !known.built_in { (sending(visitor, &path)) }
            }
        }
        (frame::as_call(visitor, &format!("/event-types/{}", segment(&known.name)), About::These, &[]))
    };
    Ok(Page::new(known.name.clone(), body))
}

fn sending(visitor: &Visitor, path: &str) -> Markup {
    html! {
        form.filters method="post" action=(visitor.to(&format!("{path}/send"), &[])) {
            (frame::token(visitor))
            @if visitor.chooses_partner() {
                label { span.small.muted { "To the endpoints of" }
                    input type="text" name="to" value=(visitor.partner().unwrap_or("default")) maxlength="64" spellcheck="false" required;
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
    let partner = form.filled("to").or(visitor.partner()).unwrap_or("default");
    inside::read(&visitor.post_event(partner, known.example.get()).await?)
}
