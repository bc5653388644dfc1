//! Leaving at that what was given up: what was ticked, or all of it, which is looked at first.

use std::cell::Cell;

use actix_web::HttpResponse;
use actix_web::http::Method;
use maud::html;
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::frame::Page;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::matching::{self, Counted, Look};
use crate::dashboard::pages::{bulk, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Dismissed, ExhaustedEndpoint, ExhaustedReason, List};
use crate::dashboard::words;
use crate::domain::Timestamp;

use super::{names, table, whose};

/// The look at all of it.
const LOOK: &str = "/exhausted/matching";
/// Pages of endpoints that one press of a button is about at most, and how long each is.
const PAGES_MAX: usize = 4;
const PAGE_OF_ALL: &str = "25";
/// How often the API is asked for one press: each time looks at up to 50,000.
const ASKED_MAX: usize = 100;

/// A row, as its tick says it.
pub fn group(found: &ExhaustedEndpoint, reason: &ExhaustedReason) -> String {
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
    if bulk::is_all(&form) {
        return answers::go(&visitor.to(LOOK, &[]));
    }
    let Some(until) = form.get("until").and_then(|text| text.parse::<Timestamp>().ok()) else {
        let said = "!Nothing was dismissed: the form does not say up to when. Reload the page and try again.";
        return visitor.say(&here, said);
    };
    let until = until.min(visitor.now).to_string();
    let groups: Vec<_> = bulk::picked(&form).into_iter().filter_map(|group| meant(group, &until)).collect();
    if groups.is_empty() {
        return visitor.say(&here, "!Nothing was dismissed: select a group first.");
    }
    let (asked, asks) = (&visitor, &Cell::new(ASKED_MAX));
    let done = bulk::each(&groups, |(endpoint, partner, body)| dismiss_at(asked, endpoint, partner, body, asks)).await;
    let more = if asks.get() == 0 { " There may be more: press again." } else { "" };
    visitor.say(&here, &format!("{}{more}", done.said("Dismissed", words::DELIVERIES)))
}

/// How many all of it is, from the first page on, and some of it.
async fn count(visitor: &Visitor) -> Result<(Counted, Vec<ExhaustedEndpoint>), Trouble> {
    let (mut all, mut samples, mut cursor) = (Counted::default(), Vec::new(), None::<String>);
    for _ in 0..PAGES_MAX {
        let mut asked = vec![("limit", PAGE_OF_ALL)];
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let found: List<ExhaustedEndpoint> = visitor.get("/exhausted", About::These, &asked).await?;
        all.count += found.data.iter().map(|found| found.count).sum::<u64>();
        all.is_more |= found.data.iter().any(|found| found.at_least);
        let left = matching::SAMPLES - samples.len();
        samples.extend(found.data.into_iter().take(left));
        cursor = found.next_cursor;
        if cursor.is_none() || all.count > matching::COUNTED {
            break;
        }
    }
    all.is_more |= cursor.is_some();
    Ok((all.capped(), samples))
}

/// The look at all of it.
pub async fn look(visitor: Visitor) -> HttpResponse {
    visitor.answer(build_look(&visitor).await)
}

async fn build_look(visitor: &Visitor) -> Result<Page, Trouble> {
    if !visitor.may(Permission::RetryDeliveries) {
        return Err(Trouble::not_allowed("deliveries are dismissed by `partner` or `operator` keys"));
    }
    let (all, samples) = count(visitor).await?;
    let (said, is_any) = (all.said(words::DELIVERIES), all.count > 0 || all.is_more);
    let look = Look {
        title: "Dismiss all that is given up",
        list: visitor.to("/exhausted", &[]),
        sentence: html! {
            @if is_any { (said) " would be discarded: not counted as exhausted any more, and not sent. Each can still be retried by hand." }
            @else { "Nothing is given up." }
        },
        facts: html! {
            dt { "Meant" }
            dd { (whose(visitor)) ", given up until " code { (visitor.now) } ": what comes later is no part of it" }
        },
        press: is_any.then(|| (visitor.to(LOOK, &[]), format!("Dismiss {said}"))),
        meant: &all,
        samples: html! {
            @if !samples.is_empty() { (table(visitor, &samples, &names(visitor, &samples).await, None, false)) }
        },
    };
    Ok(look.page(visitor))
}

/// Leaves all of it at that.
pub async fn dismiss_all(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let (visitor, here) = (&visitor, &visitor.to("/exhausted", &[]));
    let Some(until) = matching::made_at(&form) else {
        let said = "!Nothing was dismissed: the form does not say up to when. Begin again.";
        return visitor.say(here, said);
    };
    let typed = match count(visitor).await {
        Ok((all, _)) => all.typed(),
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    if let Some(number) = typed.filter(|number| !bulk::is_typed(&form, *number)) {
        let said = format!("!Nothing was dismissed: type {} to say that all of it is meant.", words::count(number));
        return visitor.say(&visitor.to(LOOK, &[]), &said);
    }
    let until = until.min(visitor.now).to_string();
    let body = json!({ "until": until });
    let (mut all, mut cursor) = (bulk::Done::default(), None::<String>);
    let asks = &Cell::new(ASKED_MAX);
    for _ in 0..PAGES_MAX {
        let mut asked = vec![("limit", PAGE_OF_ALL)];
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let found: Result<List<ExhaustedEndpoint>, Trouble> = visitor.get("/exhausted", About::These, &asked).await;
        let found = match found {
            Ok(found) => found,
            Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
            // What was dismissed before is said all the same.
            Err(trouble) => {
                let said = all.said("Dismissed", words::DELIVERIES);
                let said = said.trim_start_matches('!');
                return visitor.say(here, &format!("!{said} It stopped there: {}: {}.", trouble.title, trouble.detail));
            }
        };
        let body = &body;
        all.add(
            bulk::each(&found.data, |found| dismiss_at(visitor, &found.endpoint, &found.partner, body, asks)).await,
        );
        cursor = found.next_cursor;
        if cursor.is_none() || asks.get() == 0 || all.why.as_ref().is_some_and(matching::is_end) {
            break;
        }
    }
    let more = if cursor.is_some() || asks.get() == 0 { " There may be more: press again." } else { "" };
    visitor.say(here, &format!("{}{more}", all.said("Dismissed", words::DELIVERIES)))
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
