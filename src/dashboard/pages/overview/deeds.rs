//! What can be done about what needs somebody, from the first page itself.

use actix_web::http::Method;
use actix_web::{HttpResponse, web};

use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::endpoint_acts::retried;
use crate::dashboard::pages::{endpoint, segment};
use crate::dashboard::visitor::{About, Posted};
use crate::dashboard::wire::{Brake, BroughtForward, List};

/// Brings forward what waits for an endpoint, or releases a partner's brake.
pub async fn act(posted: Posted, verb: web::Path<String>) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let here = visitor.to("", &[]);
    let named = |name: &str| form.filled(name).unwrap_or_default().to_owned();
    match verb.as_str() {
        "retry-now" => {
            let endpoint = match endpoint::read(&visitor, &named("endpoint")).await {
                Ok(endpoint) => endpoint,
                Err(trouble) => return visitor.say_either(&here, Err::<(), _>(trouble), |()| String::new()),
            };
            let path = format!("/webhook/{}/retry-now", segment(&endpoint.id));
            let done = visitor.send(Method::POST, &path, About::Partner(&endpoint.partner), None).await;
            let done = done.and_then(|done| inside::read::<BroughtForward>(&done));
            visitor.say_either(&here, done, |done| {
                format!("{}: {}", endpoint.url, retried(done.brought_forward, done.more))
            })
        }
        "release" => {
            let partner = named("partner");
            let reason = match visitor.get::<List<Brake>>("/brakes", About::Nobody, &[]).await {
                Ok(brakes) => {
                    let mut brakes = brakes.data.into_iter();
                    let found =
                        brakes.find(|brake| brake.partner == partner && brake.environment == visitor.environment());
                    found.and_then(|brake| brake.reason).unwrap_or_default()
                }
                Err(trouble) => return visitor.say_either(&here, Err::<(), _>(trouble), |()| String::new()),
            };
            match visitor.send(Method::DELETE, "/brakes", About::Partner(&partner), None).await {
                Ok(_) => visitor.say_with_undo(
                    &here,
                    &format!(
                        "Released: what was held for {} in {} goes out.",
                        if partner == "*" { "all partners" } else { &partner },
                        visitor.environment()
                    ),
                    &visitor.address(&format!("/partners/{}/brake", segment(&partner)), None, &[]),
                    &[("reason", &reason)],
                ),
                failed => visitor.say_either(&here, failed, |_| String::new()),
            }
        }
        _ => visitor.answer(Err(Trouble::not_found("there is no such thing to do"))),
    }
}
