//! Why a posted body is not taken as an event, in words for whoever posted
//! it. Status codes are the routes' to choose: 400 for [`Refusal::NotJson`],
//! 422 for the rest.

use crate::catalog::explain;
use crate::domain::EventType;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where it is, or where it is missing from, as an RFC 6901 JSON pointer;
    /// empty is the whole body.
    pub pointer: String,
    /// What was expected and what was found.
    pub detail: String,
}

/// The JSON pointer of a member of what this pointer leads to.
pub fn pointer_below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Why a body is not an event of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No JSON text, or one that parsers do not agree on.
    #[error("{detail}")]
    NotJson {
        /// What is wrong, with line and column.
        detail: String,
    },
    /// JSON, but no object.
    #[error("the body is {found}: post one JSON object, with its type in `event`")]
    NotAnObject {
        /// What it is instead.
        found: String,
    },
    /// An object that does not say what happened.
    #[error("{}", no_event_type(.found.as_deref()))]
    NoEventType {
        /// What `event` is, if it is there.
        found: Option<String>,
    },
    /// A type that the catalog does not have.
    #[error("{}", unknown(.name, .known))]
    UnknownEventType {
        /// The name that was posted, cut short.
        name: String,
        /// A few names that it has: those most like it, if any is.
        known: Vec<EventType>,
    },
    /// A name that only Posthaste's own events have.
    #[error("`{name}` cannot be posted: names beginning with `posthaste.` are reserved for posthaste's own events")]
    Reserved {
        /// The name that was posted, cut short.
        name: String,
    },
    /// A known type whose schema the body breaks.
    #[error("the event breaks the schema of `{event_type}`{}", first(.errors))]
    Invalid {
        /// The type it says it is.
        event_type: EventType,
        /// What is wrong, by field: at least one, and not all if there are
        /// very many.
        errors: Vec<FieldError>,
    },
}

impl Refusal {
    /// What is wrong, field by field; none where there is no field to name.
    pub fn field_errors(&self) -> Vec<FieldError> {
        let at = |pointer: &str| vec![FieldError { pointer: pointer.to_owned(), detail: self.to_string() }];
        match self {
            Self::NotJson { .. } => Vec::new(),
            Self::NotAnObject { .. } => at(""),
            Self::NoEventType { .. } | Self::UnknownEventType { .. } | Self::Reserved { .. } => at("/event"),
            Self::Invalid { errors, .. } => errors.clone(),
        }
    }

    /// The refusal of a name that is ours.
    pub(super) fn reserved(name: &str) -> Self {
        Self::Reserved { name: explain::short(name) }
    }

    /// The refusal of a name that is not among those of the catalog.
    pub(super) fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a EventType> + Clone) -> Self {
        Self::UnknownEventType { name: explain::short(name), known: suggestions(name, names) }
    }
}

fn no_event_type(found: Option<&str>) -> String {
    match found {
        None => "`event` is required: name the event's type, such as \"campaign.updated\"".to_owned(),
        Some(found) => format!("expected a string, the event's type, in `event`; found {found}"),
    }
}

fn unknown(name: &str, known: &[EventType]) -> String {
    if known.is_empty() {
        return format!("`{name}` is not in the catalog of event types, which is empty");
    }
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("`{name}` is not in the catalog of event types; among those that are: {}", known.join(", "))
}

fn first(errors: &[FieldError]) -> String {
    match errors.first() {
        None => String::new(),
        Some(FieldError { pointer, detail }) if pointer.is_empty() => format!(": {detail}"),
        Some(FieldError { pointer, detail }) => format!(" at {pointer}: {detail}"),
    }
}

/// The names nearest to what was posted, if any is near; else those that
/// begin with the same word; else the first of all.
fn suggestions<'a>(posted: &str, names: impl Iterator<Item = &'a EventType> + Clone) -> Vec<EventType> {
    const FEW: usize = 5;
    // A slip of the fingers in a word, not another word.
    let nearness = (posted.len() / 4).max(2);
    let could_be_near = |name: &str| posted.len() <= 128 && name.len().abs_diff(posted.len()) <= nearness;
    let mut near: Vec<_> = names
        .clone()
        .filter(|name| could_be_near(name.as_str()))
        .map(|name| (edits(posted.as_bytes(), name.as_str().as_bytes()), name))
        .filter(|(edits, _)| *edits <= nearness)
        .collect();
    near.sort();
    if !near.is_empty() {
        return near.into_iter().take(FEW).map(|(_, name)| name.clone()).collect();
    }
    let first_word = |name: &str| name.split('.').next().map(str::to_owned);
    let posted_word = first_word(posted);
    let siblings: Vec<_> =
        names.clone().filter(|name| first_word(name.as_str()) == posted_word).take(FEW).cloned().collect();
    if siblings.is_empty() { names.take(FEW).cloned().collect() } else { siblings }
}

/// How many bytes must be put in, taken out or changed to make one text the
/// other: Levenshtein's distance, a row of its table at a time.
fn edits(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, byte) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(byte != candidate);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::shipped;

    fn known(posted: &str) -> Vec<String> {
        let definitions = shipped();
        match Refusal::unknown(posted, definitions.iter().map(|definition| &definition.name)) {
            Refusal::UnknownEventType { known, .. } => known.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unknown_type_is_answered_with_its_likes() {
        assert_eq!(known("campaign.update"), ["campaign.updated"]);
        assert_eq!(known("Campaign.Updated")[0], "campaign.updated");
        assert_eq!(known("screenshotset.approved"), ["screenshot_set.approved"]);
        assert_eq!(known("screenshot_set.rejected")[0], "screenshot_set.approved", "the same first word");
        assert_eq!(known("campaign.x").len(), 5);
        assert_eq!(known("zebra").len(), 5);
        assert_eq!(known(&"x".repeat(100_000)).len(), 5);
    }

    #[test]
    fn refusals_read_as_sentences() {
        let definitions = shipped();
        let names = definitions.iter().map(|definition| &definition.name);
        assert_eq!(
            Refusal::unknown("campaign.update", names).to_string(),
            "`campaign.update` is not in the catalog of event types; among those that are: `campaign.updated`"
        );
        let empty = Refusal::unknown("a", std::iter::empty());
        assert_eq!(empty.to_string(), "`a` is not in the catalog of event types, which is empty");
        let missing = Refusal::NoEventType { found: None };
        assert_eq!(missing.field_errors()[0].pointer, "/event");
        assert_eq!(missing.to_string(), "`event` is required: name the event's type, such as \"campaign.updated\"");
        let long = Refusal::unknown(&"x".repeat(100_000), std::iter::empty());
        assert!(long.to_string().len() < 200);
    }

    proptest! {
        #[test]
        fn edits_are_a_distance(one in "[ab]{0,6}", other in "[ab]{0,6}", third in "[ab]{0,6}") {
            let between = |one: &str, other: &str| edits(one.as_bytes(), other.as_bytes());
            prop_assert_eq!(between(&one, &other) == 0, one == other);
            prop_assert_eq!(between(&one, &other), between(&other, &one));
            prop_assert!(between(&one, &third) <= between(&one, &other) + between(&other, &third));
            prop_assert!(between(&one, &other) >= one.len().abs_diff(other.len()));
        }
    }
}
