//! What is done to several endpoints at once, or to one out of the list. Each is asked of the
//! API by itself, and what comes of all of them is said in one sentence.

use actix_web::HttpResponse;
use actix_web::http::Method;

use crate::dashboard::form::Form;
use crate::dashboard::inside::{self, Trouble};
use crate::dashboard::origin::own_path;
use crate::dashboard::pages::endpoint_acts::retried;
use crate::dashboard::pages::segment;
use crate::dashboard::visitor::{About, Posted, ROOT, Visitor};
use crate::dashboard::wire::BroughtForward;
use crate::dashboard::words;

/// Endpoints of one form: no list shows more.
const MOST: usize = 100;

/// What can be done to several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Pause,
    Resume,
    RetryNow,
}

impl Verb {
    fn read(text: &str) -> Option<Self> {
        match text {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "retry-now" => Some(Self::RetryNow),
            _ => None,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RetryNow => "retry-now",
        }
    }
}

/// What a form asks for: a verb, and endpoints with their partners.
fn asked(form: &Form) -> Option<(Verb, Vec<(&str, &str)>)> {
    if let Some((verb, one)) = form.get("one").and_then(|one| one.split_once(' ')) {
        return Some((Verb::read(verb)?, vec![one.split_once(' ')?]));
    }
    let endpoints = form.all("endpoint").filter_map(|one| one.split_once(' ')).take(MOST).collect();
    Some((Verb::read(form.get("verb")?)?, endpoints))
}

/// Where the form was: one of our own lists.
fn back<'a>(visitor: &Visitor, form: &'a Form) -> Option<&'a str> {
    let list = visitor.address("/endpoints", None, &[]);
    let list = list.split('?').next().unwrap_or(ROOT);
    form.get("back").filter(|back| back.split('?').next() == Some(list) && own_path(back) == *back)
}

/// Does it.
pub async fn act(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let everything = visitor.to("/endpoints", &[]);
    let to = back(&visitor, &form).unwrap_or(&everything);
    let Some((verb, endpoints)) = asked(&form) else {
        return visitor.say(to, "!Nothing was done: choose what to do with those that are ticked.");
    };
    if endpoints.is_empty() {
        return visitor.say(to, "!Nothing was done: tick an endpoint first.");
    }
    let (mut done, mut retries, mut more) = (Vec::new(), 0, false);
    let mut refused: Option<Trouble> = None;
    for (id, partner) in &endpoints {
        let path = format!("/webhook/{}/{}", segment(id), verb.path());
        match visitor.send(Method::POST, &path, About::Partner(partner), None).await {
            Ok(answer) => {
                if verb == Verb::RetryNow
                    && let Ok(found) = inside::read::<BroughtForward>(&answer)
                {
                    retries += found.brought_forward;
                    more |= found.more;
                }
                done.push(format!("{id} {partner}"));
            }
            Err(trouble) if trouble.status == 401 => return visitor.answer(Err(trouble)),
            Err(trouble) => refused = Some(trouble),
        }
    }
    let said = said(verb, done.len(), endpoints.len(), (retries, more), refused.as_ref());
    // What went out went out.
    if done.is_empty() || verb != Verb::Pause {
        return visitor.say(to, &said);
    }
    let mut fields: Vec<(&str, &str)> = vec![("verb", Verb::Resume.path()), ("back", to)];
    fields.extend(done.iter().map(|one| ("endpoint", one.as_str())));
    visitor.say_with_undo(to, &said, &visitor.to("/endpoints/bulk", &[]), &fields)
}

fn said(verb: Verb, done: usize, all: usize, (retries, more): (u64, bool), refused: Option<&Trouble>) -> String {
    let endpoints = words::of(done as u64, "endpoint");
    let mut said = match verb {
        Verb::Pause => format!("Paused: {endpoints}. Nothing is lost; what comes is held until they are resumed."),
        Verb::Resume => format!("Resumed: {endpoints}. What was held goes out."),
        Verb::RetryNow => format!("Asked: {endpoints}. {}", retried(retries, more)),
    };
    if let Some(trouble) = refused {
        let not = format!("{} of {all} not: {}", all - done, trouble.detail);
        said = if done == 0 { format!("!{not}") } else { format!("{said} But {not}.") };
    }
    said
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
        let several = "verb=pause&endpoint=ep_1+acme&endpoint=ep_2+*&endpoint=nonsense";
        assert_eq!(read(several), Some(("pause", "ep_1/acme ep_2/*".to_owned())));
        // A row's own button speaks for its row alone.
        assert_eq!(read("one=resume+ep_3+acme&endpoint=ep_1+acme"), Some(("resume", "ep_3/acme".to_owned())));
        for nothing in ["", "verb=none&endpoint=ep_1+acme", "verb=delete&endpoint=ep_1+acme", "one=pause"] {
            assert!(read(nothing).is_none_or(|(_, all)| all.is_empty()), "{nothing}");
        }
        assert_eq!(
            read(&format!("verb=pause{}", "&endpoint=a+b".repeat(500))).map(|(_, all)| all.split(' ').count()),
            Some(MOST)
        );
    }

    #[test]
    fn what_came_of_it_is_said_with_what_did_not() {
        let trouble =
            Trouble { status: 409, title: "No".to_owned(), detail: "it is held".to_owned(), errors: Vec::new() };
        let one = said(Verb::RetryNow, 1, 1, (1, false), None);
        assert_eq!(one, "Asked: 1 endpoint. 1 retry is due now; its delivery says how it ends.");
        let some = said(Verb::RetryNow, 2, 3, (40, true), Some(&trouble));
        assert_eq!(
            some,
            "Asked: 2 endpoints. 40 retries are due now; their deliveries say how they end. \
             There are more: press again. But 1 of 3 not: it is held."
        );
        assert_eq!(said(Verb::Pause, 0, 2, (0, false), Some(&trouble)), "!2 of 2 not: it is held");
    }
}
