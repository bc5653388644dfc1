//! Events: what came in, by filters. What comes in just now is in `tail`, and what was
//! not let in in `refused`.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::filters::{self, Filter};
use crate::dashboard::pages::{head, news, nothing, refused, segment, tail};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Event, Indexed, List, OutcomeCounts};
use crate::dashboard::words;

const PATH: &str = "/events";
/// The field that the form begins with: most types are indexed by it.
const FIRST_FIELD: &str = "/id";
/// What the list is narrowed by, beside a field: what it is called, and its parameter.
const FILTERS: [(&str, &[&str]); 4] =
    [("type", &["type"]), ("idempotency key", &["idempotency_key"]), ("since", &["since"]), ("until", &["until"])];
/// New ones that are counted.
const NEWS: &str = "30";

/// What the address asks for, as it is typed there and as the API takes it.
pub struct Asked {
    pub typed: Vec<(&'static str, String)>,
    pub api: Vec<(&'static str, String)>,
}

impl Asked {
    pub fn of(visitor: &Visitor) -> Self {
        let query = &visitor.query;
        let (mut typed, mut api) = (Vec::new(), Vec::new());
        for name in ["type", "idempotency_key", "since", "until", "cursor"] {
            let Some(value) = query.filled(name) else { continue };
            typed.push((name, value.to_owned()));
            let is_time = matches!(name, "since" | "until");
            api.push((name, if is_time { filters::time(value, visitor.now) } else { value.to_owned() }));
        }
        if let Some(value) = query.filled("value") {
            let at = query.filled("at").unwrap_or(FIRST_FIELD);
            typed.extend([("at", at.to_owned()), ("value", value.to_owned())]);
            api.push(("field", format!("{at}:{value}")));
        }
        Self { typed, api }
    }

    fn filters(&self) -> Vec<Filter<'static>> {
        let of = |name: &str| self.typed.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let mut filters = Vec::new();
        for (label, parameters) in FILTERS {
            let value = parameters.first().and_then(|name| of(name));
            filters.extend(value.map(|value| Filter { label, value, parameters }));
        }
        if let (Some(at), Some(value)) = (of("at"), of("value")) {
            filters.push(Filter { label: "field", value: format!("{at} = {value}"), parameters: &["at", "value"] });
        }
        filters
    }
}

/// Parameters as they are handed on.
pub fn pairs<'a>(asked: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    asked.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The page, and its other tabs.
pub async fn list(visitor: Visitor) -> HttpResponse {
    // What is asked for by its id is gone to.
    if let Some(id) = visitor.query.filled("id") {
        return answers::go(&visitor.to_one(&format!("{PATH}/{}", segment(id))));
    }
    visitor.answer(match visitor.query.get("tab") {
        Some("tail") => tail::build(&visitor).await,
        Some("refused") => refused::build(&visitor).await,
        _ => build(&visitor).await,
    })
}

/// What stands above each of the tabs.
pub fn tabs(visitor: &Visitor, here: &str, actions: Markup) -> Markup {
    html! {
        (head("Events", actions))
        nav.tabs aria-label="Which events" {
            @for (value, name) in [("", "Accepted"), ("tail", "Tail"), ("refused", "Refused")] {
                @let parameters: &[(&str, &str)] = if value.is_empty() { &[] } else { &[("tab", value)] };
                a href=(visitor.to(PATH, parameters)) aria-current=[(value == here).then_some("page")] { (name) }
            }
        }
    }
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let asked = Asked::of(visitor);
    let (typed, api) = (pairs(&asked.typed), pairs(&asked.api));
    let found: Result<List<Event>, Trouble> = visitor.get(PATH, About::These, &api).await;
    let in_use = asked.filters();
    let chips = filters::chips(visitor, PATH, &typed, &in_use);
    let yet = html! {
        p { "No event yet. Upstream systems post them; an example of a type can be sent from here." }
        @if visitor.may(Permission::PostEvents) { a.button href=(visitor.to("/catalog", &[])) { "Choose a type" } }
    };
    let body = html! {
        (tabs(visitor, "", html! { (news(0, false, "")) }))
        (form(visitor, found.as_ref().map_or(&[][..], |found| &found.data)))
        @match &found {
            // What was typed stays where it was typed.
            Err(trouble) => { (chips) (filters::times_unread(visitor).unwrap_or_else(|| answers::part(trouble))) }
            Ok(found) if found.data.is_empty() && in_use.is_empty() => div.list { (nothing(false, "", &yet)) },
            Ok(found) if found.data.is_empty() => {
                @let older = found.next_cursor.as_deref().map(|cursor| further(visitor, &typed, cursor));
                div.list { (filters::none_fits("event", &chips, older.as_deref())) }
            }
            Ok(found) => {
                (chips)
                div.list { (table(visitor, &found.data)) }
                (frame::next(visitor, PATH, &typed, found.next_cursor.as_deref()))
            }
        }
        (frame::as_call(visitor, PATH, About::These, &api))
    };
    let page = Page::new("Events", body);
    let is_first = visitor.query.get("cursor").is_none();
    Ok(match found.ok().filter(|_| is_first) {
        Some(found) => {
            let mut watched = typed;
            watched.extend(found.data.first().map(|first| ("top", first.id.as_str())));
            page.live(visitor.to("/live/events", &watched))
        }
        None => page,
    })
}

fn further(visitor: &Visitor, typed: &[(&str, &str)], cursor: &str) -> String {
    let kept = typed.iter().copied().filter(|(name, _)| *name != "cursor");
    visitor.to(PATH, &kept.chain([("cursor", cursor)]).collect::<Vec<_>>())
}

fn form(visitor: &Visitor, shown: &[Event]) -> Markup {
    let mut fields: Vec<&str> = shown.iter().flat_map(|event| &event.indexed).map(|one| one.pointer.as_str()).collect();
    fields.sort_unstable();
    fields.dedup();
    html! {
        form.filters action={ (ROOT) (PATH) } {
            (frame::carried(visitor))
            (filters::field(visitor, "type", "Type", "campaign.*"))
            label { span.small.muted { "Indexed field" }
                input type="text" name="at" list="fields" value=(visitor.query.filled("at").unwrap_or(FIRST_FIELD)) maxlength="256" spellcheck="false" autocomplete="off";
            }
            datalist #fields { @for field in fields { option value=(field) {} } }
            (filters::field(visitor, "value", "Its value", "cmp_1"))
            (filters::field(visitor, "since", "Since", "24h or 2026-01-31 12:00"))
            (filters::field(visitor, "until", "Until", "1h or 2026-01-31 13:00"))
            (filters::field(visitor, "idempotency_key", "Idempotency key", "order-4711"))
            (filters::field(visitor, "id", "Id", "evt_…"))
            button { "Filter" }
        }
    }
}

fn table(visitor: &Visitor, events: &[Event]) -> Markup {
    html! {
        table {
            caption { "Newest first. Outcomes are counted by endpoint." }
            (heads(true))
            tbody { @for event in events { (row(visitor, event, true)) } }
        }
    }
}

/// The names of the columns.
pub fn heads(has_outcomes: bool) -> Markup {
    html! {
        thead {
            tr {
                th scope="col" { "Accepted" } th scope="col" { "Event" } th scope="col" { "Type" }
                th scope="col" { "Found by" } th scope="col" { "Partner" }
                @if has_outcomes { th scope="col" { "Outcomes" } }
                th.num scope="col" { "Size" }
            }
        }
    }
}

/// A row. What has just come in has no outcome yet.
pub fn row(visitor: &Visitor, event: &Event, has_outcomes: bool) -> Markup {
    html! {
        tr id=(event.id) {
            td.nowrap.when { (words::time(event.accepted_at.0, visitor.now)) }
            td.nowrap { a href=(visitor.to_one(&format!("/events/{}", segment(&event.id)))) { (words::id(&event.id)) } }
            td { (event.event) }
            td { (indexed(&event.indexed)) }
            td { @if event.partner == "*" { "all" } @else { (event.partner) } }
            @if has_outcomes { td { (outcomes(event.outcomes.as_ref())) } }
            td.num.nowrap { (words::bytes(event.bytes)) }
        }
    }
}

/// The values that something is found by; the usual field needs no name.
pub fn indexed(values: &[Indexed]) -> Markup {
    html! {
        @for (at, one) in values.iter().enumerate() {
            @if at > 0 { " · " }
            @if one.pointer != FIRST_FIELD { span.muted { (one.pointer) " " } }
            span.mono title={ (one.pointer) " = " (one.value) } { (brief(&one.value)) }
        }
    }
}

/// A value as far as a row has room for it.
fn brief(value: &str) -> String {
    const CHARS: usize = 32;
    match value.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn outcomes(counts: Option<&OutcomeCounts>) -> Markup {
    let Some(counts) = counts else { return html! {} };
    let more = if counts.complete { "" } else { "+" };
    let kinds = [
        (counts.delivered, "delivered", "delivered"),
        (counts.pending, "pending", "pending"),
        (counts.retrying, "retrying", "retrying"),
        (counts.held, "held", "held"),
        (counts.retries_exhausted, "exhausted", "exhausted"),
        (counts.discarded, "discarded", "discarded"),
    ];
    html! {
        @if kinds.iter().all(|(count, ..)| *count == 0) { span.muted { @if counts.complete { "no endpoint" } @else { "see the event" } } }
        @for (count, kind, word) in kinds {
            @if count > 0 { (icons::state(kind, &format!("{}{more} {word}", words::count(count)))) " " }
        }
    }
}

/// How many are new.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::stream(visitor, &request, draw)
}

async fn draw(visitor: Visitor) -> Result<Parts, Trouble> {
    let asked = Asked::of(&visitor);
    let mut api = pairs(&asked.api);
    api.push(("limit", NEWS));
    let found: List<Event> = visitor.get(PATH, About::These, &api).await?;
    let top = visitor.query.get("top").unwrap_or_default();
    // Ids grow with time.
    let new = found.data.iter().filter(|event| event.id.as_str() > top).count();
    let is_more = new == found.data.len() && found.next_cursor.is_some();
    Ok(vec![("news", news(new, is_more, &visitor.to(PATH, &pairs(&asked.typed))))])
}
