//! Deliveries: a list with filters. Its rows are live where they stand, so that they say how a
//! retry ends. Several that are ticked, or all that match, are retried at once (`retrying`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

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
use crate::dashboard::pages::{head, matching, news, nothing, outcome, segment};
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
/// New ones that are counted at least.
const NEWS: usize = 30;
/// Rows that a stream is told of, and pages that it looks for them on: what is new pushes them
/// further down.
const WATCHED_MAX: usize = 250;
const LOOKS: usize = 4;
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

/// What a filter is for, as people read it: a status by its word, and an id cut.
pub fn word(filter: &str, value: &str) -> String {
    match filter {
        "status" => STATUSES.iter().find(|(known, _)| *known == value).map_or(value, |(_, word)| *word).to_owned(),
        "endpoint" | "event" | "replay" => words::short(value),
        _ => value.to_owned(),
    }
}

fn in_use(visitor: &Visitor) -> Vec<Filter<'static>> {
    let mut filters = Vec::new();
    for (label, parameters) in FILTERS {
        let value = parameters.first().and_then(|name| visitor.query.filled(name));
        filters.extend(value.map(|value| Filter { label, value: word(label, value), parameters }));
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
    let Ok(found) = found else { return Ok(page) };
    let rows = &found.data[..found.data.len().min(WATCHED_MAX)];
    let shown: Vec<&str> = rows.iter().map(|delivery| tail(&delivery.id)).collect();
    let (mut watched, shown) = (typed, shown.join("."));
    if let (Some(top), Some(last)) = (rows.first(), rows.last()) {
        watched.extend([("top", top.id.as_str()), ("last", last.id.as_str()), ("shown", shown.as_str())]);
    }
    Ok(page.live(visitor.to("/live/deliveries", &watched)))
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
    html! { div.list { (rows(visitor, deliveries, caption, &Names::default(), None)) } }
}

/// A table of deliveries, whichever endpoints they are for.
pub async fn named(visitor: &Visitor, deliveries: &[Delivery], caption: &str) -> Markup {
    let names = names(visitor, deliveries).await;
    html! { div.list.many { (rows(visitor, deliveries, caption, &names, None)) } }
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
        nouns: words::DELIVERIES,
        deeds: &[Deed { verb: "Retry", value: "retry", consequence: None }],
        all: "further pages too; first a look at them",
    };
    html! {
        (live_rows(visitor, deliveries, &names))
        @if may { (bulk::bar(visitor, &bar, &matching::made(visitor))) }
    }
}

/// The rows of the list, of the page and of its stream.
fn live_rows(visitor: &Visitor, deliveries: &[Delivery], names: &Names) -> Markup {
    let may = visitor.may(Permission::RetryDeliveries);
    html! { div.list.many #rows { (rows(visitor, deliveries, "Newest first.", names, Some(may))) } }
}

/// A table; of the list's, whose rows have ids, with whether they can be ticked.
fn rows(visitor: &Visitor, deliveries: &[Delivery], caption: &str, names: &Names, of_list: Option<bool>) -> Markup {
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
            tbody { @for delivery in deliveries { (row(visitor, delivery, names, of_list)) } }
        }
    }
}

fn row(visitor: &Visitor, delivery: &Delivery, names: &Names, of_list: Option<bool>) -> Markup {
    html! {
        tr id=[of_list.map(|_| &delivery.id)] {
            td.nowrap {
                @if of_list == Some(true) { (bulk::tick(visitor, FORM, &delivery.id, &words::short(&delivery.id))) " " }
                (icons::status(&delivery.status))
            }
            td.nowrap { a href=(visitor.to_one(&format!("/deliveries/{}", segment(&delivery.id)))) { (words::id(&delivery.id)) } }
            td { (delivery.event_type) }
            td { (names.link(visitor, &delivery.endpoint)) }
            td.num data-l="attempts" { (attempts(delivery)) }
            td.nowrap data-l="answer" { @if let Some(answer) = &delivery.last_answer { (outcome::answer(answer)) } }
            td.nowrap {
                @match delivery.next_attempt_at {
                    // Its time may come and go: it is held until somebody lets it go.
                    _ if delivery.status == "held" => {}
                    Some(next) if next.0 > visitor.now => (words::time(next.0, visitor.now)),
                    // For its turn, or for its endpoint's breaker: the list does not know which.
                    Some(_) => span.muted { "waits" },
                    None => {}
                }
            }
            td.num.last { (words::time(delivery.created_at.0, visitor.now)) }
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

/// What rows are known by to a stream: the end of an id, which is what differs in all of them.
/// Whole, they would be a good part of the page.
fn tail(id: &str) -> &str {
    const CHARS: usize = 8;
    id.len().checked_sub(CHARS).and_then(|at| id.get(at..)).unwrap_or(id)
}

/// The rows that somebody sees, as they are by now, and how many are new.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    let known = Rc::new(RefCell::new(HashMap::new()));
    live::seldom(visitor, &request, move |visitor| {
        let known = Rc::clone(&known);
        async move { draw(&visitor, &known).await }
    })
}

async fn draw(visitor: &Visitor, known: &RefCell<HashMap<String, Delivery>>) -> Result<Parts, Trouble> {
    let typed_here = typed(visitor, true);
    let asked_here = asked(visitor, &typed_here);
    let shown: Vec<&str> =
        visitor.query.filled("shown").map(|shown| shown.split('.').take(WATCHED_MAX).collect()).unwrap_or_default();
    let (top, last) = (visitor.query.get("top").unwrap_or_default(), visitor.query.filled("last"));
    let limit = (shown.len() + NEWS).to_string();
    let mut cursor = visitor.query.filled("cursor").map(str::to_owned);
    let is_first = cursor.is_none();
    let mut found: Vec<Delivery> = Vec::new();
    for _ in 0..LOOKS {
        let mut asked = pairs(&asked_here);
        asked.retain(|(name, _)| *name != "cursor");
        asked.push(("limit", &limit));
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: List<Delivery> = visitor.get(PATH, About::These, &asked).await?;
        found.extend(page.data);
        cursor = page.next_cursor;
        if last.is_none_or(|last| is_behind(cursor.as_deref(), last)) {
            break;
        }
    }
    // Ids grow with time.
    let new = if is_first { found.iter().filter(|delivery| delivery.id.as_str() > top).count() } else { 0 };
    let is_more = new > 0 && new == found.len() && cursor.is_some();
    let to = typed_here.iter().filter(|(name, _)| *name != "cursor").map(|(name, value)| (*name, value.as_str()));
    let mut parts = vec![("news", news(new, is_more, &visitor.to(PATH, &to.collect::<Vec<_>>())))];
    let mut rows = Vec::with_capacity(shown.len());
    let is_all = last.is_none_or(|last| is_behind(cursor.as_deref(), last));
    for shown in &shown {
        match found.iter().find(|delivery| tail(&delivery.id) == *shown) {
            Some(delivery) => rows.push(delivery.clone()),
            // It is gone, or does not match any more.
            None if is_all => {}
            // Very many are new. How it was stays until the page is loaded again.
            None => match known.borrow().get(*shown) {
                Some(before) => rows.push(before.clone()),
                None => return Ok(parts),
            },
        }
    }
    if !shown.is_empty() {
        let names = names(visitor, &rows).await;
        parts.push(("rows", live_rows(visitor, &rows, &names)));
    }
    known.borrow_mut().extend(rows.into_iter().map(|delivery| (tail(&delivery.id).to_owned(), delivery)));
    Ok(parts)
}

/// Whether a list, the newest first, was looked through as far as this one: it goes on at a
/// cursor, which is the id of the last.
pub fn is_behind(cursor: Option<&str>, id: &str) -> bool {
    cursor.is_none_or(|cursor| cursor <= id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_said_as_people_read_them() {
        for (filter, value, said) in [
            ("status", "retries_exhausted", "exhausted"),
            ("status", "<b>", "<b>"),
            ("type", "campaign_long.created_long", "campaign_long.created_long"),
            ("endpoint", "ep_01h455vb4pex5vsknk084sn02q", "ep…4sn02q"),
        ] {
            assert_eq!(word(filter, value), said);
        }
    }

    #[test]
    fn a_row_is_known_by_the_end_of_its_id() {
        for (id, known) in
            [("dlv_01m8ftzq61e0080d0fydf2tvn3", "ydf2tvn3"), ("dlv_1", "dlv_1"), ("", ""), ("é1234567", "é1234567")]
        {
            assert_eq!(tail(id), known);
        }
    }

    #[test]
    fn a_list_goes_on_behind_what_was_looked_through() {
        for (cursor, id, is_there) in [
            (None, "dlv_5", true),
            (Some("dlv_5"), "dlv_5", true),
            (Some("dlv_4"), "dlv_5", true),
            (Some("dlv_6"), "dlv_5", false),
        ] {
            assert_eq!(is_behind(cursor, id), is_there, "{cursor:?}");
        }
    }
}
