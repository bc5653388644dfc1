//! What was given up: by endpoint and by what it failed at last, with what can be done
//! about it, sending it again or leaving it at that. Its counts are live; rows that come
//! are told of, and stay away until the page is loaded again. What is dismissed is in
//! `dismissing`.

mod dismissing;

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
use crate::dashboard::pages::deliveries::is_behind;
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::{head, news, outcome, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{ExhaustedEndpoint, ExhaustedReason, List};
use crate::dashboard::words;

pub use dismissing::{dismiss, dismiss_all, look};

/// Endpoints of a page: of each up to a thousand deliveries are counted.
const PAGE: &str = "10";
/// The form that rows are ticked for.
const FORM: &str = "dismissal";
/// Rows that a stream is told of.
const WATCHED_MAX: usize = 100;

/// The page.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

fn asked(cursor: Option<&str>) -> Vec<(&'static str, &str)> {
    let mut asked = vec![("limit", PAGE)];
    asked.extend(cursor.map(|cursor| ("cursor", cursor)));
    asked
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let cursor = visitor.query.filled("cursor");
    let asked = asked(cursor);
    let found: Result<List<ExhaustedEndpoint>, Trouble> = visitor.get("/exhausted", About::These, &asked).await;
    if let Err(trouble) = &found
        && matches!(trouble.status, 401 | 403)
    {
        return Err(trouble.clone());
    }
    let may = visitor.may(Permission::RetryDeliveries);
    let body = html! {
        (head("Exhausted", html! { (news(0, false, "")) }))
        @match &found {
            Err(trouble) => (answers::part(trouble)),
            Ok(found) if found.data.is_empty() => div.list {
                div.nothing {
                    @if cursor.is_some() {
                        p { "There is nothing further." }
                        a.button href=(visitor.to("/exhausted", &[])) { "Newest" }
                    } @else {
                        p { (icons::state("well", "Good news: nothing is given up.")) }
                        p { "What is not delivered by the last of its retries shows up here." }
                    }
                }
            },
            Ok(found) => {
                @let here: Vec<(&str, &str)> = cursor.map(|cursor| ("cursor", cursor)).into_iter().collect();
                (told(visitor, found))
                (table(visitor, &found.data, &names(visitor, &found.data).await, None, may))
                @if may { (dismissal(visitor, &here)) }
                (frame::next(visitor, "/exhausted", &here, found.next_cursor.as_deref()))
            }
        }
        (frame::as_call(visitor, "/exhausted", About::These, &asked))
    };
    let page = Page::new("Exhausted", body).script("bulk.js");
    let Ok(found) = found else { return Ok(page) };
    let shown = rows_of(&found.data).join(" ");
    let mut watched = vec![("shown", shown.as_str())];
    watched.extend(cursor.map(|cursor| ("cursor", cursor)));
    // Where nothing is shown, the page still hears of what comes.
    Ok(page.live(visitor.to("/live/exhausted", &watched)))
}

/// How many there are on this page, and whether there are more.
fn counted(found: &List<ExhaustedEndpoint>) -> (u64, bool) {
    let count = found.data.iter().map(|found| found.count).sum();
    (count, found.next_cursor.is_some() || found.data.iter().any(|found| found.at_least))
}

fn told(visitor: &Visitor, found: &List<ExhaustedEndpoint>) -> Markup {
    let (count, is_more) = counted(found);
    html! {
        p #told .sentence {
            (words::of_these(count, is_more, words::DELIVERIES)) @if count == 1 && !is_more { " was" } @else { " were" }
            " given up."
            @if visitor.may(Permission::RetryDeliveries) { " Mended? Replay them. Not needed any more? Dismiss them." }
        }
    }
}

/// The bar. What is given up after the page was made is no part of it.
fn dismissal(visitor: &Visitor, here: &[(&str, &str)]) -> Markup {
    let all = format!("{}, on further pages too; first a look at them", whose(visitor));
    let consequence = "They are discarded: not counted here any more, and not sent. Each can still be retried by hand. \
                       What was given up since this page was loaded is no part of it.";
    let bar = Bar {
        id: FORM,
        list: ("/exhausted", here),
        to: "dismiss",
        nouns: ("group", "groups"),
        deeds: &[Deed { verb: "Dismiss", value: "dismiss", consequence: Some(consequence) }],
        all: &all,
    };
    bulk::bar(visitor, &bar, &html! { input type="hidden" name="until" value=(visitor.now); })
}

/// Whose deliveries all of it are.
fn whose(visitor: &Visitor) -> String {
    match visitor.partner() {
        Some(partner) => format!("all of {partner}"),
        None => format!("all partners in {}", visitor.environment()),
    }
}

async fn names(visitor: &Visitor, found: &[ExhaustedEndpoint]) -> Names {
    Names::read(visitor, found.iter().map(|found| found.endpoint.as_str())).await
}

/// What an endpoint's last attempts failed at, in a word.
pub fn word(reason: &ExhaustedReason) -> String {
    outcome::word(reason.status_code, reason.error_class.as_deref(), "no attempt on record")
}

/// The table; of a stream's with the rows that somebody sees, and no others.
fn table(visitor: &Visitor, found: &[ExhaustedEndpoint], names: &Names, shown: Option<&[&str]>, may: bool) -> Markup {
    let is_shown = |id: &str| shown.is_none_or(|shown| shown.contains(&id));
    html! {
        div.list #rows {
            table {
                caption { "By endpoint and by what the last attempt ended with; of each endpoint the newest 1,000 are counted." }
                thead {
                    tr {
                        th scope="col" { "Ended with" } th scope="col" { "Endpoint" } th.num scope="col" { "Count" }
                        th scope="col" { "First" } th scope="col" { "Last" } th scope="col" { "Sample" }
                        @if may { th scope="col" { "Replay" } }
                    }
                }
                tbody {
                    @for found in found {
                        @for (at, reason) in found.reasons.iter().enumerate() {
                            @if is_shown(&row_of(found, Some(reason))) { (row(visitor, found, names, (at, reason), may)) }
                        }
                        @if found.reasons.is_empty() && is_shown(&row_of(found, None)) {
                            tr id=(row_of(found, None)) {
                                td.nowrap { (icons::state("exhausted", "older")) }
                                td { (endpoint_of(visitor, found, names)) }
                                td.num { "1,000+" }
                                td colspan=(if may { 4 } else { 3 }) { "The newest 1,000 were replayed since; there are older ones." }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn endpoint_of(visitor: &Visitor, found: &ExhaustedEndpoint, names: &Names) -> Markup {
    html! {
        (names.link(visitor, &found.endpoint))
        @if visitor.partner().is_none() { span.muted { (found.partner) } }
    }
}

fn row(
    visitor: &Visitor,
    found: &ExhaustedEndpoint,
    names: &Names,
    (at, reason): (usize, &ExhaustedReason),
    may: bool,
) -> Markup {
    let word = word(reason);
    let path = format!("/endpoints/{}/replay", segment(&found.endpoint));
    let name = names.url(&found.endpoint).unwrap_or(&found.endpoint);
    html! {
        tr id=(row_of(found, Some(reason))) {
            td.nowrap {
                @if may { (bulk::tick(visitor, FORM, &dismissing::group(found, reason), &format!("what ended with {word} at {name}"))) " " }
                (icons::state("exhausted", &word))
            }
            td { (endpoint_of(visitor, found, names)) }
            td.num data-l="count" { (words::count(reason.count)) @if found.at_least { "+" } }
            td.nowrap data-l="first" { (words::time(reason.first_at.0, visitor.now)) }
            td.nowrap data-l="last" { (words::time(reason.last_at.0, visitor.now)) }
            td.nowrap data-l="sample" { a href=(visitor.to_one(&format!("/deliveries/{}", segment(&reason.sample)))) { (words::id(&reason.sample)) } }
            @if may {
                td.nowrap { @if at == 0 { a.button href=(visitor.to(&path, &[("status", "retries_exhausted"), ("within", "all")])) { "Replay…" } } }
            }
        }
    }
}

/// A row, as the page and its stream know it.
fn row_of(found: &ExhaustedEndpoint, reason: Option<&ExhaustedReason>) -> String {
    let code = reason.and_then(|reason| reason.status_code).map(|code| code.to_string()).unwrap_or_default();
    let class = reason.and_then(|reason| reason.error_class.as_deref()).unwrap_or_default();
    format!("{}.{}.{code}", found.endpoint, if reason.is_none() { "older" } else { class })
}

fn rows_of(found: &[ExhaustedEndpoint]) -> Vec<String> {
    let of = |found: &ExhaustedEndpoint| match found.reasons.is_empty() {
        true => vec![row_of(found, None)],
        false => found.reasons.iter().map(|reason| row_of(found, Some(reason))).collect(),
    };
    found.iter().flat_map(of).take(WATCHED_MAX).collect()
}

/// The rows that somebody sees, as they are by now.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    let known = Rc::new(RefCell::new(HashMap::new()));
    live::seldom(visitor, &request, move |visitor| {
        let known = Rc::clone(&known);
        async move { draw(&visitor, &known).await }
    })
}

async fn draw(visitor: &Visitor, known: &RefCell<HashMap<String, ExhaustedEndpoint>>) -> Result<Parts, Trouble> {
    let cursor = visitor.query.filled("cursor");
    let found: List<ExhaustedEndpoint> = visitor.get("/exhausted", About::These, &asked(cursor)).await?;
    let shown: Vec<&str> = visitor.query.get("shown").unwrap_or_default().split(' ').collect();
    // Of more rows than a stream is told of, those that come are shown at once.
    let is_told_all = shown.len() < WATCHED_MAX;
    let new = rows_of(&found.data).iter().filter(|row| is_told_all && !shown.contains(&row.as_str())).count();
    let here: Vec<(&str, &str)> = cursor.map(|cursor| ("cursor", cursor)).into_iter().collect();
    let told = told(visitor, &found);
    let now = still(visitor, &shown, found, known).await?;
    let names = names(visitor, &now).await;
    let may = visitor.may(Permission::RetryDeliveries);
    known.borrow_mut().extend(now.iter().map(|found| (found.endpoint.clone(), found.clone())));
    Ok(vec![
        ("told", told),
        ("rows", table(visitor, &now, &names, is_told_all.then_some(&shown), may)),
        ("news", news(new, false, &visitor.to("/exhausted", &here))),
    ])
}

/// What somebody sees, with endpoints that others have pushed off the page: they stand on the
/// next one, where they are looked for, or further down, where they are told as they were.
async fn still(
    visitor: &Visitor,
    shown: &[&str],
    found: List<ExhaustedEndpoint>,
    known: &RefCell<HashMap<String, ExhaustedEndpoint>>,
) -> Result<Vec<ExhaustedEndpoint>, Trouble> {
    let (mut now, mut next) = (found.data, found.next_cursor);
    let of = |row: &&str| row.split('.').next().unwrap_or_default().to_owned();
    let mut endpoints: Vec<String> = shown.iter().map(of).filter(|id| !id.is_empty()).collect();
    endpoints.dedup();
    let is_missing = |now: &[ExhaustedEndpoint], id: &str| !now.iter().any(|found| found.endpoint == id);
    if let Some(cursor) = next.clone()
        && endpoints.iter().any(|id| is_missing(&now, id))
    {
        let further: List<ExhaustedEndpoint> = visitor.get("/exhausted", About::These, &asked(Some(&cursor))).await?;
        now.extend(further.data);
        next = further.next_cursor;
    }
    // What would stand among those that were looked through is not given up any more.
    if let Some(cursor) = &next {
        let is_further = |id: &String| is_missing(&now, id) && !is_behind(Some(cursor), id);
        let missing: Vec<String> = endpoints.into_iter().filter(is_further).collect();
        now.extend(missing.iter().filter_map(|id| known.borrow().get(id).cloned()));
    }
    Ok(now)
}
