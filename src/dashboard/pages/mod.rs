//! The pages, a file for each noun, and where they are.

mod attempt;
mod audit;
mod bulk;
mod catalog;
mod catalog_form;
mod choosing;
mod created;
mod deliveries;
mod delivery;
mod endpoint;
mod endpoint_acts;
mod endpoint_form;
mod endpoints;
mod event;
mod event_outcomes;
mod event_payload;
mod events;
mod exhausted;
mod filters;
mod find;
mod first_run;
mod keys;
mod matching;
mod naming;
mod nodes;
mod opening;
mod outcome;
mod overview;
mod partners;
mod portal;
mod portal_links;
mod refused;
mod replays;
mod retrying;
mod schema;
mod settings;
mod shortcuts;
mod signing_in;
mod tail;
mod timeline;
pub mod undo;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::Permission;
use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::{self, Turned, Visitor};
use crate::dashboard::{answers, assets, words};

/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Every page and everything that forms do.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("", web::get().to(first))
        .route("/", web::get().to(first))
        .route("/portal/{token}", web::get().to(opening::page))
        .route("/portal/{token}", web::post().to(opening::open))
        .route("/login", web::get().to(signing_in::page))
        .route("/login", web::post().to(signing_in::sign_in))
        .route("/arrived", web::get().to(signing_in::arrived))
        .route("/logout", web::post().to(signing_in::sign_out))
        .route("/theme", web::post().to(signing_in::theme))
        .route("/undo", web::post().to(undo::act))
        .route("/overview/{act}", web::post().to(overview::act))
        .route("/exhausted", web::get().to(exhausted::list))
        .route("/exhausted/dismiss", web::post().to(exhausted::dismiss))
        .route("/exhausted/matching", web::get().to(exhausted::look))
        .route("/exhausted/matching", web::post().to(exhausted::dismiss_all))
        .route("/replays", web::get().to(replays::list))
        .route("/replays", web::post().to(replays::begin))
        .route("/replays/new", web::get().to(replays::new))
        .route("/replays/look", web::get().to(replays::look))
        .route("/replays/{id}", web::get().to(replays::page))
        .route("/replays/{id}/cancel", web::post().to(replays::cancel))
        .route("/endpoints/{id}/replay", web::get().to(replays::of_endpoint))
        .route("/figures", web::get().to(overview::page))
        .route("/find", web::get().to(find::page))
        .route("/shortcuts", web::get().to(shortcuts::page))
        .route("/partners", web::get().to(partners::list))
        .route("/partners", web::post().to(partners::create))
        .route("/partners/{name}", web::get().to(partners::one::page))
        .route("/partners/{name}/portal-links", web::post().to(portal_links::create))
        .route("/partners/{name}/portal-links/{id}/revoke", web::post().to(portal_links::revoke))
        .route("/partners/{name}/{act}", web::post().to(partners::act))
        .route("/endpoints", web::get().to(endpoints::list::page))
        .route("/endpoints", web::post().to(endpoints::create))
        .route("/endpoints/new", web::get().to(endpoints::new))
        .route("/endpoints/bulk", web::post().to(endpoints::bulk::act))
        .route("/endpoints/bulk", web::get().to(up))
        .route("/endpoints/matching", web::get().to(endpoints::matching::look))
        .route("/endpoints/matching", web::post().to(endpoints::matching::act_all))
        .route("/endpoints/{id}", web::get().to(endpoint::page))
        .route("/endpoints/{id}/settings", web::post().to(endpoint_acts::change))
        .route("/endpoints/{id}/created", web::post().to(created::test))
        .route("/endpoints/{id}/{act}", web::post().to(endpoint_acts::act))
        .route("/events", web::get().to(events::list))
        .route("/events/{id}", web::get().to(event::page))
        .route("/events/{id}/payload", web::get().to(event_payload::download))
        .route("/deliveries", web::get().to(deliveries::list))
        .route("/deliveries/retry", web::post().to(retrying::retry))
        .route("/deliveries/retry", web::get().to(up))
        .route("/deliveries/matching", web::get().to(retrying::look))
        .route("/deliveries/matching", web::post().to(retrying::retry_all))
        .route("/deliveries/{id}", web::get().to(delivery::page))
        .route("/deliveries/{id}/{act}", web::post().to(delivery::act))
        .route("/catalog", web::get().to(catalog::list))
        .route("/catalog", web::post().to(catalog_form::create))
        .route("/catalog/{name}", web::get().to(catalog::one))
        .route("/catalog/{name}/change", web::get().to(catalog_form::page))
        .route("/catalog/{name}/change", web::post().to(catalog_form::change))
        .route("/catalog/{name}/delete", web::post().to(catalog_form::delete))
        .route("/catalog/{name}/send", web::post().to(catalog::send))
        .route("/nodes", web::get().to(nodes::list))
        .route("/nodes/{id}/release", web::post().to(nodes::release))
        .route("/keys", web::get().to(keys::list))
        .route("/keys", web::post().to(keys::create))
        .route("/keys/{id}/revoke", web::post().to(keys::revoke))
        .route("/audit", web::get().to(audit::list))
        .route("/audit/verify", web::post().to(audit::verify))
        .route("/settings", web::get().to(settings::page))
        // Who comes back to where a form was sent, or loads it again, is led to the page it was on.
        .route("/overview/{act}", web::get().to(to_start))
        .route("/undo", web::get().to(to_start))
        .route("/exhausted/dismiss", web::get().to(up))
        .route("/replays/{id}/cancel", web::get().to(up))
        .route("/partners/{name}/{act}", web::get().to(up))
        .route("/endpoints/{id}/{act}", web::get().to(up))
        .route("/deliveries/{id}/{act}", web::get().to(up))
        .route("/catalog/{name}/{act}", web::get().to(up))
        .route("/nodes/{id}/release", web::get().to(twice_up))
        .route("/keys/{id}/revoke", web::get().to(twice_up))
        .route("/audit/verify", web::get().to(up))
        .route("/live/overview", web::get().to(overview::live))
        .route("/live/portal", web::get().to(portal::live))
        .route("/live/event/{id}", web::get().to(event::live))
        .route("/live/partners", web::get().to(partners::live))
        .route("/live/replays", web::get().to(replays::live_list))
        .route("/live/replay/{id}", web::get().to(replays::live))
        .route("/live/endpoint/{id}", web::get().to(endpoint::live))
        .route("/live/endpoints", web::get().to(endpoints::list::live))
        .route("/live/exhausted", web::get().to(exhausted::live))
        .route("/live/delivery/{id}", web::get().to(delivery::live))
        .route("/live/events", web::get().to(events::live))
        .route("/live/tail", web::get().to(tail::live))
        .route("/live/deliveries", web::get().to(deliveries::live))
        .route("/static/{file}", web::get().to(assets::file))
        .default_service(web::to(nowhere));
}

/// The first page, by whose it is.
async fn first(visitor: Visitor) -> HttpResponse {
    if visitor.is_partner() { portal::page(&visitor).await } else { Box::pin(overview::page(visitor)).await }
}

async fn to_start() -> HttpResponse {
    answers::go(visitor::ROOT)
}

/// To the page above, with what the address says beside its path.
async fn up(request: HttpRequest) -> HttpResponse {
    above(&request, 1)
}

async fn twice_up(request: HttpRequest) -> HttpResponse {
    above(&request, 2)
}

fn above(request: &HttpRequest, steps: usize) -> HttpResponse {
    let page = request.path().rsplitn(steps + 1, '/').last().unwrap_or(visitor::ROOT);
    let query = request.query_string();
    answers::go(&if query.is_empty() { page.to_owned() } else { format!("{page}?{query}") })
}

async fn nowhere(visitor: Result<Visitor, Turned>) -> HttpResponse {
    let trouble = Trouble::not_found("there is no such page here");
    match visitor {
        Ok(visitor) => visitor.answer(Err(trouble)),
        Err(_) => answers::bare_trouble(&trouble),
    }
}

/// A part of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// What is said where a list has nothing: nothing yet, and what comes next, or no match,
/// and how to widen it.
fn nothing(is_filtered: bool, everything: &str, yet: &Markup) -> Markup {
    html! {
        div.nothing {
            @if is_filtered {
                p { "Nothing fits these filters." }
                a.button href=(everything) { "Remove the filters" }
            } @else {
                (yet)
            }
        }
    }
}

/// A page's head: its name, and what can be done.
fn head(title: &str, actions: Markup) -> Markup {
    html! { div.head { h1 { (title) } div.row { (actions) } } }
}

/// An endpoint by its id: a link for whoever may look at it.
fn endpoint_link(visitor: &Visitor, id: &str) -> Markup {
    html! {
        @if visitor.may(Permission::ManageEndpoints) {
            a href=(visitor.to_one(&format!("/endpoints/{}", segment(id)))) { (words::id(id)) }
        } @else { (words::id(id)) }
    }
}

/// A list that has news, as a link to them. Nothing moves under whoever reads.
fn news(count: usize, is_more: bool, to: &str) -> Markup {
    html! {
        p #news hidden[count == 0] {
            a.button href=(to) { (count) @if is_more { "+" } " new" }
        }
    }
}
