//! How a received request looks on a terminal. The bytes are a stranger's:
//! whatever a terminal might obey is escaped, lines are indented so that none
//! can pass for ours, and everything is cut to a length.

use crate::cli::receiver::{Answer, Received, Verdict};

/// Characters of a body that are shown, before escaping.
const BODY_CHARS: usize = 2_048;
/// Characters of any other text that are shown, before escaping.
const FIELD_CHARS: usize = 256;

/// A request as a block of lines, with an empty one after it.
pub(super) fn block(received: &Received) -> String {
    let delivery = match (&received.delivery, &received.attempt) {
        (None, None) => "none".to_owned(),
        (delivery, attempt) => format!("{}, attempt {}", field(delivery), field(attempt)),
    };
    format!(
        "{at}  {method} {path}  answered {answer}\n  webhook-id  {id}\n  delivery    {delivery}\n  event       \
         {event}\n  signature   {verdict}\n{body}\n",
        at = received.at,
        method = shortened(&received.method),
        path = shortened(&received.path),
        answer = answer(received.answer),
        id = field(&received.webhook_id),
        event = field(&received.event_type),
        verdict = verdict(&received.verdict),
        body = body(&received.body),
    )
}

/// A request on one line.
pub(super) fn line(received: &Received) -> String {
    format!(
        "{}  {} {}  answered {}  {}  {}  attempt {}  {}\n",
        received.at,
        shortened(&received.method),
        shortened(&received.path),
        answer(received.answer),
        field(&received.event_type),
        field(&received.webhook_id),
        field(&received.attempt),
        verdict(&received.verdict),
    )
}

fn answer(answer: Answer) -> String {
    match answer {
        Answer::Never => "nothing (--hang)".to_owned(),
        Answer::Status(status, delay) if delay.is_zero() => status.as_u16().to_string(),
        Answer::Status(status, delay) => format!("{} after {} ms", status.as_u16(), delay.as_millis()),
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Verified => "verified".to_owned(),
        Verdict::Bad(reason) => format!("BAD SIGNATURE ({})", shortened(reason)),
        Verdict::NotChecked => "not checked (no --secret)".to_owned(),
    }
}

fn field(text: &Option<String>) -> String {
    text.as_deref().map_or_else(|| "none".to_owned(), shortened)
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(FIELD_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    harmless(&shown)
}

/// The body's beginning, JSON set out, each line indented.
fn body(body: &[u8]) -> String {
    if body.is_empty() {
        return "  (no body)\n".to_owned();
    }
    let (text, whole) = match std::str::from_utf8(body) {
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => set_out(text),
        _ => {
            // A character has at most four bytes, so this is enough of them.
            let beginning = String::from_utf8_lossy(&body[..body.len().min(4 * BODY_CHARS)]);
            let text: String = beginning.chars().take(BODY_CHARS).collect();
            let whole = text.len() == beginning.len() && body.len() <= 4 * BODY_CHARS;
            (text, whole)
        }
    };
    let mut shown = String::new();
    for line in text.split('\n') {
        shown.push_str("  ");
        shown.push_str(&harmless(line));
        shown.push('\n');
    }
    if !whole {
        shown.push_str(&format!("  … cut; {} bytes in all\n", body.len()));
    }
    shown
}

/// Valid JSON with a member or an element a line, and whether that is all of
/// it. It only moves white space: numbers, escapes and the order of members
/// stay as they were signed.
fn set_out(json: &str) -> (String, bool) {
    let mut text = String::new();
    let mut shown = 0;
    let mut depth: usize = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut just_opened = false;
    for character in json.chars() {
        if !in_string && character.is_ascii_whitespace() {
            continue;
        }
        let closes = !in_string && matches!(character, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // Between the brackets of what is empty stands nothing.
        if just_opened != closes {
            shown += 1 + 2 * depth;
            new_line(&mut text, depth);
        }
        just_opened = false;
        shown += 1;
        if shown > BODY_CHARS {
            return (text, false);
        }
        text.push(character);
        match character {
            _ if in_string => {
                in_string = escaped || character != '"';
                escaped = !escaped && character == '\\';
            }
            '"' => in_string = true,
            '{' | '[' => {
                depth += 1;
                just_opened = true;
            }
            ',' => {
                shown += 1 + 2 * depth;
                new_line(&mut text, depth);
            }
            ':' => text.push(' '),
            _ => {}
        }
    }
    (text, true)
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

/// Escapes what is not simply visible: control characters, those that change
/// the direction or the width of text, and lone combining marks.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::http::StatusCode;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Timestamp;

    fn received(body: impl Into<Bytes>) -> Received {
        Received {
            at: Timestamp::from_millis(1_700_000_000_007),
            method: "POST".to_owned(),
            path: "/hooks?a=b".to_owned(),
            headers: Vec::new(),
            webhook_id: Some("evt_1".to_owned()),
            delivery: Some("dlv_2".to_owned()),
            attempt: Some("3".to_owned()),
            event_type: Some("campaign.updated".to_owned()),
            body: body.into(),
            verdict: Verdict::Verified,
            answer: Answer::Status(StatusCode::OK, Duration::ZERO),
        }
    }

    #[test]
    fn a_block_reads_like_a_request() {
        let shown = block(&received(r#"{"event":"campaign.updated","tags":[],"cost":1.50,"by":{"a":[1,{}]}}"#));
        let expected = r#"2023-11-14T22:13:20.007Z  POST /hooks?a=b  answered 200
  webhook-id  evt_1
  delivery    dlv_2, attempt 3
  event       campaign.updated
  signature   verified
  {
    "event": "campaign.updated",
    "tags": [],
    "cost": 1.50,
    "by": {
      "a": [
        1,
        {}
      ]
    }
  }

"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_line_is_one_line() {
        let mut request = received("{}");
        request.answer = Answer::Status(StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(20));
        request.path = "/a\nb".to_owned();
        request.attempt = None;
        request.verdict = Verdict::NotChecked;
        assert_eq!(
            line(&request),
            "2023-11-14T22:13:20.007Z  POST /a\\nb  answered 503 after 20 ms  campaign.updated  evt_1  attempt none  \
             not checked (no --secret)\n"
        );
    }

    #[test]
    fn no_body_plays_with_the_terminal() {
        let hostile = "\u{1b}[2J\r\u{7}\u{9b}31m\u{202e}\u{200b}\u{2028}\u{7f}\0";
        for body in [hostile.to_owned(), "{\"a\": \"\u{9b}31m\u{202e}\u{7f}\"}".to_owned(), format!("\"{hostile}")] {
            let mut request = received(body.clone());
            request.webhook_id = Some(body);
            for shown in [block(&request), line(&request)] {
                let obeyed = |character: char| character.is_control() && character != '\n';
                assert!(!shown.contains(obeyed), "{shown:?}");
                assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{2028}']), "{shown:?}");
            }
        }
        assert!(block(&received("ok\n2026-01-01T00:00:00.000Z  POST /")).contains("\n  2026-01-01T"), "indented");
        assert!(block(&received(&b"\xff\xfe"[..])).contains('\u{fffd}'));
    }

    #[test]
    fn long_things_are_cut() {
        let long = format!("[\"{}\"]", "x".repeat(100_000));
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        for text in [long.clone(), deep, "x".repeat(3_000), "é".repeat(10_000)] {
            let bytes = text.len();
            let shown = block(&received(text));
            assert!(shown.len() < 5_000, "{} bytes shown", shown.len());
            assert!(shown.contains(&format!("… cut; {bytes} bytes in all")), "{shown}");
        }
        let mut request = received("{}");
        request.path = long;
        assert!(line(&request).len() < 600);
    }

    proptest! {
        #[test]
        fn setting_out_changes_only_white_space(words in proptest::collection::vec("[a-z\\\\\"{}:, \\[\\]é]{0,12}", 0..8)) {
            let value = serde_json::json!({ "words": words, "empty": {}, "nested": [[], [1, {"a": null}]] });
            let (text, whole) = set_out(&value.to_string());
            prop_assert!(whole);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }

        #[test]
        fn nothing_shown_is_a_control_character(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = block(&received(body));
            prop_assert!(!shown.chars().any(|character| character.is_control() && character != '\n'));
        }
    }
}
