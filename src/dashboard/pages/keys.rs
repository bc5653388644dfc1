//! Keys: who may do what, since when, and when they last did. A new one is shown once.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::auth::Pass;
use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::{filters, head, nothing, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Key, List};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor, &Form::default(), &Mistakes::default()).await)
}

async fn build(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> Result<Page, Trouble> {
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let asked: Vec<(&str, &str)> = cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
    let found: List<Key> = visitor.get("/keys", About::Nobody, &asked).await?;
    let body = html! {
        (head("Keys", html! {}))
        (making(visitor, form, mistakes))
        div.list {
            @if found.data.is_empty() { (nothing(cursor.is_some(), &visitor.to("/keys", &[]), &none())) } @else { table {
                caption { "Newest first. A key is stored as its hash: nobody can look it up." }
                thead {
                    tr {
                        th scope="col" { "Key" } th scope="col" { "Role" } th scope="col" { "For" } th scope="col" { "Note" }
                        th.num scope="col" { "Made" } th.num scope="col" { "Last used" } th.num scope="col" { "Expires" } th scope="col" { "State" }
                    }
                }
                tbody { @for key in &found.data { (row(visitor, key)) } }
            } }
        }
        (frame::next(visitor, "/keys", &asked, found.next_cursor.as_deref()))
        (frame::as_call(visitor, "/keys", About::Nobody, &asked))
    };
    Ok(Page::new("Keys", body).about_all())
}

fn none() -> Markup {
    html! {
        p { "No key was made yet: you signed in with the one of the configuration." }
        p { "Make one for whoever posts events (producer), one for each partner, and one for each person who looks after this (operator)." }
    }
}

fn row(visitor: &Visitor, key: &Key) -> Markup {
    let has_ended = key.expires_at.is_some_and(|end| end.0 <= visitor.now);
    let is_mine = matches!(visitor.session.pass, Pass::Key(id) if id.to_string() == key.id);
    html! {
        tr id=(key.id) {
            td.nowrap { span.mono { (key.prefix) "…" } @if is_mine { span.muted { " (yours)" } } }
            td.nowrap { (key.role) }
            td { (key.partner.as_deref().unwrap_or("all partners")) @if let Some(environment) = &key.environment { span.muted { ", " (environment) } } }
            td { (key.description.as_deref().unwrap_or_default()) }
            td.num.nowrap data-l="made" { (words::time(key.created_at.0, visitor.now)) }
            td.num.nowrap data-l="used" { @match key.last_used_at { Some(at) => (words::time(at.0, visitor.now)), None => span.muted { "never" } } }
            td.num.nowrap data-l="expires" { (words::maybe_time(key.expires_at.map(|end| end.0), visitor.now)) }
            td {
                @if let Some(at) = key.revoked_at { (icons::state("discarded", "revoked")) " " span.muted { (words::time(at.0, visitor.now)) } }
                @else if has_ended { (icons::state("discarded", "expired")) }
                @else {
                    (frame::confirmed(
                        visitor,
                        &visitor.to(&format!("/keys/{}/revoke", segment(&key.id)), &[]),
                        "Revoke",
                        if is_mine { "You signed in with it: you will be signed out, and whoever else uses it is refused from then on." } else { "Whoever uses it is refused from then on. That cannot be undone." },
                        "Revoke 1 key",
                    ))
                }
            }
        }
    }
}

fn making(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> Markup {
    let chosen = |name: &str, value: &str| form.get(name).unwrap_or_default() == value;
    let input = |name: &str, label: &str, example: &str, hint: &str| {
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) type="text" name=(name) value=[form.get(name)] placeholder=(example) maxlength="512" spellcheck="false"
                    aria-invalid=[(!mistakes.at(name).is_empty()).then_some("true")] aria-describedby=(if hint.is_empty() { format!("{name}-wrong") } else { format!("{name}-hint {name}-wrong") });
                @if !hint.is_empty() { p.hint id={ (name) "-hint" } { (hint) } }
                div id={ (name) "-wrong" } { @for wrong in mistakes.at(name) { p.wrong { (wrong) } } }
            }
        }
    };
    html! {
        details open[!mistakes.is_empty()] {
            summary.button { "Make a key…" }
            form.panel method="post" action=(visitor.to("/keys", &[])) {
                (frame::token(visitor))
                @for wrong in mistakes.at("") { p.note.bad role="alert" { (wrong) } }
                div.field {
                    label for="role" { "Role" }
                    select #role name="role" {
                        @for (role, what) in [("partner", "partner: its endpoints, deliveries, replays"), ("producer", "producer: posts events"), ("operator", "operator: everything")] {
                            option value=(role) selected[chosen("role", role)] { (what) }
                        }
                    }
                    @for wrong in mistakes.at("role") { p.wrong { (wrong) } }
                }
                div.field {
                    label for="environment" { "Environment" }
                    select #environment name="environment" {
                        option value="" selected[chosen("environment", "")] { "production; of an operator, both" }
                        option value="production" selected[chosen("environment", "production")] { "production" }
                        option value="sandbox" selected[chosen("environment", "sandbox")] { "sandbox" }
                    }
                    @for wrong in mistakes.at("environment") { p.wrong { (wrong) } }
                }
                (input("for", "Partner", "acme; empty for a producer is all of them", ""))
                (input("description", "Note", "whose it is", ""))
                (input("expires_at", "Expires", "30d; empty is never", "In 30d or 12h, or at 2027-01-31 or 2027-01-31 12:00, which are UTC; a day is its beginning."))
                button.primary { "Make the key" }
            }
        }
    }
}

/// When a key is to end, as it was typed: `30d` is in so long, everything else as times are
/// typed elsewhere.
fn end(text: &str, now: Timestamp) -> Result<Timestamp, Mistakes> {
    let end = match filters::span(text) {
        Some(span) => Some(now + span),
        None => filters::time(text, now).parse().ok(),
    };
    let wrong = match end {
        Some(end) if end > now => return Ok(end),
        Some(_) => "is past: take a later time, or 30d for in 30 days".to_owned(),
        None => format!("`{text}` is no time: write 30d, 2027-01-31, 2027-01-31 12:00 or 2027-01-31T12:00:00Z"),
    };
    Err(Mistakes::one("expires_at", wrong))
}

/// Makes one, and shows it this once.
pub async fn create(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let mut wanted = Map::new();
    match form.filled("expires_at").map(|text| end(text, visitor.now)).transpose() {
        Ok(end) => wanted.extend(end.map(|end| ("expires_at".to_owned(), json!(end.to_string())))),
        Err(mistakes) => return refused(&visitor, &form, &mistakes).await,
    }
    for (field, name) in
        [("role", "role"), ("environment", "environment"), ("for", "partner"), ("description", "description")]
    {
        if let Some(value) = form.filled(field) {
            wanted.insert(name.to_owned(), json!(value));
        }
    }
    let made = visitor.send(Method::POST, "/keys", About::Nobody, Some(&Value::Object(wanted))).await;
    match made.and_then(|made| inside::read::<Key>(&made)) {
        Ok(made) => visitor.page(StatusCode::CREATED, &made_page(&visitor, &made)),
        Err(trouble) if trouble.status == 401 => visitor.answer(Err(trouble)),
        Err(mut trouble) => {
            for error in &mut trouble.errors {
                if error.pointer == "/partner" {
                    error.pointer = "/for".to_owned();
                }
            }
            let mistakes = Mistakes::of(&trouble, &["role", "environment", "for", "description", "expires_at"]);
            refused(&visitor, &form, &mistakes).await
        }
    }
}

/// The form again, with what is wrong in it.
async fn refused(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> HttpResponse {
    match build(visitor, form, mistakes).await {
        Ok(page) => visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

fn made_page(visitor: &Visitor, made: &Key) -> Page {
    let key = made.key.as_deref().unwrap_or_default();
    let body = html! {
        (head("The key is made", html! { a href=(visitor.to("/keys", &[])) { "To all keys" } }))
        section.panel {
            p.sentence { "This is the only time that it is shown: keep it now." }
            div.row { code.secret { (key) } (frame::copy(key)) }
            p.muted {
                "Role " (made.role) ", " (made.partner.as_deref().unwrap_or("all partners"))
                @if let Some(environment) = &made.environment { ", " (environment) } ". "
                @match made.expires_at {
                    Some(end) => { "It expires " (words::time(end.0, visitor.now)) ", at " (words::absolute(end.0)) "." }
                    None => "It does not expire.",
                }
            }
            p { "Whoever holds it can sign in here with it, too." }
        }
    };
    Page::new("The key is made", body).about_all()
}

/// Revokes one.
pub async fn revoke(posted: Posted, id: web::Path<String>) -> HttpResponse {
    let visitor = posted.visitor;
    let done: Result<_, Trouble> =
        visitor.send(Method::DELETE, &format!("/keys/{}", segment(&id)), About::Nobody, None).await;
    visitor.say_either(&visitor.to("/keys", &[]), done, |_| "Revoked: it opens nothing any more.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_people_type_them() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let read =
            |text: &str| end(text, now).map(|end| end.to_string()).map_err(|wrong| wrong.at("expires_at").to_vec());
        for (typed, expected) in [
            ("30d", "2023-12-14T22:13:20.000Z"),
            ("90m", "2023-11-14T23:43:20.000Z"),
            ("2026-12-31", "2026-12-31T00:00:00.000Z"),
            ("2026-12-31 12:00", "2026-12-31T12:00:00.000Z"),
            ("2026-12-31T12:00:00+01:00", "2026-12-31T11:00:00.000Z"),
        ] {
            assert_eq!(read(typed), Ok(expected.to_owned()), "{typed}");
        }
        for (typed, told) in
            [("2023-01-31", "is past"), ("0d", "is past"), ("2026-02-31", "is no time"), ("soon", "is no time")]
        {
            assert!(read(typed).is_err_and(|wrong| wrong[0].contains(told)), "{typed}: {:?}", read(typed));
        }
    }
}
