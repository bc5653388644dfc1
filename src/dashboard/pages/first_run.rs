//! What leads through an empty dashboard: make an endpoint, send an example event, watch
//! it arrive. It goes when something was delivered.

use futures_util::future::join_all;
use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::frame;
use crate::dashboard::icons;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{outcome, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Delivery, Endpoint, EventType, List};
use crate::dashboard::words;

/// Endpoints that somebody has who has just begun.
const FEW: &str = "3";
/// Deliveries of each that are looked at.
const LOOKED_AT: &str = "20";

/// The steps; nothing, but with its place kept, where they were taken.
pub async fn part(visitor: &Visitor) -> Result<Markup, Trouble> {
    let (manages, posts) = (visitor.may(Permission::ManageEndpoints), visitor.may(Permission::PostEvents));
    let gone = || html! { section #first hidden {} };
    if !manages {
        return Ok(gone());
    }
    // A store with more than a few endpoints is past its first run. Of few, each can be
    // asked for by its index, however much there is of others.
    let few: List<Endpoint> = visitor.get("/webhook", About::These, &[("limit", FEW)]).await?;
    if few.next_cursor.is_some() {
        return Ok(gone());
    }
    let newest = few.data.iter().map(|endpoint| async {
        let asked = [("endpoint", endpoint.id.as_str()), ("limit", LOOKED_AT)];
        visitor.get::<List<Delivery>>("/deliveries", About::These, &asked).await
    });
    let (mut arrived, mut last): (bool, Option<Delivery>) = (false, None);
    for found in join_all(newest).await {
        let found = found?;
        arrived |= found.next_cursor.is_some() || found.data.iter().any(|delivery| delivery.status == "delivered");
        // Ids grow with time.
        last = last.into_iter().chain(found.data).max_by(|one, other| one.id.cmp(&other.id));
    }
    if visitor.query.get("first").is_none() && arrived {
        return Ok(gone());
    }
    let endpoint = few.data.into_iter().next();
    let types: List<EventType> = visitor.get("/event-types", About::These, &[("limit", "50")]).await?;
    Ok(html! {
        section #first .panel {
            h2 { @if arrived { "It arrived" } @else { "Deliver a first event" } }
            ol.steps {
                li.done[endpoint.is_some()] {
                    h3 { "Make an endpoint" }
                    @match &endpoint {
                        Some(endpoint) => p { a href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) { (endpoint.url) } },
                        None => {
                            p { "It says where events go. Without a receiver of your own, start one that shows what arrives:" }
                            pre tabindex="0" { "posthaste listen --port 9000" }
                            p.muted { "Its URL is http://127.0.0.1:9000/; the node has to be started with POSTHASTE_ALLOW_ADDRESSES=127.0.0.0/8 to be allowed there." }
                            p { a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } }
                        }
                    }
                }
                li.done[last.is_some()] {
                    h3 { "Send an example event" }
                    @if posts && let Some(endpoint) = &endpoint {
                        form.row method="post" action=(visitor.address("/catalog/example/send", Some(&endpoint.partner).filter(|partner| *partner != "*").map(String::as_str), &[])) {
                            (frame::token(visitor))
                            input type="hidden" name="first" value="1";
                            // It is asked for over all partners, and so is the example.
                            @if endpoint.partner == "*" { input type="hidden" name="to" value="*"; }
                            select name="type" aria-label="Event type" {
                                @for known in types.data.iter().filter(|known| wants(endpoint, &known.name)) { option { (known.name) } }
                            }
                            button.primary[last.is_none()] { "Send it" }
                        }
                    } @else if posts {
                        p.muted { "It goes to every endpoint that wants its type." }
                    } @else if let Some(endpoint) = &endpoint {
                        p { "Events are posted by upstream systems; a test sends an example now." }
                        p { a.button href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) { "To the endpoint and its test" } }
                    }
                }
                li.done[arrived] {
                    h3 { "Watch it arrive" }
                    @match &last {
                        Some(last) => p.row {
                            (icons::status(&last.status))
                            a href=(visitor.to_one(&format!("/deliveries/{}", segment(&last.id)))) { (last.event_type) }
                            @if last.attempt_count > 0 { span.muted { (words::of(last.attempt_count, "attempt")) } }
                        },
                        None => p.muted { "Its delivery shows up here, with the receiver's answer." },
                    }
                    @if let Some(last) = last.as_ref().filter(|last| last.status != "delivered") { (hindrance(visitor, last)) }
                    @if arrived { p { a.button href=(visitor.to("", &[])) { "Done" } } }
                }
            }
        }
    })
}

/// Why it has not arrived, as far as it was tried, and when it is tried again.
fn hindrance(visitor: &Visitor, delivery: &Delivery) -> Markup {
    let Some(answer) = &delivery.last_answer else { return html! {} };
    html! {
        p {
            "The last attempt came to: " b { (outcome::answer(answer)) } "."
            @if answer.error_class.as_deref() == Some("blocked_address") {
                " The node sends to no such address unless it is started with " code { "POSTHASTE_ALLOW_ADDRESSES" } "."
            }
            @if let Some(next) = delivery.next_attempt_at {
                " The next " @if next.0 > visitor.now { (words::countdown(next.0, visitor.now)) } @else { "is due" } "."
            }
            " " a href=(visitor.to_one(&format!("/deliveries/{}", segment(&delivery.id)))) { "What was sent and answered" }
        }
    }
}

/// Whether one of an endpoint's patterns takes a type.
fn wants(endpoint: &Endpoint, name: &str) -> bool {
    endpoint.events.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    })
}
