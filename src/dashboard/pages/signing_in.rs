//! Signing in by a key, signing out, and how everything is to look.

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::auth::Pass;
use crate::dashboard::answers::Ending;
use crate::dashboard::form::{self, Form};
use crate::dashboard::origin::{is_from_here, keeps_cookies, own_path};
use crate::dashboard::session::Session;
use crate::dashboard::visitor::{self, Posted, ROOT, Visitor};
use crate::dashboard::{Dashboard, answers, cookies, frame};
use crate::routes::{self, Api};

/// What may be given in place of a key is not longer.
const KEY_BYTES_MAX: usize = 512;

fn asked(next: &str, wrong: Option<&str>) -> Markup {
    html! {
        form.panel method="post" action={ (ROOT) "/login" } {
            h1 { "Posthaste" }
            p.muted { "Sign in with an API key. What you see and may do is what the key may." }
            @if let Some(wrong) = wrong { p.note.bad #wrong role="alert" { (wrong) } }
            input type="hidden" name="next" value=(next);
            // Password managers want a name beside what they keep.
            input type="text" name="username" autocomplete="username" value="posthaste" hidden;
            div.field {
                label for="key" { "Key" }
                input #key type="password" name="key" required autocomplete="current-password" autofocus spellcheck="false"
                    maxlength=(KEY_BYTES_MAX) aria-describedby=[wrong.map(|_| "wrong")];
                p.hint {
                    "An operator's is the one of the configuration (" code { "operator_key" } "), or, without one, the one that the first start printed. Lost? "
                    "Another operator makes one (" code { "POST /keys" } "); or stop the node and run "
                    code { "posthaste keys create --role operator" } " with the same store."
                }
            }
            button.primary { "Sign in" }
        }
    }
}

fn shown(request: &HttpRequest, status: StatusCode, next: &str, wrong: Option<&str>) -> HttpResponse {
    let theme = cookies::read(request, cookies::THEME).filter(|theme| matches!(*theme, "light" | "dark"));
    answers::bare(status, frame::bare("Sign in", theme, asked(next, wrong)))
}

/// Asks for a key.
pub async fn page(request: HttpRequest) -> HttpResponse {
    let query = Form::parse(request.query_string().as_bytes());
    shown(&request, StatusCode::OK, own_path(query.get("next").unwrap_or(ROOT)), None)
}

/// Looks at the key, and begins a session.
pub async fn sign_in(
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let form = match visitor::fields(&request, payload.into_inner()).await {
        Ok(form) => form,
        Err(turned) => return actix_web::ResponseError::error_response(&turned),
    };
    let next = own_path(form.get("next").unwrap_or(ROOT));
    let again = |status: StatusCode, wrong: &str| shown(&request, status, next, Some(wrong));
    if !is_from_here(&request) {
        return again(StatusCode::FORBIDDEN, "That form was sent from another site. Sign in here.");
    }
    if !keeps_cookies(&request) {
        return again(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Over plain http a browser keeps the session only for 127.0.0.1 and localhost. Open this page over https, \
             or through a tunnel: ssh -L 8080:127.0.0.1:8080 HOST, then http://localhost:8080.",
        );
    }
    let Some(key) = form.filled("key").filter(|key| key.len() <= KEY_BYTES_MAX) else {
        return again(StatusCode::UNPROCESSABLE_ENTITY, "Give a key: it begins with ph_.");
    };
    let pass = match routes::sign_in(&api, &request, key).await {
        Ok(pass) => pass,
        Err(problem) => return again(problem.kind.status(), &sentence(&problem.detail)),
    };
    let sealed = Session::begin(pass, api.clock.wall())
        .map_err(|error| error.to_string())
        .and_then(|session| dashboard.seals.seal(&session).map_err(|error| error.to_string()));
    match sealed {
        Ok(text) => {
            let arrived = format!("{ROOT}/arrived{}", form::query(&[("next", next)]));
            let mut answer = answers::go(&arrived);
            // A link that was opened in this browser would be looked at first.
            let no_portal = cookies::no_portal(visitor::seen(&dashboard.portal));
            for cookie in [cookies::session(&text), no_portal].iter().filter_map(|text| text.parse().ok()) {
                answer.headers_mut().append(SET_COOKIE, cookie);
            }
            answer
        }
        Err(error) => {
            log::error!("no session can begin: {error}");
            again(StatusCode::INTERNAL_SERVER_ERROR, "No session can begin now; the node's log says why.")
        }
    }
}

fn sentence(detail: &str) -> String {
    let mut characters = detail.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// Where one is sent after signing in: a browser that did not keep the cookie is told.
pub async fn arrived(visitor: Result<Visitor, visitor::Turned>, request: HttpRequest) -> HttpResponse {
    let query = Form::parse(request.query_string().as_bytes());
    let next = own_path(query.get("next").unwrap_or(ROOT));
    match visitor {
        Ok(_) => answers::go(next),
        Err(_) => {
            let wrong = "The key is good, but your browser did not keep the session's cookie. Allow cookies for this \
                         site; over plain http they are kept for 127.0.0.1 and localhost only.";
            shown(&request, StatusCode::UNAUTHORIZED, next, Some(wrong))
        }
    }
}

/// Ends the session in this browser, and with it a link that opened this once.
///
/// Whoever came by a link has nowhere to sign in; whoever has a key as well has it still.
pub async fn sign_out(posted: Posted, request: HttpRequest) -> HttpResponse {
    let visitor = posted.visitor;
    if let Pass::Link(link) = visitor.session.pass
        && let Err(problem) = routes::end_link(visitor.api.clone(), &request, link).await
    {
        // Nobody is told that they are out while the link still holds.
        return visitor.answer(Err(answers::of(&problem)));
    }
    let (mut answer, cookie) = match visitor.is_by_link() {
        true => {
            let has_key = cookies::read(&request, cookies::SESSION).is_some();
            // One that opens once is known no more by now.
            let still_opens =
                routes::known_by(&visitor.api, visitor.session.pass).await.is_ok_and(|known| known.is_some());
            let ending = if still_opens { Ending::OpensAgain } else { Ending::SignedOut };
            let answer =
                if has_key { answers::go(ROOT) } else { answers::ended(&visitor.dashboard.portal, ROOT, ending) };
            (answer, cookies::no_portal(visitor.seen()))
        }
        false => (answers::go(&format!("{ROOT}/login")), cookies::no_session()),
    };
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// Chooses light or dark.
pub async fn theme(posted: Posted) -> HttpResponse {
    let chosen = match posted.form.get("theme") {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "system",
    };
    let mut answer = answers::go(own_path(posted.form.get("back").unwrap_or(ROOT)));
    if let Ok(cookie) = cookies::theme(chosen, posted.visitor.seen()).parse() {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}
