//! Partners: how each stands, and what operators do to the whole of one. Its own page is in
//! `one`, and for how long its things are kept in `kept`.

pub mod kept;
pub mod one;

use std::collections::HashMap;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join3;
use maud::{Markup, html};
use serde_json::json;

use crate::dashboard::counts;
use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::{head, news, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Brake, List, PartnerStanding, Series};
use crate::dashboard::{answers, icons, words};

/// Partners of a page: each has a day of counts beside it.
const PAGE: usize = 25;
/// New ones that are counted.
const NEWS: usize = 10;

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor, &Form::default(), &Mistakes::default()).await)
}

/// What the list says, or why a part of it could not be had.
struct Read {
    found: List<PartnerStanding>,
    counted: Result<HashMap<String, Series>, Trouble>,
    brakes: Result<List<Brake>, Trouble>,
}

/// A page of the list, and a few more.
async fn read(visitor: &Visitor, limit: usize) -> Result<Read, Trouble> {
    let limit = limit.to_string();
    let cursor = visitor.query.filled("cursor");
    let asked = asked(visitor, &limit);
    let (found, counted, brakes) = join3(
        visitor.get::<List<PartnerStanding>>("/partner-health", About::Partner("*"), &asked),
        counts::of_partners(visitor, &limit, cursor),
        visitor.get::<List<Brake>>("/brakes", About::Nobody, &[]),
    )
    .await;
    Ok(Read { found: found?, counted, brakes })
}

fn asked<'a>(visitor: &'a Visitor, limit: &'a str) -> Vec<(&'static str, &'a str)> {
    [("limit", limit)].into_iter().chain(visitor.query.filled("cursor").map(|cursor| ("cursor", cursor))).collect()
}

async fn build(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> Result<Page, Trouble> {
    let read = read(visitor, PAGE).await?;
    let Read { found, counted, brakes } = &read;
    let kept: Vec<(&str, &str)> = visitor.query.filled("cursor").map(|cursor| ("cursor", cursor)).into_iter().collect();
    let limit = PAGE.to_string();
    let asked = asked(visitor, &limit);
    let body = html! {
        (head("Partners", html! { (news(0, false, "")) }))
        form.filters method="post" action=(visitor.to("/partners", &[])) {
            (frame::token(visitor))
            label { span.small.muted { "New partner" }
                input type="text" name="name" value=[form.get("name")] placeholder="acme" maxlength="64" required spellcheck="false"
                    aria-invalid=[(!mistakes.is_empty()).then_some("true")] aria-describedby=[(!mistakes.is_empty()).then_some("name-wrong")];
            }
            button { "Make it" }
        }
        @if !mistakes.is_empty() {
            p.note.bad #name-wrong role="alert" { @for wrong in mistakes.at("name").iter().chain(mistakes.at("")) { (wrong) " " } }
        }
        @if let Err(trouble) = counted { (answers::part(trouble)) }
        @if let Err(trouble) = brakes { (answers::part(trouble)) }
        @if found.data.is_empty() {
            div.list {
                div.nothing {
                    p { "No partner yet. A partner is whoever your events go to: name one above, and then make an endpoint for it." }
                }
            }
        } @else { (table(visitor, &read)) }
        (frame::next(visitor, "/partners", &kept, found.next_cursor.as_deref()))
        (frame::as_call(visitor, "/partner-health", About::Partner("*"), &asked))
    };
    let shown: Vec<&str> = found.data.iter().map(|partner| partner.name.as_str()).collect();
    let shown = shown.join(",");
    let watched: Vec<(&str, &str)> = kept.iter().copied().chain([("shown", shown.as_str())]).collect();
    Ok(Page::new("Partners", body).live(visitor.to("/live/partners", &watched)))
}

/// The list's live parts: the rows that it has, in their order, and how many are new.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    live::seldom(visitor, &request, draw)
}

async fn draw(visitor: Visitor) -> Result<Parts, Trouble> {
    let mut read = read(&visitor, PAGE + NEWS).await?;
    let partners = &mut read.found.data;
    let shown: Vec<&str> = visitor.query.filled("shown").map_or_else(Vec::new, |shown| shown.split(',').collect());
    let is_shown = |partner: &PartnerStanding| shown.contains(&partner.name.as_str());
    // Newest first: those before the first that is shown came since. Where there is none of
    // these, more came than are counted, or what is shown is gone.
    let new = partners.iter().position(is_shown).unwrap_or(partners.len());
    let is_more = new == partners.len() && read.found.next_cursor.is_some();
    partners.retain(is_shown);
    let mut parts = vec![("news", news(new, is_more, &visitor.to("/partners", &[])))];
    // So many new ones push others off that are there all the same. Figures that cannot be had
    // now are left as they were.
    if !shown.is_empty() && new <= NEWS && read.counted.is_ok() && read.brakes.is_ok() {
        parts.push(("partners", rows(&visitor, &read)));
    }
    Ok(parts)
}

fn table(visitor: &Visitor, read: &Read) -> Markup {
    let caption = format!(
        "In {}, newest first. Each exists in both environments. Events and success are those of the last 24 hours.",
        visitor.environment()
    );
    html! {
        div.list {
            table {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "Flow" } th scope="col" { "Name" } th.num scope="col" { "Endpoints" } th.num scope="col" { "Events 24 h" }
                        th.num scope="col" { "Success" } th.num scope="col" { "Waiting" } th.num scope="col" { "Exhausted" } th.num scope="col" { "Last event" }
                    }
                }
                (rows(visitor, read))
            }
        }
    }
}

fn rows(visitor: &Visitor, read: &Read) -> Markup {
    let counted = read.counted.as_ref().ok();
    let brakes = read.brakes.as_ref().map_or(&[][..], |brakes| brakes.data.as_slice());
    html! {
        tbody #partners {
            @for partner in &read.found.data {
                (row(visitor, partner, counted.and_then(|counted| counted.get(&partner.name)), brakes))
            }
        }
    }
}

/// Whether a brake holds what goes to a partner: its own, or one over all of them.
pub fn is_over(brake: &Brake, name: &str, environment: &str) -> bool {
    brake.environment == environment && (brake.partner == name || brake.partner == "*")
}

fn row(visitor: &Visitor, partner: &PartnerStanding, series: Option<&Series>, brakes: &[Brake]) -> Markup {
    let name = partner.name.as_str();
    let is_braked = brakes.iter().any(|brake| is_over(brake, name, visitor.environment()));
    let list = |path: &str, parameters: &[(&str, &str)]| visitor.address(path, Some(name), parameters);
    html! {
        tr id={ "partner-" (name) } {
            td.nowrap {
                @if partner.erasing.is_some() { (icons::state("discarded", "being erased")) }
                @else if is_braked { (icons::state("held", "braked")) }
                @else { (icons::state("well", "flows")) }
            }
            td { a.cut href=(visitor.address(&format!("/partners/{}", segment(name)), None, &[])) { (name) } }
            td.num data-l="endpoints" { a href=(list("/endpoints", &[])) { (words::at_least(partner.endpoints, partner.endpoints_has_more)) } }
            td.num data-l="events" { a href=(list("/events", &[])) { (words::count(series.and_then(|series| series.totals.events).unwrap_or(0))) } }
            td.num data-l="success" { (series.map_or("—".to_owned(), |series| words::percent(series.totals.succeeded, series.totals.attempts))) }
            td.num data-l="waiting" { (words::at_least(partner.backlog, partner.backlog_has_more)) }
            td.num data-l="exhausted" {
                @if partner.exhausted == 0 && !partner.exhausted_has_more { "0" }
                @else { a href=(list("/deliveries", &[("status", "retries_exhausted")])) { (words::at_least(partner.exhausted, partner.exhausted_has_more)) } }
            }
            td.num.nowrap.last { (words::maybe_time(partner.last_event.as_ref().map(|event| event.accepted_at.0), visitor.now)) }
        }
    }
}

/// Makes one.
pub async fn create(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let name = form.filled("name").unwrap_or_default().to_owned();
    let made = visitor.send(Method::POST, "/partners", About::Nobody, Some(&json!({ "name": name }))).await;
    match made {
        Ok(_) => visitor.say(
            &visitor.address(&format!("/partners/{}", segment(&name)), None, &[]),
            &format!("Partner {name} is made. Next: a key for it, or an endpoint."),
        ),
        Err(trouble) if trouble.status == 401 => visitor.answer(Err(trouble)),
        Err(trouble) => match build(&visitor, &form, &Mistakes::of(&trouble, &["name"])).await {
            Ok(page) => visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page),
            Err(trouble) => visitor.answer(Err(trouble)),
        },
    }
}

/// Does something to a partner: its flow, how long its things are kept, whether it is there.
pub async fn act(posted: Posted, path: web::Path<(String, String)>) -> HttpResponse {
    let (Posted { visitor, form }, (name, verb)) = (posted, path.into_inner());
    // All of them together have no page but the list.
    let to = match name.as_str() {
        "*" => visitor.address("/partners", None, &[]),
        name => visitor.address(&format!("/partners/{}", segment(name)), None, &[]),
    };
    match verb.as_str() {
        "brake" => {
            let reason = json!({ "reason": form.filled("reason") });
            let done = visitor.send(Method::POST, "/brakes", About::Partner(&name), Some(&reason)).await;
            visitor.say_either(&to, done, |_| {
                let whom = if name == "*" { "all partners are".to_owned() } else { format!("{name} is") };
                format!("Braked: {whom} sent nothing in {}.", visitor.environment())
            })
        }
        "release" => {
            let done = visitor.send(Method::DELETE, "/brakes", About::Partner(&name), None).await;
            visitor.say_either(&to, done, |_| "Released: what was held goes out.".to_owned())
        }
        "retention" => kept::save(&visitor, &name, &form).await,
        "erase" => kept::erase(&visitor, &name, &form).await,
        _ => visitor.answer(Err(Trouble::not_found("there is no such thing to do"))),
    }
}
