//! What a replay would do, before it does it: a page of its own, whose address says which
//! events are meant and up to when, so that it is the same page tomorrow. And what begins
//! it: once, however often the button is pressed.

use std::collections::HashSet;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use bytes::Bytes;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::dashboard::answers;
use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::bulk;
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::replays::form::{self, CHOSEN, FIELDS, SAID, TYPED, WITHIN};
use crate::dashboard::pages::{endpoint, filters, head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Endpoint, PreviewedCount, Replay, ReplayPreview};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// Kinds of what would be made that are shown.
const COUNTS_SHOWN: usize = 50;

/// The page.
pub async fn look(visitor: Visitor) -> HttpResponse {
    let asked = visitor.query.clone();
    if let Some(frozen) = frozen(&asked, visitor.now) {
        let said = said(&frozen);
        return answers::go(&visitor.to("/replays/look", &pairs(&said)));
    }
    shown(&visitor, &asked, &Mistakes::default()).await
}

/// The same with its times fixed, where they were not. Times that are typed count, and how
/// far back was chosen counts only without any.
fn frozen(asked: &Form, now: Timestamp) -> Option<Form> {
    let typed = |name: &str| asked.filled(name).map(|text| filters::time(text, now));
    let (since, until) = (typed("since"), typed("until"));
    let chosen = asked.filled("within");
    let is_as_typed = since.as_deref() == asked.filled("since") && until.as_deref() == asked.filled("until");
    if chosen.is_none() && until.is_some() && is_as_typed {
        return None;
    }
    let within = chosen.filter(|_| since.is_none() && until.is_none()).unwrap_or_default();
    let back = WITHIN.iter().find(|(name, ..)| *name == within).map_or(0, |(.., millis)| *millis);
    let mut frozen = Form::default();
    for name in SAID.iter().filter(|name| !matches!(**name, "since" | "until" | CHOSEN)) {
        asked.all(name).filter(|value| !value.trim().is_empty()).for_each(|value| frozen.set(name, value));
    }
    match within {
        "" => since.into_iter().for_each(|since| frozen.set("since", since)),
        "all" => {}
        _ => frozen.set("since", Timestamp::from_millis(now.as_millis().saturating_sub(back)).to_string()),
    }
    if until.is_none() {
        frozen.set(CHOSEN, if within.is_empty() { TYPED } else { within });
    }
    frozen.set("until", until.unwrap_or_else(|| now.to_string()));
    Some(frozen)
}

/// What an address, or hidden fields, say of it.
fn said(asked: &Form) -> Vec<(&'static str, String)> {
    let each = SAID.iter().flat_map(|name| asked.all(name).map(move |value| (*name, value.to_owned())));
    each.filter(|(_, value)| !value.trim().is_empty()).collect()
}

fn pairs<'a>(said: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    said.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Whose endpoint it is for, where it is for one.
async fn endpoint_of(visitor: &Visitor, asked: &Form) -> Result<Option<Endpoint>, Trouble> {
    match asked.filled("endpoint") {
        Some(id) => endpoint::read(visitor, id).await.map(Some),
        None => Ok(None),
    }
}

/// Asks the API, to count or to begin.
async fn ask(
    visitor: &Visitor,
    endpoint: Option<&Endpoint>,
    mut fields: Map<String, Value>,
    is_dry: bool,
    once: Option<&str>,
) -> Result<Bytes, Trouble> {
    if is_dry {
        fields.insert("dry_run".to_owned(), json!(true));
    }
    match endpoint {
        Some(endpoint) => {
            let path = format!("/webhook/{}/replay", segment(&endpoint.id));
            visitor.send_once(&path, About::Partner(&endpoint.partner), &Value::Object(fields), once).await
        }
        None => visitor.send_once("/replays", About::These, &Value::Object(fields), once).await,
    }
}

/// What it would do, or the form again with what is wrong with it.
async fn shown(visitor: &Visitor, asked: &Form, mistakes: &Mistakes) -> HttpResponse {
    let endpoint = match endpoint_of(visitor, asked).await {
        Ok(endpoint) => endpoint,
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    let (fields, own) = form::body(asked, visitor.now);
    // Nothing is done by that: what the form cannot read goes along, so that all that is wrong is
    // told at once.
    let counted = ask(visitor, endpoint.as_ref(), fields, true, None).await;
    let wrong = match counted.and_then(|counted| inside::read::<ReplayPreview>(&counted)) {
        Ok(preview) if own.is_empty() => {
            let once = match asked.filled("once").map_or_else(fresh, |once| Ok(once.to_owned())) {
                Ok(once) => once,
                Err(trouble) => return visitor.answer(Err(trouble)),
            };
            let status = if mistakes.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            let counted = most_first(&preview).into_iter().map(|count| count.endpoint.as_str());
            let samples = preview.samples.iter().map(|sample| sample.endpoint.as_str());
            let names = Names::read(visitor, counted.take(COUNTS_SHOWN).chain(samples)).await;
            let looked = Looked { visitor, endpoint: endpoint.as_ref(), asked, preview, names, once };
            return visitor.page(status, &looked.page(mistakes));
        }
        Ok(_) => own,
        Err(trouble) if matches!(trouble.status, 401 | 403) => return visitor.answer(Err(trouble)),
        Err(trouble) => own.and(Mistakes::of(&trouble, &FIELDS)),
    };
    match form::page(visitor, endpoint.as_ref(), &form::as_typed(asked), &wrong).await {
        Ok(page) => visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

/// What nobody else's form carries.
fn fresh() -> Result<String, Trouble> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| {
        log::error!("the system has no randomness: {error}");
        Trouble::internal("the system has no randomness just now")
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What it would make, the most of one kind first.
fn most_first(preview: &ReplayPreview) -> Vec<&PreviewedCount> {
    let mut counts: Vec<&PreviewedCount> = preview.counts.iter().collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts
}

/// What was counted, and by what it is begun.
struct Looked<'a> {
    visitor: &'a Visitor,
    endpoint: Option<&'a Endpoint>,
    asked: &'a Form,
    preview: ReplayPreview,
    /// What its endpoints are called.
    names: Names,
    once: String,
}

impl Looked<'_> {
    fn page(&self, mistakes: &Mistakes) -> Page {
        let Self { visitor, preview, asked, .. } = self;
        let said = said(asked);
        let back = match self.endpoint {
            Some(endpoint) => format!("/endpoints/{}/replay", segment(&endpoint.id)),
            None => "/replays/new".to_owned(),
        };
        let body = html! {
            (head("What it would do", html! { a href=(visitor.to(&back, &pairs(&said))) { "Change it" } }))
            section.panel {
                p.sentence { (self.sentence()) }
                (self.facts())
                @if preview.events > 0 { (self.begins(&said, mistakes)) }
                @else { p { a.button href=(visitor.to(&back, &pairs(&said))) { "Look for something else" } } }
            }
            @if !preview.counts.is_empty() { (self.counts()) }
            @if !preview.samples.is_empty() { (self.samples()) }
        };
        Page::new("What it would do", body)
    }

    /// How many it would make: the API calls them events, and counts one for each endpoint.
    fn made(&self) -> String {
        format!("{}{}", words::deliveries(self.preview.events), if self.preview.at_least { " or more" } else { "" })
    }

    fn sentence(&self) -> Markup {
        let preview = &self.preview;
        let reached: HashSet<&str> = preview.counts.iter().map(|count| count.endpoint.as_str()).collect();
        let reached = reached.len() as u64;
        html! {
            @if preview.events == 0 {
                "Nothing fits: no event of that time, type and state."
            } @else {
                (self.made()) " would be made"
                @match self.endpoint {
                    Some(endpoint) => { " to " b { (endpoint.url) } }
                    None => {
                        " to " (words::of(reached, "endpoint"))
                        @if preview.targets > reached { " of the " (words::count(preview.targets)) " that are asked for" }
                    }
                }
                ", each with the " b { "same webhook-id" } " that its event had: a receiver that has seen it can tell."
            }
        }
    }

    fn facts(&self) -> Markup {
        let (preview, now) = (&self.preview, self.visitor.now);
        let rate = self.asked.filled("rate_limit").and_then(|text| text.parse::<f64>().ok()).filter(|rate| *rate > 0.0);
        let takes = rate.and_then(|rate| Duration::try_from_secs_f64((preview.events as f64 / rate).ceil()).ok());
        html! {
            dl.facts {
                dt { "Meant" } dd {
                    "accepted "
                    @match self.asked.filled("since") { Some(since) => { "from " code { (since) } " " }, None => {} }
                    "before " code { (self.asked.filled("until").unwrap_or_default()) }
                    ": what comes later is no part of it"
                }
                @if let (Some(oldest), Some(newest)) = (preview.oldest, preview.newest) {
                    dt { "Span" } dd { (words::time(oldest.0, now)) " to " (words::time(newest.0, now)) span.muted { " · " (words::absolute(oldest.0)) " to " (words::absolute(newest.0)) } }
                }
                dt { "Rate" } dd {
                    @match (rate, takes) {
                        (Some(rate), Some(takes)) => { "at most " (rate) " a second: about " (words::span(takes)) @if preview.at_least { " or more" } }
                        _ => "as fast as the endpoints keep up, and no faster",
                    }
                }
                @if preview.skipped > 0 { dt { "Passed over" } dd { (words::deliveries(preview.skipped)) ": the payload is gone, or nobody should get it any more" } }
            }
        }
    }

    fn begins(&self, said: &[(&'static str, String)], mistakes: &Mistakes) -> Markup {
        let (visitor, events) = (self.visitor, self.preview.events);
        let is_typed = events > bulk::TYPED_ABOVE;
        html! {
            form.field method="post" action=(visitor.to("/replays", &[])) {
                (frame::token(visitor))
                @for (name, value) in said { input type="hidden" name=(name) value=(value); }
                input type="hidden" name="once" value=(self.once);
                input type="hidden" name="events" value=(events);
                @for wrong in mistakes.at("") { p.wrong role="alert" { (wrong) } }
                @if is_typed {
                    label for="typed" { "So many deliveries are typed: " (words::count(events)) }
                    input #typed type="text" name="typed" inputmode="numeric" autocomplete="off" value=[self.asked.get("typed")]
                        aria-invalid=[(!mistakes.at("typed").is_empty()).then_some("true")] aria-describedby=[(!mistakes.at("typed").is_empty()).then_some("typed-wrong")];
                    @if !mistakes.at("typed").is_empty() { div #typed-wrong { @for wrong in mistakes.at("typed") { p.wrong { (wrong) } } } }
                }
                div.actions { button.primary { "Replay " (self.made()) } }
            }
        }
    }

    fn counts(&self) -> Markup {
        let counts = most_first(&self.preview);
        let hidden = counts.len().saturating_sub(COUNTS_SHOWN);
        html! {
            div.list {
                table {
                    caption { "What it would make, the most first." @if hidden > 0 { " " (words::of(hidden as u64, "more kind")) " not shown." } }
                    thead { tr { th scope="col" { "Was" } th scope="col" { "Type" } th scope="col" { "Endpoint" } th.num scope="col" { "Deliveries" } } }
                    tbody {
                        @for count in counts.into_iter().take(COUNTS_SHOWN) {
                            tr {
                                td.nowrap { (was(&count.status)) }
                                td { (count.event_type) }
                                td data-l="to" { (self.names.link(self.visitor, &count.endpoint)) }
                                td.num.last { (words::count(count.count)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn samples(&self) -> Markup {
        html! {
            div.list {
                table {
                    caption { "A few of them." }
                    thead { tr { th scope="col" { "Was" } th scope="col" { "Event" } th scope="col" { "Type" } th scope="col" { "Endpoint" } th.num scope="col" { "Accepted" } } }
                    tbody {
                        @for sample in &self.preview.samples {
                            tr {
                                td.nowrap { (was(&sample.status)) }
                                td.nowrap { a href=(self.visitor.to_one(&format!("/events/{}", segment(&sample.event)))) { (words::id(&sample.event)) } }
                                td { (sample.event_type) }
                                td data-l="to" { (self.names.link(self.visitor, &sample.endpoint)) }
                                td.num.nowrap.last { (words::time(sample.accepted_at.0, self.visitor.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How an event stands before it is sent again.
fn was(status: &str) -> Markup {
    if status == "missing" { icons::state("none", "missing") } else { icons::status(status) }
}

/// Begins it, and leads to where it is watched.
pub async fn begin(posted: Posted) -> HttpResponse {
    let Posted { visitor, form: asked } = posted;
    let events = asked.get("events").and_then(|text| text.parse::<u64>().ok()).unwrap_or(u64::MAX);
    if events > bulk::TYPED_ABOVE && !bulk::is_typed(&asked, events) {
        let wrong = Mistakes::one("typed", "not that number: nothing was begun");
        return shown(&visitor, &asked, &wrong).await;
    }
    let endpoint = match endpoint_of(&visitor, &asked).await {
        Ok(endpoint) => endpoint,
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    let (fields, own) = form::body(&asked, visitor.now);
    if !own.is_empty() {
        return shown(&visitor, &asked, &own).await;
    }
    let begun = ask(&visitor, endpoint.as_ref(), fields, false, asked.filled("once")).await;
    match begun.and_then(|begun| inside::read::<Replay>(&begun)) {
        Ok(replay) => visitor.say(
            &visitor.to_one(&format!("/replays/{}", segment(&replay.id))),
            &format!(
                "Begun, for {}: this page says how far it is, and its deliveries how each ends.",
                words::of(replay.targets, "endpoint")
            ),
        ),
        Err(trouble) if trouble.status == 401 => visitor.answer(Err(trouble)),
        Err(trouble) => shown(&visitor, &asked, &Mistakes::of(&trouble, &[])).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_fixed_once() {
        let now = Timestamp::from_millis(10 * 86_400_000);
        let fixed = |query: &str| {
            let said = frozen(&Form::parse(query.as_bytes()), now).map(|frozen| said(&frozen));
            said.map(|said| {
                said.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
            })
        };
        let at = now.to_string();
        assert_eq!(
            fixed("endpoint=ep_1&status=delivered&within=").as_deref(),
            Some(&*format!("endpoint=ep_1&until={at}&status=delivered&chosen=typed"))
        );
        let day_before = Timestamp::from_millis(9 * 86_400_000).to_string();
        let day = format!("since={day_before}&until={at}");
        assert_eq!(fixed("within=24h&since=+&until=").as_deref(), Some(&*format!("{day}&chosen=24h")));
        // What is typed counts, as lists take it.
        assert_eq!(fixed("within=7d&since=24h").as_deref(), Some(&*format!("{day}&chosen=typed")));
        assert_eq!(
            fixed("within=24h&since=2026-01-31&until=2026-01-31+12:00").as_deref(),
            Some("since=2026-01-31T00:00:00Z&until=2026-01-31T12:00:00Z")
        );
        assert_eq!(fixed("within=all&until=2027").as_deref(), Some("until=2027"));
        assert_eq!(fixed("since=2026-01-31T00:00:00Z&until=2026-01-31T12:00:00Z"), None, "it is the same page");
        assert_eq!(fixed("within=all&missing=on").as_deref(), Some(&*format!("until={at}&missing=on&chosen=all")));
        assert_eq!(fixed("since=2026&until=2027&token=x"), None, "they are fixed already");
    }
}
