//! Replays: what is to be delivered again, who asked for it, and how far that has come.
//! How one is asked for is in `form`, and what it would do, before anything is done, in
//! `look`.

mod form;
mod look;

use std::rc::Rc;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::{join, join_all};
use maud::{Markup, html};
use tokio::sync::OnceCell;

use crate::auth::Permission;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::audit::{self, Hands};
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::{head, news, nothing, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{List, Replay, ReplayProgress};
use crate::dashboard::words;
use crate::domain::Timestamp;

pub use form::{new, of_endpoint};
pub use look::{begin, look};

/// Replays of a page.
const PAGE: usize = 50;
/// New ones that are counted.
const NEWS: usize = 30;
/// Running replays of a page of which it is asked how far they are.
const FOLLOWED: usize = 5;
/// Endpoints of one replay that are shown.
const ENDPOINTS_SHOWN: usize = 50;

/// Reads one, with how far it is.
async fn read(visitor: &Visitor, id: &str) -> Result<Replay, Trouble> {
    visitor.get(&format!("/replays/{}", segment(id)), About::These, &[]).await
}

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let limit = PAGE.to_string();
    let kept: Vec<(&str, &str)> = cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
    let asked: Vec<(&str, &str)> = kept.iter().copied().chain([("limit", limit.as_str())]).collect();
    let found: List<Replay> = visitor.get("/replays", About::These, &asked).await?;
    let replays = followed(visitor, found.data).await;
    let may = visitor.may(Permission::RetryDeliveries);
    let new = visitor.to("/replays/new", &[]);
    // How many there are is known where one page has all of them.
    let all = (cursor.is_none() && found.next_cursor.is_none()).then_some(replays.len() as u64);
    let yet = html! {
        p { "No replay yet: it sends again what was given up, or what an endpoint missed." }
        @if may { a.button.primary href=(new) { "Replay events" } }
    };
    let body = html! {
        (head("Replays", html! { (news(0, false, "")) @if may { a.button.primary href=(new) { "Replay events" } } }))
        @if replays.is_empty() {
            @let is_narrowed = visitor.chooses_partner() && visitor.partner().is_some();
            div.list { (nothing(is_narrowed, &visitor.address("/replays", None, &[]), &yet)) }
        } @else {
            div.list {
                table {
                    caption { "Newest first" @if let Some(all) = all { ", " (words::of(all, "replay")) " in all" } ". Of the newest " (FOLLOWED) " that run it is said how far they are; of each, on its page." }
                    thead {
                        tr {
                            th scope="col" { "State" } th scope="col" { "Replay" } th scope="col" { "For" } th scope="col" { "What" }
                            th.num scope="col" { "Made" } th.num scope="col" { "Failed" } th scope="col" { "Rate" }
                            th scope="col" { "By" } th scope="col" { "Left" } th.num scope="col" { "Begun" }
                        }
                    }
                    (rows(visitor, &replays))
                }
            }
            (frame::next(visitor, "/replays", &kept, found.next_cursor.as_deref()))
        }
        (frame::as_call(visitor, "/replays", About::These, &asked))
    };
    let top = replays.first().map(|first| ("top", first.id.as_str()));
    let watched: Vec<(&str, &str)> = kept.iter().copied().chain(top).collect();
    Ok(Page::new("Replays", body).live(visitor.to("/live/replays", &watched)))
}

fn rows(visitor: &Visitor, replays: &[Replay]) -> Markup {
    html! { tbody #replays { @for replay in replays { (row(visitor, replay)) } } }
}

/// The list's live parts: the rows that it has, and how many are new.
pub async fn live_list(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::seldom(visitor, &request, draw_list)
}

async fn draw_list(visitor: Visitor) -> Result<Parts, Trouble> {
    let limit = (PAGE + NEWS).to_string();
    let cursor = visitor.query.filled("cursor").map(|cursor| ("cursor", cursor));
    let asked: Vec<(&str, &str)> = [("limit", limit.as_str())].into_iter().chain(cursor).collect();
    let found: List<Replay> = visitor.get("/replays", About::These, &asked).await?;
    let top = visitor.query.get("top").unwrap_or_default();
    // Ids grow with time.
    let (new, mut old): (Vec<Replay>, Vec<Replay>) =
        found.data.into_iter().partition(|replay| replay.id.as_str() > top);
    let are_more = old.is_empty() && found.next_cursor.is_some();
    let mut parts = vec![("news", news(new.len(), are_more, &visitor.to("/replays", &[])))];
    // So many new ones push rows off that are there all the same.
    if new.len() <= NEWS && !old.is_empty() {
        old.truncate(PAGE);
        parts.push(("replays", rows(&visitor, &followed(&visitor, old).await)));
    }
    Ok(parts)
}

/// Those that run, with how far they are; of the others their list says enough.
async fn followed(visitor: &Visitor, listed: Vec<Replay>) -> Vec<Replay> {
    let running = listed.iter().filter(|replay| replay.state == "running").take(FOLLOWED);
    let read = join_all(running.map(|replay| read(visitor, &replay.id))).await;
    let mut known: Vec<Replay> = read.into_iter().flatten().collect();
    let mut replays = listed;
    for replay in &mut replays {
        if let Some(at) = known.iter().position(|known| known.id == replay.id) {
            *replay = known.swap_remove(at);
        }
    }
    replays
}

fn row(visitor: &Visitor, replay: &Replay) -> Markup {
    let progress = replay.progress.as_ref();
    html! {
        tr id=(replay.id) {
            td.nowrap { (state(replay)) }
            td.nowrap { a href=(visitor.to_one(&format!("/replays/{}", segment(&replay.id)))) { (words::id(&replay.id)) } }
            td { (whose(replay)) }
            td { (what(replay)) }
            td.num data-l="made" { (words::count(replay.made)) @if let Some(progress) = progress { " (" (words::count(progress.delivered)) " delivered)" } }
            td.num data-l="failed" { @if let Some(progress) = progress { (words::count(progress.failed)) } }
            td.nowrap data-l="rate" { (rate(replay)) }
            td.nowrap data-l="by" { (audit::who(visitor, &replay.requested_by.actor)) }
            td.nowrap data-l="left" {
                @if let Some(end) = progress.and_then(|progress| progress.estimated_end_at) { (words::time(end.0, visitor.now)) }
            }
            td.num.nowrap.last { (words::time(replay.created_at.0, visitor.now)) }
        }
    }
}

fn state(replay: &Replay) -> Markup {
    match replay.state.as_str() {
        "running" => icons::state("retrying", "running"),
        "done" => icons::state("delivered", "done"),
        "cancelled" => icons::state("discarded", "cancelled"),
        other => icons::state("none", other),
    }
}

/// Whose endpoints it is for.
fn whose(replay: &Replay) -> String {
    let partner = if replay.partner == "*" { "several partners" } else { &replay.partner };
    format!("{partner}, {}", words::of(replay.targets, "endpoint"))
}

/// What is selected, as a sentence without its end.
fn what(replay: &Replay) -> String {
    let mut parts: Vec<String> = replay.status.iter().map(|status| status.replace("retries_", "")).collect();
    if replay.missing {
        parts.push("missing".to_owned());
    }
    let types = if replay.types.is_empty() { "all types".to_owned() } else { replay.types.join(", ") };
    format!("{}; {types}", parts.join(", "))
}

fn rate(replay: &Replay) -> String {
    replay.rate_limit.as_ref().map_or("as they keep up".to_owned(), |limit| format!("{}/s", limit.per_second))
}

/// One replay.
pub async fn page(visitor: Visitor, id: web::Path<String>) -> HttpResponse {
    visitor.answer(build_one(&visitor, &id).await)
}

async fn build_one(visitor: &Visitor, id: &str) -> Result<Page, Trouble> {
    let replay = read(visitor, id).await?;
    let path = format!("/replays/{}", segment(&replay.id));
    let title = format!("Replay {}", words::short(&replay.id));
    let (names, hands) = join(names(visitor, &replay), Hands::read(visitor, replay.requested_by.key.as_deref())).await;
    let body = html! {
        div.head {
            h1 { "Replay " span.mono { (words::short(&replay.id)) } }
            div.row { (frame::copy(&replay.id)) a href=(visitor.to("/replays", &[])) { "All replays" } }
        }
        (part(visitor, &replay))
        (acts(visitor, &replay))
        section.panel {
            dl.facts {
                dt { "For" } dd { (whose(&replay)) }
                dt { "What" } dd { (what(&replay)) }
                dt { "Accepted" } dd { (range(&replay, visitor.now)) }
                dt { "Rate" } dd { (rate(&replay)) }
                dt { "Asked for" } dd { "by " (audit::who(visitor, &replay.requested_by.actor)) @if let Some(key) = &replay.requested_by.key { " " (hands.name(key)) } ", " (words::time(replay.created_at.0, visitor.now)) }
                dt { "Deliveries" } dd { a href=(visitor.to("/deliveries", &[("replay", &replay.id)])) { "Those that it made" } ", each with the webhook-id that its event had" }
            }
        }
        (endpoints(visitor, &replay, &names))
        (frame::as_call(visitor, &path, About::These, &[]))
    };
    Ok(Page::new(title, body).live(visitor.to(&format!("/live{}", path.replacen("/replays/", "/replay/", 1)), &[])))
}

fn range(replay: &Replay, now: Timestamp) -> Markup {
    html! {
        @match replay.since { Some(since) => { "from " (words::time(since.0, now)) }, None => { "from the first that is kept" } }
        @match replay.until { Some(until) => { " to " (words::time(until.0, now)) }, None => { " to when it began" } }
    }
}

/// How far it is, drawn anew while somebody looks.
fn part(visitor: &Visitor, replay: &Replay) -> Markup {
    let now = visitor.now;
    let Some(progress) = &replay.progress else {
        return html! { section #state .panel { p.sentence { (state(replay)) } } };
    };
    let ended = progress.delivered + progress.failed;
    let more = if progress.at_least { "+" } else { "" };
    let (value, most) = share(replay, progress, now);
    html! {
        section #state .panel {
            p.sentence {
                (state(replay)) " "
                @match replay.state.as_str() {
                    "running" => {
                        "It looks through the events and makes deliveries of those that are meant: " (words::count(replay.made)) " so far"
                        @match progress.estimated_end_at {
                            Some(end) => { ", the last about " (words::time(end.0, now)) "." }
                            None => { "." }
                        }
                    }
                    "cancelled" => { "Cancelled" @if let Some(at) = replay.finished_at { " " (words::time(at.0, now)) } "; what it had made is delivered all the same." }
                    _ if replay.made == 0 => { "It found nothing to deliver." }
                    _ if progress.pending > 0 => { "It has made all of it; " (words::count(progress.pending)) (more) " are still on their way." }
                    _ => { "It has made all of it, and all of it has ended." }
                }
            }
            progress value=(value) max=(most) aria-label="How far it is" { (words::percent(value, most)) }
            dl.figures {
                div { dt { "Made" } dd { (words::count(replay.made)) small { "deliveries" } } }
                div { dt { "Ended" } dd { (words::percent(ended, replay.made)) small { "of those made" } } }
                div { dt { (icons::status("delivered")) } dd { (words::count(progress.delivered)) small { "taken" } } }
                div { dt { (icons::state("exhausted", "failed")) } dd { (words::count(progress.failed)) (more) small { "exhausted or discarded" } } }
                div { dt { (icons::status("pending")) } dd { (words::count(progress.pending)) (more) small { "still to come" } } }
                div { dt { "Passed over" } dd { (words::count(replay.skipped)) small { "their payload is gone" } } }
            }
            @if replay.state == "running" {
                p.muted {
                    @if let Some(until) = progress.looked_until { "Events accepted before " (words::absolute(until.0)) " were looked at. " }
                    @if !visitor.is_partner() { "A restart, or another node, goes on where it was. " }
                    "Endpoints that are paused or disabled are given little, and hold the rest up."
                }
            }
        }
    }
}

/// How much of it is done, of how much: by time while it looks, by deliveries afterwards.
fn share(replay: &Replay, progress: &ReplayProgress, now: Timestamp) -> (u64, u64) {
    if replay.state == "running" {
        let Some(end) = progress.estimated_end_at else { return (0, 1) };
        let (done, left) = (now.since(replay.created_at.0).as_millis(), end.0.since(now).as_millis());
        let left = if end.0 > now { left } else { 0 };
        let whole = u64::try_from(done + left).unwrap_or(u64::MAX).max(1);
        return (u64::try_from(done).unwrap_or(whole).min(whole), whole);
    }
    let ended = progress.delivered + progress.failed;
    (ended.min(replay.made), replay.made.max(1))
}

/// What can be done with it, as long as there is something to do: drawn anew as it goes on.
fn acts(visitor: &Visitor, replay: &Replay) -> Markup {
    let is_open = replay.state == "running" && visitor.may(Permission::RetryDeliveries);
    html! {
        div #acts .actions hidden[!is_open] {
            @if is_open {
                (frame::confirmed(
                    visitor,
                    &visitor.to_one(&format!("/replays/{}/cancel", segment(&replay.id))),
                    "Cancel the replay",
                    "It makes nothing more. What it has made stays, and is delivered.",
                    "Cancel 1 replay",
                ))
            }
        }
    }
}

/// What its endpoints are called, as far as they are shown.
async fn names(visitor: &Visitor, replay: &Replay) -> Names {
    let targets = replay.progress.iter().flat_map(|progress| &progress.endpoints);
    Names::read(visitor, targets.take(ENDPOINTS_SHOWN).map(|target| target.endpoint.as_str())).await
}

/// How an endpoint of it stands: one that was not come to is not any more once it has ended.
fn target_state(replay: &Replay, is_done: bool) -> Markup {
    match (is_done, replay.state.as_str()) {
        (true, _) | (false, "done") => icons::state("delivered", "done"),
        (false, "running") => icons::state("retrying", "running"),
        (false, _) => icons::state("discarded", "cancelled"),
    }
}

fn endpoints(visitor: &Visitor, replay: &Replay, names: &Names) -> Markup {
    let Some(progress) = replay.progress.as_ref().filter(|progress| !progress.endpoints.is_empty()) else {
        return html! {};
    };
    let hidden = progress.endpoints.len().saturating_sub(ENDPOINTS_SHOWN);
    html! {
        div #by-endpoint {
            div.list {
                table {
                    caption { "By endpoint." }
                    thead { tr { th scope="col" { "State" } th scope="col" { "Endpoint" } th.num scope="col" { "Made" } th.num scope="col" { "Passed over" } } }
                    tbody {
                        @for target in progress.endpoints.iter().take(ENDPOINTS_SHOWN) {
                            tr id={ "of-" (target.endpoint) } {
                                td.nowrap { (target_state(replay, target.done)) }
                                td { (names.link(visitor, &target.endpoint)) }
                                td.num data-l="made" { (words::count(target.made)) }
                                td.num data-l="passed over" { (words::count(target.skipped)) }
                            }
                        }
                    }
                }
            }
            @if hidden > 0 { p.muted { (words::of(hidden as u64, "more endpoint")) " are in the API's answer." } }
        }
    }
}

/// Its live parts. What its endpoints are called is read once.
pub async fn live(visitor: Visitor, id: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let id = id.into_inner();
    let known: Rc<OnceCell<Names>> = Rc::default();
    live::stream(visitor, &request, move |visitor| draw(visitor, id.clone(), Rc::clone(&known)))
}

async fn draw(visitor: Visitor, id: String, known: Rc<OnceCell<Names>>) -> Result<Parts, Trouble> {
    let replay = read(&visitor, &id).await?;
    let names = known.get_or_init(|| names(&visitor, &replay)).await;
    Ok(vec![
        ("state", part(&visitor, &replay)),
        ("acts", acts(&visitor, &replay)),
        ("by-endpoint", endpoints(&visitor, &replay, names)),
    ])
}

/// Ends it.
pub async fn cancel(posted: Posted, id: web::Path<String>) -> HttpResponse {
    let visitor = posted.visitor;
    let path = format!("/replays/{}", segment(&id));
    let done = visitor.send(Method::POST, &format!("{path}/cancel"), About::These, None).await;
    visitor.say_either(&visitor.to_one(&path), done, |_| {
        "Cancelled: it makes nothing more. What it has made is delivered.".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replay(state: &str, made: u64, end_ms: Option<i64>) -> Replay {
        let time = |millis: i64| Timestamp::from_millis(millis).to_string();
        let text = json!({
            "id": "rpl_1", "state": state, "partner": "acme", "since": null, "until": null, "types": [], "status": ["retries_exhausted"],
            "missing": true, "rate_limit": null, "targets": 1, "made": made, "skipped": 0, "requested_by": { "actor": "operator", "key": null },
            "created_at": time(1_000), "finished_at": null, "delivered": made / 2, "failed": 1, "pending": made / 2 - 1, "at_least": false,
            "looked_until": null, "estimated_end_at": end_ms.map(time), "endpoints": [],
        });
        serde_json::from_value(text).expect("it is one")
    }

    #[test]
    fn how_far_it_is_never_exceeds_the_whole() {
        let now = Timestamp::from_millis(4_000);
        for (state, made, end, expected) in [
            ("running", 10, None, (0, 1)),
            ("running", 10, Some(7_000), (3_000, 6_000)),
            ("running", 10, Some(2_000), (3_000, 3_000)),
            ("done", 10, None, (6, 10)),
            ("cancelled", 4, None, (3, 4)),
        ] {
            let replay = replay(state, made, end);
            let progress = replay.progress.clone().expect("it was read");
            assert_eq!(share(&replay, &progress, now), expected, "{state} {end:?}");
        }
    }

    #[test]
    fn what_it_selects_is_said() {
        assert_eq!(what(&replay("done", 4, None)), "exhausted, missing; all types");
        assert_eq!(whose(&replay("done", 4, None)), "acme, 1 endpoint");
    }
}
