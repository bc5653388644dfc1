//! Finding by what somebody has in hand: an id of whatever kind, a URL, an idempotency key, a
//! value of a payload, a partner's name, an event type. What one thing goes by leads there;
//! of several there is a list, and of nothing what was looked through. What is in hand in part
//! only, an id's tail or a piece of a URL, is looked for in `find/parts`.

mod parts;

use actix_web::HttpResponse;
use maud::{Markup, html};
use serde::de::IgnoredAny;

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::form::Form;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{head, refused, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Hit, KeptFor, Refusals, SearchAnswer, Searched};
use crate::dashboard::words;

/// Hits of each kind that are listed.
const LIMIT: &str = "25";
/// Refused posts that are shown where nothing else is.
const REFUSED: &str = "10";

/// Goes to what was found, lists it, or says what was looked for.
pub async fn page(visitor: Visitor) -> HttpResponse {
    let wanted = visitor.query.filled("q").unwrap_or_default().to_owned();
    let mut looked = Looked::default();
    match found(&visitor, &wanted, &mut looked).await {
        Ok(Some(Found::One(to))) => answers::go(&to),
        Ok(Some(Found::Several(there, hits))) => visitor.answer(Ok(several(&there, &wanted, &hits, &looked))),
        Ok(None) => visitor.answer(Ok(not_found(&visitor, &wanted, &looked).await)),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

enum Found {
    /// Where it is.
    One(String),
    /// As somebody sees it who looks there.
    Several(Box<Visitor>, Vec<Hit>),
}

impl Found {
    /// What these hits are, for somebody who looks there; `None` is nothing.
    fn of(there: Visitor, hits: Vec<Hit>) -> Option<Self> {
        if let Some(only) = the_one(&hits) {
            return Some(Self::One(there.to(&address(only), &[])));
        }
        (!hits.is_empty()).then(|| Self::Several(Box::new(there), hits))
    }
}

/// What was looked through, to be said.
#[derive(Default)]
struct Looked {
    /// For the text whole, if it can be looked for.
    searched: Option<Searched>,
    /// For it as an id's tail: how many of the newest things of each kind.
    tails: Option<parts::Tails>,
    /// For it as a part of a URL: whether all endpoints were looked at.
    urls: Option<bool>,
}

/// Looks where somebody is, then over all partners, then in the other environment: what is
/// in hand says neither.
async fn found(visitor: &Visitor, wanted: &str, looked: &mut Looked) -> Result<Option<Found>, Trouble> {
    if wanted.is_empty() {
        return Ok(None);
    }
    if visitor.may(Permission::Operate) && is_partner(visitor, wanted).await? {
        return Ok(Some(Found::One(visitor.address(&format!("/partners/{}", segment(wanted)), None, &[]))));
    }
    for there in places(visitor) {
        let answer: SearchAnswer = match there.get("/search", About::These, &[("q", wanted), ("limit", LIMIT)]).await {
            Ok(answer) => answer,
            // It is nothing that could be looked for.
            Err(trouble) if trouble.status == 422 => break,
            Err(trouble) => return Err(trouble),
        };
        // What is said is how far it went where something is, or else where somebody is.
        let hits = once_each(answer.data);
        if looked.searched.is_none() || !hits.is_empty() {
            looked.searched = Some(answer.searched);
        }
        if let Some(found) = Found::of(there, hits) {
            return Ok(Some(found));
        }
    }
    if let Some(tail) = parts::Tail::of(wanted) {
        for there in places(visitor) {
            let (hits, tails) = tail.among_the_newest(&there).await?;
            looked.tails.get_or_insert(tails);
            if let Some(found) = Found::of(there, hits) {
                return Ok(Some(found));
            }
        }
    }
    if visitor.may(Permission::ManageEndpoints) && parts::is_part_of_url(wanted) {
        for there in places(visitor) {
            let (hits, is_all) = parts::by_url(&there, wanted).await?;
            looked.urls = Some(looked.urls.unwrap_or(true) && is_all);
            if let Some(found) = Found::of(there, hits) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

async fn is_partner(visitor: &Visitor, name: &str) -> Result<bool, Trouble> {
    match visitor.get::<IgnoredAny>(&format!("/partners/{}", segment(name)), About::Nobody, &[]).await {
        Ok(_) => Ok(true),
        Err(trouble) if matches!(trouble.status, 404 | 422) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// Where is looked, one after the other.
fn places(visitor: &Visitor) -> Vec<Visitor> {
    let at = |environment: &str| {
        let mut there = visitor.clone();
        there.query = Form::default();
        if visitor.chooses_environment() {
            there.query.set("env", environment);
        }
        there
    };
    let mut places = Vec::new();
    if visitor.chooses_partner() && visitor.partner().is_some() {
        places.push(visitor.clone());
    }
    places.push(at(visitor.environment()));
    if visitor.chooses_environment() {
        places.push(at(if visitor.environment() == "sandbox" { "production" } else { "sandbox" }));
    }
    places
}

/// A thing may be found in several ways.
fn once_each(hits: Vec<Hit>) -> Vec<Hit> {
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        if !kept.iter().any(|known| known.kind == hit.kind && known.id == hit.id) {
            kept.push(hit);
        }
    }
    kept
}

/// What is meant, where there is no doubt: the only hit, or the one that is called so.
fn the_one(hits: &[Hit]) -> Option<&Hit> {
    if let [only] = hits {
        return Some(only);
    }
    let mut called_so = hits.iter().filter(|hit| matches!(hit.why.as_str(), "id" | "url" | "name"));
    called_so.next().filter(|_| called_so.next().is_none())
}

/// The page of a hit.
fn address(hit: &Hit) -> String {
    let id = segment(&hit.id);
    match hit.kind.as_str() {
        "delivery" => format!("/deliveries/{id}"),
        "webhook" => format!("/endpoints/{id}"),
        "event_type" => format!("/catalog/{id}"),
        "replay" => format!("/replays/{id}"),
        "key" => "/keys".to_owned(),
        _ => format!("/events/{id}"),
    }
}

fn several(there: &Visitor, wanted: &str, hits: &[Hit], looked: &Looked) -> Page {
    let in_part = hits.iter().any(|hit| matches!(hit.why.as_str(), parts::TAIL | parts::URL_PART));
    let body = html! {
        (head("Found", html! {}))
        p.sentence { (words::of(hits.len() as u64, "thing")) " in " (there.environment()) " go by " b { (wanted) } "." }
        div.list {
            table {
                caption {
                    @if in_part { (looked_for_parts(there, wanted, looked)) }
                    @else if let Some(searched) = &looked.searched { (range(there, searched)) }
                }
                thead {
                    tr {
                        th scope="col" { "What" } th scope="col" { "Which" } th scope="col" { "Type" } th scope="col" { "Partner" }
                        th scope="col" { "Found by" } th.num scope="col" { "Age" }
                    }
                }
                tbody {
                    @for hit in hits {
                        tr {
                            td.nowrap { (kind(hit)) }
                            td.nowrap {
                                @match &hit.url {
                                    Some(url) => a.cut href=(there.to(&address(hit), &[])) title=(hit.id) { (url) },
                                    None => a href=(there.to(&address(hit), &[])) { (words::id(&hit.id)) },
                                }
                            }
                            td { (hit.event_type.as_deref().unwrap_or_default()) }
                            td { @match hit.partner.as_deref() { Some("*") => "all", Some(name) => (name), None => {} } }
                            td { (why(hit)) }
                            td.num.nowrap.last { @if let Some(at) = hit.at { (words::time(at.0, there.now)) } }
                        }
                    }
                }
            }
        }
        @if !in_part { (frame::as_call(there, "/search", About::These, &[("q", wanted), ("limit", LIMIT)])) }
    };
    Page::new("Found", body)
}

fn kind(hit: &Hit) -> &str {
    match hit.kind.as_str() {
        "webhook" => "endpoint",
        "event_type" => "event type",
        other => other,
    }
}

fn why(hit: &Hit) -> Markup {
    html! {
        @match (hit.why.as_str(), &hit.pointer) {
            ("field", Some(pointer)) => code { (pointer) },
            ("idempotency_key", _) => "its idempotency key",
            ("event_type", _) => "its type",
            ("url", _) => "its URL",
            ("name", _) => "its name",
            (parts::TAIL, _) => "its id's end",
            (parts::URL_PART, _) => "a part of its URL",
            _ => "its id",
        }
    }
}

/// What was looked through.
fn range(there: &Visitor, searched: &Searched) -> Markup {
    let until = words::absolute(searched.until.0);
    html! {
        @match searched.since {
            Some(since) if !searched.complete => {
                "Events were looked through from " (words::absolute(since.0)) " to " (until) ": there may be older ones. "
                a href=(there.to("/events", &[("until", &since.0.to_string())])) { "Those before" } " "
            }
            _ => { "All events that are kept were looked through, to " (until) ". " }
        }
    }
}

/// What was looked through for what is in hand in part.
fn looked_for_parts(there: &Visitor, wanted: &str, looked: &Looked) -> Markup {
    html! {
        @if let Some(tails) = &looked.tails { (tails.said()) " " }
        @match looked.urls {
            None => {}
            Some(true) => "The URLs of all endpoints were looked through. ",
            Some(false) => {
                "Not all endpoints could be looked at, the most harmed and the newest first: "
                a href=(there.to("/endpoints", &[("url_part", wanted)])) { "go on among them" } ". "
            }
        }
    }
}

async fn not_found(visitor: &Visitor, wanted: &str, looked: &Looked) -> Page {
    let body = html! {
        (head("Nothing found", html! {}))
        section.panel {
            p.sentence {
                @if wanted.is_empty() { "Say what is to be found." }
                @else { "There is nothing here that goes by " b { (wanted) } ", or it is not yours to see." }
            }
            @if let Some(searched) = &looked.searched {
                p {
                    (range(visitor, searched))
                    (looked_for_parts(visitor, wanted, looked))
                    @if visitor.chooses_environment() { "The other environment was looked through, too." }
                }
            }
            (horizon(visitor).await)
            p { "What can be found is, exactly as it is written:" }
            ul {
                li { "the id of an event (" code { "evt_…" } "), a delivery (" code { "dlv_…" } "), an endpoint (" code { "ep_…" } ") or a replay" }
                li { "the end of such an id, as pages show it (" code { "dlv…7k2m9q" } "), of what is among the newest" }
                li { "the URL of an endpoint, its host, or another part of it" }
                li { "an idempotency key, or a value of a payload in a field that its type is indexed by" }
                li { "the name of an event type" @if visitor.is_operator() { ", or of a partner" } }
            }
            p { a href=(visitor.to("/events", &[])) { "All events" } " · " a href=(visitor.to("/deliveries", &[])) { "All deliveries" } }
        }
        @if !wanted.is_empty() { (refused_posts(visitor, wanted).await) }
    };
    Page::new("Nothing found", body)
}

/// For how long anything is kept.
async fn horizon(visitor: &Visitor) -> Markup {
    if !visitor.may(Permission::ReadRetention) {
        return html! { p { "What is older than the retention is gone." } };
    }
    match visitor.get::<KeptFor>("/retention", About::These, &[]).await {
        Err(trouble) => answers::part(&trouble),
        Ok(kept) => {
            let days = kept.retention_days;
            let since = visitor.now - std::time::Duration::from_secs(days * 86_400);
            html! {
                p {
                    "Events are kept for " (words::of(days, "day")) ": what was accepted before " (words::absolute(since)) " may be gone."
                    @if kept.effective.payload_days < days { " Payloads, and with them the values they are found by, go after " (words::of(kept.effective.payload_days, "day")) "." }
                }
            }
        }
    }
}

/// Posts that go by it and were not taken.
async fn refused_posts(visitor: &Visitor, wanted: &str) -> Markup {
    let asked = [("q", wanted), ("limit", REFUSED)];
    match visitor.get::<Refusals>("/events/refused", About::These, &asked).await {
        // It is nothing that could be looked for.
        Err(trouble) if trouble.status == 422 => html! {},
        Err(trouble) => answers::part(&trouble),
        Ok(found) if found.data.is_empty() => html! {
            p.muted {
                "No refused post goes by it either"
                @if visitor.is_partner() { ", among those that were lately refused: since " } @else { ", as far as this node remembers: since " }
                (words::time(found.since.0, visitor.now)) "."
            }
        },
        Ok(found) => html! {
            h2 { "But posts that go by it were refused" }
            (refused::table(visitor, &found.data, html! { @if visitor.is_partner() { "Lately refused. " } @else { "As this node remembers them. " } a href=(visitor.to("/events", &[("tab", "refused"), ("q", wanted)])) { "All of them" } }))
        },
    }
}
