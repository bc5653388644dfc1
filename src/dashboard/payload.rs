//! A payload to be read: laid out by its tokens, and never parsed and printed again.
//! So large numbers, the order of keys, keys given twice and odd spellings are shown as
//! they were sent. What is no JSON is shown as it is.

use std::borrow::Cow;

use maud::{Markup, html};

/// Most bytes that are laid out; of more, the raw bytes are offered.
pub const SHOWN_BYTES_MAX: usize = 64 * 1_024;
/// How deep lines are indented; deeper ones stay there.
const DEPTH_MAX: usize = 32;

/// What a piece of JSON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A number, or `true`, `false`, `null`; or whatever else stands there.
    Word,
    /// One of `{}[],:`.
    Mark,
}

/// Cuts JSON into its pieces, without the blanks between them. Every byte that is no
/// blank is in a piece, whatever the text is.
fn pieces(json: &str) -> Vec<(Kind, &str)> {
    let bytes = json.as_bytes();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let begun = at;
        let kind = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => {
                at += 1;
                Kind::Mark
            }
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at) {
                    at += 1;
                    match byte {
                        b'\\' => at = (at + 1).min(bytes.len()),
                        b'"' => break,
                        _ => {}
                    }
                }
                // An escape at a character of several bytes is no JSON, and no fault here.
                while !json.is_char_boundary(at) {
                    at += 1;
                }
                Kind::Text
            }
            _ => {
                let ends = |byte: &u8| b" \t\n\r{}[],:\"".contains(byte);
                while bytes.get(at).is_some_and(|byte| !ends(byte)) {
                    at += 1;
                }
                Kind::Word
            }
        };
        pieces.push((kind, &json[begun..at]));
    }
    pieces
}

/// How a piece is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Key,
    Text,
    Word,
}

/// The text's pieces with the blanks that lay it out.
fn laid_out(json: &str) -> Vec<(Look, Cow<'_, str>)> {
    let pieces = pieces(json);
    let mut shown: Vec<(Look, Cow<'_, str>)> = Vec::with_capacity(pieces.len() * 2);
    let mut depth = 0_usize;
    let indent = |depth: usize| Cow::Owned(format!("\n{}", "  ".repeat(depth.min(DEPTH_MAX))));
    for (at, (kind, text)) in pieces.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| pieces.get(before)).map(|(_, text)| *text);
        let after = pieces.get(at + 1).map(|(_, text)| *text);
        let look = match kind {
            Kind::Mark => Look::Plain,
            Kind::Text if after == Some(":") => Look::Key,
            Kind::Text => Look::Text,
            Kind::Word => Look::Word,
        };
        let is_mark = *kind == Kind::Mark;
        if is_mark && matches!(*text, "}" | "]") {
            depth = depth.saturating_sub(1);
            if !matches!(before, Some("{" | "[")) {
                shown.push((Look::Plain, indent(depth)));
            }
        }
        shown.push((look, Cow::Borrowed(text)));
        match *text {
            "{" | "[" if is_mark => {
                depth += 1;
                if !matches!(after, Some("}" | "]")) {
                    shown.push((Look::Plain, indent(depth)));
                }
            }
            "," if is_mark => shown.push((Look::Plain, indent(depth))),
            ":" if is_mark => shown.push((Look::Plain, Cow::Borrowed(" "))),
            _ => {}
        }
    }
    shown
}

/// The text, laid out.
pub fn pretty(json: &str) -> Markup {
    html! {
        pre.json tabindex="0" {
            @for (look, text) in laid_out(json) {
                @match look {
                    Look::Plain => (text),
                    Look::Key => b { (text) },
                    Look::Text => i { (text) },
                    Look::Word => u { (text) },
                }
            }
        }
    }
}

/// The same without marks, for what is compared line by line.
pub fn pretty_text(json: &str) -> String {
    laid_out(json).iter().map(|(_, text)| text.as_ref()).collect()
}

/// Bytes as they are: as text where they are UTF-8, else as hexadecimal digits, a line for
/// each sixteen.
pub fn raw(bytes: &[u8]) -> Markup {
    html! {
        @match std::str::from_utf8(bytes) {
            Ok(text) => pre tabindex="0" { (text) },
            Err(_) => {
                p.muted { "It is not UTF-8: these are its bytes." }
                pre tabindex="0" {
                    @for line in bytes.chunks(16) { (line.iter().map(|byte| format!("{byte:02x} ")).collect::<String>()) "\n" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read of the markup: its text.
    fn text_of(markup: &Markup) -> String {
        let mut text = String::new();
        let mut is_tag = false;
        for character in markup.0.chars() {
            match character {
                '<' => is_tag = true,
                '>' if is_tag => is_tag = false,
                _ if !is_tag => text.push(character),
                _ => {}
            }
        }
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
    }

    #[test]
    fn it_is_laid_out_and_otherwise_as_it_was_sent() {
        let sent = r#"{"b":1e400,"a":[1,{}],"a":"x, \" {y}","n":12345678901234567890.10}"#;
        let expected = "{\n  \"b\": 1e400,\n  \"a\": [\n    1,\n    {}\n  ],\n  \"a\": \"x, \\\" {y}\",\n  \"n\": 12345678901234567890.10\n}";
        assert_eq!(text_of(&pretty(sent)), expected);
        assert_eq!(pretty_text(sent), expected);
    }

    #[test]
    fn what_is_no_text_is_shown_in_digits() {
        assert_eq!(text_of(&raw("é\n".as_bytes())), "é\n");
        assert!(text_of(&raw(&[0xff, 0x00, 0x41])).contains("ff 00 41"));
    }

    fn without_blanks(text: &str) -> String {
        let mut kept = String::new();
        for (_, piece) in pieces(text) {
            kept.push_str(piece);
        }
        kept
    }

    proptest! {
        #[test]
        fn only_blanks_between_pieces_change(sent in "[\\PC\\n]{0,200}") {
            let shown = text_of(&pretty(&sent));
            prop_assert_eq!(without_blanks(&shown), without_blanks(&sent));
        }

        #[test]
        fn json_stays_what_it_was(keys in prop::collection::vec("\\PC{0,8}", 0..8), number in any::<f64>()) {
            let value = serde_json::json!({ "keys": keys, "number": number, "deep": [[{}, []], { "a": null }] });
            let sent = value.to_string();
            let shown = text_of(&pretty(&sent));
            prop_assert_eq!(without_blanks(&shown), without_blanks(&sent));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("still JSON"), value);
        }
    }
}
