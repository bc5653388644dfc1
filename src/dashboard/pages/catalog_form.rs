//! Adding, changing and taking out an event type. What would come of it is checked and
//! shown before it can be saved: what may break, and which of the newest events it would
//! refuse. What was typed stays.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::auth::Permission;
use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::{catalog, head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{EventType, RecentEvents, TypeChecked};
use crate::dashboard::words;

/// The fields, as the API names them.
const FIELDS: [&str; 6] = ["name", "description", "schema", "example", "indexed", "retry"];
/// What the form is known by to buttons that stand outside of it.
const FORM: &str = "type";
/// What a new type begins with.
const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["event", "id"],
  "properties": {
    "id": { "type": ["string", "integer"] }
  }
}"#;

/// Which type.
#[derive(Clone, Copy)]
enum Kind<'a> {
    New,
    Change(&'a str),
}

impl Kind<'_> {
    fn title(self) -> String {
        match self {
            Self::New => "Add an event type".to_owned(),
            Self::Change(name) => format!("Change {name}"),
        }
    }

    fn is_new(self) -> bool {
        matches!(self, Self::New)
    }
}

/// The form of a new type.
pub fn new(visitor: &Visitor) -> HttpResponse {
    let mut form = Form::default();
    form.set("schema", SCHEMA);
    visitor.answer(Ok(drawn(visitor, Kind::New, &form, &Mistakes::default(), None)))
}

/// The form of one that there is.
pub async fn page(visitor: Visitor, name: web::Path<String>) -> HttpResponse {
    if !visitor.may(Permission::WriteEventTypes) {
        return visitor.answer(Err(refused()));
    }
    let page = catalog::read(&visitor, &name).await.and_then(|known| {
        if known.built_in {
            return Err(Trouble::not_found("this type is Posthaste's own, and is not changed"));
        }
        Ok(drawn(&visitor, Kind::Change(&known.name), &filled(&known), &Mistakes::default(), None))
    });
    visitor.answer(page)
}

fn refused() -> Trouble {
    let detail = "changing the catalog takes the role `operator`".to_owned();
    Trouble { status: 403, title: "Your key may not do this".to_owned(), detail, errors: Vec::new() }
}

/// What a form shows of a type as it is.
fn filled(known: &EventType) -> Form {
    let laid_out = |json: &str| match serde_json::from_str::<Value>(json) {
        Ok(value) => format!("{value:#}"),
        Err(_) => json.to_owned(),
    };
    let mut form = Form::default();
    form.set("description", &known.description);
    form.set("schema", laid_out(known.schema.get()));
    form.set("example", laid_out(known.example.get()));
    form.set("indexed", known.indexed.join(" "));
    form.set("retry", known.retry.as_ref().map(|retry| retry.get()).unwrap_or_default());
    form
}

/// What a form asks for, as the API takes it.
fn definition(form: &Form) -> Result<Value, Mistakes> {
    let read = |name: &str| match form.filled(name) {
        None => Ok(Value::Null),
        Some(text) => {
            serde_json::from_str(text).map_err(|error| Mistakes::one(name, format!("this is not JSON: {error}")))
        }
    };
    let required = |name: &str| match read(name)? {
        Value::Null => Err(Mistakes::one(name, "expected a JSON object")),
        value => Ok(value),
    };
    let pointers = form.get("indexed").unwrap_or_default().split([',', ' ', '\n', '\r', '\t']);
    let indexed: Vec<&str> = pointers.filter(|pointer| !pointer.is_empty()).collect();
    // A browser sends line breaks as two characters.
    let description = form.filled("description").unwrap_or_default().replace("\r\n", "\n");
    Ok(json!({
        "description": description,
        "schema": required("schema")?,
        "example": required("example")?,
        "retry": read("retry")?,
        "indexed": indexed,
    }))
}

/// What is known of a definition once it was checked: whoever saves another one has it
/// checked first.
fn digest(name: &str, definition: &Value) -> String {
    let digest = Sha256::digest(format!("{name}\n{definition}").as_bytes());
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks or adds one.
pub async fn create(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let name = form.filled("name").unwrap_or_default().to_owned();
    if name.is_empty() {
        let mistakes = Mistakes::one("name", "expected a name, such as `order.paid`");
        return wrong(&visitor, Kind::New, &form, &mistakes);
    }
    carry_out(&visitor, &form, &name, Kind::New).await
}

/// Checks or changes one.
pub async fn change(posted: Posted, name: web::Path<String>) -> HttpResponse {
    let Posted { visitor, form } = posted;
    carry_out(&visitor, &form, &name, Kind::Change(&name)).await
}

async fn carry_out(visitor: &Visitor, form: &Form, name: &str, kind: Kind<'_>) -> HttpResponse {
    let definition = match definition(form) {
        Ok(definition) => definition,
        Err(mistakes) => return wrong(visitor, kind, form, &mistakes),
    };
    let path = format!("/event-types/{}", segment(name));
    let digest = digest(name, &definition);
    let is_to_be_saved = form.get("do") == Some("save") && form.get("checked") == Some(digest.as_str());
    let done = if is_to_be_saved {
        visitor.send(Method::PUT, &path, About::These, Some(&definition)).await.map(|_| None)
    } else {
        let checked = visitor.send(Method::POST, &format!("{path}/check"), About::These, Some(&definition)).await;
        checked.and_then(|checked| inside::read::<TypeChecked>(&checked)).map(Some)
    };
    match done {
        Ok(None) => {
            let said = match kind {
                Kind::New => format!("Added: events of {name} are accepted from now on."),
                Kind::Change(_) => format!("Saved: events of {name} are checked against this from now on."),
            };
            visitor.say(&visitor.to(&format!("/catalog/{}", segment(name)), &[]), &said)
        }
        Ok(Some(checked)) if kind.is_new() && !checked.is_new => wrong(
            visitor,
            kind,
            form,
            &Mistakes::one("name", format!("there is a type `{name}` already: change that one")),
        ),
        Ok(Some(checked)) => {
            visitor.page(StatusCode::OK, &drawn(visitor, kind, form, &Mistakes::default(), Some((&checked, &digest))))
        }
        Err(trouble) if matches!(trouble.status, 401 | 403) => visitor.answer(Err(trouble)),
        Err(trouble) => wrong(visitor, kind, form, &mistakes_of(trouble)),
    }
}

fn wrong(visitor: &Visitor, kind: Kind<'_>, form: &Form, mistakes: &Mistakes) -> HttpResponse {
    visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &drawn(visitor, kind, form, mistakes, None))
}

/// What the API found wrong, at its field, and where in it.
fn mistakes_of(mut trouble: Trouble) -> Mistakes {
    for error in &mut trouble.errors {
        let below = error.pointer.trim_start_matches('/').split_once('/').map(|(_, below)| below.to_owned());
        if let Some(below) = below {
            error.detail = format!("/{below}: {}", error.detail);
        }
    }
    Mistakes::of(&trouble, &FIELDS)
}

fn drawn(
    visitor: &Visitor,
    kind: Kind<'_>,
    form: &Form,
    mistakes: &Mistakes,
    checked: Option<(&TypeChecked, &str)>,
) -> Page {
    let (to, back) = match kind {
        Kind::New => (visitor.to("/catalog", &[]), visitor.to("/catalog", &[])),
        Kind::Change(name) => {
            let path = format!("/catalog/{}", segment(name));
            (visitor.to(&format!("{path}/change"), &[]), visitor.to(&path, &[]))
        }
    };
    let body = html! {
        (head(&kind.title(), html! { a href=(back) { "Leave it as it is" } }))
        @if let Some((checked, _)) = checked { (verdict(visitor, checked)) }
        @if !mistakes.is_empty() { (not_checked(mistakes)) }
        form.panel id=(FORM) method="post" action=(to) {
            (frame::token(visitor))
            @if let Some((_, digest)) = checked { input type="hidden" name="checked" value=(digest); }
            @for wrong in mistakes.at("") { p.note.bad role="alert" { (wrong) } }
            @if kind.is_new() {
                (field(form, mistakes, "name", "Name", false, "Words of a-z, 0-9, _ and - with dots between them, such as order.paid. It cannot be changed later."))
            }
            (field(form, mistakes, "description", "What it says", false, "What has happened when it is posted; partners read it."))
            (field(form, mistakes, "schema", "JSON Schema", true, "Of the whole event, draft 2020-12. What breaks it is refused when it is posted."))
            (field(form, mistakes, "example", "Example", true, "An event that the schema accepts, with its name in event. It is what tests send."))
            (field(form, mistakes, "indexed", "Found by", false, "Up to 8 JSON pointers with blanks between them, such as /id /customer/number, by whose values its events are found."))
            (field(form, mistakes, "retry", "Retries", false, "A schedule such as {\"schedule_ms\": [5000, 60000]}, for endpoints without one of their own. Empty is the default."))
            button.primary[checked.is_none()] name="do" value="check" { "Check what would come of it" }
        }
    };
    Page::new(kind.title(), body)
}

/// That nothing came of it, above everything else, and where to look: the fields are higher
/// than a screen.
fn not_checked(mistakes: &Mistakes) -> Markup {
    let wrong: Vec<&str> = FIELDS.into_iter().filter(|name| !mistakes.at(name).is_empty()).collect();
    html! {
        p.note.bad #not-checked role="alert" {
            "Nothing was saved. What is wrong is said "
            @if wrong.is_empty() { "below." } @else {
                "at "
                @for (at, name) in wrong.iter().enumerate() { @if at > 0 { ", " } a href={ "#" (name) } { (name) } }
                "."
            }
        }
    }
}

/// The first field that something is wrong with: whoever comes back to the form begins there.
fn is_first_wrong(mistakes: &Mistakes, name: &str) -> bool {
    FIELDS.into_iter().find(|field| !mistakes.at(field).is_empty()) == Some(name)
}

fn field(form: &Form, mistakes: &Mistakes, name: &str, label: &str, is_long: bool, hint: &str) -> Markup {
    let is_wrong = !mistakes.at(name).is_empty();
    let is_first = is_first_wrong(mistakes, name);
    let described = if is_wrong { format!("{name}-wrong {name}-hint") } else { format!("{name}-hint") };
    html! {
        div.field {
            label for=(name) { (label) }
            @if is_long {
                // A browser takes a line break at the very beginning away.
                textarea.long id=(name) name=(name) spellcheck="false" autofocus[is_first] aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described) {
                    "\n" (form.get(name).unwrap_or_default())
                }
            } @else {
                input id=(name) name=(name) type="text" value=[form.get(name)] maxlength="2048" spellcheck="false" autofocus[is_first]
                    aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described);
            }
            @if is_wrong { div id={ (name) "-wrong" } { @for wrong in mistakes.at(name) { p.wrong { (wrong) } } } }
            p.hint id={ (name) "-hint" } { (hint) }
        }
    }
}

/// What would come of it, and the button that has it so.
fn verdict(visitor: &Visitor, checked: &TypeChecked) -> Markup {
    let is_the_same = !checked.is_new && checked.changed.is_empty();
    let label = match (checked.is_new, checked.recent.refused) {
        (true, _) => "Add 1 event type".to_owned(),
        (false, 0) => "Save 1 event type".to_owned(),
        (false, refused) => format!("Save 1 event type, though it would refuse {}", words::of(refused, "recent event")),
    };
    html! {
        section.panel #verdict role="status" {
            h2 { "What would come of it" }
            p.sentence {
                @if checked.is_new { "It is a new type: nobody has written against it yet." }
                @else if is_the_same { "Nothing: it is as it was." }
                @else { "Other than before: " (checked.changed.join(", ")) "." }
            }
            @if !checked.is_new && !is_the_same { (breaking(checked)) }
            (recent(visitor, &checked.recent))
            @if !is_the_same {
                div.actions { button.primary form=(FORM) name="do" value="save" { (label) } }
                p.muted.small { "Whatever is changed below is checked once more before it is saved." }
            }
        }
    }
}

fn breaking(checked: &TypeChecked) -> Markup {
    html! {
        @if checked.breaking.is_empty() {
            p { (icons::state("delivered", "breaks nothing")) " As far as schemas can be compared: whoever posts or receives it need not look." }
        } @else {
            div.list {
                table {
                    caption { "What may break those who wrote against the old one." }
                    thead { tr { th scope="col" { "Where" } th scope="col" { "What" } th scope="col" { "Whom" } } }
                    tbody {
                        @for found in &checked.breaking {
                            tr {
                                td { code { (found.pointer) } }
                                td { (words::marked(&found.detail)) }
                                td.nowrap { (whom(&found.whom)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn whom(word: &str) -> Markup {
    match word {
        "producers" => icons::state("failing", "producers"),
        "receivers" => icons::state("retrying", "receivers"),
        _ => icons::state("none", "look yourself"),
    }
}

fn recent(visitor: &Visitor, recent: &RecentEvents) -> Markup {
    html! {
        p {
            @match recent.oldest_at {
                None => { "There is no event of it to try it on." }
                Some(oldest) => {
                    "Of " @if recent.has_more { "the newest " } @else { "all " } (words::of(recent.looked_at, "event"))
                    " that " @if recent.looked_at == 1 { "is" } @else { "are" } " kept, accepted since " (words::time(oldest.0, visitor.now)) ", "
                    @if recent.refused == 0 { (icons::state("delivered", "none")) " would be refused." }
                    @else { (icons::state("failing", &words::count(recent.refused))) " would be refused." }
                }
            }
        }
        @if !recent.sample.is_empty() {
            div.list {
                table {
                    caption { "The newest that would be refused." }
                    thead { tr { th scope="col" { "Event" } th scope="col" { "Where" } th scope="col" { "Why" } th.num scope="col" { "Accepted" } } }
                    tbody {
                        @for refused in &recent.sample {
                            tr {
                                td.nowrap { a href=(visitor.to(&format!("/events/{}", segment(&refused.event)), &[])) { (words::id(&refused.event)) } }
                                td { code { (refused.pointer) } }
                                td.line2 { (words::marked(&refused.detail)) }
                                td.num.nowrap { (words::time(refused.accepted_at.0, visitor.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Takes one out.
pub async fn delete(posted: Posted, name: web::Path<String>) -> HttpResponse {
    let visitor = posted.visitor;
    let path = format!("/event-types/{}", segment(&name));
    let done = visitor.send(Method::DELETE, &path, About::These, None).await;
    let to = match &done {
        Ok(_) => visitor.to("/catalog", &[]),
        Err(_) => visitor.to(&format!("/catalog/{}", segment(&name)), &[]),
    };
    visitor.say_either(&to, done, |_| format!("Taken out: no event of {name} is accepted any more."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::inside::FieldTrouble;

    #[test]
    fn a_form_is_read_as_the_api_takes_it() {
        let form = Form::parse(
            b"description=+It+is+paid.+&schema=%7B%22type%22%3A%22object%22%7D&example=%7B%7D&indexed=%2Fid%2C+%2Fa%2Fb&retry=",
        );
        let read = definition(&form).expect("nothing is wrong");
        let expected = json!({
            "description": "It is paid.", "schema": { "type": "object" }, "example": {}, "retry": null, "indexed": ["/id", "/a/b"],
        });
        assert_eq!(read, expected);
        assert_eq!(digest("a", &read), digest("a", &expected));
        assert_ne!(digest("a", &read), digest("b", &read));
    }

    #[test]
    fn what_cannot_be_read_is_said_at_its_field() {
        for (form, field) in [
            ("schema=%7B&example=%7B%7D", "schema"),
            ("example=%7B%7D", "schema"),
            ("schema=%7B%7D&example=x", "example"),
            ("schema=%7B%7D&example=%7B%7D&retry=soon", "retry"),
        ] {
            let mistakes = definition(&Form::parse(form.as_bytes())).expect_err("it is wrong");
            assert_eq!(mistakes.at(field).len(), 1, "{form}");
        }
    }

    #[test]
    fn what_the_api_finds_stands_at_its_field_with_its_place() {
        let error = |pointer: &str| FieldTrouble { pointer: pointer.to_owned(), detail: "is wrong".to_owned() };
        let errors = vec![error("/schema/properties/a/type"), error("/indexed"), error("")];
        let trouble = Trouble { status: 422, title: "Bad".to_owned(), detail: "three".to_owned(), errors };
        let mistakes = mistakes_of(trouble);
        assert_eq!(mistakes.at("schema"), ["/properties/a/type: is wrong"]);
        assert_eq!(mistakes.at("indexed"), ["is wrong"]);
        assert_eq!(mistakes.at(""), ["is wrong"]);
    }
}
