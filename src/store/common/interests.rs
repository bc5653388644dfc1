//! What endpoints want, each list of patterns written once and known by its
//! number: a million endpoints share a few, and an event is matched against a
//! list instead of against each endpoint. A filter is one word more in the list,
//! so that endpoints with different ones are told apart without a look at them;
//! its text stands in the endpoints' settings.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::{Connection, translate};
use crate::domain::{EventFilter, TypePattern};
use crate::store::StoreError;
use crate::store::filters::FilterWord;
use crate::store::rows::parsed;
use crate::store::schema::interests;

/// What a number stands for.
pub(super) struct Interest {
    pub(super) patterns: Vec<TypePattern>,
    pub(super) filter: Option<FilterWord>,
}

/// The interest that a number stands for.
pub(super) fn interest(connection: &mut Connection, number: i64) -> Result<Interest, StoreError> {
    let text: String =
        interests::table.find(number).select(interests::patterns).get_result(connection).map_err(translate)?;
    interest_of(&text)
}

/// What these numbers stand for, all in one go.
pub(super) fn interests(
    connection: &mut Connection,
    numbers: &HashSet<i64>,
) -> Result<HashMap<i64, Interest>, StoreError> {
    let rows: Vec<(i64, String)> = interests::table
        .filter(interests::id.eq_any(numbers))
        .select((interests::id, interests::patterns))
        .load(connection)
        .map_err(translate)?;
    rows.into_iter().map(|(number, text)| Ok((number, interest_of(&text)?))).collect()
}

fn interest_of(text: &str) -> Result<Interest, StoreError> {
    let mut interest = Interest { patterns: Vec::new(), filter: None };
    for word in text.split_ascii_whitespace() {
        match FilterWord::read(word) {
            Some(filter) => interest.filter = Some(filter),
            None => interest.patterns.push(parsed(word)?),
        }
    }
    Ok(interest)
}

/// The number of these patterns in whatever order, with this filter. A list that
/// nobody wants any more stays: it is as small as the old settings that had it,
/// which stay too.
pub(super) fn number_of(
    connection: &mut Connection,
    patterns: &[TypePattern],
    filter: Option<&EventFilter>,
) -> Result<i64, StoreError> {
    let text = text_of(patterns, filter);
    if let Some(known) = find(connection, &text)? {
        return Ok(known);
    }
    diesel::insert_into(interests::table)
        .values(interests::patterns.eq(&text))
        // Somebody else may be writing the same list.
        .on_conflict_do_nothing()
        .execute(connection)
        .map_err(translate)?;
    find(connection, &text)?.ok_or_else(|| StoreError::Corrupt("patterns just written are not there".into()))
}

fn find(connection: &mut Connection, text: &str) -> Result<Option<i64>, StoreError> {
    interests::table
        .filter(interests::patterns.eq(text))
        .select(interests::id)
        .get_result(connection)
        .optional()
        .map_err(translate)
}

/// No pattern has a space in it.
fn text_of(patterns: &[TypePattern], filter: Option<&EventFilter>) -> String {
    let mut words: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    words.extend(filter.map(|filter| FilterWord::of(filter).as_str().to_owned()));
    words.sort_unstable();
    words.dedup();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repetition_make_no_other_list() {
        let of = |words: &[&str]| {
            let patterns: Vec<TypePattern> = words.iter().map(|word| word.parse().expect("a pattern")).collect();
            text_of(&patterns, None)
        };
        assert_eq!(of(&["b.*", "*", "a.b", "*"]), "* a.b b.*");
        assert_eq!(of(&["a.b", "b.*", "*"]), of(&["*", "b.*", "a.b"]));
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn another_filter_makes_another_list() {
        let filter = |text: &str| text.parse::<EventFilter>().expect("an object");
        let of = |text: Option<&str>| text_of(&[TypePattern::Any], text.map(filter).as_ref());
        assert_eq!(of(None), "*");
        assert!(of(Some("{}")).starts_with("* posthaste.filter.44136fa355b3678a"));
        assert_ne!(of(Some("{}")), of(Some(r#"{"type":"object"}"#)));
    }
}
