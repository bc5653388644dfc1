//! Reads one configuration file into a layer, and says where in the file a
//! mistake is. What the values may be is not decided here.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::DeTable;

use super::ConfigError;
use super::options::Options;

/// A file's options and the lines they stand on.
pub(super) struct FileLayer {
    pub options: Options,
    pub lines: BTreeMap<String, usize>,
}

/// Parses the text of the file at `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<FileLayer, ConfigError> {
    let syntax = |error: &toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_at(text, span.start)),
        message: error.message().to_owned(),
    };
    let table = DeTable::parse(text).map_err(|error| syntax(&error))?;

    let mut lines = BTreeMap::new();
    for key in table.get_ref().keys() {
        let name: &str = key.get_ref();
        let line = line_at(text, key.span().start);
        if !Options::NAMES.contains(&name) {
            let nearest = nearest(name);
            return Err(ConfigError::UnknownOption { path: path.to_owned(), line, name: shortened(name), nearest });
        }
        lines.insert(name.to_owned(), line);
    }

    let options = toml::from_str(text).map_err(|error| {
        let start = error.span().map(|span| span.start);
        let holds = |value: std::ops::Range<usize>| start.is_some_and(|start| value.contains(&start));
        let culprit = table.get_ref().iter().find(|(_, value)| holds(value.span()));
        match culprit {
            Some((key, value)) => ConfigError::Value {
                path: path.to_owned(),
                line: line_at(text, value.span().start),
                name: key.get_ref().to_string(),
                message: error.message().to_owned(),
            },
            None => syntax(&error),
        }
    })?;
    Ok(FileLayer { options, lines })
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The known option that is fewest edits away, unless all of them are so far
/// that the suggestion would be a guess.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = shortened(name).to_ascii_lowercase();
    let ranked = Options::NAMES.iter().map(|known| (distance(&name, known), *known));
    let (edits, known) = ranked.min_by_key(|(edits, _)| *edits)?;
    (edits <= known.len().max(4) / 2).then_some(known)
}

/// Names are short; what is longer cannot be near one of ours.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Insertions, deletions and substitutions between two words (Levenshtein),
/// one row of the table at a time.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, left_char) in left.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, right_char) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(left_char != *right_char);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> String {
        parse(Path::new("posthaste.toml"), text).err().expect("the file is wrong").to_string()
    }

    #[test]
    fn an_unknown_option_gets_its_line_and_the_nearest_known_one() {
        let unknown = message("listen = \"127.0.0.1:80\"\n\n# more\npage-max = 3\n");
        assert_eq!(unknown, "posthaste.toml:4: there is no option `page-max`; did you mean `page_max`?");
        assert_eq!(
            message("[limits]\npage = 3\n"),
            "posthaste.toml:1: there is no option `limits`; `posthaste serve --help` lists all of them"
        );
    }

    #[test]
    fn a_wrong_value_gets_its_line_and_its_option() {
        let wrong = message("page = 3\nlisten = \"localhost\"\n");
        assert!(wrong.starts_with("posthaste.toml:2: `listen`: "), "{wrong}");
        let wrong = message("page = \"many\"\n");
        assert!(wrong.starts_with("posthaste.toml:1: `page`: "), "{wrong}");
        let wrong = message("\nallow_addresses = \"10.0.0.0/8,here\"\n");
        assert_eq!(
            wrong,
            "posthaste.toml:2: `allow_addresses`: `here` is neither an address nor a CIDR such as 127.0.0.0/8"
        );
    }

    #[test]
    fn what_is_not_toml_gets_its_line() {
        assert!(message("page = 3\npage_max 4\n").starts_with("posthaste.toml:2: "));
        assert!(message("page = 3\npage = 4\n").starts_with("posthaste.toml:2: "));
    }

    #[test]
    fn nothing_is_near_what_is_far() {
        assert_eq!(nearest("pagemax"), Some("page_max"));
        assert_eq!(nearest("LISTEN"), Some("listen"));
        assert_eq!(nearest("journal_batches"), Some("journal_batch"));
        assert_eq!(nearest("zzzzzzzzzzzz"), None);
        assert_eq!(nearest(&"x".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(a in "[a-d_]{0,8}", b in "[a-d_]{0,8}", c in "[a-d_]{0,8}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
            prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = parse(Path::new("posthaste.toml"), &text);
        }
    }
}
