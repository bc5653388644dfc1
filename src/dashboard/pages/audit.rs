//! The audit log: who changed what, and whether the log is whole.

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, nothing, segment};
use crate::dashboard::payload::pretty;
use crate::dashboard::visitor::{About, Posted, ROOT, Visitor};
use crate::dashboard::wire::{AuditEntry, AuditVerdict, List};
use crate::dashboard::words;

const FILTERS: [&str; 4] = ["action", "subject", "since", "until"];

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let asked: Vec<(&str, &str)> =
        FILTERS.iter().chain(&["cursor"]).filter_map(|name| Some((*name, visitor.query.filled(name)?))).collect();
    // Without a partner an operator sees everything: both environments, and what is nobody's.
    let about = if visitor.is_operator() && visitor.partner().is_none() { About::Nobody } else { About::These };
    let found: Result<List<AuditEntry>, Trouble> = visitor.get("/audit", about, &asked).await;
    let is_filtered = asked.iter().any(|(name, _)| *name != "cursor");
    let body = html! {
        (head("Audit", html! {
            @if visitor.may(Permission::Operate) { (frame::action(visitor, &visitor.to("/audit/verify", &[]), "Check the chain")) }
        }))
        form.filters action={ (ROOT) "/audit" } {
            (frame::carried(visitor))
            @for (name, label, example) in [
                ("action", "Action", "endpoint.paused"), ("subject", "About", "an id or a name"),
                ("since", "Since", "2026-01-31T12:00:00Z"), ("until", "Until", "2026-01-31T13:00:00Z"),
            ] {
                label { span.small.muted { (label) } input type="text" name=(name) value=[visitor.query.get(name)] placeholder=(example) maxlength="128" spellcheck="false"; }
            }
            button { "Filter" }
            @if is_filtered { a href=(visitor.to("/audit", &[])) { "Remove filters" } }
        }
        @match &found {
            Ok(found) if found.data.is_empty() => {
                div.list { (nothing(is_filtered, &visitor.to("/audit", &[]), &html! { p { "Nothing was changed yet." } })) }
            }
            Ok(found) => {
                (table(visitor, &found.data))
                (frame::next(visitor, "/audit", &asked, found.next_cursor.as_deref()))
            }
            Err(trouble) => (crate::dashboard::answers::part(trouble)),
        }
        (frame::as_call(visitor, "/audit", about, &asked))
    };
    let page = Page::new("Audit", body);
    Ok(if matches!(about, About::Nobody) { page.about_all() } else { page })
}

/// A table of entries.
pub fn table(visitor: &Visitor, entries: &[AuditEntry]) -> Markup {
    html! {
        div.list {
            table {
                caption { "Newest first." }
                thead {
                    tr {
                        th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "About" }
                        th scope="col" { "Where" } th scope="col" { "Detail" }
                    }
                }
                tbody {
                    @for entry in entries {
                        tr id={ "entry-" (entry.number) } {
                            td.nowrap { (words::time(entry.at.0, visitor.now)) }
                            td.nowrap { (entry.actor) @if let Some(key) = &entry.key { " " (words::id(key)) } @if let Some(address) = &entry.address { span.muted.small { " " (address) } } }
                            td.nowrap { b { (entry.action) } }
                            td { (subject(visitor, entry)) }
                            td { (entry.partner.as_deref().unwrap_or("")) @if let Some(environment) = &entry.environment { span.muted { " " (environment) } } }
                            td.line2 { @if entry.detail.get() != "{}" { details { summary { "show" } (pretty(entry.detail.get())) } } }
                        }
                    }
                }
            }
        }
    }
}

/// What it was done to, as a link where there is a page for it.
fn subject(visitor: &Visitor, entry: &AuditEntry) -> Markup {
    let kind = entry.subject.split_once('_').map_or("", |(kind, _)| kind);
    let room = match kind {
        "ep" => "/endpoints",
        "dlv" => "/deliveries",
        "evt" => "/events",
        _ => return words::id(&entry.subject),
    };
    let mut query = Vec::new();
    if visitor.chooses_environment() && entry.environment.as_deref() == Some("sandbox") {
        query.push(("env", "sandbox"));
    }
    let to = format!("{ROOT}{room}/{}{}", segment(&entry.subject), crate::dashboard::form::query(&query));
    html! { a href=(to) { (words::id(&entry.subject)) } }
}

/// Checks the whole chain.
pub async fn verify(posted: Posted) -> HttpResponse {
    let visitor = posted.visitor;
    let verdict: Result<AuditVerdict, Trouble> = visitor.get("/audit/verify", About::Nobody, &[]).await;
    let page = verdict.map(|verdict| {
        let body = html! {
            (head("The audit log's chain", html! { a href=(visitor.to("/audit", &[])) { "To the log" } }))
            section.panel {
                p.sentence {
                    @if verdict.intact {
                        (icons::state("delivered", "intact")) " All " (words::of(verdict.entries, "entry").replace("entrys", "entries")) " are as they were written."
                    } @else {
                        (icons::state("failing", "broken"))
                        " It does not fit from entry " (verdict.broken_at.unwrap_or_default()) " on: " (verdict.reason.as_deref().unwrap_or("no reason is known")) "."
                    }
                }
                dl.facts {
                    dt { "Entries" } dd { (words::count(verdict.entries)) }
                    dt { "Head" } dd { code { (verdict.head) } }
                }
                p.muted { "Note the number and the head elsewhere: a later check can be given both, and then finds whether entries were cut off." }
            }
        };
        Page::new("The audit log's chain", body).about_all()
    });
    visitor.answer(page)
}
