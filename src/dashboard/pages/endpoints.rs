//! Endpoints: how each is in one word, and how a new one is made. Which of them suffer is in
//! `list`, and what is done to several at once in `bulk`.

pub mod bulk;
pub mod list;
pub mod matching;
mod order;

use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::Value;

use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::Page;
use crate::dashboard::icons;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::endpoint_form::{self, Kind};
use crate::dashboard::pages::{created, head};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::Endpoint;

/// How an endpoint is, in one word. What holds or breaks a flow inside is operators' to know.
pub fn health(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    match &endpoint.health {
        _ if endpoint.status != "disabled" && endpoint.braked_at.is_some() && visitor.is_partner() => {
            icons::state("held", "held")
        }
        _ if endpoint.status != "disabled" && endpoint.braked_at.is_some() => icons::state("held", "braked"),
        _ if endpoint.status != "active" => icons::endpoint(&endpoint.status),
        Some(health) if health.breaker == "open" && !visitor.is_partner() => icons::state("breaker", "breaker open"),
        Some(health) if health.failing_since.is_some() || health.breaker == "open" => {
            icons::state("failing", "failing")
        }
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
    let (settings, own) = endpoint_form::settings(&form, &Kind::New);
    let body = Value::Object(settings);
    let made = visitor.send(Method::POST, "/webhook", About::Partner(&partner), Some(&body)).await;
    let wrong = match made.and_then(|made| inside::read::<Endpoint>(&made)) {
        Ok(made) => return visitor.page(StatusCode::CREATED, &created::page(&visitor, &made)),
        Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
        Err(trouble) => own.and(Mistakes::of(&trouble, &endpoint_form::FIELDS)),
    };
    match form_page(&visitor, &form, &wrong).await {
        Ok(page) => visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page),
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}
