//! What a partner sees first: what of theirs failed, and how to have it sent again; then
//! their endpoints. Nothing of how Posthaste works inside. What needs them is in `needs`.

mod needs;

use std::cell::RefCell;
use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join4;
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::live::{self, Parts};
use crate::dashboard::pages::naming::Names;
use crate::dashboard::pages::{head, news, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Delivery, Endpoint, ExhaustedEndpoint, List};
use crate::dashboard::{answers, icons, words};
use crate::domain::Timestamp;

/// Endpoints of the page, the most harmed of all.
const ENDPOINTS: usize = 20;
/// So many are asked for while somebody looks: others may be more harmed by then, and these
/// are to be known all the same.
const ENDPOINTS_FOLLOWED: usize = 60;
/// How often it is asked for them: a page has none where very many were passed over for it.
const ASKED_MAX: usize = 4;
/// Endpoints with given up deliveries, and failed deliveries of each kind.
const FAILURES: usize = 10;
/// So many are asked for while somebody looks.
const FAILURES_FOLLOWED: usize = 30;

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

/// What the page is made of.
struct Home {
    endpoints: Vec<Endpoint>,
    has_more: bool,
    given_up: Result<List<ExhaustedEndpoint>, Trouble>,
    /// Given up first, and then what is tried again.
    failed: Result<Vec<Delivery>, Trouble>,
}

async fn read(visitor: &Visitor, endpoints: usize, failures: usize) -> Result<Home, Trouble> {
    let (endpoints, failures) = (endpoints.to_string(), failures.to_string());
    let failed = |status: &'static str| {
        let asked = [("status", status), ("limit", failures.as_str())];
        async move { visitor.get::<List<Delivery>>("/deliveries", About::These, &asked).await }
    };
    let few = FAILURES.to_string();
    let given_up =
        async { visitor.get::<List<ExhaustedEndpoint>>("/exhausted", About::These, &[("limit", &few)]).await };
    let (listed, given_up, exhausted, retrying) =
        join4(most_harmed(visitor, &endpoints), given_up, failed("retries_exhausted"), failed("retrying")).await;
    let List { data: endpoints, next_cursor } = listed?;
    let failed = exhausted.and_then(|mut exhausted| {
        exhausted.data.extend(retrying?.data);
        Ok(exhausted.data)
    });
    Ok(Home { endpoints, has_more: next_cursor.is_some(), given_up, failed })
}

impl Home {
    /// Endpoints of failures.
    fn named(&self) -> impl Iterator<Item = &str> {
        let failed = self.failed.iter().flatten().map(|delivery| delivery.endpoint.as_str());
        failed.chain(self.given_up.iter().flat_map(|list| &list.data).map(|one| one.endpoint.as_str()))
    }

    /// Those that fail, the most harmed first.
    fn troubled(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| trouble(endpoint).is_some())
    }

    /// What was given up, where it is known.
    fn given(&self) -> impl Iterator<Item = &ExhaustedEndpoint> {
        self.given_up.iter().flat_map(|list| &list.data).filter(|one| one.count > 0)
    }

    /// Failures of a kind.
    fn of_kind(&self, status: &str) -> impl Iterator<Item = &str> {
        let failed = self.failed.iter().flatten().filter(move |delivery| delivery.status == status);
        failed.map(|delivery| delivery.id.as_str())
    }
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let home = read(visitor, ENDPOINTS, FAILURES).await?;
    let names = Names::read(visitor, home.named()).await;
    let Home { endpoints, has_more, failed, .. } = &home;
    let limit = ENDPOINTS.to_string();
    let make = html! { a.button href=(visitor.to("/figures", &[])) { "Figures" } a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } };
    let body = html! {
        @if endpoints.is_empty() && !has_more {
            (head("Webhooks", news(0, false, "")))
            (first(visitor))
        } @else {
            (head("Webhooks", html! { (news(0, false, "")) (make) }))
            (needs::part(visitor, &home, &names, None))
            (failures(visitor, failed, endpoints, &names))
            (table(visitor, endpoints, *has_more))
        }
        (frame::as_call(visitor, "/webhook-health", About::These, &[("limit", &limit)]))
    };
    Ok(Page::new("Webhooks", body).live(Shown::address(visitor, &home)))
}

/// What the page shows, as its stream's address says it: of that alone rows are drawn anew, in
/// their order, so that nothing moves under whoever reads.
struct Shown {
    /// When that was.
    at: Timestamp,
    endpoints: Vec<String>,
    /// Of each kind of failures.
    failed: [Vec<String>; KINDS.len()],
    /// Endpoints behind the first line, and those where something was given up.
    troubled: Vec<String>,
    given: Vec<String>,
}

/// Kinds of failures: their status, and what the address calls those that are shown.
const KINDS: [(&str, &str); 2] = [("retries_exhausted", "given-up"), ("retrying", "retrying")];

impl Shown {
    fn of(visitor: &Visitor) -> Self {
        let ids = |name: &str| {
            let text = visitor.query.filled(name).unwrap_or_default();
            text.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
        };
        let at = visitor.query.filled("at").and_then(|text| text.parse().ok()).unwrap_or(visitor.now);
        Self {
            at,
            endpoints: ids("endpoints"),
            failed: KINDS.map(|(_, name)| ids(name)),
            troubled: ids("troubled"),
            given: ids("replayable"),
        }
    }

    /// The address of the stream of a page that shows this.
    fn address(visitor: &Visitor, home: &Home) -> String {
        let endpoints: Vec<&str> = home.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
        let (at, endpoints) = (visitor.now.to_string(), endpoints.join(","));
        let failed = KINDS.map(|(status, name)| (name, home.of_kind(status).collect::<Vec<_>>().join(",")));
        let mut said = vec![("at", at.as_str()), ("endpoints", endpoints.as_str())];
        said.extend(failed.iter().map(|(name, ids)| (*name, ids.as_str())));
        let troubled: Vec<&str> = home.troubled().take(ENDPOINTS).map(|endpoint| endpoint.id.as_str()).collect();
        let given: Vec<&str> = home.given().map(|one| one.endpoint.as_str()).collect();
        let (troubled, given) = (troubled.join(","), given.join(","));
        said.extend([("troubled", troubled.as_str()), ("replayable", given.as_str())]);
        visitor.to("/live/portal", &said)
    }

    /// How many endpoints were made since, and how many deliveries have begun to fail or were
    /// given up. What is older than a full list was behind it all the time: ids grow with time.
    fn news(&self, home: &Home) -> usize {
        let endpoints = home.endpoints.iter().filter(|endpoint| endpoint.created_at.0 > self.at).count();
        let failed = KINDS.iter().zip(&self.failed).map(|((status, _), shown)| {
            let oldest = shown.iter().min().filter(|_| shown.len() >= FAILURES).map_or("", String::as_str);
            home.of_kind(status).filter(|id| *id > oldest && !shown.iter().any(|known| known == id)).count()
        });
        endpoints + failed.sum::<usize>()
    }
}

/// Its live parts. What endpoints are called is read once.
pub async fn live(visitor: Visitor, request: HttpRequest) -> HttpResponse {
    let names: Rc<RefCell<Rc<Names>>> = Rc::default();
    live::seldom(visitor, &request, move |visitor| draw(visitor, Rc::clone(&names)))
}

async fn draw(visitor: Visitor, names: Rc<RefCell<Rc<Names>>>) -> Result<Parts, Trouble> {
    let mut home = read(&visitor, ENDPOINTS_FOLLOWED, FAILURES_FOLLOWED).await?;
    let shown = Shown::of(&visitor);
    let mut parts = vec![("news", news(shown.news(&home), false, &visitor.to("", &[])))];
    // Where there was nothing there is no such part.
    if shown.endpoints.is_empty() {
        return Ok(parts);
    }
    let known = Rc::clone(&names.borrow());
    let wanted = || home.named().chain(shown.given.iter().map(String::as_str));
    let are_known = wanted().all(|id| known.url(id).is_some());
    let known = if are_known { known } else { Rc::new(Names::read(&visitor, wanted()).await) };
    names.replace(Rc::clone(&known));
    if home.given_up.is_ok() {
        parts.push(("needs", needs::part(&visitor, &home, &known, Some(&shown))));
    }
    // What could not be read just now is left as it was.
    let order = shown.failed.concat();
    if let Ok(failed) = &mut home.failed
        && !order.is_empty()
    {
        in_order(failed, &order, |delivery| &delivery.id);
        parts.push(("failed", failed_rows(&visitor, failed, &home.endpoints, &known)));
    }
    in_order(&mut home.endpoints, &shown.endpoints, |endpoint| &endpoint.id);
    parts.push(("endpoints", rows(&visitor, &home.endpoints)));
    Ok(parts)
}

/// Only those of these ids, in their order.
fn in_order<T>(things: &mut Vec<T>, ids: &[String], id: impl Fn(&T) -> &String) {
    let place = |thing: &T| ids.iter().position(|known| known == id(thing));
    things.retain(|thing| place(thing).is_some());
    things.sort_by_key(place);
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

/// Whether whoever runs the service holds it: to the API it is paused then, and by nobody's wish.
fn is_held(endpoint: &Endpoint) -> bool {
    endpoint.status != "disabled" && endpoint.braked_at.is_some()
}

fn health(endpoint: &Endpoint) -> Markup {
    match trouble(endpoint) {
        Some(trouble) => trouble,
        None if is_held(endpoint) => icons::state("held", "held"),
        None => icons::endpoint(&endpoint.status),
    }
}

/// The newest of what failed, each with a button that sends it again.
fn failures(
    visitor: &Visitor,
    failed: &Result<Vec<Delivery>, Trouble>,
    endpoints: &[Endpoint],
    names: &Names,
) -> Markup {
    let failed = match failed {
        Ok(failed) if failed.is_empty() => return html! {},
        Ok(failed) => failed,
        Err(trouble) => return answers::part(trouble),
    };
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
                (failed_rows(visitor, failed, endpoints, names))
            }
        }
        nav.pages {
            a href=(visitor.to("/deliveries", &[("status", "retries_exhausted")])) { "All that were given up" }
            a href=(visitor.to("/deliveries", &[("status", "retrying")])) { "All that are retried" }
        }
    }
}

fn failed_rows(visitor: &Visitor, failed: &[Delivery], endpoints: &[Endpoint], names: &Names) -> Markup {
    html! { tbody #failed { @for delivery in failed { (row(visitor, delivery, endpoints, names)) } } }
}

fn row(visitor: &Visitor, delivery: &Delivery, endpoints: &[Endpoint], names: &Names) -> Markup {
    let path = format!("/deliveries/{}", segment(&delivery.id));
    html! {
        tr id=(delivery.id) {
            td.nowrap { (icons::status(&delivery.status)) }
            td.nowrap { a href=(visitor.to_one(&path)) { (words::id(&delivery.id)) } }
            td { (delivery.event_type) }
            td data-l="to" { (names.link(visitor, &delivery.endpoint)) }
            td.num data-l="attempts" { (words::count(delivery.attempt_count)) }
            td.nowrap { (again(visitor, delivery, endpoints)) }
            td.num.nowrap.last { (words::time(delivery.created_at.0, visitor.now)) }
        }
    }
}

/// What has it sent again: where its endpoint takes nothing just now, what lets it.
fn again(visitor: &Visitor, delivery: &Delivery, endpoints: &[Endpoint]) -> Markup {
    let of_endpoint = |verb: &str| visitor.to_one(&format!("/endpoints/{}/{verb}", segment(&delivery.endpoint)));
    let endpoint = endpoints.iter().find(|endpoint| endpoint.id == delivery.endpoint);
    html! {
        @match endpoint {
            Some(endpoint) if endpoint.status == "disabled" => (frame::action(visitor, &of_endpoint("enable"), "Enable the endpoint")),
            Some(endpoint) if endpoint.paused_at.is_some() => (frame::action(visitor, &of_endpoint("resume"), "Resume the endpoint")),
            Some(endpoint) if is_held(endpoint) => span.muted { "held" },
            _ => (frame::action(visitor, &visitor.to_one(&format!("/deliveries/{}/retry", segment(&delivery.id))), "Send again")),
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
                (rows(visitor, endpoints))
            }
        }
        @if has_more { nav.pages { a href=(visitor.to("/endpoints", &[])) { "All endpoints" } } }
    }
}

fn rows(visitor: &Visitor, endpoints: &[Endpoint]) -> Markup {
    html! {
        tbody #endpoints {
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
