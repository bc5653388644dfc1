//! Endpoints' filters, compiled: each once in the process, however many
//! endpoints share it and however often what they subscribe to is read anew. A
//! filter is known by a digest of its text, so that there is nothing in here
//! that could be outdated.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use sha2::{Digest, Sha256};

use crate::catalog::Filter;
use crate::domain::EventFilter;

/// What stands before the digest where filters are told apart by a word. The
/// whole word reads as the name of an event type that no event ever has: a
/// release that knows no filters takes it for one more pattern, and delivers
/// what the filter would have held back.
const PREFIX: &str = "posthaste.filter.";

/// The word that a filter is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::store) struct FilterWord(String);

impl FilterWord {
    /// The word of this filter.
    pub(in crate::store) fn of(filter: &EventFilter) -> Self {
        let mut word = PREFIX.to_owned();
        for byte in Sha256::digest(filter.as_str().as_bytes()) {
            // Writing to a string cannot fail.
            let _ = write!(word, "{byte:02x}");
        }
        Self(word)
    }

    /// The same, read; `None` where it is some other word.
    pub(in crate::store) fn read(word: &str) -> Option<Self> {
        let digest = word.strip_prefix(PREFIX)?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_digest.then(|| Self(word.to_owned()))
    }

    pub(in crate::store) fn as_str(&self) -> &str {
        &self.0
    }
}

static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);

const UNPOISONED: &str = "no holder of this lock can panic";

#[derive(Default)]
struct Compiled {
    filters: HashMap<FilterWord, Weak<Filter>>,
    /// So many are looked through for those that nobody uses any more.
    swept_at: usize,
}

/// The filter of this word, if somebody uses it.
pub(in crate::store) fn known(word: &FilterWord) -> Option<Arc<Filter>> {
    COMPILED.lock().expect(UNPOISONED).filters.get(word)?.upgrade()
}

/// The filter, compiled. `None` is one that cannot be used, although it could
/// when it was registered: only somebody who edits the store brings that about,
/// and it costs the endpoint no event. Until it is mended it gets them all.
pub(in crate::store) fn compiled(filter: &EventFilter) -> Option<Arc<Filter>> {
    let word = FilterWord::of(filter);
    if let Some(known) = known(&word) {
        return Some(known);
    }
    // Not under the lock: it may take a while.
    let compiled = match Filter::compile(&filter.schema()) {
        Ok(compiled) => Arc::new(compiled),
        Err(error) => {
            log::error!("a stored filter cannot be used, and nothing is filtered by it: {}", error.detail);
            return None;
        }
    };
    let mut all = COMPILED.lock().expect(UNPOISONED);
    all.filters.insert(word, Arc::downgrade(&compiled));
    if all.filters.len() > all.swept_at {
        all.filters.retain(|_, filter| filter.strong_count() > 0);
        all.swept_at = 64 + 2 * all.filters.len();
    }
    Some(compiled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_compiled_once_for_all_who_use_it() {
        let filter: EventFilter = r#"{"title":"a filter of this test alone"}"#.parse().expect("an object");
        let word = FilterWord::of(&filter);
        assert_eq!(FilterWord::read(word.as_str()), Some(word.clone()));
        assert!(word.as_str().parse::<crate::domain::EventType>().is_ok(), "what old releases take it for");
        assert!(known(&word).is_none());
        let one = compiled(&filter).expect("a schema");
        assert!(Arc::ptr_eq(&one, &compiled(&filter).expect("a schema")));
        assert!(known(&word).is_some_and(|other| Arc::ptr_eq(&one, &other)));
        drop(one);
        assert!(known(&word).is_none(), "nobody uses it");
        let broken: EventFilter = r#"{"type":"strin"}"#.parse().expect("an object");
        assert!(compiled(&broken).is_none());
    }

    #[test]
    fn other_words_are_patterns() {
        for word in ["*", "campaign.*", "posthaste.filter.*", "posthaste.filter.0a", "posthaste.filter"] {
            assert_eq!(FilterWord::read(word), None, "{word}");
        }
    }
}
