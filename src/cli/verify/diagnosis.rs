//! Why a signature does not fit, found out by trying: what usually happens to
//! a request on its way into a receiver's code is undone, step by step, and
//! the first step after which the signature fits is the reason. What is said
//! never repeats a secret.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::domain::Timestamp;
use crate::policy::signature::{Message, TOLERANCE_SECONDS, Verified, VerifyError, VerifyingKey};

/// The time that ages are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    /// What the clock says, in seconds since 1970.
    pub now_seconds: i64,
    /// Any age will do.
    pub is_ignored: bool,
}

impl Age {
    /// How long ago, or ahead, that is.
    pub(super) fn of(self, signed_at_seconds: i64) -> String {
        let seconds = signed_at_seconds.abs_diff(self.now_seconds);
        if signed_at_seconds > self.now_seconds {
            format!("{seconds} s ahead of the clock")
        } else {
            format!("{seconds} s ago")
        }
    }

    fn clock(self) -> Timestamp {
        Timestamp::from_millis(self.now_seconds.saturating_mul(1_000))
    }
}

/// What there is to say of a message that may be trusted, or why it may not.
pub(super) fn judge(message: &Message<'_>, keys: &[VerifyingKey], age: Age) -> Result<Verified, String> {
    let judged = if age.is_ignored { message.verify_at_any_age(keys) } else { message.verify(keys, age.now_seconds) };
    judged.map_err(|error| match error {
        VerifyError::TooOld | VerifyError::TooNew => wrong_age(message, keys, age, error),
        VerifyError::Timestamp => format!("{error}, and this is `{}`", message.timestamp.escape_default()),
        VerifyError::Id => format!("{error}: take the header as it came, nothing before or after it"),
        VerifyError::NoSignature => format!(
            "{error}: each is a version, a comma and base64, such as `v1,K5oZfz…=`, with a space between two; this header \
             has {} characters",
            message.signatures.chars().count(),
        ),
        VerifyError::OtherVersion(_) => error.to_string(),
        VerifyError::Mismatch => mismatch(message, keys),
    })
}

fn wrong_age(message: &Message<'_>, keys: &[VerifyingKey], age: Age, error: VerifyError) -> String {
    let seconds: i64 = message.timestamp.parse().unwrap_or_default();
    let in_milliseconds = (seconds / 1_000).abs_diff(age.now_seconds) <= TOLERANCE_SECONDS;
    let advice = if in_milliseconds {
        "`webhook-timestamp` is in milliseconds, and the header has seconds: take it as it came".to_owned()
    } else if error == VerifyError::TooNew {
        format!("one of the clocks is wrong, and this one says {}", age.clock())
    } else {
        format!(
            "perhaps it is a replay. This clock says {}; a retry of the delivery is signed anew, and `--at` and \
             `--ignore-age` look at an old one",
            age.clock()
        )
    };
    let rest = match message.verify_at_any_age(keys) {
        Ok(_) => "the signature itself fits",
        Err(_) => "the signature does not fit either (`--ignore-age` tells why)",
    };
    format!("signed {}, where {TOLERANCE_SECONDS} s are allowed: {advice}; {rest}", age.of(seconds))
}

/// The first change of a message after which a signature fits, in words.
fn mismatch(message: &Message<'_>, keys: &[VerifyingKey]) -> String {
    let fits = |message: &Message<'_>| message.verify_at_any_age(keys).is_ok();
    if let Some(happened) = happened(message.body, |body| fits(&Message { body, ..*message })) {
        return format!("the signature fits {happened}: verify the bytes as they came, before anything reads them");
    }
    let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let (id, timestamp, signatures) = (bare(message.id), bare(message.timestamp), bare(message.signatures));
    if fits(&Message { id: &id, timestamp: &timestamp, signatures: &signatures, body: message.body }) {
        return "the signature fits the headers without the spaces or quotes around them".to_owned();
    }
    let cut = cut(message.signatures);
    if !cut.is_empty() {
        return format!("no signature fits, and {cut}: take `webhook-signature` whole and as it came");
    }
    "no signature fits: either this is not the endpoint's secret or key (`GET /webhook/{id}/secret` shows those that sign \
     now), or the id, the time or the body are not the ones that came; `--explain` shows what was compared"
        .to_owned()
}

/// What happened to the body, if undoing it makes a signature fit.
fn happened(body: &[u8], fits: impl Fn(&[u8]) -> bool) -> Option<&'static str> {
    let without_end = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
    if without_end.is_some_and(&fits) {
        return Some("the body without the line end at its end, which something has added");
    }
    if [&b"\n"[..], b"\r\n"].iter().any(|end| fits(&[body, end].concat())) {
        return Some("the body with a line end at its end, which something has removed");
    }
    if body.strip_prefix(b"\xef\xbb\xbf").is_some_and(&fits) {
        return Some("the body without the byte order mark before it");
    }
    if fits(b"") {
        return Some("an empty body: this one is of another message");
    }
    let text = std::str::from_utf8(body).ok()?;
    let with_line_feeds = text.replace("\r\n", "\n");
    if fits(with_line_feeds.as_bytes()) || fits(with_line_feeds.replace('\n', "\r\n").as_bytes()) {
        return Some("the body with other line ends");
    }
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    // As most libraries write it: escapes as they are or none, and little or no space.
    let written = [text.to_owned(), value.to_string()];
    let is_rewritten = written.iter().any(|json| ["", " "].iter().any(|after| fits(spaced(json, after).as_bytes())))
        || serde_json::to_vec_pretty(&value).is_ok_and(|pretty| fits(&pretty));
    is_rewritten.then_some("the same JSON written in another way: something has parsed it and written it again")
}

/// Valid JSON with this after each comma and colon, and no other space.
fn spaced(json: &str, after: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            ',' | ':' => {
                text.push(character);
                text.push_str(after);
            }
            other => {
                in_string = other == '"';
                text.push(other);
            }
        }
    }
    text
}

/// Which signatures of a header are not whole.
fn cut(signatures: &str) -> String {
    let mut cut = Vec::new();
    for (number, signature) in (1..).zip(signatures.split(' ').filter(|signature| !signature.is_empty())) {
        let (version, encoded) = signature.split_once(',').unwrap_or((signature, ""));
        let expected = match version {
            "v1" => 32,
            "v1a" => 64,
            // Of a version that is not ours we know nothing.
            _ => continue,
        };
        if BASE64_STANDARD.decode(encoded).map_or(true, |bytes| bytes.len() != expected) {
            cut.push(format!("signature {number} is not the base64 of {expected} bytes"));
        }
    }
    cut.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::signature::{KeyPair, SigningKey, SigningSecret, sign};

    const NOW: i64 = 1_700_000_000;
    const SENT: &str = r#"{"event":"campaign.updated","id":"caf\u00e9, \"x\": y","cost":1.50,"tags":[1,2],"caf":"é"}"#;

    fn key() -> SigningKey {
        SigningSecret::from_key(&std::array::from_fn::<u8, 32, _>(|index| index as u8)).unwrap().into()
    }

    fn told_at(seconds: i64, sent: &[u8], received: &[u8]) -> Result<Verified, String> {
        let signatures = sign([&key()], "evt_1", seconds, sent);
        let timestamp = seconds.to_string();
        let message = Message { id: "evt_1", timestamp: &timestamp, signatures: &signatures, body: received };
        judge(&message, &[key().verifying_key()], Age { now_seconds: NOW, is_ignored: false })
    }

    /// What is said where this was sent and that arrived.
    fn told(sent: impl AsRef<[u8]>, received: impl AsRef<[u8]>) -> String {
        told_at(NOW, sent.as_ref(), received.as_ref()).unwrap_err()
    }

    #[test]
    fn what_happened_to_a_body_is_found_out() {
        assert!(told_at(NOW, SENT.as_bytes(), SENT.as_bytes()).is_ok());
        for end in ["\n", "\r\n"] {
            assert!(told(SENT, format!("{SENT}{end}")).contains("which something has added"), "{end:?}");
            assert!(told(format!("{SENT}{end}"), SENT).contains("which something has removed"), "{end:?}");
        }
        assert!(told(SENT, format!("\u{feff}{SENT}")).contains("byte order mark"));
        assert!(told("a\r\nb", "a\nb").contains("other line ends"));
        assert!(told("a\nb", "a\r\nb").contains("other line ends"));
        assert!(told("", SENT).contains("an empty body"));
        let stranger = told(SENT, SENT.replace("updated", "created"));
        assert!(stranger.starts_with("no signature fits: either this is not the endpoint's secret"), "{stranger}");
        assert!(told(b"\xff", b"\xfe").starts_with("no signature fits: either"));
    }

    #[test]
    fn json_that_was_written_again_is_recognised() {
        let written = "the same JSON written in another way";
        let raw = r#"{"a":[1,{"b":"x: y, \" z"}],"c":1.50,"é":null}"#;
        let spaced = r#"{"a": [1, {"b": "x: y, \" z"}], "c": 1.50, "é": null}"#;
        assert!(told(raw, spaced).contains(written));
        assert!(told(spaced, raw).contains(written));
        // Escapes that a library makes of what was plain.
        let plain = r#"{"name":"café"}"#;
        assert!(told(plain, r#"{"name": "caf\u00e9"}"#).contains(written));
        assert!(told("{\n  \"a\": 1\n}", r#"{"a":1}"#).contains(written));
    }

    #[test]
    fn an_age_is_told_with_the_clock_and_whether_all_else_fits() {
        let old = told_at(NOW - 3_600, b"{}", b"{}").unwrap_err();
        assert!(old.starts_with("signed 3600 s ago, where 300 s are allowed: perhaps it is a replay"), "{old}");
        assert!(old.contains("2023-11-14T22:13:20.000Z") && old.ends_with("the signature itself fits"), "{old}");
        let new = told_at(NOW + 301, b"{}", b"{ }").unwrap_err();
        assert!(new.starts_with("signed 301 s ahead of the clock"), "{new}");
        assert!(new.ends_with("the signature does not fit either (`--ignore-age` tells why)"), "{new}");
        let millis = told_at(NOW * 1_000, b"{}", b"{}").unwrap_err();
        assert!(millis.contains("is in milliseconds"), "{millis}");
        assert!(told_at(NOW, b"{}", b"{}").is_ok_and(|verified| verified.signed_at_seconds == NOW));
    }

    #[test]
    fn headers_that_are_not_as_they_came_are_told_apart() {
        let signatures = sign([&key()], "evt_1", NOW, b"{}");
        let timestamp = NOW.to_string();
        let good = Message { id: "evt_1", timestamp: &timestamp, signatures: &signatures, body: b"{}" };
        let keys = [key().verifying_key()];
        let age = Age { now_seconds: NOW, is_ignored: false };
        let told = |message: Message<'_>| judge(&message, &keys, age).unwrap_err();
        assert!(told(Message { id: "\"evt_1\"", ..good }).contains("without the spaces or quotes"));
        assert!(told(Message { id: "evt_1.5", ..good }).contains("must not contain a dot"));
        assert!(told(Message { timestamp: "soon\u{1b}", ..good }).ends_with("and this is `soon\\u{1b}`"));
        let cut = told(Message { signatures: &signatures[..20], ..good });
        assert!(cut.contains("signature 1 is not the base64 of 32 bytes"), "{cut}");
        assert!(told(Message { signatures: &signatures[3..], ..good }).contains("has 44 characters"));
        let pair = SigningKey::from(KeyPair::from_seed(&[3; 32]));
        let asymmetric = sign([&pair], "evt_1", NOW, b"{}");
        let other = told(Message { signatures: &asymmetric, ..good });
        assert_eq!(other, "the message is signed by v1a alone: verify with the endpoint's public key, `whpk_…`");
    }
}
