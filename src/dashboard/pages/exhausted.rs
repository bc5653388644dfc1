//! What was given up: by endpoint and by what it failed at last, with what can be done
//! about it, sending it again or leaving it at that. Its counts are live; rows that come
//! are told of, and stay away until the page is loaded again.

use std::cell::Cell;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::form::Form;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::bulk::{self, Bar, Deed};
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::{head, outcome, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Dismissed, ExhaustedEndpoint, ExhaustedReason, List};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// Endpoints of a page: of each up to a thousand deliveries are counted.
const PAGE: &str = "10";
/// Pages of endpoints that one press of a button is about at most, and how long each is.
const PAGES_MAX: usize = 4;
const PAGE_OF_ALL: &str = "25";
/// How often the API is asked for one press: each time looks at up to 50,000.
const ASKED_MAX: usize = 100;
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
        (head("Exhausted", html! { (news(0, "")) }))
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
                (table(visitor, &found.data, &names(visitor, &found.data).await, None))
                @if may { (dismissal(visitor, &here, found)) }
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
            (words::at_least(count, is_more)) @if count == 1 && !is_more { " delivery was" } @else { " deliveries were" }
            " given up."
            @if visitor.may(Permission::RetryDeliveries) { " Mended? Replay them. Not needed any more? Dismiss them." }
        }
    }
}

/// The bar. What is given up after the page was made is no part of it.
fn dismissal(visitor: &Visitor, here: &[(&str, &str)], found: &List<ExhaustedEndpoint>) -> Markup {
    let all = match visitor.partner() {
        Some(partner) => format!("all of {partner}, on further pages too"),
        None => format!("all partners in {}, on further pages too", visitor.environment()),
    };
    let (count, is_more) = counted(found);
    let consequence = "They are discarded: not counted here any more, and not sent. Each can still be retried by hand. \
                       What was given up since this page was loaded is no part of it.";
    let bar = Bar {
        id: FORM,
        list: ("/exhausted", here),
        to: "dismiss",
        nouns: ("group", "groups"),
        deeds: &[Deed { verb: "Dismiss", value: "dismiss", consequence: Some(consequence) }],
        all: &all,
        typed: (count > bulk::TYPED_ABOVE || is_more).then_some(count),
    };
    bulk::bar(visitor, &bar, &html! { input type="hidden" name="until" value=(visitor.now); })
}

async fn names(visitor: &Visitor, found: &[ExhaustedEndpoint]) -> Names {
    Names::read(visitor, found.iter().map(|found| found.endpoint.as_str())).await
}

/// What an endpoint's last attempts failed at, in a word.
pub fn word(reason: &ExhaustedReason) -> String {
    outcome::word(reason.status_code, reason.error_class.as_deref(), "no attempt on record")
}

/// The table; of a stream's with the rows that somebody sees, and no others.
fn table(visitor: &Visitor, found: &[ExhaustedEndpoint], names: &Names, shown: Option<&[&str]>) -> Markup {
    let may = visitor.may(Permission::RetryDeliveries);
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
                @if may { (bulk::tick(visitor, FORM, &group(found, reason), &format!("what ended with {word} at {name}"))) " " }
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

/// Rows that have come since, as a link to them.
fn news(count: usize, to: &str) -> Markup {
    html! { p #news hidden[count == 0] { a.button href=(to) { (count) " new" } } }
}

/// The rows that somebody sees, as they are by now.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::seldom(visitor, &request, draw)
}

async fn draw(visitor: Visitor) -> Result<Parts, Trouble> {
    let visitor = &visitor;
    let cursor = visitor.query.filled("cursor");
    let found: List<ExhaustedEndpoint> = visitor.get("/exhausted", About::These, &asked(cursor)).await?;
    let shown: Vec<&str> = visitor.query.get("shown").unwrap_or_default().split(' ').collect();
    let new = rows_of(&found.data).iter().filter(|row| !shown.contains(&row.as_str())).count();
    let here: Vec<(&str, &str)> = cursor.map(|cursor| ("cursor", cursor)).into_iter().collect();
    let names = names(visitor, &found.data).await;
    Ok(vec![
        ("told", told(visitor, &found)),
        ("rows", table(visitor, &found.data, &names, Some(&shown))),
        ("news", news(new, &visitor.to("/exhausted", &here))),
    ])
}

/// A row, as its tick says it.
fn group(found: &ExhaustedEndpoint, reason: &ExhaustedReason) -> String {
    let code = reason.status_code.map(|code| code.to_string()).unwrap_or_default();
    format!("{}|{}|{}|{code}", found.endpoint, found.partner, reason.error_class.as_deref().unwrap_or_default())
}

/// What a tick says: the endpoint, whose it is, and what the API is to be asked for.
fn meant<'a>(group: &'a str, until: &str) -> Option<(&'a str, &'a str, Value)> {
    let mut parts = group.split('|');
    let (endpoint, partner) = (parts.next()?, parts.next()?);
    let (class, code) = (parts.next()?, parts.next()?);
    let class = Some(class).filter(|class| !class.is_empty());
    let code = Some(code).filter(|code| !code.is_empty()).map(str::parse::<u16>).transpose().ok()?;
    Some((endpoint, partner, json!({ "error_class": class, "status_code": code, "until": until })))
}

async fn dismiss_at(
    visitor: &Visitor,
    endpoint: &str,
    partner: &str,
    body: &Value,
    asks: &Cell<usize>,
) -> Result<u64, Trouble> {
    let path = format!("/webhook/{}/dismiss", segment(endpoint));
    let mut body = body.clone();
    let mut all = 0;
    while asks.get() > 0 {
        asks.set(asks.get() - 1);
        let done = visitor.send(Method::POST, &path, About::Partner(partner), Some(&body)).await?;
        let done: Dismissed = inside::read(&done)?;
        all += done.dismissed;
        match done.next {
            Some(next) => body["before"] = Value::String(next),
            None => break,
        }
    }
    Ok(all)
}

/// Leaves what was ticked, or all, at that.
pub async fn dismiss(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let here: Vec<(&str, &str)> = visitor.query.filled("cursor").map(|cursor| ("cursor", cursor)).into_iter().collect();
    let here = visitor.to("/exhausted", &here);
    if bulk::is_nothing(&form) {
        return answers::go(&here);
    }
    let Some(until) = form.get("until").and_then(|text| text.parse::<Timestamp>().ok()) else {
        let said = "!Nothing was dismissed: the form does not say up to when. Reload the page and try again.";
        return visitor.say(&here, said);
    };
    let until = until.min(visitor.now).to_string();
    if bulk::is_all(&form) {
        return dismiss_all(&visitor, &form, &here, &until).await;
    }
    let groups: Vec<_> = bulk::picked(&form).into_iter().filter_map(|group| meant(group, &until)).collect();
    if groups.is_empty() {
        return visitor.say(&here, "!Nothing was dismissed: select a group first.");
    }
    let (asked, asks) = (&visitor, &Cell::new(ASKED_MAX));
    let done = bulk::each(&groups, |(endpoint, partner, body)| dismiss_at(asked, endpoint, partner, body, asks)).await;
    let more = if asks.get() == 0 { " There may be more: press again." } else { "" };
    visitor.say(&here, &format!("{}{more}", done.said("Dismissed", DELIVERIES)))
}

const DELIVERIES: (&str, &str) = ("delivery", "deliveries");

async fn dismiss_all(visitor: &Visitor, form: &Form, here: &str, until: &str) -> HttpResponse {
    // Where the page had very many, it asked that they be typed.
    if let Some(number) = bulk::untyped(form) {
        let said = format!("!Nothing was dismissed: type {} to say that all of it is meant.", words::count(number));
        return visitor.say(here, &said);
    }
    let body = json!({ "until": until });
    let (mut all, mut cursor) = (bulk::Done::default(), None::<String>);
    let asks = &Cell::new(ASKED_MAX);
    for _ in 0..PAGES_MAX {
        let mut asked = vec![("limit", PAGE_OF_ALL)];
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let found: Result<List<ExhaustedEndpoint>, Trouble> = visitor.get("/exhausted", About::These, &asked).await;
        let found = match found {
            Ok(found) => found,
            Err(trouble) => return visitor.say_either(here, Err::<(), _>(trouble), |()| String::new()),
        };
        let body = &body;
        all.add(
            bulk::each(&found.data, |found| dismiss_at(visitor, &found.endpoint, &found.partner, body, asks)).await,
        );
        cursor = found.next_cursor;
        if cursor.is_none() || asks.get() == 0 {
            break;
        }
    }
    let more = if cursor.is_some() || asks.get() == 0 { " There may be more: press again." } else { "" };
    visitor.say(here, &format!("{}{more}", all.said("Dismissed", DELIVERIES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_says_what_is_meant() {
        let reason = |class: Option<&str>, code| ExhaustedReason {
            error_class: class.map(str::to_owned),
            status_code: code,
            count: 1,
            first_at: crate::dashboard::wire::At(Timestamp::from_millis(0)),
            last_at: crate::dashboard::wire::At(Timestamp::from_millis(0)),
            sample: "dlv_1".to_owned(),
        };
        let found = ExhaustedEndpoint {
            endpoint: "ep_1".to_owned(),
            partner: "acme".to_owned(),
            count: 1,
            at_least: false,
            last_at: None,
            reasons: Vec::new(),
        };
        for (class, code) in [(Some("http_status"), Some(503)), (Some("timeout"), None), (None, None)] {
            let text = group(&found, &reason(class, code));
            let (endpoint, partner, body) = meant(&text, "T").expect("it is ours");
            assert_eq!((endpoint, partner), ("ep_1", "acme"));
            assert_eq!(body, json!({ "error_class": class, "status_code": code, "until": "T" }));
        }
        for junk in ["", "ep_1", "ep_1|acme||many"] {
            assert!(meant(junk, "T").is_none(), "{junk}");
        }
    }
}
