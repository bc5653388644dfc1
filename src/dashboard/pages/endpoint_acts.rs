//! What is done with an endpoint by forms: settings saved, tests sent, flows held and
//! let go, secrets shown and rotated.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::dashboard::form::{Form, Mistakes};
use crate::dashboard::frame;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::endpoint::{self, saved};
use crate::dashboard::pages::endpoint_form::{self, FIELDS, Kind};
use crate::dashboard::pages::{outcome, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Attempt, BroughtForward, Endpoint, Secrets};
use crate::dashboard::words;

/// The form asks for hours, the API for seconds.
const SECONDS_OF_AN_HOUR: u64 = 3_600;

/// Saves settings.
pub async fn change(posted: Posted, id: web::Path<String>) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let endpoint = match endpoint::read(&visitor, &id).await {
        Ok(endpoint) => endpoint,
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    // What it was, to be taken back: with its very values, where the form has only texts.
    let before = match saved::read(&visitor, &id).await {
        Ok(before) => before,
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    let here = format!("/endpoints/{}", segment(&endpoint.id));
    let (settings, own) = endpoint_form::settings(&form, &Kind::Change(&endpoint));
    let body = Value::Object(settings);
    let path = format!("/webhook/{}", segment(&endpoint.id));
    let saved = visitor.send(Method::PATCH, &path, About::Partner(&endpoint.partner), Some(&body)).await;
    let wrong = match saved.and_then(|saved| inside::read::<Value>(&saved)) {
        Ok(saved) if saved["version"] == endpoint.version => {
            return visitor.say(&visitor.to(&here, &[("tab", "settings")]), "Nothing has changed.");
        }
        Ok(saved) => {
            let version = saved["version"].to_string();
            let said = format!("Saved: these are its settings number {version}.");
            let to = visitor.to(&here, &[("tab", "settings"), ("saved", &version)]);
            return match saved::undo(&before, &saved) {
                Some(was) => {
                    let undo = visitor.to_one(&format!("{here}/undo"));
                    visitor.say_with_undo(&to, &said, &undo, &[("settings", &was), ("version", &version)])
                }
                None => visitor.say(&to, &said),
            };
        }
        Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
        Err(trouble) => own.and(Mistakes::of(&trouble, &FIELDS)),
    };
    match endpoint_form::types(&visitor).await {
        Err(trouble) => visitor.answer(Err(trouble)),
        Ok(types) => {
            let shown = endpoint_form::form(&visitor, &Kind::Change(&endpoint), &form, &wrong, &types);
            let page = endpoint::framed(&visitor, &endpoint, &[], "settings", shown);
            visitor.page(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

/// Does whatever else.
pub async fn act(posted: Posted, path: web::Path<(String, String)>) -> HttpResponse {
    let (Posted { visitor, form }, (id, verb)) = (posted, path.into_inner());
    let endpoint = match endpoint::read(&visitor, &id).await {
        Ok(endpoint) => endpoint,
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    let here = visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)));
    let waits = endpoint.health.as_ref().map_or(0, |health| health.backlog);
    let held = format!("{} {} held until it is", words::deliveries(waits), if waits == 1 { "is" } else { "are" });
    let asked = Asked { visitor: &visitor, endpoint: &endpoint };
    // What was so before is not done again: a button that undid it would undo another's doing.
    let is_paused = endpoint.paused_at.is_some();
    match verb.as_str() {
        "pause" if is_paused => visitor.say(&here, "Nothing has changed: it is paused already."),
        "resume" if !is_paused => visitor.say(&here, "Nothing has changed: it is not paused."),
        "disable" if !endpoint.enabled => visitor.say(&here, "Nothing has changed: it is disabled already."),
        "pause" => match asked.send(Method::POST, "/pause", None).await {
            Ok(_) => {
                let said = format!("Paused: nothing is lost, and {held} resumed.");
                visitor.say_with_undo(&here, &said, &asked.at("resume"), &[])
            }
            refused => visitor.say_either(&here, refused, |_| String::new()),
        },
        "resume" => visitor.say_either(&here, asked.send(Method::POST, "/resume", None).await, |_| {
            "Resumed: what was held goes out.".to_owned()
        }),
        "disable" => match asked.send(Method::PATCH, "", Some(&json!({ "enabled": false }))).await {
            Ok(_) => {
                let said = format!("Disabled: its events are kept, and {held} enabled.");
                visitor.say_with_undo(&here, &said, &asked.at("enable"), &[])
            }
            refused => visitor.say_either(&here, refused, |_| String::new()),
        },
        "retry-now" => {
            let done = asked.send(Method::POST, "/retry-now", None).await;
            let read = done.and_then(|done| inside::read::<BroughtForward>(&done));
            visitor.say_either(&here, read, |found| retried(found.brought_forward, found.more))
        }
        "undo" => asked.undo(&form).await,
        "enable" => {
            visitor.say_either(&here, asked.send(Method::PATCH, "", Some(&json!({ "enabled": true }))).await, |_| {
                "Enabled: what was held goes out.".to_owned()
            })
        }
        "delete" => {
            let done = asked.send(Method::DELETE, "", None).await;
            let to = if done.is_ok() { visitor.to("/endpoints", &[]) } else { here };
            visitor.say_either(&to, done, |_| format!("Deleted: {} gets nothing any more.", endpoint.url))
        }
        "test" => asked.test().await,
        "secret" => {
            let read = asked.send(Method::GET, "/secret", None).await;
            asked.show_secrets(read, None)
        }
        "rotate" => asked.rotate(&form).await,
        _ => visitor.answer(Err(Trouble::not_found("there is no such thing to do"))),
    }
}

/// What is said once so many retries were brought forward, and whether there are more.
pub fn retried(count: u64, more: bool) -> String {
    let more = if more { " There are more: press again." } else { "" };
    match count {
        0 => "Nothing waits for a later time: what waits is due, or is kept back while its receiver fails. \
              Send a test to see how it answers."
            .to_owned(),
        1 => format!("1 retry is due now; its delivery says how it ends.{more}"),
        count => format!("{} retries are due now; their deliveries say how they end.{more}", words::count(count)),
    }
}

/// An endpoint, and who does something with it.
struct Asked<'a> {
    visitor: &'a Visitor,
    endpoint: &'a Endpoint,
}

impl Asked<'_> {
    /// Where something is done with it.
    fn at(&self, verb: &str) -> String {
        self.visitor.to_one(&format!("/endpoints/{}/{verb}", segment(&self.endpoint.id)))
    }

    /// Takes a change of its settings back, unless somebody has changed them since.
    async fn undo(&self, form: &Form) -> HttpResponse {
        let here = self.visitor.to(&format!("/endpoints/{}", segment(&self.endpoint.id)), &[("tab", "settings")]);
        let Some(was) = form.get("settings").and_then(saved::taken_back) else {
            return self.visitor.say(&here, "!Nothing was undone: there is no change to take back.");
        };
        if form.get("version") != Some(self.endpoint.version.to_string().as_str()) {
            return self.visitor.say(&here, "!Nothing was undone: its settings were changed again since.");
        }
        let undone = self.send(Method::PATCH, "", Some(&was)).await;
        self.visitor.say_either(&here, undone, |_| "Undone: its settings are as they were before.".to_owned())
    }

    async fn send(&self, method: Method, below: &str, body: Option<&Value>) -> Result<Bytes, Trouble> {
        let path = format!("/webhook/{}{below}", segment(&self.endpoint.id));
        self.visitor.send(method, &path, About::Partner(&self.endpoint.partner), body).await
    }

    /// Sends an example, and shows what it was answered.
    async fn test(&self) -> HttpResponse {
        let Self { visitor, endpoint } = self;
        let sent = self.send(Method::POST, "/test", None).await;
        let here = visitor.to_one(&format!("/endpoints/{}", segment(&endpoint.id)));
        let attempt = match sent.and_then(|sent| inside::read::<Attempt>(&sent)) {
            Ok(attempt) => attempt,
            Err(trouble) => return visitor.say_either(&here, Err::<(), _>(trouble), |()| String::new()),
        };
        let took = words::span(Duration::from_millis(attempt.duration_ms));
        let body = html! {
            section.panel #test {
                h2 { "A test" }
                p.sentence {
                    (outcome::state(&attempt)) " "
                    @if attempt.delivered { "It took the example" } @else { "It did not take the example" }
                    @if let Some(name) = &attempt.event_type { " of " b { (name) } }
                    ": the request " (outcome::verb(&attempt)) " after " (took) "."
                }
                @if let Some(error) = &attempt.error { p { b { (error.class.replace('_', " ")) } ": " (error.message) } }
                (outcome::body(&attempt))
                div.actions { (frame::action(visitor, &visitor.to_one(&format!("/endpoints/{}/test", segment(&endpoint.id))), "Send it again")) }
                p.muted { "A test is not kept: it is no delivery, and nothing is retried." }
            }
        };
        visitor.answer(Ok(endpoint::framed(visitor, endpoint, &[], "", body)))
    }

    async fn rotate(&self, form: &Form) -> HttpResponse {
        let hours = form.filled("hours").unwrap_or("24");
        let here = self.visitor.to(&format!("/endpoints/{}", segment(&self.endpoint.id)), &[("tab", "secrets")]);
        let Ok(hours) = hours.parse::<u64>() else {
            return self.visitor.say(&here, &format!("!Not rotated: `{hours}` is not a whole number of hours."));
        };
        if hours == 0 && !form.is_on("at_once") {
            let said = "!Not rotated: without an overlap receivers refuse everything until they have the new secret. \
                        Rotate it at once only where you mean that.";
            return self.visitor.say(&here, said);
        }
        let overlap = json!({ "overlap_seconds": hours.saturating_mul(SECONDS_OF_AN_HOUR) });
        match self.send(Method::POST, "/secret/rotate", Some(&overlap)).await {
            Ok(rotated) => {
                let said = format!("Rotated: the new one signs from now on, those from before for {hours} h more.");
                let said =
                    if hours == 0 { "Rotated: the new one signs from now on, and no other.".to_owned() } else { said };
                self.show_secrets(Ok(rotated), Some(&said))
            }
            failed => self.visitor.say_either(&here, failed, |_| String::new()),
        }
    }

    /// The secrets, this once.
    fn show_secrets(&self, read: Result<Bytes, Trouble>, said: Option<&str>) -> HttpResponse {
        let shown = read.and_then(|read| inside::read::<Secrets>(&read)).map(|secrets| {
            let body = html! {
                @if let Some(said) = said { p.note role="status" { (said) } }
                section.panel {
                    h2 { "What signs now" }
                    (one(secrets.secret.as_deref(), secrets.public_key.as_deref()))
                    @for previous in &secrets.previous {
                        h3 { "From before, until " (words::absolute(previous.expires_at.0)) }
                        (one(previous.secret.as_deref(), previous.public_key.as_deref()))
                    }
                    p.muted { "This page shows it once: leave it, and it is asked for anew." }
                }
            };
            endpoint::framed(self.visitor, self.endpoint, &[], "secrets", body)
        });
        self.visitor.answer(shown)
    }
}

fn one(secret: Option<&str>, public_key: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = secret.or(public_key) { div.row { code.secret { (text) } (frame::copy(text)) } }
    }
}
