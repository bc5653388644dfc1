//! Finding by a part of what something is called: the tail of an id, as pages show it, and a
//! host or another piece of an endpoint's URL. Neither is indexed, so that each look has a
//! bound, which is said.

use futures_util::future::try_join_all;
use maud::{Markup, html};
use serde::Deserialize;

use crate::auth::Permission;
use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Endpoint, Hit, List};
use crate::dashboard::words;

/// Why something was found: by the end of its id.
pub const TAIL: &str = "tail";
/// By a part of its URL.
pub const URL_PART: &str = "url_part";

/// Characters of an id that pages show.
const SHOWN: usize = 6;
/// Characters of an id behind its kind.
const WHOLE: usize = 26;
/// Of the kind that is named the newest that are looked at, and of each where none is.
const NEWEST: usize = 1_000;
const NEWEST_OF_EACH: usize = 250;
/// Fewest characters of a URL's part: fewer are in most.
const PART_MIN: usize = 3;
/// Most that the API takes.
const PART_MAX: usize = 256;
/// Endpoints of a page, and pages that are asked for.
const ENDPOINTS: (usize, usize) = (25, 4);

/// Kinds that have lists: what their ids begin with, what a hit is called, where the list is,
/// and what people call them.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("dlv", "delivery", "/deliveries", "deliveries"),
    ("evt", "event", "/events", "events"),
    ("ep", "webhook", "/webhook", "endpoints"),
    ("rpl", "replay", "/replays", "replays"),
];

/// The end of an id.
#[derive(Debug, PartialEq, Eq)]
pub struct Tail {
    /// What the id begins with, where that is said.
    kind: Option<&'static str>,
    text: String,
}

/// How far ids were looked through.
pub struct Tails(Vec<(&'static str, usize, bool)>);

impl Tails {
    /// In a sentence.
    pub fn said(&self) -> Markup {
        html! {
            "The ends of ids were compared with those of "
            @for (at, (name, count, is_all)) in self.0.iter().enumerate() {
                @if at > 0 { @if at + 1 == self.0.len() { " and " } @else { ", " } }
                @if *is_all { "all " (name) } @else { "the newest " (words::count(*count as u64)) " " (name) }
            }
            "."
        }
    }
}

/// A thing of a list, as far as it matters here.
#[derive(Deserialize)]
struct Called {
    id: String,
}

impl Tail {
    /// The tail that somebody has in hand: `dlv…7k2m9q`, `…7k2m9q`, `7k2m9q`.
    pub fn of(wanted: &str) -> Option<Self> {
        let cut = wanted.split_once('…').or_else(|| wanted.split_once("..."));
        let (kind, text) = match cut {
            Some(("", text)) => (None, text),
            Some((kind, text)) => {
                (Some(KINDS.iter().find(|(prefix, ..)| *prefix == kind.trim_end_matches('_'))?.0), text)
            }
            None => (None, wanted),
        };
        let text = text.to_ascii_lowercase();
        // The letters of an id: base 32 without those that look like others.
        let is_of_id = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"ilou".contains(&byte));
        let is_tail = (SHOWN..WHOLE).contains(&text.len()) && text.bytes().all(is_of_id);
        is_tail.then_some(Self { kind, text })
    }

    /// What ends so among the newest of each kind that somebody may list, and how many those were.
    pub async fn among_the_newest(&self, there: &Visitor) -> Result<(Vec<Hit>, Tails), Trouble> {
        let may = |prefix: &str| prefix != "ep" || there.may(Permission::ManageEndpoints);
        let kinds = KINDS.iter().filter(|(prefix, ..)| self.kind.is_none_or(|kind| kind == *prefix) && may(prefix));
        let looks = kinds.map(|(_, kind, path, name)| async move {
            let (found, count, is_all) = self.of_kind(there, kind, path).await?;
            Ok::<_, Trouble>((found, (*name, count, is_all)))
        });
        let (found, tails): (Vec<_>, Vec<_>) = try_join_all(looks).await?.into_iter().unzip();
        Ok((found.into_iter().flatten().collect(), Tails(tails)))
    }

    async fn of_kind(&self, there: &Visitor, kind: &str, path: &str) -> Result<(Vec<Hit>, usize, bool), Trouble> {
        let most = if self.kind.is_some() { NEWEST } else { NEWEST_OF_EACH };
        let limit = most.to_string();
        let (mut hits, mut count, mut cursor) = (Vec::new(), 0, None::<String>);
        loop {
            let mut asked = vec![("limit", limit.as_str())];
            asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let found: List<Called> = there.get(path, About::These, &asked).await?;
            count += found.data.len();
            let ending = found.data.into_iter().filter(|called| called.id.ends_with(&self.text));
            hits.extend(ending.map(|called| hit(kind, called.id, TAIL)));
            cursor = found.next_cursor;
            if cursor.is_none() || count >= most {
                return Ok((hits, count, cursor.is_none()));
            }
        }
    }
}

fn hit(kind: &str, id: String, why: &str) -> Hit {
    Hit {
        kind: kind.to_owned(),
        id,
        why: why.to_owned(),
        pointer: None,
        event_type: None,
        partner: None,
        at: None,
        url: None,
    }
}

/// Whether it is worth looking for among URLs.
pub fn is_part_of_url(wanted: &str) -> bool {
    (PART_MIN..=PART_MAX).contains(&wanted.chars().count())
}

/// Endpoints with this in their URL, and whether all were looked at.
pub async fn by_url(there: &Visitor, part: &str) -> Result<(Vec<Hit>, bool), Trouble> {
    let (limit, mut left) = (ENDPOINTS.0.to_string(), ENDPOINTS.1);
    let (mut hits, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut asked = vec![("url_part", part), ("limit", limit.as_str())];
        asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let found: List<Endpoint> = there.get("/webhook-health", About::These, &asked).await?;
        hits.extend(found.data.into_iter().map(|endpoint| Hit {
            partner: Some(endpoint.partner),
            at: Some(endpoint.created_at),
            url: Some(endpoint.url),
            ..hit("webhook", endpoint.id, URL_PART)
        }));
        cursor = found.next_cursor;
        left -= 1;
        if cursor.is_none() || left == 0 || hits.len() >= ENDPOINTS.0 {
            return Ok((hits, cursor.is_none()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_read_as_pages_show_them() {
        let tail = |kind, text: &str| Some(Tail { kind, text: text.to_owned() });
        for (wanted, expected) in [
            ("dlv…7k2m9q", tail(Some("dlv"), "7k2m9q")),
            ("dlv_…7k2m9q", tail(Some("dlv"), "7k2m9q")),
            ("ep...7K2M9Q", tail(Some("ep"), "7k2m9q")),
            ("…7k2m9q", tail(None, "7k2m9q")),
            ("7k2m9q", tail(None, "7k2m9q")),
            ("key…7k2m9q", None),
            ("7k2m9", None),
            ("dlv…", None),
            ("followup", None),
            ("é…7k2m9q", None),
            ("01h455vb4pex5vsknk084sn02q", None),
        ] {
            assert_eq!(Tail::of(wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn so_much_is_shown_of_an_id() {
        assert_eq!(
            words::short("dlv_01h455vb4pex5vsknk084sn02q"),
            format!("dlv…{}", &"01h455vb4pex5vsknk084sn02q"[WHOLE - SHOWN..])
        );
    }
}
