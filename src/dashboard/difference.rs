//! What two texts do not have in common, line by line. Pure, and bounded: texts that are too
//! long are not compared, and of a long difference the beginning is shown.

use std::time::Duration;

use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

/// Lines of each text.
const LINES_MAX: usize = 4_000;
/// Lines of the difference that are shown.
const SHOWN_MAX: usize = 400;
/// Lines around each change.
const AROUND: usize = 3;
/// Characters of a line that are shown: a page of lines has its bound, too.
const LINE_CHARS_MAX: usize = 400;
/// How long the shortest difference is looked for; then any is good enough.
const PATIENCE: Duration = Duration::from_millis(50);

/// How the later text differs from the earlier one.
pub fn lines(earlier: &str, later: &str) -> Markup {
    if earlier == later {
        return html! { p.muted { "They are the same." } };
    }
    if earlier.lines().count() > LINES_MAX || later.lines().count() > LINES_MAX {
        return html! { p.muted { "They differ, and are too long to be compared here." } };
    }
    let difference = TextDiff::configure().timeout(PATIENCE).diff_lines(earlier, later);
    let mut shown = Vec::new();
    let mut is_whole = true;
    'groups: for (number, group) in difference.grouped_ops(AROUND).iter().enumerate() {
        if number > 0 {
            shown.push(None);
        }
        for change in group.iter().flat_map(|operation| difference.iter_changes(operation)) {
            if shown.len() >= SHOWN_MAX {
                is_whole = false;
                break 'groups;
            }
            shown.push(Some((change.tag(), change.value())));
        }
    }
    html! {
        pre.diff tabindex="0" {
            @for line in &shown {
                @match line {
                    None => span.muted { "⋯\n" },
                    Some((ChangeTag::Insert, text)) => ins { "+ " (line_of(text)) },
                    Some((ChangeTag::Delete, text)) => del { "− " (line_of(text)) },
                    Some((ChangeTag::Equal, text)) => { "  " (line_of(text)) }
                }
            }
        }
        @if !is_whole { p.muted { "There is more: only the beginning is shown." } }
    }
}

/// A line with its end, cut where it is very long.
fn line_of(text: &str) -> String {
    let text = text.trim_end_matches(['\n', '\r']);
    match text.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…\n", &text[..end]),
        None => format!("{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_came_and_what_went_is_marked() {
        let shown = lines("a\nb\nc\n", "a\nx\nc\n").into_string();
        assert!(shown.contains("<del>− b\n</del>") && shown.contains("<ins>+ x\n</ins>"), "{shown}");
        assert!(shown.contains("  a\n") && shown.contains("  c\n"), "{shown}");
        assert!(lines("a", "a").into_string().contains("the same"));
        let far: Vec<String> = (0..100).map(|number| format!("line {number}\n")).collect();
        let changed = far.concat().replace("line 2\n", "other\n").replace("line 90\n", "");
        let shown = lines(&far.concat(), &changed).into_string();
        assert!(shown.contains("⋯") && !shown.contains("line 50"), "{shown}");
    }

    #[test]
    fn what_is_long_is_bounded() {
        let (one, other) = ("a\n".repeat(LINES_MAX + 1), "b\n".repeat(3));
        assert!(lines(&one, &other).into_string().contains("too long"));
        let (one, other): (String, String) =
            (0..3_000).map(|number| (format!("{number}\n"), format!("n{number}\n"))).unzip();
        let shown = lines(&one, &other).into_string();
        assert!(shown.contains("only the beginning") && shown.len() < SHOWN_MAX * 40, "{}", shown.len());
        assert!(lines("x", &"<".repeat(10_000)).into_string().len() < 3_000);
    }

    proptest! {
        #[test]
        fn no_text_of_others_is_markup(one in "[<>&\"a\\n]{0,60}", other in "[<>&\"a\\n]{0,60}") {
            let shown = lines(&one, &other).into_string();
            let bare = ["<pre class=\"diff\" tabindex=\"0\">", "</pre>", "<ins>", "</ins>", "<del>", "</del>",
                "<p class=\"muted\">", "</p>", "<span class=\"muted\">", "</span>"]
                .iter().fold(shown, |text, tag| text.replace(tag, ""));
            prop_assert!(!bare.contains('<') && !bare.contains('>'), "{}", bare);
        }
    }
}
