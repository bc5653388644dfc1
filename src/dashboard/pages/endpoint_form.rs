//! The form of an endpoint's settings: its fields, what they say as the API takes it,
//! and what is wrong with each, beside it. What was typed stays.

use maud::{Markup, html};
use serde_json::{Map, Number, Value, json};

use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{choosing, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Endpoint, EventType, List};
use crate::dashboard::words;

/// The fields, as the API names them.
pub const FIELDS: [&str; 12] = [
    "url",
    "events",
    "description",
    "headers",
    "max_concurrency",
    "timeout_ms",
    "rate_limit",
    "ordering",
    "retry",
    "filter",
    "disable_on_gone",
    "partner",
];

/// Which endpoint.
pub enum Kind<'a> {
    /// One that is to be made.
    New,
    /// One that there is.
    Change(&'a Endpoint),
}

/// The types that can be ticked.
pub async fn types(visitor: &Visitor) -> Result<Vec<EventType>, Trouble> {
    let limit = visitor.api.limits.page_max.to_string();
    let found: List<EventType> = visitor.get("/event-types", About::These, &[("limit", &limit)]).await?;
    Ok(found.data)
}

/// What a form shows of an endpoint as it is set.
pub fn filled(endpoint: &Endpoint) -> Form {
    let mut form = Form::default();
    form.set("url", &endpoint.url);
    for event in &endpoint.events {
        form.set("events", event);
    }
    form.set("description", endpoint.description.as_deref().unwrap_or_default());
    form.set("max_concurrency", endpoint.max_concurrency.to_string());
    form.set("timeout_ms", endpoint.timeout_ms.to_string());
    form.set("rate_limit", endpoint.rate_limit.as_ref().map(|limit| limit.per_second.to_string()).unwrap_or_default());
    form.set("retry", endpoint.retry.as_ref().map(|retry| retry.get()).unwrap_or_default());
    form.set("filter", endpoint.filter.as_ref().map(|filter| filter.get()).unwrap_or_default());
    match &endpoint.ordering {
        Value::String(word) => form.set("ordering", word),
        other => {
            form.set("ordering", "by");
            form.set("ordering_by", other["by"].as_str().unwrap_or_default());
        }
    }
    if endpoint.disable_on_gone {
        form.set("disable_on_gone", "on");
    }
    form
}

/// What a form asks for, and what it finds wrong itself. What is left empty is the default, or,
/// of headers, as it is. What cannot be read stands in it as the text that it is, which the API
/// takes for none of these fields: so it refuses it, and says in the same answer what else is
/// wrong.
pub fn settings(form: &Form, kind: &Kind<'_>) -> (Map<String, Value>, Mistakes) {
    let (mut fields, mut wrong) = (Map::new(), Mistakes::default());
    fields.insert("url".to_owned(), json!(form.filled("url").unwrap_or_default()));
    let patterns = form.get("patterns").unwrap_or_default().split([',', ' ', '\n', '\r', '\t']);
    let mut events: Vec<&str> = Vec::new();
    for event in form.all("events").chain(patterns).map(str::trim).filter(|event| !event.is_empty()) {
        if !events.contains(&event) {
            events.push(event);
        }
    }
    if events.is_empty() {
        wrong.add("events", "tick a type, or write a pattern such as `campaign.*` or `*`");
    }
    fields.insert("events".to_owned(), json!(events));
    fields.insert("description".to_owned(), form.filled("description").map_or(Value::Null, |text| json!(text)));
    for name in ["max_concurrency", "timeout_ms"] {
        fields.insert(name.to_owned(), number(form, name, &mut wrong));
    }
    let rate = match number(form, "rate_limit", &mut wrong) {
        Value::Null => Value::Null,
        rate => json!({ "per_second": rate }),
    };
    fields.insert("rate_limit".to_owned(), rate);
    for name in ["retry", "filter"] {
        let value = match form.filled(name) {
            None => Value::Null,
            Some(text) => serde_json::from_str(text).unwrap_or_else(|error| {
                wrong.add(name, format!("this is not JSON: {error}"));
                json!(text)
            }),
        };
        fields.insert(name.to_owned(), value);
    }
    let ordering = match form.get("ordering") {
        Some("by") => json!({ "by": form.filled("ordering_by").unwrap_or_default() }),
        Some(word) if !word.is_empty() => json!(word),
        _ => Value::Null,
    };
    fields.insert("ordering".to_owned(), ordering);
    fields.insert("disable_on_gone".to_owned(), json!(form.is_on("disable_on_gone")));
    if let Some(text) = form.filled("headers") {
        fields.insert("headers".to_owned(), headers(text, &mut wrong));
    } else if matches!(kind, Kind::Change(_)) && form.is_on("no_headers") {
        fields.insert("headers".to_owned(), json!({}));
    }
    (fields, wrong)
}

fn number(form: &Form, name: &str, wrong: &mut Mistakes) -> Value {
    let Some(text) = form.filled(name) else { return Value::Null };
    text.parse::<Number>().map_or_else(
        |_| {
            wrong.add(name, format!("`{text}` is not a number"));
            json!(text)
        },
        Value::Number,
    )
}

fn headers(text: &str, wrong: &mut Mistakes) -> Value {
    let (mut headers, mut is_read) = (Map::new(), true);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) => {
                headers.insert(name.trim().to_owned(), json!(value.trim()));
            }
            None => {
                wrong.add("headers", format!("`{line}` is not of the form `name: value`"));
                is_read = false;
            }
        }
    }
    if is_read { Value::Object(headers) } else { json!(text) }
}

/// The form.
pub fn form(visitor: &Visitor, kind: &Kind<'_>, form: &Form, mistakes: &Mistakes, types: &[EventType]) -> Markup {
    let to = match kind {
        Kind::New => visitor.to("/endpoints", &[]),
        Kind::Change(endpoint) => visitor.to_one(&format!("/endpoints/{}/settings", segment(&endpoint.id))),
    };
    let is_new = matches!(kind, Kind::New);
    let rare =
        ["max_concurrency", "timeout_ms", "rate_limit", "ordering", "retry", "filter", "headers", "disable_on_gone"];
    let is_open = !is_new || rare.iter().any(|name| !mistakes.at(name).is_empty());
    html! {
        form.panel method="post" action=(to) novalidate {
            (frame::token(visitor))
            @if !mistakes.is_empty() {
                p.note.bad role="alert" {
                    "Nothing was saved: "
                    @if mistakes.at("").is_empty() { "what is wrong stands beside its field." }
                    @for wrong in mistakes.at("") { (words::marked(wrong)) " " }
                }
            }
            (text(form, mistakes, "url", "URL", "url", "https://example.com/hooks", "Where events are posted to."))
            @if is_new && visitor.chooses_partner() {
                (text(&with_partner(visitor, form), mistakes, "partner", "Partner", "text", "default", "Whose endpoint it is."))
            }
            (events(visitor, kind, form, mistakes, types))
            (text(form, mistakes, "description", "Description", "text", "", "For people; may be empty."))
            details open[is_open] {
                summary { "Pace, order, retries, filter, headers" }
                div.panel-list {
                    (text(form, mistakes, "max_concurrency", "Requests at once", "text", "8", "Empty is the default."))
                    (text(form, mistakes, "rate_limit", "Requests a second", "text", "", "Empty is as many as the receiver keeps up with."))
                    (text(form, mistakes, "timeout_ms", "Timeout in ms", "text", "15000", "Of a whole attempt."))
                    (ordering(form, mistakes))
                    (area(form, mistakes, "retry", "Retries", r#"{ "schedule_ms": [5000, 60000] }"#, "As JSON. Empty is the event type's schedule, or 14 retries over about 24 hours."))
                    (area(form, mistakes, "filter", "Filter", r#"{ "properties": { "provider": { "const": "facebook" } } }"#, "A JSON Schema that events must fit. Empty takes all of its types."))
                    (area(form, mistakes, "headers", "Headers", "x-tenant: 42", if is_new { "One `name: value` a line." } else { "One `name: value` a line. Empty keeps those that there are: their values are not shown." }))
                    @if let Kind::Change(endpoint) = kind {
                        @if !endpoint.headers.is_empty() {
                            label.box { input type="checkbox" name="no_headers"; "Remove all headers: " (endpoint.headers.keys().cloned().collect::<Vec<_>>().join(", ")) }
                        }
                    }
                    label.box { input type="checkbox" name="disable_on_gone" checked[form.is_on("disable_on_gone")]; "An answer of 410 Gone disables it" }
                }
            }
            @if let Kind::Change(endpoint) = kind {
                p.muted {
                    "Settings number " (endpoint.version) ", saved " (words::time(endpoint.updated_at.0, visitor.now))
                    "; the endpoint was made " (words::time(endpoint.created_at.0, visitor.now)) "."
                    @if let Some(certificate) = &endpoint.client_certificate {
                        " It shows the client certificate " (certificate.subject.as_deref().unwrap_or("without a name"))
                        ", good until " (words::absolute(certificate.not_after.0)) "."
                    }
                }
            }
            button.primary { @if is_new { "Make the endpoint" } @else { "Save the settings" } }
        }
    }
}

fn with_partner(visitor: &Visitor, form: &Form) -> Form {
    let mut form = form.clone();
    if form.get("partner").is_none() {
        form.set("partner", visitor.partner().unwrap_or("default"));
    }
    form
}

fn events(visitor: &Visitor, kind: &Kind<'_>, form: &Form, mistakes: &Mistakes, types: &[EventType]) -> Markup {
    let ticked: Vec<&str> = form.all("events").collect();
    let patterns: Vec<&str> =
        ticked.iter().copied().filter(|event| !types.iter().any(|known| known.name == *event)).collect();
    let patterns = form.get("patterns").map_or_else(|| patterns.join(" "), str::to_owned);
    html! {
        fieldset.field aria-describedby="events-hint" {
            legend.legend { "Event types" }
            // Whoever makes an endpoint sees what each is; whoever changes one knows.
            @if matches!(kind, Kind::New) { (choosing::boxes(visitor, types, &ticked)) }
            @else { div.boxes {
                @for known in types {
                    label title=(known.description) {
                        input type="checkbox" name="events" value=(known.name) checked[ticked.contains(&known.name.as_str())];
                        (known.name)
                    }
                }
            } }
            input type="text" name="patterns" value=(patterns) placeholder="campaign.*" aria-label="Patterns" spellcheck="false";
            p.hint #events-hint { "Or patterns: " code { "campaign.*" } ", or " code { "*" } " for all that there are and will be." }
            (wrong(mistakes, "events"))
        }
    }
}

fn ordering(form: &Form, mistakes: &Mistakes) -> Markup {
    let chosen = form.get("ordering").unwrap_or("none");
    html! {
        div.field {
            label for="ordering" { "Order" }
            select #ordering name="ordering" {
                @for (value, word) in [("none", "none: as fast as they can"), ("fifo", "one after the other"), ("by", "one after the other where a field is the same")] {
                    option value=(value) selected[value == chosen] { (word) }
                }
            }
            input type="text" name="ordering_by" value=[form.get("ordering_by")] placeholder="/id" aria-label="The field, as a JSON pointer" spellcheck="false";
            p.hint { "The field is a JSON pointer, and only used with the last choice." }
            (wrong(mistakes, "ordering"))
        }
    }
}

fn wrong(mistakes: &Mistakes, name: &str) -> Markup {
    html! { @if !mistakes.at(name).is_empty() { div id={ (name) "-wrong" } { @for wrong in mistakes.at(name) { p.wrong { (words::marked(wrong)) } } } } }
}

fn described(mistakes: &Mistakes, name: &str) -> String {
    if mistakes.at(name).is_empty() { format!("{name}-hint") } else { format!("{name}-wrong {name}-hint") }
}

fn text(form: &Form, mistakes: &Mistakes, name: &str, label: &str, kind: &str, example: &str, hint: &str) -> Markup {
    let is_wrong = !mistakes.at(name).is_empty();
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=[form.get(name)] placeholder=(example) maxlength="2048" spellcheck="false"
                aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described(mistakes, name));
            (wrong(mistakes, name))
            p.hint id={ (name) "-hint" } { (words::marked(hint)) }
        }
    }
}

fn area(form: &Form, mistakes: &Mistakes, name: &str, label: &str, example: &str, hint: &str) -> Markup {
    let is_wrong = !mistakes.at(name).is_empty();
    html! {
        div.field {
            label for=(name) { (label) }
            // A browser takes a line break at the very beginning away.
            textarea id=(name) name=(name) placeholder=(example) spellcheck="false"
                aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described(mistakes, name)) { "\n" (form.get(name).unwrap_or_default()) }
            (wrong(mistakes, name))
            p.hint id={ (name) "-hint" } { (words::marked(hint)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_the_api_takes_it() {
        let form = Form::parse(
            b"url=https%3A%2F%2Fx%2F&events=a.b&patterns=c.*%2C+a.b&rate_limit=2.5&retry=%7B%22schedule_ms%22%3A%5B1%5D%7D\
              &ordering=by&ordering_by=%2Fid&headers=x-a%3A+1%0D%0Ax-b%3A2%3A3&disable_on_gone=on",
        );
        let (read, wrong) = settings(&form, &Kind::New);
        assert!(wrong.is_empty(), "{wrong:?}");
        let expected = json!({
            "url": "https://x/", "events": ["a.b", "c.*"], "description": null, "max_concurrency": null, "timeout_ms": null,
            "rate_limit": { "per_second": 2.5 }, "retry": { "schedule_ms": [1] }, "filter": null, "ordering": { "by": "/id" },
            "disable_on_gone": true, "headers": { "x-a": "1", "x-b": "2:3" },
        });
        assert_eq!(Value::Object(read), expected);
    }

    #[test]
    fn what_cannot_be_read_is_said_at_its_field() {
        for (form, field) in [
            ("url=x", "events"),
            ("events=a&timeout_ms=soon", "timeout_ms"),
            ("events=a&retry=%7B", "retry"),
            ("events=a&headers=none", "headers"),
        ] {
            let (_, mistakes) = settings(&Form::parse(form.as_bytes()), &Kind::New);
            assert_eq!(mistakes.at(field).len(), 1, "{form}");
        }
        // All of it at once, and as it was typed, so that the API takes none of it.
        let form = b"url=x&timeout_ms=soon&rate_limit=fast&retry=%7B&filter=no&headers=none%0Ax-a:1%0Aneither";
        let (read, mistakes) = settings(&Form::parse(form), &Kind::New);
        for (field, count) in
            [("events", 1), ("timeout_ms", 1), ("rate_limit", 1), ("retry", 1), ("filter", 1), ("headers", 2)]
        {
            assert_eq!(mistakes.at(field).len(), count, "{field}");
        }
        let kept =
            json!({ "timeout_ms": "soon", "rate_limit": { "per_second": "fast" }, "retry": "{", "filter": "no" });
        for (name, value) in kept.as_object().expect("it is one") {
            assert_eq!(&read[name], value, "{name}");
        }
    }
}
