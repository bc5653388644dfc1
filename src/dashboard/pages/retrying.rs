//! Several deliveries retried at once: those that were ticked on a page of the list, or all
//! that match its filters. Each is asked for by itself, and what could not be is said.

use std::collections::HashSet;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::Method;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::form::Form;
use crate::dashboard::frame::Page;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::events::pairs;
use crate::dashboard::pages::matching::{self, Counted, Look};
use crate::dashboard::pages::{bulk, deliveries, head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{AuditEntry, Delivery, List};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// The look at all that match.
const LOOK: &str = "/deliveries/matching";
/// Attempts that one press asks for.
const PRESS: u64 = 500;
/// For so long at most an entry of the log is on its way.
const MOMENT: Duration = Duration::from_millis(200);

/// Asks for an attempt of each that was ticked, and says what became of that. Where all that
/// match are meant it leads to the look at them.
pub async fn retry(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let back = visitor.to("/deliveries", &pairs(&deliveries::typed(&visitor, true)));
    if bulk::is_nothing(&form) {
        return answers::go(&back);
    }
    if bulk::is_all(&form) {
        return answers::go(&visitor.to(LOOK, &pairs(&frozen(&visitor, false))));
    }
    let picked = bulk::picked(&form);
    if picked.is_empty() {
        return visitor.say(&back, "!Nothing was done: select a delivery first.");
    }
    let (mut asking, mut before) = (Asking::of(&form), 0);
    let mut not: Vec<(&str, Trouble)> = Vec::new();
    for id in &picked {
        match asking.ask(&visitor, id).await {
            Ok(true) => {}
            Ok(false) => before += 1,
            Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
            Err(trouble) => not.push((id, trouble)),
        }
    }
    if not.is_empty() {
        let queued = words::deliveries((picked.len() - before) as u64);
        let said = format!("Queued: one more attempt of {queued}. Their rows say how it ends.{}", passed_over(before));
        return visitor.say(&back, &said);
    }
    visitor.answer(Ok(some_were_not(&visitor, &back, (picked.len() - before, before), &not)))
}

/// What is said of those that were asked for since the form was made.
fn passed_over(before: usize) -> String {
    match before {
        0 => String::new(),
        1 => " 1 was asked for since the page was loaded, and is passed over.".to_owned(),
        _ => format!(" {} were asked for since the page was loaded, and are passed over.", words::count(before as u64)),
    }
}

/// Asks for attempts by a form. The audit log says for which there was one asked for since the
/// form was made, by whichever node: a form that is sent twice asks for each once, even while
/// the first press still goes on.
struct Asking {
    /// From when on the log has not been read. Without, the form does not say when it was made.
    since: Option<Timestamp>,
    before: HashSet<String>,
}

impl Asking {
    fn of(form: &Form) -> Self {
        Self { since: matching::made_at(form), before: HashSet::new() }
    }

    /// Reads on in the log.
    async fn look(&mut self, visitor: &Visitor) -> Result<(), Trouble> {
        let Some(since) = self.since.filter(|_| visitor.may(Permission::ReadAudit)) else { return Ok(()) };
        let (text, limit) = (since.to_string(), visitor.api.limits.page_max.to_string());
        let mut cursor = None::<String>;
        for _ in 0..matching::PAGES_MAX {
            let mut asked = vec![("action", "delivery.retried"), ("since", text.as_str()), ("limit", limit.as_str())];
            asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let found: List<AuditEntry> = visitor.get("/audit", About::These, &asked).await?;
            for entry in found.data {
                // A moment back: others of the same moment may be written yet.
                self.since = self.since.max(Some(entry.at.0 - MOMENT));
                self.before.insert(entry.subject);
            }
            cursor = found.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Asks for one more attempt. `false` is that there was one asked for already.
    async fn ask(&mut self, visitor: &Visitor, id: &str) -> Result<bool, Trouble> {
        self.look(visitor).await?;
        if self.before.contains(id) {
            return Ok(false);
        }
        let path = format!("/deliveries/{}/retry", segment(id));
        visitor.send(Method::POST, &path, About::These, None).await.map(|_| true)
    }
}

fn some_were_not(visitor: &Visitor, back: &str, (picked, before): (usize, usize), not: &[(&str, Trouble)]) -> Page {
    let link = |id: &str| -> Markup {
        html! { a href=(visitor.to_one(&format!("/deliveries/{}", segment(id)))) { (words::id(id)) } }
    };
    let body = html! {
        (head("Retried", html! { a href=(back) { "To the deliveries" } }))
        p.sentence {
            "Queued: one more attempt of " (words::deliveries((picked - not.len()) as u64)) ". "
            (words::deliveries(not.len() as u64)) @if not.len() == 1 { " was" } @else { " were" } " not, and nothing was done to " @if not.len() == 1 { "it." } @else { "them." }
            (passed_over(before))
        }
        div.list {
            table {
                caption { "What was not retried, and why." }
                thead { tr { th scope="col" { "Delivery" } th scope="col" { "Why not" } } }
                tbody {
                    @for (id, trouble) in not { tr { td.nowrap { (link(id)) } td { b { (trouble.title) } ": " (trouble.detail) } } }
                }
            }
        }
    };
    Page::new("Retried", body)
}

/// The list's filters with their times fixed: what is made after now is never meant.
fn frozen(visitor: &Visitor, with_cursor: bool) -> Vec<(&'static str, String)> {
    let mut said = deliveries::asked(visitor, &deliveries::typed(visitor, with_cursor));
    let now = visitor.now.to_string();
    match said.iter_mut().find(|(name, _)| *name == "until") {
        // What is no time is left to the API to object to.
        Some((_, until)) => {
            if let Ok(typed) = until.parse::<Timestamp>() {
                *until = typed.min(visitor.now).to_string();
            }
        }
        None => said.push(("until", now)),
    }
    said
}

/// Whether something is to be asked for: what has arrived is a replay's, what was discarded
/// is to stay so, and what is held goes out when that ends, and not before.
fn is_meant(delivery: &Delivery) -> bool {
    !matches!(delivery.status.as_str(), "delivered" | "discarded" | "held")
}

/// What matches.
#[derive(Default)]
struct Matching {
    meant: Counted,
    held: u64,
    delivered: u64,
    discarded: u64,
    samples: Vec<Delivery>,
    /// Where looking ended, with more behind it.
    further: Option<String>,
}

async fn read(visitor: &Visitor, said: &[(&str, &str)], cursor: Option<&str>) -> Result<List<Delivery>, Trouble> {
    let limit = bulk::PICKED_MAX.to_string();
    let mut asked: Vec<(&str, &str)> = said.iter().copied().filter(|(name, _)| *name != "cursor").collect();
    asked.push(("limit", &limit));
    asked.extend(cursor.map(|cursor| ("cursor", cursor)));
    visitor.get("/deliveries", About::These, &asked).await
}

async fn count(visitor: &Visitor, said: &[(&str, &str)]) -> Result<Matching, Trouble> {
    let mut all = Matching::default();
    let mut cursor = visitor.query.filled("cursor").map(str::to_owned);
    for _ in 0..matching::PAGES_MAX {
        let found = read(visitor, said, cursor.as_deref()).await?;
        let has_more = found.next_cursor.is_some();
        let last = found.data.len();
        for (at, delivery) in found.data.into_iter().enumerate() {
            match delivery.status.as_str() {
                "delivered" => all.delivered += 1,
                "discarded" => all.discarded += 1,
                "held" => all.held += 1,
                _ => {
                    all.meant.add(delivery.created_at);
                    let is_enough = all.meant.count == matching::COUNTED;
                    if all.samples.len() < matching::SAMPLES {
                        all.samples.push(delivery);
                    }
                    if is_enough {
                        all.meant.is_more = has_more || at + 1 < last;
                        return Ok(all);
                    }
                }
            }
        }
        cursor = found.next_cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
    all.meant.is_more = true;
    all.further = cursor;
    Ok(all)
}

/// The look at all that match.
pub async fn look(visitor: Visitor) -> HttpResponse {
    let said = frozen(&visitor, true);
    let said = pairs(&said);
    let is_fixed = said.iter().all(|(name, value)| visitor.query.get(name) == Some(value));
    if !is_fixed {
        return answers::go(&visitor.to(LOOK, &said));
    }
    visitor.answer(build(&visitor, &said).await)
}

async fn build(visitor: &Visitor, said: &[(&str, &str)]) -> Result<Page, Trouble> {
    if !visitor.may(Permission::RetryDeliveries) {
        return Err(Trouble::not_allowed("deliveries are retried by `partner` or `operator` keys"));
    }
    let all = count(visitor, said).await?;
    let is_rest = visitor.query.get("cursor").is_some();
    let meant = all.meant.said(words::DELIVERIES);
    let look = Look {
        title: "Retry all that match",
        list: visitor.to("/deliveries", &list_of(said)),
        sentence: html! {
            @if all.meant.is_not_found_yet() {
                @let further: Vec<(&str, &str)> = list_of(said).into_iter().chain(all.further.as_deref().map(|at| ("cursor", at))).collect();
                (matching::not_found_yet(&visitor.to(LOOK, &further)))
            }
            @else if all.meant.count == 0 { "Nothing that is left of it can be retried." }
            @else {
                (meant) @if is_rest { " are left: one" } @else { " would be retried: one" }
                " more attempt of each, now, with the " b { "same webhook-id" } " as before. What has a schedule keeps it."
            }
        },
        facts: facts(visitor, said, &all),
        press: (all.meant.count > 0).then(|| {
            let label = if is_rest { format!("Go on with the rest: retry {meant}") } else { format!("Retry {meant}") };
            (visitor.to(LOOK, said), label)
        }),
        meant: &all.meant,
        samples: html! {
            @if !all.samples.is_empty() { (deliveries::named(visitor, &all.samples, "The newest of them.").await) }
        },
    };
    Ok(look.page(visitor))
}

/// The list that was looked at, without where a press has come to.
fn list_of<'a>(said: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    said.iter().copied().filter(|(name, _)| *name != "cursor").collect()
}

fn facts(visitor: &Visitor, said: &[(&str, &str)], all: &Matching) -> Markup {
    let of = |name: &str| said.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    html! {
        dt { "Meant" }
        dd {
            @for (name, value) in said.iter().filter(|(name, _)| !matches!(*name, "since" | "until" | "cursor")) {
                (name) " " b title=(value) { (deliveries::word(name, value)) } ", "
            }
            "made " @if let Some(since) = of("since") { "from " code { (since) } " " }
            "before " code { (of("until").unwrap_or_default()) } ": what comes later is no part of it"
        }
        @if all.held > 0 {
            dt { "Held" }
            dd {
                (words::deliveries(all.held)) ", passed over: " @if all.held == 1 { "it goes" } @else { "they go" } " out once what holds "
                @if all.held == 1 { "it" } @else { "them" } " is resumed or enabled. " (holding(visitor, &of))
            }
        }
        @if all.delivered > 0 {
            dt { "Passed over" }
            dd {
                (words::deliveries(all.delivered)) " delivered already"
                @if let Some(replay) = replay(visitor, &of) { ": " a href=(replay) { "send those again by a replay" } }
                "."
            }
        }
        @if all.discarded > 0 {
            dt { "Left out" }
            dd { (words::deliveries(all.discarded)) " discarded: they stay so" }
        }
        @if all.meant.count > PRESS || all.meant.is_more {
            dt { "At a press" }
            dd { (words::count(PRESS)) " at most; it leads on to the rest" }
        }
    }
}

/// What would send the delivered ones again: the look at a replay, where the filters say
/// for which endpoint, or else its form. It knows endpoints, types and times: of one event,
/// or of one replay, it would send more than is meant.
fn replay<'a>(visitor: &Visitor, of: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    if of("event").is_some() || of("replay").is_some() {
        return None;
    }
    let mut asked = vec![("status", "delivered")];
    for (name, field) in [("endpoint", "endpoint"), ("type", "types"), ("since", "since"), ("until", "until")] {
        asked.extend(of(name).map(|value| (field, value)));
    }
    Some(visitor.to(if of("endpoint").is_some() { "/replays/look" } else { "/replays/new" }, &asked))
}

/// Where what is held is let go: at its endpoint, or among those that are paused.
fn holding<'a>(visitor: &Visitor, of: &impl Fn(&str) -> Option<&'a str>) -> Markup {
    html! {
        @if visitor.may(Permission::ManageEndpoints) {
            @match of("endpoint") {
                Some(id) => a href=(visitor.to_one(&format!("/endpoints/{}", segment(id)))) { "The endpoint" },
                None => a href=(visitor.to("/endpoints", &[("health", "paused")])) { "Paused endpoints" },
            }
        }
    }
}

/// Asks for attempts of all that match, so many at a press, the newest first. A cursor says
/// how far it has come, so that none is passed over and none is asked for twice.
pub async fn retry_all(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let said = frozen(&visitor, true);
    let said = pairs(&said);
    let typed = match count(&visitor, &said).await {
        Ok(all) => all.meant.typed(),
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    if let Some(number) = typed.filter(|number| !bulk::is_typed(&form, *number)) {
        let said_of_it = format!("!Nothing was done: type {} to say that all of it is meant.", words::count(number));
        return visitor.say(&visitor.to(LOOK, &said), &said_of_it);
    }
    let mut cursor = visitor.query.filled("cursor").map(str::to_owned);
    let (mut done, mut asked, mut stopped, mut is_over) = (bulk::Done::default(), 0, None, false);
    let (mut asking, mut before) = (Asking::of(&form), 0);
    'pages: for _ in 0..matching::PAGES_MAX {
        let found = match read(&visitor, &said, cursor.as_deref()).await {
            Ok(found) => found,
            Err(trouble) => {
                stopped = Some(trouble);
                break;
            }
        };
        for delivery in &found.data {
            if is_meant(delivery) {
                if asked == PRESS {
                    break 'pages;
                }
                asked += 1;
                match asking.ask(&visitor, &delivery.id).await {
                    Ok(true) => done.done += 1,
                    // They count as asked for: the same form means the same ones.
                    Ok(false) => before += 1,
                    Err(trouble) if matching::is_end(&trouble) => {
                        stopped = Some(trouble);
                        break 'pages;
                    }
                    Err(trouble) => {
                        done.failed += 1;
                        done.why.get_or_insert(trouble);
                    }
                }
            }
            cursor = Some(delivery.id.clone());
        }
        match found.next_cursor {
            Some(next) => cursor = Some(next),
            None => {
                is_over = true;
                break;
            }
        }
    }
    if let Some(trouble) = stopped.as_ref().filter(|trouble| trouble.status == 401) {
        return visitor.answer(Err(trouble.clone()));
    }
    let mut told = done.said("Queued: one more attempt of", words::DELIVERIES);
    told.push_str(&passed_over(before));
    if is_over {
        told.push_str(" That was all of it.");
        return visitor.say(&visitor.to("/deliveries", &list_of(&said)), &told);
    }
    match stopped {
        Some(trouble) => {
            let but = format!(" It stopped there: {}: {}. Go on with the rest below.", trouble.title, trouble.detail);
            told = format!("!{}{but}", told.trim_start_matches('!'));
        }
        None => told.push_str(" Go on with the rest below."),
    }
    let mut rest = list_of(&said);
    rest.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
    visitor.say(&visitor.to(LOOK, &rest), &told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrived_was_discarded_or_is_held_is_not_asked_for() {
        for (status, meant) in [
            ("pending", true),
            ("retrying", true),
            ("held", false),
            ("retries_exhausted", true),
            ("delivered", false),
            ("discarded", false),
        ] {
            let delivery = serde_json::json!({
                "id": "dlv_1", "endpoint": "ep_1", "event": "evt_1", "event_type": "a.b", "status": status, "attempt_count": 1,
                "next_attempt_at": null, "created_at": "2026-01-31T12:00:00Z", "finished_at": null, "reason": null,
            });
            let delivery: Delivery = serde_json::from_value(delivery).expect("it is one");
            assert_eq!(is_meant(&delivery), meant, "{status}");
        }
    }
}
