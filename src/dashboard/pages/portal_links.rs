//! Links to a partner's portal: made, shown this once, and revoked, by operators.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::{head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{List, PortalLink};
use crate::dashboard::{answers, icons, words};

/// Links of a partner's page; the API lists all.
const SHOWN: &str = "10";
/// How long a link may last, as the form asks.
const LASTS: [(&str, &str); 5] =
    [("3600", "an hour"), ("86400", "a day"), ("604800", "7 days"), ("1209600", "14 days"), ("2592000", "30 days")];

fn path_of(partner: &str) -> String {
    format!("/partners/{}/portal-links", segment(partner))
}

/// The part of a partner's page about its links.
pub async fn section(visitor: &Visitor, partner: &str) -> Markup {
    if !visitor.may(Permission::Operate) {
        return html! {};
    }
    let found: Result<List<PortalLink>, Trouble> =
        visitor.get(&path_of(partner), About::Nobody, &[("limit", SHOWN)]).await;
    html! {
        h2 #portal { "Links to their portal" }
        @match &found {
            Err(trouble) => (answers::part(trouble)),
            Ok(found) if found.data.is_empty() => p.muted { "None. A link lets somebody at " (partner) " in without a key, to what is theirs." },
            Ok(found) => (table(visitor, partner, &found.data)),
        }
        (making(visitor, partner, &Form::default(), &Mistakes::default()))
    }
}

fn table(visitor: &Visitor, partner: &str, links: &[PortalLink]) -> Markup {
    html! {
        div.list {
            table {
                caption { "Newest first, at most " (SHOWN) ". Where a link leads is not kept: only a hash of it is." }
                thead {
                    tr {
                        th scope="col" { "State" } th scope="col" { "Note" } th scope="col" { "Environment" }
                        th.num scope="col" { "Opened" } th.num scope="col" { "Ends" } th scope="col" { "Revoke" }
                    }
                }
                tbody { @for link in links { (row(visitor, partner, link)) } }
            }
        }
    }
}

fn row(visitor: &Visitor, partner: &str, link: &PortalLink) -> Markup {
    let has_ended = link.expires_at.0 <= visitor.now;
    html! {
        tr id=(link.id) {
            td.nowrap {
                @if link.revoked_at.is_some() { (icons::state("discarded", "revoked")) }
                @else if has_ended { (icons::state("discarded", "expired")) }
                @else if link.single_use && link.opened_at.is_some() { (icons::state("delivered", "in use")) }
                @else { (icons::state("pending", if link.single_use { "unopened" } else { "opens often" })) }
            }
            td { @match &link.description { Some(note) => (note), None => (words::id(&link.id)) } }
            td { (link.environment) }
            td.num.nowrap data-l="opened" { (words::maybe_time(link.opened_at.map(|at| at.0), visitor.now)) }
            td.num.nowrap data-l="ends" { (words::time(link.expires_at.0, visitor.now)) }
            td {
                @if link.revoked_at.is_none() && !has_ended {
                    (frame::confirmed(
                        visitor,
                        &visitor.address(&format!("{}/{}/revoke", path_of(partner), segment(&link.id)), None, &[]),
                        "Revoke",
                        "It opens nothing from then on, and whoever came by it is signed out at once.",
                        "Revoke 1 link",
                    ))
                }
            }
        }
    }
}

fn making(visitor: &Visitor, partner: &str, form: &Form, mistakes: &Mistakes) -> Markup {
    let chosen = form.get("lasts").unwrap_or("604800");
    html! {
        details open[!mistakes.is_empty()] {
            summary.button { "Make a link to the portal…" }
            form.panel method="post" action=(visitor.address(&path_of(partner), None, &[])) {
                (frame::token(visitor))
                @for wrong in ["", "environment", "expires_in_seconds", "single_use", "description"].iter().flat_map(|field| mistakes.at(field)) {
                    p.note.bad role="alert" { (wrong) }
                }
                p { "It leads to what is " (partner) "'s in " (visitor.environment()) ", with all that their key may do." }
                div.field {
                    label for="note" { "Note" }
                    input #note type="text" name="description" value=[form.get("description")] maxlength="512" placeholder="Ann, onboarding";
                }
                div.field {
                    label for="lasts" { "It ends after" }
                    select #lasts name="lasts" {
                        @for (seconds, words) in LASTS { option value=(seconds) selected[seconds == chosen] { (words) } }
                    }
                    p.hint { "So does the session of whoever came by it." }
                }
                label.box {
                    input type="checkbox" name="often" checked[form.is_on("often")];
                    "It opens again and again, for everybody who sees it"
                }
                button.primary { "Make the link" }
            }
        }
    }
}

/// Makes one, and shows it this once.
pub async fn create(posted: Posted, partner: web::Path<String>) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let mut wanted = Map::new();
    wanted.insert("environment".to_owned(), json!(visitor.environment()));
    wanted.insert("single_use".to_owned(), json!(!form.is_on("often")));
    if let Some(note) = form.filled("description") {
        wanted.insert("description".to_owned(), json!(note));
    }
    if let Some(seconds) = form.filled("lasts") {
        wanted.insert(
            "expires_in_seconds".to_owned(),
            seconds.parse::<u64>().map_or_else(|_| json!(seconds), Value::from),
        );
    }
    let made = visitor.send(Method::POST, &path_of(&partner), About::Nobody, Some(&Value::Object(wanted))).await;
    match made.and_then(|made| inside::read::<PortalLink>(&made)) {
        Ok(made) => visitor.page(StatusCode::CREATED, &made_page(&visitor, &partner, &made)),
        Err(trouble) if trouble.status == 422 => {
            let fields = ["environment", "expires_in_seconds", "single_use", "description"];
            let again = html! {
                (head(&format!("A link to the portal of {}", partner.as_str()), html! {}))
                (making(&visitor, &partner, &form, &Mistakes::of(&trouble, &fields)))
            };
            visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &Page::new("A link to the portal", again))
        }
        Err(trouble) => visitor.answer(Err(trouble)),
    }
}

fn made_page(visitor: &Visitor, partner: &str, made: &PortalLink) -> Page {
    // Asked from inside, the API knows no name of the server: the browser does.
    let url = format!("{}{}", visitor.base, made.url.as_deref().unwrap_or_default());
    let back = visitor.address(&format!("/partners/{}", segment(partner)), None, &[]);
    let frame = format!("<iframe src=\"{url}\" allow=\"clipboard-write\" title=\"Webhooks\"></iframe>");
    let body = html! {
        (head("The link is made", html! { a href=(back) { "To " (partner) } }))
        section.panel {
            p.sentence { "This is the only time that it is shown: send it now, to one person." }
            div.row { code.secret { (url) } (frame::copy(&url)) }
            p {
                "It leads to what is " (partner) "'s in " (made.environment) ", and ends " (words::time(made.expires_at.0, visitor.now)) ". "
                @if made.single_use { "It opens once: whoever presses its button first is in, until they sign out." } @else { "It opens for everybody who sees it." }
            }
            @if visitor.dashboard.portal.has_frames() {
                h2 { "In a page of yours" }
                p { "Pages of the configured origins may show it in a frame. Make a link for each visit, on your server." }
                div.row { code.secret { (frame) } (frame::copy(&frame)) }
            }
        }
    };
    Page::new("The link is made", body)
}

/// Revokes one.
pub async fn revoke(posted: Posted, path: web::Path<(String, String)>) -> HttpResponse {
    let (visitor, (partner, id)) = (posted.visitor, path.into_inner());
    let at = format!("{}/{}", path_of(&partner), segment(&id));
    let done = visitor.send(Method::DELETE, &at, About::Nobody, None).await;
    let back = visitor.address(&format!("/partners/{}", segment(&partner)), None, &[]);
    visitor.say_either(&back, done, |_| "Revoked: it opens nothing any more, and whoever came by it is out.".to_owned())
}
