//! What follows a new endpoint, on one page: its secret, code that receives with it, and a
//! test whose answer is shown at once.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::{endpoint, head, outcome, segment};
use crate::dashboard::receivers::LANGUAGES;
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Attempt, Endpoint};
use crate::dashboard::{answers, words};

/// What a secret or a public key is not longer than.
const SECRET_BYTES_MAX: usize = 120;

/// The page of an endpoint that was just made.
pub fn page(visitor: &Visitor, made: &Endpoint) -> Page {
    let secret = made.secret.as_deref().or(made.public_key.as_deref());
    build(visitor, made, secret, None)
}

/// Sends an example, and shows what became of it on the same page. The form brings the
/// secret along that its page shows, so that nobody looks it up for that.
pub async fn test(posted: Posted, id: web::Path<String>) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let endpoint = match endpoint::read(&visitor, &id).await {
        Ok(endpoint) => endpoint,
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    let path = format!("/webhook/{}/test", segment(&endpoint.id));
    let sent = visitor.send(Method::POST, &path, About::Partner(&endpoint.partner), None).await;
    let tested = sent.and_then(|sent| inside::read::<Attempt>(&sent));
    if tested.as_ref().is_err_and(|trouble| trouble.status == 401) {
        return visitor.out();
    }
    let secret = form.filled("secret").filter(|text| is_secret(text));
    visitor.page(StatusCode::OK, &build(&visitor, &endpoint, secret, Some(&tested)))
}

/// Whether a text is of the form of what endpoints are checked with.
fn is_secret(text: &str) -> bool {
    let encoded = text.strip_prefix("whsec_").or_else(|| text.strip_prefix("whpk_"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len() <= SECRET_BYTES_MAX && encoded.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain))
}

fn build(
    visitor: &Visitor,
    endpoint: &Endpoint,
    secret: Option<&str>,
    tested: Option<&Result<Attempt, Trouble>>,
) -> Page {
    let path = format!("/endpoints/{}", segment(&endpoint.id));
    let works = tested.is_some_and(|tested| tested.as_ref().is_ok_and(|attempt| attempt.delivered));
    let body = html! {
        (head("The endpoint is made", html! { a href=(visitor.to_one(&path)) { "To the endpoint" } }))
        p.sentence {
            (words::brief(&endpoint.url, 160)) " gets " (endpoint.events.join(", "))
            @if !visitor.is_partner() { " of " (endpoint.partner) }
            " in " (endpoint.environment) "."
        }
        section.panel {
            ol.steps {
                li { (checked_with(visitor, &path, secret)) }
                @if let Some(secret) = secret { li { (code(endpoint, secret)) } }
                li #test .done[works] { (test_step(visitor, endpoint, secret, tested)) }
            }
        }
    };
    Page::new("The endpoint is made", body)
}

fn checked_with(visitor: &Visitor, path: &str, secret: Option<&str>) -> Markup {
    let is_public = secret.is_some_and(|secret| secret.starts_with("whpk_"));
    html! {
        h2 { @if is_public { "Its public key" } @else { "Keep its secret" } }
        @match secret {
            Some(secret) => {
                p {
                    "Your receiver checks with it that a request is ours. "
                    @if !is_public { "It is shown here, and on the endpoint's page when somebody asks for it." }
                }
                div.row { code.secret { (secret) } (frame::copy(secret)) }
            }
            None => p { "It was shown when the endpoint was made. " a href=(visitor.to(path, &[("tab", "secrets")])) { "Ask for it again" } "." },
        }
    }
}

/// Programs with the secret filled in, one open at a time.
fn code(endpoint: &Endpoint, secret: &str) -> Markup {
    html! {
        h2 { "Receive with it" }
        p { "A whole program that checks what arrives at this URL, and takes it. Put your own code where it says so." }
        @for (at, language) in LANGUAGES.iter().enumerate() {
            @let id = format!("code-{at}");
            details name="code" open[at == 0] {
                summary { (language.name) }
                (frame::copy_of(&id))
                pre id=(id) tabindex="0" { (language.program(secret, &endpoint.url)) }
            }
        }
    }
}

fn test_step(
    visitor: &Visitor,
    endpoint: &Endpoint,
    secret: Option<&str>,
    tested: Option<&Result<Attempt, Trouble>>,
) -> Markup {
    let to = visitor.to_one(&format!("/endpoints/{}/created", segment(&endpoint.id)));
    html! {
        h2 { "Send a test" }
        @match tested {
            None => p { "An example goes out now, and what your receiver answers is shown here." },
            Some(Err(trouble)) => (answers::part(trouble)),
            Some(Ok(attempt)) => (result(attempt)),
        }
        div.actions {
            form method="post" action={ (to) "#test" } {
                (frame::token(visitor))
                @if let Some(secret) = secret { input type="hidden" name="secret" value=(secret); }
                button.primary[tested.is_none()] { @if tested.is_some() { "Send it again" } @else { "Send a test" } }
            }
        }
        p.muted.small { "A test is not kept: it is no delivery, and nothing is retried." }
    }
}

/// What became of a test: its status, its answer, its time.
fn result(attempt: &Attempt) -> Markup {
    let took = words::span(Duration::from_millis(attempt.duration_ms));
    html! {
        p.sentence role="status" {
            (outcome::state(attempt)) " "
            @if attempt.delivered { "It took the example" } @else { "It did not take the example" }
            @if let Some(name) = &attempt.event_type { " of " b { (name) } }
            ": the request " (outcome::verb(attempt)) " after " (took) "."
        }
        @if let Some(error) = attempt.error.as_ref().filter(|error| error.class != "http_status") {
            p { b { (error.class.replace('_', " ")) } ": " (error.message) }
        }
        (outcome::body(attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_secret_is_shown_again() {
        for good in
            ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbYk2vcG4FQY=", "whpk_VSiA4sptzEjTdDhHm2V5oEJfeQ+LuGzHmXZmIgkYZqE="]
        {
            assert!(is_secret(good));
        }
        for wrong in ["", "whsec_", "whsec_<b>", "Call +1 555 now", &format!("whsec_{}", "A".repeat(SECRET_BYTES_MAX))]
        {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }
}
