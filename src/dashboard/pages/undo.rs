//! What was done can be undone for a moment: the note that says it was done has a button
//! that posts the reverse. Decides how long there is time for it, and that it is ours:
//! the button is carried by a cookie, and whoever can set cookies makes none of them.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{LOCATION, SET_COOKIE};
use maud::{Markup, html};

use crate::dashboard::cookies;
use crate::dashboard::form::Form;
use crate::dashboard::frame;
use crate::dashboard::inside::Trouble;
use crate::dashboard::session::{Seals, Session};
use crate::dashboard::visitor::{Posted, ROOT, Visitor};
use crate::domain::Timestamp;

/// How long the button is there.
const LASTS: Duration = Duration::from_secs(10);
/// How much later a press may arrive.
const GRACE: Duration = Duration::from_secs(5);
/// Most bytes of a text: a cookie has room for no more. What needs more is not undone.
const TEXT_BYTES_MAX: usize = 2_400;

/// How something is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    until: Timestamp,
    /// Where whoever is late is led.
    back: String,
    /// What the reverse is posted to.
    to: String,
    fields: Vec<(String, String)>,
    /// All of it as it is carried.
    text: String,
    now: Timestamp,
}

impl Undo {
    fn made(visitor: &Visitor, back: &str, to: &str, fields: &[(&str, &str)]) -> Option<String> {
        let until = (visitor.now + LASTS).as_millis().to_string();
        let head = [("until", until.as_str()), ("back", back), ("to", to)];
        let said =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(head).extend_pairs(fields).finish();
        let text = format!("{said}~{}", visitor.dashboard.seals.signature(&visitor.session, &said));
        (text.len() <= TEXT_BYTES_MAX && is_ours(to) && is_ours(back)).then_some(text)
    }

    /// What a text says that was made here for this session. It may be too late for it.
    pub fn opened(seals: &Seals, session: &Session, text: &str, now: Timestamp) -> Option<Self> {
        let (said, signature) = text.rsplit_once('~').filter(|_| text.len() <= TEXT_BYTES_MAX)?;
        if !seals.is_signature(session, said, signature) {
            return None;
        }
        let mut pairs = url::form_urlencoded::parse(said.as_bytes()).into_owned();
        let mut next = |wanted: &str| pairs.next().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        let until = Timestamp::from_millis(next("until")?.parse().ok()?);
        let (back, to) = (next("back")?, next("to")?);
        Some(Self { until, back, to, fields: pairs.collect(), text: text.to_owned(), now })
    }

    /// The button. Without a script it stays until the page is left.
    pub fn button(&self, visitor: &Visitor) -> Markup {
        let left = if self.until > self.now { self.until.since(self.now).as_millis() } else { 0 };
        html! {
            form method="post" action={ (ROOT) "/undo" } data-undo=(left) {
                (frame::token(visitor))
                input type="hidden" name="undo" value=(self.text);
                @for (name, value) in &self.fields { input type="hidden" name=(name) value=(value); }
                button { "Undo" }
            }
        }
    }
}

/// Whether that is an address of these pages, as it stands in a form.
fn is_ours(address: &str) -> bool {
    address.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

impl Visitor {
    /// Goes to a page that says this first, and beside it has a button that posts these
    /// fields to `undo_path`, the address of a form of ours, for ten seconds.
    pub fn say_with_undo(&self, to: &str, said: &str, undo_path: &str, fields: &[(&str, &str)]) -> HttpResponse {
        let mut answer = self.say(to, said);
        let cookie =
            Undo::made(self, to, undo_path, fields).and_then(|text| cookies::undo(&text, self.seen()).parse().ok());
        if let Some(cookie) = cookie {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        answer
    }
}

/// The button was pressed: the browser is told to post the same to where the reverse is
/// done, in time.
pub async fn act(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    match undone(&visitor, &form) {
        None => visitor.answer(Err(Trouble::not_found("there is nothing to undo here"))),
        Some(undo) if visitor.now > undo.until + GRACE => visitor.say(
            &undo.back,
            "!Too late to undo: there are ten seconds for it. Nothing was done; the page says how it stands.",
        ),
        Some(undo) => HttpResponse::TemporaryRedirect().insert_header((LOCATION, undo.to)).finish(),
    }
}

fn undone(visitor: &Visitor, form: &Form) -> Option<Undo> {
    Undo::opened(&visitor.dashboard.seals, &visitor.session, form.get("undo")?, visitor.now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_posted_to() {
        for (address, ours) in [
            ("/dashboard", true),
            ("/dashboard/endpoints/ep_1/resume?env=sandbox", true),
            ("/dashboardx", false),
            ("//evil.example/dashboard", false),
            ("https://evil.example/dashboard/", false),
            ("/webhook/ep_1/pause", false),
        ] {
            assert_eq!(is_ours(address), ours, "{address}");
        }
    }
}
