//! For how long a partner's things are kept, and how all of it is erased.

use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::dashboard::answers;
use crate::dashboard::form::{self, Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::Retention;

/// What is kept, as the API names it and as people do.
const KEPT: [(&str, &str, &str); 4] = [
    ("payload_days", "Payloads", "Of events that no delivery needs any more."),
    ("attempts_days", "Attempts", "With what receivers answered."),
    ("held_days", "Held deliveries", "Those older than that are discarded."),
    ("exhausted_days", "Exhausted deliveries", "Those given up longer ago are discarded."),
];

fn at(visitor: &Visitor, name: &str, verb: &str) -> String {
    visitor.address(&format!("/partners/{}/{verb}", segment(name)), None, &[])
}

/// The settings of one, or what was typed and is wrong.
pub async fn section(visitor: &Visitor, name: &str, typed: Option<(&Form, &Mistakes)>) -> Markup {
    let found: Result<Retention, Trouble> = visitor.get("/retention", About::Partner(name), &[]).await;
    let found = match &found {
        Ok(found) => found,
        Err(trouble) => return answers::part(trouble),
    };
    let wrong = |field: &str| typed.map_or(&[][..], |(_, mistakes)| mistakes.at(field));
    let value = |field: &str| match typed {
        Some((form, _)) => form.get(field).unwrap_or_default().to_owned(),
        None => found.own.get(field).copied().flatten().map(|days| days.to_string()).unwrap_or_default(),
    };
    html! {
        h2 { "Kept in " (visitor.environment()) }
        form.panel #retention method="post" action=(at(visitor, name, "retention")) novalidate {
            (frame::token(visitor))
            @if typed.is_some() { p.note.bad role="alert" { "Nothing was saved. " @for wrong in wrong("") { (wrong) " " } } }
            p.muted { "In days. Empty is as its environment says, or " (found.retention_days) ", which is how long anything is kept. What is older than a new number is erased soon after." }
            @for (field, label, what) in KEPT {
                div.field {
                    label for=(field) { (label) }
                    input.small-number id=(field) type="text" inputmode="numeric" name=(field) value=(value(field)) placeholder=(found.effective.get(field).copied().unwrap_or(found.retention_days))
                        aria-invalid=[(!wrong(field).is_empty()).then_some("true")] aria-describedby={ (field) "-hint" };
                    @for wrong in wrong(field) { p.wrong id={ (field) "-wrong" } { (wrong) } }
                    p.hint id={ (field) "-hint" } { (what) " Now " (found.effective.get(field).copied().unwrap_or(found.retention_days)) " days." }
                }
            }
            button { "Save how long things are kept" }
        }
    }
}

/// Saves them.
pub async fn save(visitor: &Visitor, name: &str, form: &Form) -> HttpResponse {
    let to = visitor.address(&format!("/partners/{}", segment(name)), None, &[]);
    let mut days = Map::new();
    let mut wrong = None;
    for (field, ..) in KEPT {
        let Some(text) = form.filled(field) else { continue };
        match text.parse::<u64>() {
            Ok(number) => {
                days.insert(field.to_owned(), json!(number));
            }
            Err(_) => wrong = wrong.or(Some(Mistakes::one(field, format!("`{text}` is not a whole number of days")))),
        }
    }
    let wrong = match wrong {
        Some(wrong) => wrong,
        None => match visitor.send(Method::PUT, "/retention", About::Partner(name), Some(&Value::Object(days))).await {
            Ok(_) => return visitor.say(&to, "Saved. What is older than that is erased in the background."),
            Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
            Err(trouble) => Mistakes::of(&trouble, &KEPT.map(|(field, ..)| field)),
        },
    };
    let body = html! {
        (head(name, html! { a href=(to) { "To the partner" } }))
        (section(visitor, name, Some((form, &wrong))).await)
    };
    visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &Page::new(name.to_owned(), body))
}

/// How a partner is ended.
pub fn ending(visitor: &Visitor, name: &str) -> Markup {
    html! {
        h2 { "End" }
        div.actions {
            details.confirm {
                summary.button { "Erase…" }
                form method="post" action=(at(visitor, name, "erase")) {
                    (frame::token(visitor))
                    p { "Everything of " b { (name) } " goes for ever, in both environments: endpoints, events, deliveries, attempts, keys. Nothing brings it back. The audit log keeps that it was done." }
                    label { "Type its name: " input type="text" name="confirm" maxlength="64" autocomplete="off" spellcheck="false" required; }
                    button.danger { "Erase " (name) }
                }
            }
        }
    }
}

/// Begins to erase one, whose name was typed.
pub async fn erase(visitor: &Visitor, name: &str, form: &Form) -> HttpResponse {
    let to = visitor.address(&format!("/partners/{}", segment(name)), None, &[]);
    let typed = form.filled("confirm").unwrap_or_default();
    if typed != name {
        return visitor.say(&to, &format!("!Nothing was erased: what you typed is not `{name}`."));
    }
    let path = format!("/partners/{}{}", segment(name), form::query(&[("confirm", typed)]));
    let begun = visitor.send(Method::DELETE, &path, About::Nobody, None).await;
    visitor.say_either(&to, begun, |_| format!("It has begun: {name} is being erased."))
}
