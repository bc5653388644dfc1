//! Endpoints: which of them suffer, and how a new one is made.

use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode};
use futures_util::future::join_all;
use maud::{Markup, html};
use serde_json::Value;

use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::icons;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::endpoint_form::{self, Kind};
use crate::dashboard::pages::{head, nothing, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Endpoint, Health, List};
use crate::dashboard::words;

/// Endpoints of a page: of each it is asked how it is.
const PAGE: &str = "25";

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor).await)
}

async fn build(visitor: &Visitor) -> Result<Page, Trouble> {
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let mut asked = vec![("limit", PAGE)];
    asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
    let found: List<Endpoint> = visitor.get("/webhook", About::These, &asked).await?;
    let shown = with_health(visitor, &found.data).await;
    let yet = html! {
        p { "No endpoint yet. It says where a partner's events go." }
        a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" }
    };
    let body = html! {
        (head("Endpoints", html! { a.button.primary href=(visitor.to("/endpoints/new", &[])) { "Make an endpoint" } }))
        @if shown.is_empty() {
            div.list { (nothing(false, "", &yet)) }
        } @else {
            (table(visitor, &shown))
            @let cursor: Vec<(&str, &str)> = cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
            (frame::next(visitor, "/endpoints", &cursor, found.next_cursor.as_deref()))
        }
        (frame::as_call(visitor, "/webhook", About::These, &asked))
    };
    Ok(Page::new("Endpoints", body))
}

/// Listed endpoints with how each is. One that was deleted meanwhile, or cannot be read
/// just now, stays as it was listed.
pub async fn with_health(visitor: &Visitor, listed: &[Endpoint]) -> Vec<Endpoint> {
    let read = listed.iter().map(|endpoint| async {
        visitor.get::<Endpoint>(&format!("/webhook/{}", segment(&endpoint.id)), About::These, &[]).await
    });
    let read = join_all(read).await;
    listed.iter().zip(read).map(|(listed, read)| read.unwrap_or_else(|_| listed.clone())).collect()
}

/// A table of endpoints.
pub fn table(visitor: &Visitor, endpoints: &[Endpoint]) -> Markup {
    html! {
        div.list {
            table {
                caption { "Newest first." }
                thead {
                    tr {
                        th scope="col" { "Health" } th scope="col" { "URL" } th scope="col" { "Partner" } th scope="col" { "Types" }
                        th.num scope="col" { "Waiting" } th.num scope="col" { "Oldest" }
                    }
                }
                tbody {
                    @for endpoint in endpoints {
                        tr id=(endpoint.id) {
                            td.nowrap { (health(endpoint)) }
                            td { a.cut href=(visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)))) title=(endpoint.url) { (endpoint.url) } }
                            td { @if endpoint.partner == "*" { "all" } @else { (endpoint.partner) } }
                            td { span.cut title=(endpoint.events.join(", ")) { (endpoint.events.join(", ")) } }
                            td.num data-l="waiting" { (waiting(endpoint.health.as_ref())) }
                            td.num.nowrap.last {
                                @if let Some(oldest) = endpoint.health.as_ref().and_then(|health| health.oldest_waiting.as_ref()) {
                                    (words::time(oldest.created_at.0, visitor.now))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn waiting(health: Option<&Health>) -> String {
    match health {
        Some(health) => format!("{}{}", words::count(health.backlog), if health.backlog_has_more { "+" } else { "" }),
        None => "?".to_owned(),
    }
}

/// How an endpoint is, in one word.
pub fn health(endpoint: &Endpoint) -> Markup {
    match &endpoint.health {
        _ if endpoint.status != "active" => icons::endpoint(&endpoint.status),
        Some(health) if health.breaker == "open" => icons::state("breaker", "breaker open"),
        Some(health) if health.failing_since.is_some() => icons::state("failing", "failing"),
        _ => icons::endpoint(&endpoint.status),
    }
}

/// The form of a new one.
pub async fn new(visitor: Visitor) -> HttpResponse {
    let form = Form::default();
    visitor.answer(form_page(&visitor, &form, &Mistakes::default()).await)
}

async fn form_page(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> Result<Page, Trouble> {
    let types = endpoint_form::types(visitor).await?;
    let body = html! {
        (head("Make an endpoint", html! {}))
        (endpoint_form::form(visitor, &Kind::New, form, mistakes, &types))
    };
    Ok(Page::new("Make an endpoint", body))
}

/// Makes one, and shows its secret.
pub async fn create(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let partner = match visitor.chooses_partner() {
        true => form.filled("partner").unwrap_or("default").to_owned(),
        false => visitor.partner().unwrap_or_default().to_owned(),
    };
    let wrong = match endpoint_form::settings(&form, &Kind::New) {
        Err(mistakes) => mistakes,
        Ok(settings) => {
            let body = Value::Object(settings);
            let made = visitor.send(Method::POST, "/webhook", About::Partner(&partner), Some(&body)).await;
            match made.and_then(|made| inside::read::<Endpoint>(&made)) {
                Ok(made) => return visitor.page(StatusCode::CREATED, &made_page(&visitor, &made)),
                Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
                Err(trouble) => Mistakes::of(&trouble, &endpoint_form::FIELDS),
            }
        }
    };
    match form_page(&visitor, &form, &wrong).await {
        Ok(page) => visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

/// What follows a new endpoint: its secret, and a first test.
fn made_page(visitor: &Visitor, made: &Endpoint) -> Page {
    let path = format!("/endpoints/{}", segment(&made.id));
    let body = html! {
        (head("The endpoint is made", html! { a href=(visitor.to_one(&path)) { "To the endpoint" } }))
        section.panel {
            p.sentence { (made.url) " gets " (made.events.join(", ")) " of " (made.partner) " in " (made.environment) "." }
            @match (&made.secret, &made.public_key) {
                (Some(secret), _) => {
                    h2 { "Its secret" }
                    p { "Your receiver checks with it that a request is ours. It is shown here, and on the endpoint's page when somebody asks for it." }
                    div.row { code.secret { (secret) } (frame::copy(secret)) }
                }
                (None, Some(key)) => {
                    h2 { "Its public key" }
                    p { "Your receiver checks with it that a request is ours." }
                    div.row { code.secret { (key) } (frame::copy(key)) }
                }
                _ => {}
            }
            h2 { "Next" }
            p { "Send an example now, and see what it answers." }
            div.actions { (frame::action(visitor, &visitor.to_one(&format!("{path}/test")), "Send a test")) }
        }
    };
    Page::new("The endpoint is made", body)
}
