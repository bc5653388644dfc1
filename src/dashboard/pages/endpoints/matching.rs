//! What is done to all endpoints that match the list's filters: looked at first, and then so
//! many at a press. Its address is the whole state: what to do, up to when they were made, and
//! from where on.

use actix_web::HttpResponse;
use maud::{Markup, html};

use crate::dashboard::answers;
use crate::dashboard::frame::Page;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::bulk;
use crate::dashboard::pages::endpoints::bulk::{Came, ENDPOINTS, Verb};
use crate::dashboard::pages::endpoints::list;
use crate::dashboard::pages::matching::{self, Counted, Look};
use crate::dashboard::visitor::{About, Posted, Visitor};
use crate::dashboard::wire::{Endpoint, List};
use crate::dashboard::words;
use crate::domain::Timestamp;

/// The look at all that match.
pub const LOOK: &str = "/endpoints/matching";
/// Endpoints of a page of it, and pages that one press is about at most.
const PAGE: usize = 50;
const PRESS_PAGES: usize = 5;

/// What is meant: what to do, to those made until when, from where on. What the address does
/// not say yet is fixed, and then it is led to.
struct Meant<'a> {
    verb: Verb,
    until: Timestamp,
    filters: Vec<(&'static str, &'a str)>,
    cursor: Option<&'a str>,
}

impl<'a> Meant<'a> {
    fn read(visitor: &'a Visitor) -> Option<Self> {
        let query = &visitor.query;
        let until: Timestamp = query.get("until")?.parse().ok()?;
        Some(Self {
            verb: Verb::read(query.get("verb")?)?,
            until: until.min(visitor.now),
            filters: list::filters(visitor),
            cursor: query.filled("cursor"),
        })
    }

    /// The address of the look, from there on.
    fn address(&self, visitor: &Visitor, cursor: Option<&str>) -> String {
        let until = self.until.to_string();
        let mut said = vec![("verb", self.verb.path()), ("until", until.as_str())];
        said.extend(self.filters.iter().copied());
        said.extend(cursor.map(|cursor| ("cursor", cursor)));
        visitor.to(LOOK, &said)
    }

    async fn page(&self, visitor: &Visitor, cursor: Option<&str>) -> Result<List<Endpoint>, Trouble> {
        let limit = PAGE.to_string();
        let mut asked: Vec<(&str, &str)> = self.filters.clone();
        asked.push(("limit", &limit));
        asked.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut found: List<Endpoint> = visitor.get("/webhook-health", About::These, &asked).await?;
        found.data.retain(|endpoint| endpoint.created_at.0 <= self.until);
        Ok(found)
    }

    async fn count(&self, visitor: &Visitor) -> Result<Matching, Trouble> {
        let mut all = Matching::default();
        let mut cursor = self.cursor.map(str::to_owned);
        for _ in 0..matching::PAGES_MAX {
            let found = self.page(visitor, cursor.as_deref()).await?;
            for endpoint in found.data {
                if !self.verb.changes(&endpoint) {
                    all.unchanged += 1;
                    continue;
                }
                all.meant.add(endpoint.created_at);
                if let Some(health) = &endpoint.health {
                    all.waiting.0 += health.backlog;
                    all.waiting.1 |= health.backlog_has_more;
                }
                if all.samples.len() < matching::SAMPLES {
                    all.samples.push(endpoint);
                }
            }
            cursor = found.next_cursor;
            if cursor.is_none() || all.meant.count > matching::COUNTED {
                break;
            }
        }
        all.meant.is_more = cursor.is_some();
        all.meant = all.meant.capped();
        all.further = cursor;
        Ok(all)
    }
}

/// What matches.
#[derive(Default)]
struct Matching {
    meant: Counted,
    unchanged: u64,
    /// What waits for them.
    waiting: (u64, bool),
    samples: Vec<Endpoint>,
    /// Where looking ended, with more behind it.
    further: Option<String>,
}

/// The look at all that match.
pub async fn look(visitor: Visitor) -> HttpResponse {
    let Some(meant) = Meant::read(&visitor) else {
        return answers::go(&visitor.to("/endpoints", &list::filters(&visitor)));
    };
    visitor.answer(build(&visitor, &meant).await)
}

async fn build(visitor: &Visitor, meant: &Meant<'_>) -> Result<Page, Trouble> {
    let all = meant.count(visitor).await?;
    let (verb, is_rest) = (meant.verb, meant.cursor.is_some());
    let count = all.meant.said(ENDPOINTS);
    let is_any = all.meant.count > 0;
    let title = format!("{}: all that match", verb.word());
    let look = Look {
        title: &title,
        list: visitor.to("/endpoints", &meant.filters),
        sentence: html! {
            @if is_any { (verb.word()) ": " (count) @if is_rest { " that are left" } ". " (verb.consequence()) }
            @else if all.meant.is_not_found_yet() { (matching::not_found_yet(&meant.address(visitor, all.further.as_deref()))) }
            @else { "There is none that this would change." }
        },
        facts: facts(visitor, meant, &all),
        press: is_any.then(|| {
            let act = format!("{} {count}", verb.word());
            let label = if is_rest { format!("Go on with the rest: {}", act.to_lowercase()) } else { act };
            (meant.address(visitor, meant.cursor), label)
        }),
        meant: &all.meant,
        samples: html! {
            @if !all.samples.is_empty() {
                @let counted = list::counted(visitor, &all.samples).await;
                (list::table(visitor, &all.samples, counted.as_ref().ok(), None))
            }
        },
    };
    Ok(look.page(visitor))
}

fn facts(visitor: &Visitor, meant: &Meant<'_>, all: &Matching) -> Markup {
    html! {
        dt { "Meant" }
        dd {
            @if let Some(partner) = visitor.partner() { "partner " b { (partner) } ", " }
            @for (name, value) in &meant.filters { (list::called(name)) " " b { (value) } ", " }
            "made until " code { (meant.until) } ": what is made later is no part of it"
        }
        @if all.waiting.0 > 0 {
            dt { "Waiting" }
            dd { (words::at_least(all.waiting.0, all.waiting.1 || all.meant.is_more)) " deliveries for them, just now" }
        }
        @if all.unchanged > 0 {
            dt { "Passed over" }
            dd { (words::of(all.unchanged, ENDPOINTS.0)) ": " (meant.verb.unchanged()) }
        }
        @let press = (PAGE * PRESS_PAGES) as u64;
        @if all.meant.is_more || all.meant.count > press {
            dt { "At a press" }
            dd { (words::count(press)) " at most; it leads on to the rest. One whose health changes in between may be passed over: the list says so afterwards." }
        }
    }
}

/// Does it to all that match, so many at a press.
pub async fn act_all(posted: Posted) -> HttpResponse {
    let Posted { visitor, form } = posted;
    let to = visitor.to("/endpoints", &list::filters(&visitor));
    let Some(meant) = Meant::read(&visitor) else {
        return visitor.say(&to, "!Nothing was done: the address does not say what to, or up to when. Begin again.");
    };
    let typed = match meant.count(&visitor).await {
        Ok(all) => all.meant.typed(),
        Err(trouble) => return visitor.answer(Err(trouble)),
    };
    if let Some(number) = typed.filter(|number| !bulk::is_typed(&form, *number)) {
        let said = format!("!Nothing was done: type {} to say that all of it is meant.", words::count(number));
        return visitor.say(&meant.address(&visitor, meant.cursor), &said);
    }
    let mut came = Came::default();
    // Where a press begins again: at the page that it has not ended.
    let mut cursor = meant.cursor.map(str::to_owned);
    let (mut stopped, mut is_over) = (None, false);
    'pages: for _ in 0..PRESS_PAGES {
        let found = match meant.page(&visitor, cursor.as_deref()).await {
            Ok(found) => found,
            Err(trouble) => {
                stopped = Some(trouble);
                break;
            }
        };
        for endpoint in found.data.iter().filter(|endpoint| meant.verb.changes(endpoint)) {
            if let Err(trouble) = came.ask(&visitor, meant.verb, &endpoint.id, &endpoint.partner).await {
                stopped = Some(trouble);
                break 'pages;
            }
        }
        cursor = found.next_cursor;
        if cursor.is_none() {
            is_over = true;
            break;
        }
    }
    let undo = visitor.to("/endpoints/bulk", &meant.filters);
    let rest = meant.address(&visitor, cursor.as_deref());
    match stopped {
        Some(trouble) if trouble.status == 401 => visitor.answer(Err(trouble)),
        Some(trouble) => {
            let more = format!(" It stopped there: {}: {}. Go on with the rest below.", trouble.title, trouble.detail);
            came.answer(&visitor, meant.verb, (&rest, &undo), &more)
        }
        None if is_over => came.answer(&visitor, meant.verb, (&to, &undo), ""),
        None => came.answer(&visitor, meant.verb, (&rest, &undo), " Go on with the rest below."),
    }
}
