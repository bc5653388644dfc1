//! Partners, and what operators do to the whole flow of one.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use futures_util::future::join3;
use maud::{Markup, html};
use serde_json::json;

use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{deliveries, endpoints, head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Brake, Delivery, Endpoint, List, Partner};
use crate::dashboard::{answers, icons, words};

/// The list.
pub async fn list(visitor: Visitor) -> HttpResponse {
    visitor.answer(build(&visitor, &Form::default(), &Mistakes::default()).await)
}

async fn build(visitor: &Visitor, form: &Form, mistakes: &Mistakes) -> Result<Page, Trouble> {
    let cursor = visitor.query.filled("cursor").map(str::to_owned);
    let asked: Vec<(&str, &str)> = cursor.as_deref().map(|cursor| ("cursor", cursor)).into_iter().collect();
    let found: List<Partner> = visitor.get("/partners", About::Nobody, &asked).await?;
    let brakes: List<Brake> = visitor.get("/brakes", About::Nobody, &[]).await?;
    let braked = |name: &str| {
        brakes.data.iter().any(|brake| brake.partner == name && brake.environment == visitor.environment())
    };
    let body = html! {
        (head("Partners", html! {}))
        form.filters method="post" action=(visitor.to("/partners", &[])) {
            (frame::token(visitor))
            label { span.small.muted { "New partner" }
                input type="text" name="name" value=[form.get("name")] placeholder="acme" maxlength="64" required spellcheck="false"
                    aria-invalid=[(!mistakes.is_empty()).then_some("true")] aria-describedby="name-wrong";
            }
            button { "Make it" }
        }
        @if !mistakes.is_empty() {
            p.note.bad #name-wrong role="alert" { @for wrong in mistakes.at("name").iter().chain(mistakes.at("")) { (wrong) " " } }
        }
        div.list {
            table {
                caption { "By name. Each exists in both environments." }
                thead { tr { th scope="col" { "Name" } th scope="col" { "Flow" } th scope="col" { "Look at" } th.num scope="col" { "Made" } } }
                tbody {
                    @for partner in &found.data {
                        tr {
                            td { a href=(visitor.address(&format!("/partners/{}", segment(&partner.name)), None, &[])) { (partner.name) } }
                            td.nowrap { @if braked(&partner.name) { (icons::state("held", "braked")) } @else { span.muted { "flows" } } }
                            td.nowrap.quiet {
                                @for (path, name) in [("/endpoints", "endpoints"), ("/events", "events"), ("/deliveries", "deliveries")] {
                                    a href=(visitor.address(path, Some(&partner.name), &[])) { (name) } " "
                                }
                            }
                            td.num.nowrap.last { (words::time(partner.created_at.0, visitor.now)) }
                        }
                    }
                }
            }
        }
        (frame::next(visitor, "/partners", &asked, found.next_cursor.as_deref()))
        (frame::as_call(visitor, "/partners", About::Nobody, &asked))
    };
    Ok(Page::new("Partners", body))
}

/// Makes one.
pub async fn create(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let name = form.filled("name").unwrap_or_default().to_owned();
    let made = visitor.send(Method::POST, "/partners", About::Nobody, Some(&json!({ "name": name }))).await;
    match made {
        Ok(_) => visitor.say(
            &visitor.address(&format!("/partners/{}", segment(&name)), None, &[]),
            &format!("Partner {name} is made. Next: a key for it, or an endpoint."),
        ),
        Err(trouble) if trouble.status == 401 => visitor.answer(Err(trouble)),
        Err(trouble) => match build(&visitor, &form, &Mistakes::of(&trouble, &["name"])).await {
            Ok(page) => visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page),
            Err(trouble) => visitor.answer(Err(trouble)),
        },
    }
}

/// One partner.
pub async fn one(visitor: Visitor, name: web::Path<String>) -> HttpResponse {
    visitor.answer(build_one(&visitor, &name).await)
}

async fn build_one(visitor: &Visitor, name: &str) -> Result<Page, Trouble> {
    let partner: Partner = visitor.get(&format!("/partners/{}", segment(name)), About::Nobody, &[]).await?;
    let name = partner.name.as_str();
    let (made, sent, brakes) = join3(
        visitor.get::<List<Endpoint>>("/webhook", About::Partner(name), &[("limit", "10")]),
        visitor.get::<List<Delivery>>("/deliveries", About::Partner(name), &[("limit", "10")]),
        visitor.get::<List<Brake>>("/brakes", About::Nobody, &[]),
    )
    .await;
    // How each of them is: asked of all partners, since the address names none.
    let made = match made {
        Ok(made) => Ok(endpoints::with_health(visitor, &made.data).await),
        Err(trouble) => Err(trouble),
    };
    let body = html! {
        div.head {
            h1 { (name) }
            div.row.quiet {
                @for (path, label) in [("/endpoints", "Endpoints"), ("/events", "Events"), ("/deliveries", "Deliveries")] {
                    a href=(visitor.address(path, Some(name), &[])) { (label) }
                }
                a.button.primary href=(visitor.address("/endpoints/new", Some(name), &[])) { "Make an endpoint" }
            }
        }
        @match &brakes {
            Ok(brakes) => (flow(visitor, name, &brakes.data)),
            Err(trouble) => (answers::part(trouble)),
        }
        h2 { "Endpoints in " (visitor.environment()) }
        @match &made {
            Ok(made) if made.is_empty() => p.muted { "None yet." },
            Ok(made) => (endpoints::table(visitor, made)),
            Err(trouble) => (answers::part(trouble)),
        }
        h2 { "Newest deliveries in " (visitor.environment()) }
        @match &sent {
            Ok(sent) if sent.data.is_empty() => p.muted { "None yet." },
            Ok(sent) => (deliveries::table(visitor, &sent.data, "Newest first.")),
            Err(trouble) => (answers::part(trouble)),
        }
    };
    Ok(Page::new(name.to_owned(), body))
}

/// Whether everything of theirs flows, and how to stop it.
fn flow(visitor: &Visitor, name: &str, brakes: &[Brake]) -> Markup {
    let environment = visitor.environment();
    let found = brakes.iter().find(|brake| brake.partner == name && brake.environment == environment);
    let at = |verb: &str| visitor.address(&format!("/partners/{}/{verb}", segment(name)), None, &[]);
    html! {
        section.panel {
            @match found {
                Some(brake) => {
                    p.sentence {
                        (icons::state("held", "braked")) " Everything of theirs in " (environment) " is held since "
                        (words::time(brake.since.0, visitor.now)) "." @if let Some(reason) = &brake.reason { " " (reason) }
                    }
                    div.actions { (frame::action(visitor, &at("release"), "Release the brake")) }
                }
                None => {
                    p.sentence { "Deliveries in " (environment) " flow." }
                    div.actions {
                        details.confirm {
                            summary.button { "Brake…" }
                            form method="post" action=(at("brake")) {
                                (frame::token(visitor))
                                p { "Every endpoint of theirs in " (environment) " sends nothing until the brake is released. Nothing is lost." }
                                label { "Why " input type="text" name="reason" maxlength="200"; }
                                button.danger { "Brake " (name) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Sets or releases a brake.
pub async fn act(posted: Posted, path: web::Path<(String, String)>) -> HttpResponse {
    let (Posted { visitor, form }, (name, verb)) = (posted, path.into_inner());
    let to = visitor.address(&format!("/partners/{}", segment(&name)), None, &[]);
    match verb.as_str() {
        "brake" => {
            let reason = json!({ "reason": form.filled("reason") });
            let done = visitor.send(Method::POST, "/brakes", About::Partner(&name), Some(&reason)).await;
            visitor.say_either(&to, done, |_| format!("Braked: {name} is sent nothing in {}.", visitor.environment()))
        }
        "release" => {
            let done = visitor.send(Method::DELETE, "/brakes", About::Partner(&name), None).await;
            visitor.say_either(&to, done, |_| "Released: what was held goes out.".to_owned())
        }
        _ => visitor.answer(Err(Trouble::not_found("there is no such thing to do"))),
    }
}
