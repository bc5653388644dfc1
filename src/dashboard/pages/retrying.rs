//! Several deliveries retried at once: those that were chosen on a page of the list. Each is
//! asked for by itself, and what could not be is said of each.

use actix_web::HttpResponse;
use actix_web::http::Method;
use maud::{Markup, html};

use crate::dashboard::frame::Page;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::bulk::PICKED_MAX;
use crate::dashboard::pages::events::pairs;
use crate::dashboard::pages::{deliveries, head, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::words;

/// Asks for an attempt of each, and says what became of that.
pub async fn retry(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let mut chosen: Vec<&str> = form.all("delivery").collect();
    chosen.sort_unstable();
    chosen.dedup();
    let back = visitor.to("/deliveries", &pairs(&deliveries::typed(&visitor, true)));
    if chosen.is_empty() {
        return visitor.say(&back, "!Nothing was chosen: tick the deliveries that are to be retried.");
    }
    if chosen.len() > PICKED_MAX {
        return visitor.say(&back, &format!("!At most {PICKED_MAX} are retried at once; a replay takes more."));
    }
    let mut not: Vec<(&str, Trouble)> = Vec::new();
    for id in &chosen {
        let path = format!("/deliveries/{}/retry", segment(id));
        match visitor.send(Method::POST, &path, About::These, None).await {
            Ok(_) => {}
            Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
            Err(trouble) => not.push((id, trouble)),
        }
    }
    if not.is_empty() {
        return visitor.say(
            &back,
            &format!("Queued: one more attempt of {}. Their rows say how it ends.", counted(chosen.len())),
        );
    }
    visitor.answer(Ok(some_were_not(&visitor, &back, chosen.len(), &not)))
}

fn counted(number: usize) -> String {
    if number == 1 { "1 delivery".to_owned() } else { format!("{} deliveries", words::count(number as u64)) }
}

fn some_were_not(visitor: &Visitor, back: &str, chosen: usize, not: &[(&str, Trouble)]) -> Page {
    let link = |id: &str| -> Markup {
        html! { a href=(visitor.to_one(&format!("/deliveries/{}", segment(id)))) { (words::id(id)) } }
    };
    let body = html! {
        (head("Retried", html! { a href=(back) { "To the deliveries" } }))
        p.sentence {
            "Queued: one more attempt of " (counted(chosen - not.len())) ". "
            (counted(not.len())) @if not.len() == 1 { " was" } @else { " were" } " not, and nothing was done to " @if not.len() == 1 { "it." } @else { "them." }
        }
        div.list {
            table {
                caption { "What was not retried, and why." }
                thead { tr { th scope="col" { "Delivery" } th scope="col" { "Why not" } } }
                tbody {
                    @for (id, trouble) in not { tr { td.nowrap { (link(id)) } td { b { (trouble.title) } ": " (trouble.detail) } } }
                }
            }
        }
    };
    Page::new("Retried", body)
}
