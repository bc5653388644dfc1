//! Cookies: reading them from a request, and the few that are set. Pure.

use actix_web::HttpRequest;
use actix_web::http::header::COOKIE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use super::session::LASTS;

/// Who signed in. The prefix has browsers take it over https only (or on loopback),
/// from this host only, for all of it.
pub const SESSION: &str = "__Host-posthaste";
/// Light or dark, where that was chosen.
pub const THEME: &str = "posthaste-theme";
/// What is to be said on the next page.
pub const SAID: &str = "posthaste-said";

/// How that is undone.
pub const UNDO: &str = "posthaste-undo";

/// Most bytes of a message: a cookie has room for no more.
const SAID_BYTES_MAX: usize = 2_000;

/// A cookie's value.
pub fn read<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let headers = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The session's cookie, of this text.
pub fn session(text: &str) -> String {
    format!("{SESSION}={text}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", LASTS.as_secs())
}

/// No session any more.
pub fn no_session() -> String {
    format!("{SESSION}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// A message for the next page.
pub fn said(text: &str) -> String {
    let mut end = text.len().min(SAID_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{SAID}={}; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age=60", BASE64.encode(&text[..end]))
}

/// It was said.
pub fn nothing_said() -> String {
    format!("{SAID}=; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The message that a cookie carries.
pub fn heard(request: &HttpRequest) -> Option<String> {
    String::from_utf8(BASE64.decode(read(request, SAID)?).ok()?).ok()
}

/// What the next page has to undo what was done: a text of ours.
pub fn undo(text: &str) -> String {
    format!("{UNDO}={}; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age=60", BASE64.encode(text))
}

/// It was shown.
pub fn nothing_to_undo() -> String {
    format!("{UNDO}=; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The text that such a cookie carries, whoever made it.
pub fn undo_of(request: &HttpRequest) -> Option<String> {
    String::from_utf8(BASE64.decode(read(request, UNDO)?).ok()?).ok()
}

/// How it is to look from now on; as the system has it, where nothing is named.
pub fn theme(chosen: &str) -> String {
    let age = if matches!(chosen, "light" | "dark") { 31_536_000 } else { 0 };
    format!("{THEME}={chosen}; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age={age}")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

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
            let cookie = said(&text);
            let pair = cookie.split(';').next().unwrap_or_default().to_owned();
            let request = TestRequest::default().insert_header((COOKIE, pair)).to_http_request();
            let heard = heard(&request).expect("it is ours");
            prop_assert!(text.starts_with(&heard) && (heard == text || heard.len() > SAID_BYTES_MAX - 4));
        }
    }
}
