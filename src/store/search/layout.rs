//! Of which types which fields are indexed: as the catalogs say it now, and as they said
//! it when a segment was made. A segment that lacks a field is looked through, where it
//! is asked for by that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::FieldPointer;
use crate::store::StoreError;
use crate::store::rows::{from_json, to_json};

/// By environment's number and type's name. Types without such fields are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Layout(BTreeMap<i64, BTreeMap<String, Vec<String>>>);

impl Layout {
    pub(in crate::store) fn add(&mut self, environment: i64, name: String, pointers: Vec<String>) {
        if !pointers.is_empty() {
            self.0.entry(environment).or_default().insert(name, pointers);
        }
    }

    /// As a store keeps it.
    pub(in crate::store) fn text(&self) -> String {
        to_json(self)
    }

    pub(in crate::store) fn read(text: &str) -> Result<Self, StoreError> {
        from_json(text)
    }

    /// What a type is indexed by.
    pub(in crate::store) fn pointers(&self, environment: i64, name: &str) -> Result<Vec<FieldPointer>, StoreError> {
        let found = self.0.get(&environment).and_then(|types| types.get(name));
        let pointer = |text: &String| {
            text.parse().map_err(|error| StoreError::Corrupt(format!("{name} is indexed by `{text}`: {error}")))
        };
        found.into_iter().flatten().map(pointer).collect()
    }

    /// The types that are indexed by this field.
    pub(in crate::store) fn types_by(&self, environment: i64, pointer: &FieldPointer) -> BTreeSet<String> {
        let types = self.0.get(&environment).into_iter().flatten();
        let by = |pointers: &Vec<String>| pointers.iter().any(|known| known == pointer.as_str());
        types.filter(|(_, pointers)| by(pointers)).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_reads_back_and_says_who_is_indexed_by_what() {
        let mut layout = Layout::default();
        let pointers = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        layout.add(1, "b".into(), pointers(&["/id"]));
        layout.add(1, "a".into(), pointers(&["/n", "/id"]));
        layout.add(1, "c".into(), Vec::new());
        layout.add(0, "d".into(), pointers(&["/id"]));
        assert_eq!(Layout::read(&layout.text()).expect("we wrote it"), layout);
        let id: FieldPointer = "/id".parse().expect("a pointer");
        let names = |environment| layout.types_by(environment, &id).into_iter().collect::<Vec<_>>();
        assert_eq!((names(1), names(0)), (vec!["a".to_owned(), "b".to_owned()], vec!["d".to_owned()]));
        let of = |environment, name| layout.pointers(environment, name).expect("sound").len();
        assert_eq!((of(1, "a"), of(1, "b"), of(1, "c"), of(0, "a")), (2, 1, 0, 0));
    }
}
