//! What pages are answered as: with which headers and cookies, and what is shown where
//! something went wrong.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, SET_COOKIE, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpResponse};
use maud::{Markup, html};

use crate::dashboard::branding::{MayBeFramed, Portal};
use crate::dashboard::cookies;
use crate::dashboard::form;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::{FieldTrouble, Trouble};
use crate::dashboard::visitor::{ROOT, Visitor};
use crate::routes::problem::Problem;

macro_rules! policy {
    () => {
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'"
    };
}

/// Nothing runs but this server's own script, and nothing is loaded from elsewhere.
pub const POLICY: &str = policy!();
/// And nobody puts these pages into theirs.
const UNFRAMED: &str = concat!(policy!(), "; frame-ancestors 'none'");

/// What else is told of everything here; what is set otherwise stays.
const HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Gives every answer its headers. Only one that was said to be the portal's, to whoever
/// came by a link, may be framed ([`Portal::allow_frames`]), and by those alone who are
/// configured.
pub async fn guarded<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let mut answer = next.call(request).await?;
    let framed = answer.request().extensions().get::<MayBeFramed>().cloned();
    let headers = answer.headers_mut();
    let has_policy = headers.contains_key(CONTENT_SECURITY_POLICY);
    match framed.filter(|_| !has_policy) {
        Some(MayBeFramed(policy)) => headers.insert(CONTENT_SECURITY_POLICY, policy),
        None => {
            if !has_policy {
                headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(UNFRAMED));
            }
            headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
        }
    };
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(answer)
}

const HTML: &str = "text/html; charset=utf-8";

/// A problem of the API as pages know it.
pub fn of(problem: &Problem) -> Trouble {
    Trouble {
        status: problem.kind.status().as_u16(),
        title: problem.kind.title().to_owned(),
        detail: problem.detail.clone(),
        errors: problem
            .errors
            .iter()
            .map(|error| FieldTrouble { pointer: error.pointer.clone(), detail: error.detail.clone() })
            .collect(),
    }
}

/// Goes elsewhere, by `GET`.
pub fn go(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, to)).finish()
}

/// To sign in, and then back.
pub fn to_sign_in(back: &str) -> HttpResponse {
    let query = if back == ROOT { String::new() } else { form::query(&[("next", back)]) };
    go(&format!("{ROOT}/login{query}"))
}

/// How a session of a link came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The link ended, or it is not known how.
    Link,
    /// They signed out, and the link went with it.
    SignedOut,
    /// They signed out, and the link opens again.
    OpensAgain,
}

/// What whoever came by a link is told when that has ended: there is no way to sign in again.
/// Whoever has a key comes back by it to this address.
pub fn ended(portal: &Portal, back: &str, ending: Ending) -> HttpResponse {
    let next = if back == ROOT { String::new() } else { form::query(&[("next", back)]) };
    let body = html! {
        section.panel {
            h1 { "Your session has ended" }
            @match ending {
                Ending::Link => {
                    p { "The link by which you came has expired or was revoked, you signed out, or this browser did not keep the session." }
                    p { "Ask whoever sent you the link for another one." }
                }
                Ending::SignedOut => {
                    p { "You signed out. The link by which you came opened once, and opens nothing any more." }
                    p { "Ask whoever sent it to you for another one." }
                }
                Ending::OpensAgain => p { "You signed out. The link by which you came opens again, until it ends." },
            }
            // Keys are never typed into a frame, and the page around one is not ours to leave.
            p.muted { "Do you have an API key? " a href={ (ROOT) "/login" (next) } target=[portal.has_frames().then_some("_blank")] { "Sign in with it" } }
        }
    };
    bare(StatusCode::UNAUTHORIZED, frame::bare_portal(portal, "Your session has ended", None, body))
}

/// A whole page for whoever has not signed in.
pub fn bare(status: StatusCode, page: Markup) -> HttpResponse {
    HttpResponse::build(status).content_type(HTML).body(page.into_string())
}

/// What went wrong, for whoever has no frame around it.
pub fn bare_trouble(trouble: &Trouble) -> HttpResponse {
    let status = StatusCode::from_u16(trouble.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    bare(status, frame::bare(&trouble.title, None, shown(trouble, None, "To the overview")))
}

/// What went wrong, in words: never only a code.
fn shown(trouble: &Trouble, again: Option<&str>, start: &str) -> Markup {
    html! {
        section.trouble role="alert" {
            h1 { (trouble.title) }
            p { (trouble.detail) }
            @if !trouble.errors.is_empty() {
                ul { @for error in &trouble.errors { li { code { (error.pointer) } " " (error.detail) } } }
            }
            p.row {
                @if let Some(again) = again { a.button href=(again) { "Try again" } }
                a href=(ROOT) { (start) }
            }
        }
    }
}

/// What is only for operators, for whoever came by a link.
fn not_by_link() -> Trouble {
    Trouble {
        status: 403,
        title: "This is not part of the portal".to_owned(),
        detail: "it is kept by whoever runs this service; what is yours is behind the names of the pages here"
            .to_owned(),
        errors: Vec::new(),
    }
}

/// Part of a page that could not be had, in its place; the rest stands.
pub fn part(trouble: &Trouble) -> Markup {
    html! { p.note.bad role="alert" { b { (trouble.title) } ": " (trouble.detail) } }
}

impl Visitor {
    /// A page, or what kept it from being one.
    pub fn answer(&self, page: Result<Page, Trouble>) -> HttpResponse {
        match page {
            Ok(page) => self.page(StatusCode::OK, &page),
            // The key was revoked between two looks at it.
            Err(trouble) if trouble.status == 401 => self.out(),
            Err(trouble) => {
                let status = StatusCode::from_u16(trouble.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let here = self.to(self.path.strip_prefix(ROOT).unwrap_or_default(), &[]);
                // There is no key that could be another one, and the page will not be theirs tomorrow.
                let (trouble, here) = match self.is_by_link() && trouble.status == 403 {
                    true => (not_by_link(), None),
                    false => (trouble, Some(here.as_str())),
                };
                let start = if self.is_partner() { "To your webhooks" } else { "To the overview" };
                self.page(status, &Page::new(trouble.title.clone(), shown(&trouble, here, start)))
            }
        }
    }

    /// For whoever is known no more: to sign in, or the words that their link has ended.
    pub fn out(&self) -> HttpResponse {
        if self.is_by_link() { ended(&self.dashboard.portal, ROOT, Ending::Link) } else { to_sign_in(ROOT) }
    }

    /// A page with this status.
    pub fn page(&self, status: StatusCode, page: &Page) -> HttpResponse {
        let mut answer = HttpResponse::build(status);
        if let Some(renewed) = self.session.renewed(self.now) {
            match self.dashboard.seals.seal(&renewed) {
                Ok(text) => {
                    answer.append_header((SET_COOKIE, cookies::session(&text)));
                }
                Err(error) => log::warn!("a session cannot be renewed: {error}"),
            }
        }
        if self.heard.is_some() {
            answer.append_header((SET_COOKIE, cookies::nothing_said(self.seen())));
        }
        if self.undo.is_some() {
            answer.append_header((SET_COOKIE, cookies::nothing_to_undo(self.seen())));
        }
        answer.content_type(HTML).body(frame::framed(self, page).into_string())
    }

    /// Goes to a page that says this first.
    pub fn say(&self, to: &str, said: &str) -> HttpResponse {
        let mut answer = go(to);
        if let Ok(cookie) = cookies::said(said, self.seen()).parse() {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        answer
    }

    /// Goes to a page that says what was done, or why it was not.
    pub fn say_either<T>(&self, to: &str, done: Result<T, Trouble>, said: impl FnOnce(T) -> String) -> HttpResponse {
        match done {
            Ok(done) => self.say(to, &said(done)),
            Err(trouble) if trouble.status == 401 => self.out(),
            Err(trouble) => self.say(to, &format!("!{}: {}", trouble.title, trouble.detail)),
        }
    }
}
