//! A link to the portal. To look at it costs nothing, whoever looks: mail programs and
//! messengers do. The button on it spends it, and begins a session that ends with the link.
//! What is wrong with one that opens nothing is told to nobody; what to do is.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, REFERRER_POLICY, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use maud::{Markup, html};

use crate::dashboard::inside::Trouble;
use crate::dashboard::origin::{is_for_a_frame, is_from_here};
use crate::dashboard::session::Session;
use crate::dashboard::visitor::{self, ROOT, VIA_LINK};
use crate::dashboard::{Dashboard, answers, cookies, frame};
use crate::routes::{self, Api};

/// Not to be found by anybody, and told to nobody: the address is the key.
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// Shows the button. Which links there are is not asked here.
pub async fn page(dashboard: web::Data<Dashboard>, request: HttpRequest, token: web::Path<String>) -> HttpResponse {
    shown(&dashboard, &request, &token, StatusCode::OK, None)
}

fn shown(
    dashboard: &Dashboard,
    request: &HttpRequest,
    token: &str,
    status: StatusCode,
    wrong: Option<Markup>,
) -> HttpResponse {
    let mut random = [0; 16];
    if let Err(error) = getrandom::fill(&mut random) {
        log::error!("the system has no randomness: {error}");
        return answers::bare_trouble(&Trouble::internal("this link cannot be opened now; try again in a while"));
    }
    let tried = BASE64.encode(random);
    let to = format!("{ROOT}/portal/{}", super::segment(token));
    let body = html! {
        form.panel method="post" action=(to) {
            h1 { (dashboard.portal.brand()) }
            @match &wrong {
                Some(wrong) => div.note.bad role="alert" { (wrong) },
                None => p { "This link opens the portal for your webhooks: endpoints, what was sent to them, and what went wrong." },
            }
            input type="hidden" name="tried" value=(tried);
            button.primary { "Open the portal" }
            p.hint.muted { "Opening it signs you in, in this browser. A link may open only once." }
        }
    };
    let page = frame::bare_portal(&dashboard.portal, "Open the portal", theme(request), body);
    dashboard.portal.allow_frames(request);
    let mut answer = kept_quiet(answers::bare(status, page));
    with_cookie(&mut answer, &cookies::tried(&tried, visitor::seen(&dashboard.portal)));
    answer
}

fn theme(request: &HttpRequest) -> Option<&str> {
    cookies::read(request, cookies::THEME).filter(|theme| matches!(*theme, "light" | "dark"))
}

fn kept_quiet(mut answer: HttpResponse) -> HttpResponse {
    // Nobody is told the path, which is the key. With `no-referrer` the button's form would come
    // from `null`, and browsers that send no `Sec-Fetch-Site` have nothing else to show that it
    // is ours.
    answer.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    answer.headers_mut().insert(ROBOTS, HeaderValue::from_static("noindex"));
    answer
}

fn with_cookie(answer: &mut HttpResponse, cookie: &str) {
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Spends the link, once it is known that this browser keeps what it is given for it.
pub async fn open(
    api: web::Data<Api>,
    dashboard: web::Data<Dashboard>,
    request: HttpRequest,
    token: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    let form = match visitor::fields(&request, payload.into_inner()).await {
        Ok(form) => form,
        Err(turned) => return actix_web::ResponseError::error_response(&turned),
    };
    let tried = form.filled("tried").unwrap_or_default();
    let is_kept = cookies::all(&request, cookies::TRIED).any(|kept| kept == tried && !kept.is_empty());
    if !is_from_here(&request) || !is_kept {
        let status = if is_from_here(&request) { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::FORBIDDEN };
        return shown(&dashboard, &request, &token, status, Some(not_kept(&request)));
    }
    let link = match routes::find_link(&api, &request, &token).await {
        Ok(link) => link,
        Err(problem) => return refused(&dashboard, &request, &problem),
    };
    // Everything that can fail comes before the link is spent.
    let now = api.clock.wall();
    let session = Session::begin_until(link.pass(), now, link.ends_at().unwrap_or(now));
    let sealed = session.map_err(|error| error.to_string()).and_then(|session| {
        Ok((dashboard.seals.seal(&session).map_err(|error| error.to_string())?, session.left(now)))
    });
    let (text, lasts) = match sealed {
        Ok(sealed) => sealed,
        Err(error) => {
            log::error!("no session can begin: {error}");
            let wrong =
                html! { p { "No session can begin now. The link is as good as before: try again in a while." } };
            return shown(&dashboard, &request, &token, StatusCode::INTERNAL_SERVER_ERROR, Some(wrong));
        }
    };
    if let Err(problem) = routes::open_link(api, &request, link).await {
        return refused(&dashboard, &request, &problem);
    }
    let mut answer = kept_quiet(answers::go(ROOT));
    with_cookie(&mut answer, &cookies::portal(&text, lasts, visitor::seen(&dashboard.portal)));
    answer
}

/// Why nothing was spent, and what helps.
fn not_kept(request: &HttpRequest) -> Markup {
    html! {
        p { "This browser did not keep a cookie, so that it cannot be signed in. The link is not spent." }
        @if is_for_a_frame(request) {
            p { "Allow this site to keep cookies here, or " a href=(request.path()) target="_blank" { "open the portal in a tab of its own" } "." }
        } @else {
            p { "Allow cookies for this site, and open it over https (or on localhost). Then press the button again." }
        }
    }
}

/// Whatever is wrong with the link, in the same words.
fn refused(dashboard: &Dashboard, request: &HttpRequest, problem: &routes::problem::Problem) -> HttpResponse {
    let status = problem.kind.status();
    let body = html! {
        section.panel {
            h1 { @if status == StatusCode::UNAUTHORIZED { "This link opens nothing" } @else { (problem.kind.title()) } }
            @if status == StatusCode::UNAUTHORIZED {
                p { "It was opened before, has expired or was revoked, or it is not complete." }
                p { "Ask whoever sent it to you for another one." }
                p.muted { "Did you open it in this browser before? " a href={ (ROOT) "?" (VIA_LINK.0) "=" (VIA_LINK.1) } { "Go to the portal" } }
            } @else {
                p { (problem.detail) }
            }
        }
    };
    dashboard.portal.allow_frames(request);
    kept_quiet(answers::bare(status, frame::bare_portal(&dashboard.portal, "The link", theme(request), body)))
}
