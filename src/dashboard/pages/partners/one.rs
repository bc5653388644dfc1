//! One partner: whether its flow runs, how it stands, what it has, which keys open it, and
//! how it is ended.

use actix_web::{HttpResponse, web};
use futures_util::future::{join, join4};
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::partners::kept;
use crate::dashboard::pages::{endpoints, exhausted, partners, portal_links, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{At, Brake, Endpoint, Event, ExhaustedEndpoint, Key, List, Partner, PartnerStanding};
use crate::dashboard::{answers, icons, words};

/// Rows of each of its lists.
const FEW: &str = "10";

/// The page.
pub async fn page(visitor: Visitor, name: web::Path<String>) -> HttpResponse {
    visitor.answer(build(&visitor, &name).await)
}

async fn build(visitor: &Visitor, name: &str) -> Result<Page, Trouble> {
    let partner: Partner = visitor.get(&format!("/partners/{}", segment(name)), About::Nobody, &[]).await?;
    let name = partner.name.as_str();
    if let Some(erasing) = &partner.erasing {
        return Ok(Page::new(name.to_owned(), being_erased(visitor, name, erasing.since)));
    }
    let (standing, made, exhausted, events) = join4(
        visitor.get::<List<PartnerStanding>>("/partner-health", About::Partner(name), &[]),
        visitor.get::<List<Endpoint>>("/webhook-health", About::Partner(name), &[("limit", FEW)]),
        visitor.get::<List<ExhaustedEndpoint>>("/exhausted", About::Partner(name), &[("limit", FEW)]),
        visitor.get::<List<Event>>("/events", About::Partner(name), &[("limit", FEW)]),
    )
    .await;
    let (brakes, keys) = join(visitor.get::<List<Brake>>("/brakes", About::Nobody, &[]), keys(visitor)).await;
    let counted = match &made {
        Ok(made) => endpoints::list::counted(visitor, &made.data).await,
        Err(_) => Ok(std::collections::HashMap::new()),
    };
    let environment = visitor.environment();
    let body = html! {
        div.head {
            h1 { (name) }
            div.row.quiet {
                span.muted { "made " (words::time(partner.created_at.0, visitor.now)) }
                @for (path, label) in [("/endpoints", "Endpoints"), ("/events", "Events"), ("/deliveries", "Deliveries")] {
                    a href=(visitor.address(path, Some(name), &[])) { (label) }
                }
                a.button.primary href=(visitor.address("/endpoints/new", Some(name), &[])) { "Make an endpoint" }
            }
        }
        @match &brakes { Ok(brakes) => (flow(visitor, name, &brakes.data)), Err(trouble) => (answers::part(trouble)) }
        @match &standing { Ok(standing) => (figures(visitor, &standing.data)), Err(trouble) => (answers::part(trouble)) }
        h2 { "Endpoints in " (environment) }
        @match &made {
            Ok(made) if made.data.is_empty() => p.muted {
                "None yet: " a href=(visitor.address("/endpoints/new", Some(name), &[])) { "make one" } ", or let somebody at " (name) " make one by a link to their portal, below."
            },
            Ok(made) => {
                @if let Err(trouble) = &counted { (answers::part(trouble)) }
                (endpoints::list::table(visitor, &made.data, counted.as_ref().ok(), None))
                @if made.next_cursor.is_some() { nav.pages { a href=(visitor.address("/endpoints", Some(name), &[])) { "All of its endpoints" } } }
            }
            Err(trouble) => (answers::part(trouble)),
        }
        h2 { "Exhausted in " (environment) }
        @match &exhausted { Ok(found) => (given_up(visitor, &found.data).await), Err(trouble) => (answers::part(trouble)) }
        h2 { "Newest events in " (environment) }
        @match &events { Ok(found) => (newest(visitor, name, &found.data)), Err(trouble) => (answers::part(trouble)) }
        h2 { "Keys" }
        @match &keys { Ok(keys) => (theirs(visitor, name, keys)), Err(trouble) => (answers::part(trouble)) }
        (portal_links::section(visitor, name).await)
        (kept::section(visitor, name, None).await)
        (kept::ending(visitor, name))
    };
    Ok(Page::new(name.to_owned(), body))
}

/// What is left of a partner while it goes.
fn being_erased(visitor: &Visitor, name: &str, since: At) -> Markup {
    html! {
        div.head { h1 { (name) } div.row { a href=(visitor.to("/partners", &[])) { "All partners" } } }
        section.panel #erasing {
            p.sentence { (icons::state("discarded", "being erased")) " Since " (words::time(since.0, visitor.now)) " everything of it goes, in both environments." }
            p { "Its keys open nothing, nothing is sent to it, and nobody finds anything of it. The rest goes in the background, piece by piece." }
            p.muted { "When nothing is left, this page is gone, too, and the name is free. The audit log keeps that it was erased." }
            div.actions { a.button href=(visitor.address(&format!("/partners/{}", segment(name)), None, &[])) { "Look again" } }
        }
    }
}

fn figures(visitor: &Visitor, standing: &[PartnerStanding]) -> Markup {
    let Some(standing) = standing.first() else { return html! {} };
    let figure =
        |name: &str, value: String, note: Markup| html! { div { dt { (name) } dd { (value) small { (note) } } } };
    html! {
        dl.figures {
            (figure("Endpoints", words::at_least(standing.endpoints, standing.endpoints_has_more), html! { "in " (visitor.environment()) }))
            (figure("Waiting", words::at_least(standing.backlog, standing.backlog_has_more), html! { "deliveries that are not finished" }))
            (figure("Exhausted", words::at_least(standing.exhausted, standing.exhausted_has_more), html! { "given up, and not replayed since" }))
            (figure("Last event", standing.last_event.as_ref().map_or("—".to_owned(), |event| words::relative(event.accepted_at.0, visitor.now)), html! {
                @if let Some(event) = &standing.last_event { a href=(visitor.to_one(&format!("/events/{}", segment(&event.event)))) { (words::short(&event.event)) } }
            }))
        }
    }
}

async fn given_up(visitor: &Visitor, found: &[ExhaustedEndpoint]) -> Markup {
    if found.is_empty() {
        return html! { p.muted { "Nothing was given up." } };
    }
    let names = Names::read(visitor, found.iter().map(|given_up| given_up.endpoint.as_str())).await;
    html! {
        div.list {
            table {
                caption { "By endpoint, with what most of them failed at last." }
                thead { tr { th scope="col" { "Reason" } th scope="col" { "Endpoint" } th.num scope="col" { "Count" } th scope="col" { "Sample" } th.num scope="col" { "Last" } } }
                tbody {
                    @for given_up in found {
                        @let reason = given_up.reasons.first();
                        tr {
                            td.nowrap { (icons::state("exhausted", &reason.map_or("unknown".to_owned(), exhausted::word))) }
                            td { (names.link(visitor, &given_up.endpoint)) }
                            td.num data-l="count" { (words::at_least(given_up.count, given_up.at_least)) }
                            td.nowrap { @if let Some(reason) = reason { a href=(visitor.to_one(&format!("/deliveries/{}", segment(&reason.sample)))) { (words::id(&reason.sample)) } } }
                            td.num.nowrap.last { (words::maybe_time(given_up.last_at.map(|at| at.0), visitor.now)) }
                        }
                    }
                }
            }
        }
    }
}

fn newest(visitor: &Visitor, name: &str, events: &[Event]) -> Markup {
    if events.is_empty() {
        return html! {
            p.muted {
                "None yet: post one for it, or send an example of "
                a href=(visitor.address("/catalog", Some(name), &[])) { "a type of the catalog" } "."
            }
        };
    }
    html! {
        div.list {
            table {
                caption { "Newest first." }
                thead { tr { th scope="col" { "Event" } th scope="col" { "Type" } th.num scope="col" { "Size" } th.num scope="col" { "Accepted" } } }
                tbody {
                    @for event in events {
                        tr id=(event.id) {
                            td.nowrap { a href=(visitor.to_one(&format!("/events/{}", segment(&event.id)))) { (words::id(&event.id)) } }
                            td { (event.event) }
                            td.num.nowrap data-l="size" { (words::bytes(event.bytes)) }
                            td.num.nowrap.last { (words::time(event.accepted_at.0, visitor.now)) }
                        }
                    }
                }
            }
        }
    }
}

/// The newest keys, whoever they are of: the API lists them all.
async fn keys(visitor: &Visitor) -> Result<Vec<Key>, Trouble> {
    let limit = visitor.api.limits.page_max.to_string();
    let found: List<Key> = visitor.get("/keys", About::Nobody, &[("limit", &limit)]).await?;
    Ok(found.data)
}

fn theirs(visitor: &Visitor, name: &str, keys: &[Key]) -> Markup {
    let is_over = |key: &&Key| key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end.0 <= visitor.now);
    let own: Vec<&Key> =
        keys.iter().filter(|key| key.partner.as_deref() == Some(name)).filter(|key| !is_over(key)).collect();
    html! {
        @if own.is_empty() { p.muted { "None that opens anything, among the newest: one is made where all keys are." } } @else {
            div.list {
                table {
                    caption { "Those that open something, among the newest. A key is made and revoked where all keys are." }
                    thead { tr { th scope="col" { "Key" } th scope="col" { "Role" } th scope="col" { "Environment" } th scope="col" { "Note" } th.num scope="col" { "Used" } } }
                    tbody {
                        @for key in own {
                            tr id=(key.id) {
                                td.nowrap { span.mono { (key.prefix) "…" } }
                                td { (key.role) }
                                td { (key.environment.as_deref().unwrap_or("both")) }
                                td { (key.description.as_deref().unwrap_or_default()) }
                                td.num.nowrap.last { @match key.last_used_at { Some(at) => (words::time(at.0, visitor.now)), None => span.muted { "never" } } }
                            }
                        }
                    }
                }
            }
        }
        p { a href=(visitor.to("/keys", &[])) { "All keys" } }
    }
}

/// Whether everything of theirs flows, and how to stop it.
fn flow(visitor: &Visitor, name: &str, brakes: &[Brake]) -> Markup {
    let environment = visitor.environment();
    let at = |verb: &str| visitor.address(&format!("/partners/{}/{verb}", segment(name)), None, &[]);
    let mut over: Vec<&Brake> = brakes.iter().filter(|brake| partners::is_over(brake, name, environment)).collect();
    // What holds everybody is released before it helps to release its own.
    over.sort_by_key(|brake| brake.partner != "*");
    let of_all = visitor.address("/partners/%2A/release", None, &[]);
    html! {
        section.panel {
            @for brake in &over {
                p.sentence {
                    (icons::state("held", "braked"))
                    @if brake.partner == "*" { " A brake over all partners holds everything in " (environment) " since " }
                    @else { " Everything of theirs in " (environment) " is held since " }
                    (words::time(brake.since.0, visitor.now)) "." @if let Some(reason) = &brake.reason { " " (reason) }
                }
                div.actions {
                    @if brake.partner == "*" {
                        (frame::confirmed(visitor, &of_all, "Release it for all", "What is held for every partner goes out, except where a brake of its own holds it.", "Release the brake over all partners"))
                    } @else { (frame::action(visitor, &at("release"), "Release the brake")) }
                }
            }
            @if over.is_empty() {
                p.sentence { "Deliveries in " (environment) " flow." }
                div.actions {
                    details.confirm {
                        summary.button { "Brake…" }
                        form method="post" action=(at("brake")) {
                            (frame::token(visitor))
                            p { "Every endpoint of theirs in " (environment) " sends nothing until the brake is released. Nothing is lost." }
                            label { "Why " input type="text" name="reason" maxlength="200"; }
                            button.danger { "Brake " (name) }
                        }
                    }
                }
            }
        }
    }
}
