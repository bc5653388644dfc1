//! What is done to several endpoints at once, or to one out of the list; to all that match is
//! in `matching`. Each is asked of the API by itself, and what comes of all of them is said in
//! one sentence.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::Method;

use crate::auth::Permission;
use crate::dashboard::answers;
use crate::dashboard::form::Form;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::pages::endpoint_acts::retried;
use crate::dashboard::pages::endpoints::list;
use crate::dashboard::pages::endpoints::matching::LOOK;
use crate::dashboard::pages::{bulk, matching, naming, segment};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{BroughtForward, Endpoint};
use crate::dashboard::words;

/// An endpoint, and several.
pub const ENDPOINTS: (&str, &str) = ("endpoint", "endpoints");
/// Bytes of what one button undoes: more has no room in the cookie that carries it.
const UNDO_BYTES_MAX: usize = 1_600;

/// What can be done to several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Pause,
    Resume,
    RetryNow,
}

impl Verb {
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "retry-now" => Some(Self::RetryNow),
            _ => None,
        }
    }

    /// What the API calls it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RetryNow => "retry-now",
        }
    }

    /// What a button says.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::RetryNow => "Retry now",
        }
    }

    /// Whether it would change something there.
    pub fn changes(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Pause => endpoint.paused_at.is_none(),
            Self::Resume => endpoint.paused_at.is_some(),
            Self::RetryNow => {
                endpoint.status == "active" && endpoint.health.as_ref().is_some_and(|health| health.backlog > 0)
            }
        }
    }

    /// Of those that it would not change: how they are.
    pub const fn unchanged(self) -> &'static str {
        match self {
            Self::Pause => "paused already",
            Self::Resume => "not paused",
            Self::RetryNow => "nothing waits there, or they are paused or disabled",
        }
    }

    /// What will happen.
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::Pause => "Nothing is lost: what comes is held until they are resumed.",
            Self::Resume => "What was held goes out, as fast as each keeps up.",
            Self::RetryNow => "What waits there for a later time is due at once.",
        }
    }
}

/// What a form asks for: a verb, and endpoints with their partners.
fn asked(form: &Form) -> Option<(Verb, Vec<(&str, &str)>)> {
    if let Some((verb, one)) = form.get("one").and_then(|one| one.split_once(' ')) {
        return Some((Verb::read(verb)?, vec![one.split_once(' ')?]));
    }
    let endpoints = bulk::picked(form).into_iter().filter_map(|one| one.split_once(' ')).collect();
    Some((Verb::read(form.get("verb")?)?, endpoints))
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Came {
    /// Those to which it was done, as ticks say them.
    done: Vec<String>,
    /// Those that were so before.
    unchanged: u64,
    not: usize,
    why: Option<Trouble>,
    retries: (u64, bool),
}

impl Came {
    /// Asks it of one. What concerns all of them is an error.
    pub async fn ask(&mut self, visitor: &Visitor, verb: Verb, id: &str, partner: &str) -> Result<(), Trouble> {
        let path = format!("/webhook/{}/{}", segment(id), verb.path());
        match visitor.send(Method::POST, &path, About::Partner(partner), None).await {
            Ok(answer) => {
                if verb == Verb::RetryNow
                    && let Ok(found) = inside::read::<BroughtForward>(&answer)
                {
                    self.retries.0 += found.brought_forward;
                    self.retries.1 |= found.more;
                }
                self.done.push(format!("{id} {partner}"));
            }
            Err(trouble) if matching::is_end(&trouble) => return Err(trouble),
            Err(trouble) => {
                self.not += 1;
                self.why.get_or_insert(trouble);
            }
        }
        Ok(())
    }

    fn said(&self, verb: Verb) -> String {
        let endpoints = words::of(self.done.len() as u64, ENDPOINTS.0);
        let mut said = match verb {
            Verb::Pause => format!("Paused: {endpoints}. Nothing is lost; what comes is held until they are resumed."),
            Verb::Resume => format!("Resumed: {endpoints}. What was held goes out."),
            Verb::RetryNow => format!("Asked: {endpoints}. {}", retried(self.retries.0, self.retries.1)),
        };
        if self.unchanged > 0 {
            let passed = format!("{}: {}", words::of(self.unchanged, ENDPOINTS.0), verb.unchanged());
            said = match self.done.is_empty() {
                true => format!("!Nothing was done to {passed}."),
                false => format!("{said} Passed over: {passed}."),
            };
        }
        if let Some(trouble) = &self.why {
            let not = format!("{} of {} not: {}", self.not, self.not + self.done.len(), trouble.detail);
            said = match (self.done.is_empty(), self.unchanged) {
                (true, 0) => format!("!{not}"),
                _ => format!("{said} But {not}."),
            };
        }
        said
    }

    /// Leads on, and says it; a pause can be undone, while one button has room for all of it.
    /// Of more it is said where they are found.
    pub fn answer(&self, visitor: &Visitor, verb: Verb, (to, undo): (&str, &str), more: &str) -> HttpResponse {
        let said = format!("{}{more}", self.said(verb));
        // What went out went out.
        if self.done.is_empty() || verb != Verb::Pause {
            return visitor.say(to, &said);
        }
        if self.done.iter().map(|one| one.len() + "&pick=".len()).sum::<usize>() > UNDO_BYTES_MAX {
            let said = format!("{said} They are too many to be undone by a button");
            // Where there is more to do, that comes first.
            if !more.is_empty() {
                return visitor
                    .say(to, &format!("{said}: the list of endpoints has all that are paused, by their health."));
            }
            let paused = list::filters(visitor).into_iter().filter(|(name, _)| *name != "health");
            let paused: Vec<(&str, &str)> = paused.chain([("health", "paused")]).collect();
            let said = format!("{said}: these are all that are paused, those from before too.");
            return visitor.say(&visitor.to("/endpoints", &paused), &said);
        }
        let mut fields: Vec<(&str, &str)> = vec![("verb", Verb::Resume.path())];
        fields.extend(self.done.iter().map(|one| ("pick", one.as_str())));
        visitor.say_with_undo(to, &said, undo, &fields)
    }
}

/// Does it to those that were ticked; where all that match are meant it leads to the look at
/// them.
pub async fn act(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let here = list::here(&visitor);
    let to = visitor.to("/endpoints", &here);
    let chosen = asked(&form);
    if bulk::is_all(&form)
        && form.get("one").is_none()
        && let Some((verb, _)) = chosen
    {
        let until = visitor.now.to_string();
        let mut said = vec![("verb", verb.path()), ("until", until.as_str())];
        said.extend(list::filters(&visitor));
        return answers::go(&visitor.to(LOOK, &said));
    }
    let Some((verb, endpoints)) = chosen else {
        return visitor.say(&to, "!Nothing was done: press what is to be done with those that are selected.");
    };
    if endpoints.is_empty() {
        return visitor.say(&to, "!Nothing was done: select an endpoint first.");
    }
    let before = match paused(&visitor, verb, &endpoints).await {
        Ok(before) => before,
        Err(trouble) => return visitor.say_either(&to, Err::<(), _>(trouble), |()| String::new()),
    };
    let mut came = Came::default();
    for (id, partner) in endpoints {
        if before.get(id).is_some_and(|is_paused| *is_paused == (verb == Verb::Pause)) {
            came.unchanged += 1;
            continue;
        }
        match came.ask(&visitor, verb, id, partner).await {
            Ok(()) => {}
            Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
            // The others may be asked all the same.
            Err(trouble) => {
                came.not += 1;
                came.why.get_or_insert(trouble);
            }
        }
    }
    came.answer(&visitor, verb, (&to, &visitor.to("/endpoints/bulk", &here)), "")
}

/// Which of these are paused already: what was so before is not done, and so not undone. One
/// that is not found is asked all the same, and says why not.
async fn paused(visitor: &Visitor, verb: Verb, endpoints: &[(&str, &str)]) -> Result<HashMap<String, bool>, Trouble> {
    if verb == Verb::RetryNow {
        return Ok(HashMap::new());
    }
    let ids: Vec<&str> = endpoints.iter().map(|(id, _)| *id).collect();
    let found = naming::endpoints(visitor, &ids).await?;
    Ok(found.into_iter().map(|endpoint| (endpoint.id, endpoint.paused_at.is_some())).collect())
}

/// What can be done to those of a list.
pub fn verbs(visitor: &Visitor) -> Vec<Verb> {
    let mut verbs = vec![Verb::Pause, Verb::Resume];
    if visitor.may(Permission::RetryDeliveries) {
        verbs.push(Verb::RetryNow);
    }
    verbs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_what_to_do_and_with_whom() {
        let read = |text: &str| {
            let form = Form::parse(text.as_bytes());
            asked(&form).map(|(verb, all)| {
                (verb.path(), all.iter().map(|(id, of)| format!("{id}/{of}")).collect::<Vec<_>>().join(" "))
            })
        };
        let several = "verb=pause&pick=ep_1+acme&pick=ep_2+*&pick=nonsense&pick=ep_1+acme";
        assert_eq!(read(several), Some(("pause", "ep_1/acme ep_2/*".to_owned())));
        // A row's own button speaks for its row alone.
        assert_eq!(read("one=resume+ep_3+acme&pick=ep_1+acme"), Some(("resume", "ep_3/acme".to_owned())));
        for nothing in ["", "verb=none&pick=ep_1+acme", "verb=delete&pick=ep_1+acme", "one=pause"] {
            assert!(read(nothing).is_none_or(|(_, all)| all.is_empty()), "{nothing}");
        }
        let many: String = (0..500).map(|number| format!("&pick=ep_{number}+b")).collect();
        let read = read(&format!("verb=pause{many}"));
        assert_eq!(read.map(|(_, all)| all.split(' ').count()), Some(bulk::PICKED_MAX));
    }

    #[test]
    fn what_came_of_it_is_said_with_what_did_not() {
        let trouble =
            Trouble { status: 409, title: "No".to_owned(), detail: "it is held".to_owned(), errors: Vec::new() };
        let done = |count: usize| vec!["ep_1 acme".to_owned(); count];
        let one = Came { done: done(1), retries: (1, false), ..Came::default() };
        assert_eq!(one.said(Verb::RetryNow), "Asked: 1 endpoint. 1 retry is due now; its delivery says how it ends.");
        let some = Came { done: done(2), not: 1, why: Some(trouble.clone()), retries: (40, true), ..Came::default() };
        assert_eq!(
            some.said(Verb::RetryNow),
            "Asked: 2 endpoints. 40 retries are due now; their deliveries say how they end. \
             There are more: press again. But 1 of 3 not: it is held."
        );
        let none = Came { not: 2, why: Some(trouble), ..Came::default() };
        assert_eq!(none.said(Verb::Pause), "!2 of 2 not: it is held");
    }
}
