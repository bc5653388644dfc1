//! Cookies: reading them from a request, and the few that are set. Pure.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::COOKIE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::session::LASTS;

/// Who signed in. The prefix has browsers take it over https only (or on loopback),
/// from this host only, for all of it.
pub const SESSION: &str = "__Host-posthaste";
/// Who opened a link to the portal: a cookie of its own, so that whoever signed in with a key
/// in the same browser still is, and only what a link opened can ever be framed.
pub const PORTAL: &str = "__Host-posthaste-portal";
/// Given before a link is spent, and wanted back: a browser that keeps no cookie spends none.
pub const TRIED: &str = "__Host-posthaste-try";
/// Light or dark, where that was chosen.
pub const THEME: &str = "posthaste-theme";
/// What is to be said on the next page.
pub const SAID: &str = "posthaste-said";

/// How that is undone.
pub const UNDO: &str = "posthaste-undo";

/// How much longer than its link a cookie of one is kept.
const KEPT_ON: Duration = Duration::from_secs(86_400);

/// Most bytes of a message: a cookie has room for no more.
const SAID_BYTES_MAX: usize = 2_000;

/// Where pages are seen, as far as cookies care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// In a tab of its own.
    Apart,
    /// Perhaps in a frame of another site's page, where browsers keep cookies only apart for
    /// each such site.
    Framed,
}

impl Seen {
    /// What a cookie says of it.
    fn attributes(self) -> &'static str {
        match self {
            Self::Apart => "HttpOnly; SameSite=Lax",
            Self::Framed => "HttpOnly; Secure; SameSite=None; Partitioned",
        }
    }
}

/// All values of cookies of this name: a browser may have one for each site it is framed by,
/// and one for none.
pub fn all<'a>(request: &'a HttpRequest, name: &str) -> impl Iterator<Item = &'a str> {
    let headers = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// A cookie's value.
pub fn read<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    all(request, name).next()
}

/// The session's cookie, of this text.
pub fn session(text: &str) -> String {
    format!("{SESSION}={text}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", LASTS.as_secs())
}

/// No session any more.
pub fn no_session() -> String {
    format!("{SESSION}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The session's cookie of whoever opened a link, of this text, which lasts so long. It opens
/// nothing after that, and is kept for a day more: whoever comes back with it is told that the
/// link has ended, and not asked for a key that they never had.
pub fn portal(text: &str, lasts: Duration, seen: Seen) -> String {
    of_portal(text, lasts + KEPT_ON, seen)
}

/// The link's session is over.
pub fn no_portal(seen: Seen) -> String {
    of_portal("", Duration::ZERO, seen)
}

fn of_portal(text: &str, age: Duration, seen: Seen) -> String {
    let attributes = if seen == Seen::Framed { seen.attributes() } else { "Secure; HttpOnly; SameSite=Lax" };
    format!("{PORTAL}={text}; Path=/; {attributes}; Max-Age={}", age.as_secs())
}

/// What is wanted back with the form that spends a link.
pub fn tried(value: &str, seen: Seen) -> String {
    let attributes = if seen == Seen::Framed { seen.attributes() } else { "Secure; HttpOnly; SameSite=Lax" };
    format!("{TRIED}={value}; Path=/; {attributes}; Max-Age=3600")
}

/// A message for the next page.
pub fn said(text: &str, seen: Seen) -> String {
    let mut end = text.len().min(SAID_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{SAID}={}; Path=/dashboard; {}; Max-Age=60", BASE64.encode(&text[..end]), seen.attributes())
}

/// It was said.
pub fn nothing_said(seen: Seen) -> String {
    format!("{SAID}=; Path=/dashboard; {}; Max-Age=0", seen.attributes())
}

/// The message that a cookie carries.
pub fn heard(request: &HttpRequest) -> Option<String> {
    String::from_utf8(BASE64.decode(read(request, SAID)?).ok()?).ok()
}

/// What the next page has to undo what was done: a text of ours.
pub fn undo(text: &str, seen: Seen) -> String {
    format!("{UNDO}={}; Path=/dashboard; {}; Max-Age=60", BASE64.encode(text), seen.attributes())
}

/// It was shown.
pub fn nothing_to_undo(seen: Seen) -> String {
    format!("{UNDO}=; Path=/dashboard; {}; Max-Age=0", seen.attributes())
}

/// The text that such a cookie carries, whoever made it.
pub fn undo_of(request: &HttpRequest) -> Option<String> {
    String::from_utf8(BASE64.decode(read(request, UNDO)?).ok()?).ok()
}

/// How it is to look from now on; as the system has it, where nothing is named.
pub fn theme(chosen: &str, seen: Seen) -> String {
    let age = if matches!(chosen, "light" | "dark") { 31_536_000 } else { 0 };
    format!("{THEME}={chosen}; Path=/dashboard; {}; Max-Age={age}", seen.attributes())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_may_be_framed_goes_to_other_sites() {
        let framed = portal("x", Duration::from_secs(60), Seen::Framed);
        assert_eq!(
            framed, "__Host-posthaste-portal=x; Path=/; HttpOnly; Secure; SameSite=None; Partitioned; Max-Age=86460",
            "a day longer than its link"
        );
        assert!(no_portal(Seen::Framed).ends_with("Max-Age=0"));
        for cookie in [portal("x", Duration::from_secs(60), Seen::Apart), session("x"), theme("dark", Seen::Apart)] {
            assert!(cookie.contains("SameSite=Lax") && !cookie.contains("None"), "{cookie}");
        }
        for cookie in [portal("x", Duration::ZERO, Seen::Apart), tried("x", Seen::Apart), session("x")] {
            assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure") && cookie.contains("; Path=/;"));
        }
    }

    #[test]
    fn the_named_one_is_read() {
        let request = TestRequest::default().insert_header((COOKIE, "a=1; __Host-posthaste=x=y;b=2")).to_http_request();
        assert_eq!(read(&request, SESSION), Some("x=y"));
        assert_eq!(read(&request, "b"), Some("2"));
        assert_eq!(read(&request, "c"), None);
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard_as_far_as_there_is_room(text in "\\PC{0,900}") {
            let cookie = said(&text, Seen::Apart);
            let pair = cookie.split(';').next().unwrap_or_default().to_owned();
            let request = TestRequest::default().insert_header((COOKIE, pair)).to_http_request();
            let heard = heard(&request).expect("it is ours");
            prop_assert!(text.starts_with(&heard) && (heard == text || heard.len() > SAID_BYTES_MAX - 4));
        }
    }
}
