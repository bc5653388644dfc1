//! What a replay is asked for by: the form, and what it says as the API takes it. It only
//! asks; nothing is done before its answer was looked at.

use actix_web::{HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Number, Value, json};

use crate::auth::Permission;
use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{endpoint, filters, head, segment};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Endpoint, List};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// The fields, as the API names them.
pub const FIELDS: [&str; 8] = ["endpoints", "partners", "since", "until", "types", "status", "missing", "rate_limit"];
/// What an address says of a replay: the fields, and those of the form alone.
pub const SAID: [&str; 10] =
    ["endpoint", "endpoints", "partners", "since", "until", "types", "status", "missing", "rate_limit", CHOSEN];
/// How far back was chosen, in an address whose end of time was fixed and not typed: a form that
/// is shown again says what whoever pressed it had said.
pub const CHOSEN: &str = "chosen";
/// What it says there where nothing was chosen.
pub const TYPED: &str = "typed";
/// How events ended that are sent again.
const STATUSES: [(&str, &str); 3] =
    [("retries_exhausted", "exhausted: given up"), ("discarded", "discarded"), ("delivered", "delivered before")];
/// How far back, in words and milliseconds.
pub const WITHIN: [(&str, &str, i64); 5] = [
    ("", "as written below", 0),
    ("1h", "the last hour", 3_600_000),
    ("24h", "the last 24 hours", 86_400_000),
    ("7d", "the last 7 days", 604_800_000),
    ("all", "all that is kept", i64::MAX),
];
/// Endpoints that a partner chooses from.
const CHOICE: &str = "50";

/// The form for several endpoints, or for one that is to be chosen.
pub async fn new(visitor: Visitor) -> HttpResponse {
    let query = visitor.query.clone();
    visitor.answer(page(&visitor, None, &query, &Mistakes::default()).await)
}

/// The form for this endpoint.
pub async fn of_endpoint(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    let query = visitor.query.clone();
    let found = match endpoint::read(&visitor, &id).await {
        Ok(found) => page(&visitor, Some(&found), &query, &Mistakes::default()).await,
        Err(trouble) => Err(trouble),
    };
    visitor.answer(found)
}

/// What a form asks of the API, and what it finds wrong itself. What is left empty is the
/// default. What cannot be read stands in it as it was typed, so that the API refuses it and says
/// what else is wrong: all of it is told at once.
pub fn body(form: &Form, now: Timestamp) -> (Map<String, Value>, Mistakes) {
    let (mut fields, mut mistakes) = (Map::new(), Mistakes::default());
    for name in ["since", "until"] {
        if let Some(text) = form.filled(name) {
            if let Some(wrong) = filters::unread(text, now) {
                mistakes.add(name, wrong);
            }
            fields.insert(name.to_owned(), json!(text));
        }
    }
    for name in ["types", "endpoints", "partners"] {
        let words = list(form, name);
        if !words.is_empty() {
            fields.insert(name.to_owned(), json!(words));
        }
    }
    let statuses: Vec<&str> = form.all("status").filter(|status| !status.is_empty()).collect();
    let missing = form.is_on("missing");
    if statuses.is_empty() && !missing {
        mistakes.add("status", "tick what is to be sent again");
    }
    fields.insert("status".to_owned(), json!(statuses));
    fields.insert("missing".to_owned(), json!(missing));
    if let Some(text) = form.filled("rate_limit") {
        let number = text.parse::<Number>().map_or_else(
            |_| {
                mistakes.add("rate_limit", format!("`{text}` is not a number"));
                json!(text)
            },
            Value::Number,
        );
        fields.insert("rate_limit".to_owned(), json!({ "per_second": number }));
    }
    (fields, mistakes)
}

/// The form as it was before its times were fixed: what was not typed is not filled in.
pub fn as_typed(asked: &Form) -> Form {
    let Some(chosen) = asked.filled(CHOSEN) else { return asked.clone() };
    let mut form = Form::default();
    for name in SAID {
        let is_fixed = name == "until" || name == CHOSEN || (name == "since" && chosen != TYPED);
        if !is_fixed {
            asked.all(name).for_each(|value| form.set(name, value));
        }
    }
    form.set("within", if chosen == TYPED { "" } else { chosen });
    form
}

/// The words of a field, however they are told apart.
fn list<'a>(form: &'a Form, name: &str) -> Vec<&'a str> {
    let text = form.get(name).unwrap_or_default();
    text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()).collect()
}

/// The page of the form.
pub async fn page(
    visitor: &Visitor,
    endpoint: Option<&Endpoint>,
    form: &Form,
    mistakes: &Mistakes,
) -> Result<Page, Trouble> {
    if !visitor.may(Permission::RetryDeliveries) {
        return Err(Trouble::not_allowed("replays are begun by `partner` or `operator` keys"));
    }
    let whose = match endpoint {
        Some(endpoint) => html! {
            input type="hidden" name="endpoint" value=(endpoint.id);
            p.sentence { "To " a href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) { (endpoint.url) } }
        },
        None if visitor.may(Permission::Operate) => several(visitor, form, mistakes),
        None => choice(visitor, mistakes).await?,
    };
    let body = html! {
        (head("Replay events", html! { a href=(visitor.to("/replays", &[])) { "All replays" } }))
        form.panel action={ (ROOT) "/replays/look" } {
            (frame::carried(visitor))
            @if !mistakes.is_empty() {
                p.note.bad role="alert" {
                    "Nothing was begun: "
                    @if mistakes.at("").is_empty() { "what is wrong stands beside its field." }
                    @for wrong in mistakes.at("") { (words::marked(wrong)) " " }
                }
            }
            (whose)
            (states(form, mistakes))
            (when(form, mistakes))
            (field(form, mistakes, "types", "Event types", "campaign.*", "Names or patterns; empty is all of them."))
            (field(form, mistakes, "rate_limit", "Deliveries a second", "50", "At most. Empty is as many as its endpoints keep up with: it is never more than that."))
            button.primary { "Look first" }
            p.muted { "It counts what it would do, and does nothing yet." }
        }
    };
    Ok(Page::new("Replay events", body))
}

fn several(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> Markup {
    let hint = match visitor.partner() {
        Some(partner) => format!("Ids. With neither endpoints nor partners it is for all of {partner}."),
        None => "Ids; or name partners, whose all are meant.".to_owned(),
    };
    html! {
        (field(form, mistakes, "endpoints", "Endpoints", "ep_… ep_…", &hint))
        (field(form, mistakes, "partners", "Partners", "acme globex", "All endpoints of these partners."))
    }
}

async fn choice(visitor: &Visitor, mistakes: &Mistakes) -> Result<Markup, Trouble> {
    let found: List<Endpoint> = visitor.get("/webhook", About::These, &[("limit", CHOICE)]).await?;
    let chosen = visitor.query.get("endpoint").unwrap_or_default();
    Ok(html! {
        div.field {
            label for="endpoint" { "Endpoint" }
            select #endpoint name="endpoint" {
                @for endpoint in &found.data { option value=(endpoint.id) selected[endpoint.id == chosen] { (endpoint.url) } }
            }
            @if found.data.is_empty() { p.hint { "There is none yet." } }
            (wrong(mistakes, "endpoints"))
            @if found.next_cursor.is_some() { p.hint { "These are the newest; of others, begin on the endpoint's page." } }
        }
    })
}

fn states(form: &Form, mistakes: &Mistakes) -> Markup {
    // Whoever has said nothing yet means what went wrong.
    let is_new = form.get("status").is_none() && !form.is_on("missing");
    let ticked =
        |status: &str| form.all("status").any(|known| known == status) || (is_new && status == "retries_exhausted");
    html! {
        fieldset.field {
            legend.legend { "What is sent again" }
            div.boxes {
                @for (status, word) in STATUSES {
                    label { input type="checkbox" name="status" value=(status) checked[ticked(status)]; (word) }
                }
                label { input type="checkbox" name="missing" value="on" checked[form.is_on("missing")]; "missing: never sent there" }
            }
            p.hint { "By the newest delivery of each event. What is still on its way is never meant. Missing are events from before the endpoint was made, or wanted their type." }
            (wrong(mistakes, "status"))
            (wrong(mistakes, "missing"))
        }
    }
}

fn when(form: &Form, mistakes: &Mistakes) -> Markup {
    let has_times = form.filled("since").is_some() || form.filled("until").is_some();
    let chosen = form.get("within").unwrap_or(if has_times { "" } else { "24h" });
    html! {
        div.field {
            label for="within" { "Accepted within" }
            select #within name="within" {
                @for (value, word, _) in WITHIN { option value=(value) selected[value == chosen] { (word) } }
            }
        }
        (field(form, mistakes, "since", "Accepted since", "24h or 2026-01-31 12:00", "UTC, or so long ago. Where a time is written here or below, it counts, and the choice above does not."))
        (field(form, mistakes, "until", "Accepted before", "1h or 2026-01-31 13:00", "Empty is now."))
    }
}

fn wrong(mistakes: &Mistakes, name: &str) -> Markup {
    html! { @if !mistakes.at(name).is_empty() { div id={ (name) "-wrong" } { @for wrong in mistakes.at(name) { p.wrong { (words::marked(wrong)) } } } } }
}

fn field(form: &Form, mistakes: &Mistakes, name: &str, label: &str, example: &str, hint: &str) -> Markup {
    let is_wrong = !mistakes.at(name).is_empty();
    let described = if is_wrong { format!("{name}-wrong {name}-hint") } else { format!("{name}-hint") };
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="text" value=[form.get(name)] placeholder=(example) maxlength="8000" spellcheck="false"
                autocomplete="off" aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described);
            (wrong(mistakes, name))
            p.hint id={ (name) "-hint" } { (hint) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_the_api_takes_it() {
        let form = Form::parse(
            b"endpoints=ep_1%2C+ep_2&partners=&types=a.*+b.c&status=delivered&status=discarded&missing=on&rate_limit=50&until=2026-01-31T00:00:00Z&since=+",
        );
        let expected = json!({
            "until": "2026-01-31T00:00:00Z", "types": ["a.*", "b.c"], "endpoints": ["ep_1", "ep_2"], "status": ["delivered", "discarded"],
            "missing": true, "rate_limit": { "per_second": 50 },
        });
        let (read, mistakes) = body(&form, Timestamp::from_millis(1_700_000_000_000));
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!(Value::Object(read), expected);
    }

    #[test]
    fn what_cannot_be_read_is_said_at_its_field() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        for (form, fields) in [
            ("types=a", vec!["status"]),
            ("status=delivered&rate_limit=fast", vec!["rate_limit"]),
            ("since=banana&until=today&rate_limit=fast", vec!["since", "until", "status", "rate_limit"]),
        ] {
            let (_, mistakes) = body(&Form::parse(form.as_bytes()), now);
            for field in fields {
                assert_eq!(mistakes.at(field).len(), 1, "{form}: {field}");
            }
        }
    }

    #[test]
    fn a_form_that_is_shown_again_says_what_was_typed() {
        let typed = |query: &str| as_typed(&Form::parse(query.as_bytes()));
        let fixed = "endpoint=ep_1&since=2026-01-30T00:00:00Z&until=2026-01-31T00:00:00Z&types=a..b";
        let again = typed(&format!("{fixed}&chosen=24h"));
        assert_eq!((again.get("since"), again.get("until"), again.get("within")), (None, None, Some("24h")));
        assert_eq!((again.get("types"), again.get("endpoint")), (Some("a..b"), Some("ep_1")));
        let again = typed(&format!("{fixed}&chosen=typed"));
        assert_eq!(
            (again.get("since"), again.get("until"), again.get("within")),
            (Some("2026-01-30T00:00:00Z"), None, Some(""))
        );
        assert_eq!(typed(fixed).get("until"), Some("2026-01-31T00:00:00Z"), "that was typed");
    }
}
