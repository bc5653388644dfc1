//! Deliveries: a list with filters. Several that are ticked, or all that match, are retried
//! at once (`retrying`).

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::bulk::{self, Bar, Deed};
use crate::dashboard::pages::events::pairs;
use crate::dashboard::pages::filters::{self, Filter};
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::{head, news, nothing, outcome, segment};
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::wire::{Delivery, List};
use crate::dashboard::words;

const PATH: &str = "/deliveries";
const STATUSES: [(&str, &str); 7] = [
    ("", "any"),
    ("pending", "pending"),
    ("retrying", "retrying"),
    ("held", "held"),
    ("delivered", "delivered"),
    ("retries_exhausted", "exhausted"),
    ("discarded", "discarded"),
];
/// What the list is narrowed by: what it is called, and its parameter.
const FILTERS: [(&str, &[&str]); 7] = [
    ("status", &["status"]),
    ("type", &["type"]),
    ("endpoint", &["endpoint"]),
    ("event", &["event"]),
    ("replay", &["replay"]),
    ("since", &["since"]),
    ("until", &["until"]),
];
/// New ones that are counted.
const NEWS: &str = "30";
/// The form that rows are ticked for.
const FORM: &str = "retrial";

/// What the address says of the list, as it is typed there.
pub fn typed(visitor: &Visitor, with_cursor: bool) -> Vec<(&'static str, String)> {
    let names = FILTERS.iter().flat_map(|(_, parameters)| parameters.iter()).chain(with_cursor.then_some(&"cursor"));
    names.filter_map(|name| Some((*name, visitor.query.filled(name)?.to_owned()))).collect()
}

/// The same as the API takes it.
pub fn asked(visitor: &Visitor, typed: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let read = |name: &str, value: &str| match name {
        "since" | "until" => filters::time(value, visitor.now),
        _ => value.to_owned(),
    };
    typed.iter().map(|(name, value)| (*name, read(name, value))).collect()
}

fn in_use(visitor: &Visitor) -> Vec<Filter<'static>> {
    let mut filters = Vec::new();
    for (label, parameters) in FILTERS {
        let value = parameters.first().and_then(|name| visitor.query.filled(name));
        let word = |value: &str| match STATUSES.iter().find(|(known, _)| *known == value).filter(|_| label == "status")
        {
            Some((_, word)) => (*word).to_owned(),
            None => words::short(value),
        };
        filters.extend(value.map(|value| Filter { label, value: word(value), parameters }));
    }
    filters
}

/// The page.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let typed = typed(visitor, true);
    let asked = asked(visitor, &typed);
    let (typed, asked) = (pairs(&typed), pairs(&asked));
    let found: Result<List<Delivery>, Trouble> = visitor.get(PATH, About::These, &asked).await;
    let in_use = in_use(visitor);
    let chips = filters::chips(visitor, PATH, &typed, &in_use);
    let yet = html! {
        p { "No delivery yet: each event makes one for each endpoint that wants it." }
        a.button href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" }
    };
    let body = html! {
        (head("Deliveries", html! { (news(0, false, "")) }))
        (form(visitor))
        @match &found {
            // What was typed stays where it was typed.
            Err(trouble) => { (chips) (filters::times_unread(visitor).unwrap_or_else(|| answers::part(trouble))) }
            Ok(found) if found.data.is_empty() && in_use.is_empty() => div.list { (nothing(false, "", &yet)) },
            Ok(found) if found.data.is_empty() => {
                @let older = found.next_cursor.as_deref().map(|cursor| {
                    let kept = typed.iter().copied().filter(|(name, _)| *name != "cursor");
                    visitor.to(PATH, &kept.chain([("cursor", cursor)]).collect::<Vec<_>>())
                });
                div.list { (filters::none_fits("delivery", &chips, older.as_deref())) }
            }
            Ok(found) => {
                (chips)
                (shown(visitor, &typed, &found.data).await)
                (frame::next(visitor, PATH, &typed, found.next_cursor.as_deref()))
            }
        }
        (frame::as_call(visitor, PATH, About::These, &asked))
    };
    let page = Page::new("Deliveries", body).script("bulk.js");
    let is_first = visitor.query.get("cursor").is_none();
    Ok(match found.ok().filter(|_| is_first) {
        Some(found) => {
            let mut watched = typed;
            watched.extend(found.data.first().map(|first| ("top", first.id.as_str())));
            page.live(visitor.to("/live/deliveries", &watched))
        }
        None => page,
    })
}

fn form(visitor: &Visitor) -> Markup {
    html! {
        form.filters action={ (ROOT) (PATH) } {
            (frame::carried(visitor))
            label { span.small.muted { "Status" }
                select name="status" {
                    @for (value, word) in STATUSES {
                        option value=(value) selected[visitor.query.get("status").unwrap_or_default() == value] { (word) }
                    }
                }
            }
            (filters::field(visitor, "type", "Type", "campaign.*"))
            (filters::field(visitor, "endpoint", "Endpoint", "ep_…"))
            (filters::field(visitor, "event", "Event", "evt_…"))
            (filters::field(visitor, "since", "Since", "24h or 2026-01-31 12:00"))
            (filters::field(visitor, "until", "Until", "1h or 2026-01-31 13:00"))
            // One that a link has set stays.
            @if let Some(replay) = visitor.query.filled("replay") { input type="hidden" name="replay" value=(replay); }
            button { "Filter" }
        }
    }
}

/// A table of deliveries of one endpoint, which the page names.
pub fn table(visitor: &Visitor, deliveries: &[Delivery], caption: &str) -> Markup {
    html! { div.list { (rows(visitor, deliveries, caption, &Names::default(), false)) } }
}

/// A table of deliveries, whichever endpoints they are for.
pub async fn named(visitor: &Visitor, deliveries: &[Delivery], caption: &str) -> Markup {
    let names = names(visitor, deliveries).await;
    html! { div.list.many { (rows(visitor, deliveries, caption, &names, false)) } }
}

async fn names(visitor: &Visitor, deliveries: &[Delivery]) -> Names {
    Names::read(visitor, deliveries.iter().map(|delivery| delivery.endpoint.as_str())).await
}

/// The list, with what is done to several for whoever may.
async fn shown(visitor: &Visitor, typed: &[(&str, &str)], deliveries: &[Delivery]) -> Markup {
    let may = visitor.may(Permission::RetryDeliveries);
    let names = names(visitor, deliveries).await;
    let bar = Bar {
        id: FORM,
        list: (PATH, typed),
        to: "retry",
        nouns: ("delivery", "deliveries"),
        deeds: &[Deed { verb: "Retry", value: "retry", consequence: None }],
        all: "further pages too; first a look at them",
        typed: None,
    };
    html! {
        div.list.many { (rows(visitor, deliveries, "Newest first.", &names, may)) }
        @if may { (bulk::bar(visitor, &bar, &html! {})) }
    }
}

fn rows(visitor: &Visitor, deliveries: &[Delivery], caption: &str, names: &Names, can_be_ticked: bool) -> Markup {
    html! {
        table {
            caption { (caption) " Attempts are those made, and behind the plus those to come." }
            thead {
                tr {
                    th scope="col" { "Status" } th scope="col" { "Delivery" } th scope="col" { "Type" } th scope="col" { "Endpoint" }
                    th.num scope="col" { "Attempts" } th scope="col" { "Last answer" } th scope="col" { "Next attempt" }
                    th.num scope="col" { "Age" }
                }
            }
            tbody { @for delivery in deliveries { (row(visitor, delivery, names, can_be_ticked)) } }
        }
    }
}

fn row(visitor: &Visitor, delivery: &Delivery, names: &Names, can_be_ticked: bool) -> Markup {
    html! {
        tr {
            td.nowrap {
                @if can_be_ticked { (bulk::tick(visitor, FORM, &delivery.id, &words::short(&delivery.id))) " " }
                (icons::status(&delivery.status))
            }
            td.nowrap { a href=(visitor.to_one(&format!("/deliveries/{}", segment(&delivery.id)))) { (words::id(&delivery.id)) } }
            td { (delivery.event_type) }
            td.nowrap data-l="to" { (names.link(visitor, &delivery.endpoint)) }
            td.num data-l="attempts" { (attempts(delivery)) }
            td.nowrap data-l="answer" { @if let Some(answer) = &delivery.last_answer { (outcome::answer(answer)) } }
            td.nowrap {
                @match delivery.next_attempt_at {
                    Some(next) if next.0 > visitor.now => (words::time(next.0, visitor.now)),
                    Some(_) => span.muted { "due" },
                    None => {}
                }
            }
            td.num.nowrap.last { (words::time(delivery.created_at.0, visitor.now)) }
        }
    }
}

/// How many were made, and how many are to come: `4 +11`.
pub fn attempts(delivery: &Delivery) -> Markup {
    html! {
        (words::count(delivery.attempt_count))
        @if let Some(left) = delivery.attempts_left.filter(|left| *left > 0) { " " span.muted title={ (left) " to come" } { "+" (left) } }
    }
}

/// How many are new.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::stream(visitor, &request, draw)
}

async fn draw(visitor: Visitor) -> Result<Parts, Trouble> {
    let typed = typed(&visitor, false);
    let asked = asked(&visitor, &typed);
    let mut asked = pairs(&asked);
    asked.push(("limit", NEWS));
    let found: List<Delivery> = visitor.get(PATH, About::These, &asked).await?;
    let top = visitor.query.get("top").unwrap_or_default();
    // Ids grow with time.
    let new = found.data.iter().filter(|delivery| delivery.id.as_str() > top).count();
    let is_more = new == found.data.len() && found.next_cursor.is_some();
    Ok(vec![("news", news(new, is_more, &visitor.to(PATH, &pairs(&typed))))])
}
