//! What endpoints want, each list of patterns written once and known by its
//! number: a million endpoints share a few, and an event is matched against a
//! list instead of against each endpoint.
//!
//! Compiled once for each backend, against its own `Connection`.

use diesel::prelude::*;

use super::{Connection, translate};
use crate::domain::TypePattern;
use crate::store::StoreError;
use crate::store::rows::parsed;
use crate::store::schema::interests;

/// The patterns that a number stands for.
pub(super) fn patterns(connection: &mut Connection, number: i64) -> Result<Vec<TypePattern>, StoreError> {
    let text: String =
        interests::table.find(number).select(interests::patterns).get_result(connection).map_err(translate)?;
    text.split_ascii_whitespace().map(parsed).collect()
}

/// The number of these patterns in whatever order. A list that nobody wants
/// any more stays: it is as small as the old settings that had it, which stay
/// too.
pub(super) fn number_of(connection: &mut Connection, patterns: &[TypePattern]) -> Result<i64, StoreError> {
    let text = text_of(patterns);
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
fn text_of(patterns: &[TypePattern]) -> String {
    let mut words: Vec<String> = patterns.iter().map(ToString::to_string).collect();
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
            text_of(&patterns)
        };
        assert_eq!(of(&["b.*", "*", "a.b", "*"]), "* a.b b.*");
        assert_eq!(of(&["a.b", "b.*", "*"]), of(&["*", "b.*", "a.b"]));
        assert_eq!(of(&[]), "");
    }
}
