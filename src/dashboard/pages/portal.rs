//! What a partner sees first: what of theirs failed, and how to have it sent again; then
//! their endpoints. Nothing of how Posthaste works inside.

use actix_web::HttpResponse;
use futures_util::future::join4;
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{endpoint_link, head, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Delivery, Endpoint, ExhaustedEndpoint, Health, List};
use crate::dashboard::{answers, icons, words};

/// Endpoints of the page, the most harmed of all.
const ENDPOINTS: &str = "20";
/// How often it is asked for them: a page has none where very many were passed over for it.
const ASKED_MAX: usize = 4;
/// Endpoints with given up deliveries, and failed deliveries of each kind.
const FAILURES: &str = "10";

/// The page.
pub async fn page(visitor: &Visitor) -> HttpResponse {
    visitor.answer(build(visitor).await)
}

/// Endpoints with how they are, the most harmed first.
pub async fn most_harmed(visitor: &Visitor, limit: &str) -> Result<List<Endpoint>, Trouble> {
    let (mut cursor, mut left) = (None::<String>, ASKED_MAX);
    loop {
        let mut asked = vec![("limit", limit)];
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let found: List<Endpoint> = visitor.get("/webhook-health", About::These, &asked).await?;
        left -= 1;
        if left == 0 || !found.data.is_empty() || found.next_cursor.is_none() {
            return Ok(found);
        }
        cursor = found.next_cursor;
    }
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let failed = |status: &'static str| {
        let asked = [("status", status), ("limit", FAILURES)];
        async move { visitor.get::<List<Delivery>>("/deliveries", About::These, &asked).await }
    };
    let given_up =
        async { visitor.get::<List<ExhaustedEndpoint>>("/exhausted", About::These, &[("limit", FAILURES)]).await };
    let (listed, given_up, exhausted, retrying) =
        join4(most_harmed(visitor, ENDPOINTS), given_up, failed("retries_exhausted"), failed("retrying")).await;
    let List { data: endpoints, next_cursor } = listed?;
    let has_more = next_cursor.is_some();
    let make = html! { a.button href=(visitor.to("/figures", &[])) { "Figures" } a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } };
    let body = html! {
        @if endpoints.is_empty() && !has_more {
            (head("Webhooks", html! {}))
            (first(visitor))
        } @else {
            (head("Webhooks", make))
            (needs(visitor, &endpoints, has_more, &given_up))
            (failures(visitor, exhausted, retrying))
            (table(visitor, &endpoints, has_more))
        }
        (frame::as_call(visitor, "/webhook-health", About::These, &[("limit", ENDPOINTS)]))
    };
    Ok(Page::new("Webhooks", body))
}

/// Before there is an endpoint.
fn first(visitor: &Visitor) -> Markup {
    html! {
        section #first .panel {
            h2 { "Receive your first event" }
            ol.steps {
                li { h3 { "Make an endpoint" } p { "It says where your events go, and which. You get its secret, and code that receives with it." }
                    p { a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } } }
                li { h3 { "Send a test" } p.muted { "An example goes to your receiver, and its answer is shown at once." } }
                li { h3 { "See what arrives" } p.muted { "Every event shows up here, with what became of it. What failed can be sent again." } }
            }
        }
    }
}

/// An endpoint's trouble in one word for those whose it is; `None` is none.
fn trouble(endpoint: &Endpoint) -> Option<Markup> {
    match (endpoint.status.as_str(), &endpoint.health) {
        ("disabled", Some(health)) if health.disabled_at.is_some() => Some(icons::state("exhausted", "disabled")),
        ("active", Some(health)) if health.failing_since.is_some() || health.breaker == "open" => {
            Some(icons::state("failing", "failing"))
        }
        _ => None,
    }
}

fn health(endpoint: &Endpoint) -> Markup {
    match trouble(endpoint) {
        Some(trouble) => trouble,
        None if endpoint.status == "active" && endpoint.braked_at.is_some() => icons::state("held", "held"),
        None => icons::endpoint(&endpoint.status),
    }
}

fn waiting(health: &Health) -> String {
    let more = if health.backlog_has_more { "+" } else { "" };
    format!(
        "{}{more} {}",
        words::count(health.backlog),
        if health.backlog == 1 { "delivery waits" } else { "deliveries wait" }
    )
}

/// The first line, and what is behind it: worst first.
fn needs(
    visitor: &Visitor,
    endpoints: &[Endpoint],
    has_more: bool,
    given_up: &Result<List<ExhaustedEndpoint>, Trouble>,
) -> Markup {
    let troubled: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| trouble(endpoint).is_some()).collect();
    let given_up = given_up.as_ref().map(|list| list.data.iter().filter(|one| one.count > 0).collect::<Vec<_>>());
    let count = troubled.len() + given_up.as_ref().map_or(0, Vec::len);
    // The most harmed come first: behind one that is well there is none that fails.
    let more = if has_more && endpoints.last().is_some_and(|last| trouble(last).is_some()) { "+" } else { "" };
    html! {
        section #needs .panel {
            p.sentence #headline {
                @match (count, &given_up) {
                    (0, _) if endpoints.is_empty() => "No endpoint that fails was found; not all could be looked at.",
                    (0, Ok(_)) => { (icons::state("delivered", "All well")) " Every endpoint takes what it is sent." }
                    (0, Err(_)) => "No endpoint fails now.",
                    (1, _) if more.is_empty() => { (icons::state("failing", "1 thing")) " needs you." }
                    (count, _) => { (icons::state("failing", &format!("{count}{more} things"))) " need you." }
                }
            }
            @if let Err(trouble) = &given_up { (answers::part(trouble)) }
            @for endpoint in troubled { (failing(visitor, endpoint)) }
            @for one in given_up.into_iter().flatten() { (replayable(visitor, one, endpoints)) }
        }
    }
}

fn failing(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let path = format!("/endpoints/{}", segment(&endpoint.id));
    html! {
        div.row {
            (health(endpoint))
            a href=(visitor.to_one(&path)) { (endpoint.url) }
            @if let Some(health) = &endpoint.health {
                span {
                    @match (&health.disabled_at, &health.failing_since) {
                        (Some(at), _) if endpoint.status == "disabled" => {
                            @if health.disabled_reason.as_deref() == Some("gone") { "answered 410 Gone " } @else { "failed for too long, until " }
                            (words::time(at.0, visitor.now)) "; " (waiting(health)) " until you enable it."
                        }
                        (_, Some(since)) => { "has only failed since " (words::time(since.0, visitor.now)) "; " (waiting(health)) "." }
                        _ => { "does not take what it is sent; " (waiting(health)) "." }
                    }
                }
            }
            (frame::action(visitor, &visitor.to_one(&format!("{path}/test")), "Send a test"))
            @if endpoint.status == "disabled" { (frame::action(visitor, &visitor.to_one(&format!("{path}/enable")), "Enable")) }
        }
    }
}

/// What was given up at an endpoint, and the way to have it sent again.
fn replayable(visitor: &Visitor, one: &ExhaustedEndpoint, endpoints: &[Endpoint]) -> Markup {
    let path = format!("/endpoints/{}", segment(&one.endpoint));
    let url = endpoints.iter().find(|endpoint| endpoint.id == one.endpoint).map(|endpoint| endpoint.url.as_str());
    let why = one.reasons.first().map(|reason| match (reason.status_code, reason.error_class.as_deref()) {
        (Some(code), _) => format!("got {code}"),
        (None, Some(class)) => class.replace('_', " "),
        (None, None) => "no answer".to_owned(),
    });
    html! {
        div.row {
            (icons::state("exhausted", "given up"))
            a href=(visitor.to_one(&path)) { @match url { Some(url) => (url), None => (words::short(&one.endpoint)) } }
            span {
                (words::count(one.count)) @if one.at_least { "+" }
                @if one.count == 1 { " delivery was given up" } @else { " deliveries were given up" }
                @if let Some(at) = one.last_at { ", the last " (words::time(at.0, visitor.now)) }
                @if let Some(why) = why { ": " (why) }
                "."
            }
            @let meant = [("status", "retries_exhausted"), ("within", "all")];
            a.button href=(visitor.to(&format!("{path}/replay"), &meant)) { "Replay…" }
        }
    }
}

/// The newest of what failed, each with a button that sends it again.
fn failures(
    visitor: &Visitor,
    exhausted: Result<List<Delivery>, Trouble>,
    retrying: Result<List<Delivery>, Trouble>,
) -> Markup {
    let (exhausted, retrying) = match (exhausted, retrying) {
        (Ok(exhausted), Ok(retrying)) => (exhausted.data, retrying.data),
        (Err(trouble), _) | (_, Err(trouble)) => return answers::part(&trouble),
    };
    if exhausted.is_empty() && retrying.is_empty() {
        return html! {};
    }
    html! {
        h2 { "What failed lately" }
        div.list {
            table {
                caption { "Given up first, then what is tried again by itself." }
                thead {
                    tr {
                        th scope="col" { "Status" } th scope="col" { "Delivery" } th scope="col" { "Type" } th scope="col" { "Endpoint" }
                        th.num scope="col" { "Attempts" } th scope="col" { "Send it now" } th.num scope="col" { "Age" }
                    }
                }
                tbody { @for delivery in exhausted.iter().chain(&retrying) { (row(visitor, delivery)) } }
            }
        }
        nav.pages {
            a href=(visitor.to("/deliveries", &[("status", "retries_exhausted")])) { "All that were given up" }
            a href=(visitor.to("/deliveries", &[("status", "retrying")])) { "All that are retried" }
        }
    }
}

fn row(visitor: &Visitor, delivery: &Delivery) -> Markup {
    let path = format!("/deliveries/{}", segment(&delivery.id));
    html! {
        tr id=(delivery.id) {
            td.nowrap { (icons::status(&delivery.status)) }
            td.nowrap { a href=(visitor.to_one(&path)) { (words::id(&delivery.id)) } }
            td { (delivery.event_type) }
            td.nowrap data-l="to" { (endpoint_link(visitor, &delivery.endpoint)) }
            td.num data-l="attempts" { (words::count(delivery.attempt_count)) }
            td.nowrap { (frame::action(visitor, &visitor.to_one(&format!("{path}/retry")), "Send again")) }
            td.num.nowrap.last { (words::time(delivery.created_at.0, visitor.now)) }
        }
    }
}

fn table(visitor: &Visitor, endpoints: &[Endpoint], has_more: bool) -> Markup {
    html! {
        h2 { "Your endpoints" }
        div.list {
            table {
                caption { "Most harmed first." }
                thead { tr { th scope="col" { "Health" } th scope="col" { "URL" } th scope="col" { "Types" } th.num scope="col" { "Waiting" } } }
                tbody {
                    @for endpoint in endpoints {
                        tr id=(endpoint.id) {
                            td.nowrap { (health(endpoint)) }
                            td {
                                a.cut href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) title=(endpoint.url) { (endpoint.url) }
                                @if let Some(description) = &endpoint.description { span.small.muted { (description) } }
                            }
                            td { span.cut title=(endpoint.events.join(", ")) { (endpoint.events.join(", ")) } }
                            td.num.last data-l="waiting" {
                                @if let Some(health) = &endpoint.health { (words::count(health.backlog)) @if health.backlog_has_more { "+" } }
                            }
                        }
                    }
                }
            }
        }
        @if has_more { nav.pages { a href=(visitor.to("/endpoints", &[])) { "All endpoints" } } }
    }
}
