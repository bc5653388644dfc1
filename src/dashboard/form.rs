//! What a form says, decoded: names may come several times, as ticked boxes do.

use std::collections::HashMap;

/// The fields of a form, or of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// As a browser encodes it.
    pub fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// A field's first value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A field's first value without blanks around it, unless there is nothing in it.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a box is ticked.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Another value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }
}

/// A query of these parameters, with its question mark; nothing where there are none.
pub fn query(parameters: &[(&str, &str)]) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("?{encoded}")
}

/// What is wrong with each field, by the name it has in the form: the first part of the
/// pointer. What fits no field of the form stands under no name.
#[derive(Debug, Clone, Default)]
pub struct Mistakes(HashMap<String, Vec<String>>);

impl Mistakes {
    /// Those that the API found, for a form with these fields.
    pub fn of(trouble: &super::inside::Trouble, fields: &[&str]) -> Self {
        let mut mistakes: HashMap<String, Vec<String>> = HashMap::new();
        for error in &trouble.errors {
            let field = error.pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
            let (field, detail) = match fields.contains(&field) {
                true => (field, error.detail.clone()),
                // What is wrong with all of it.
                false if error.pointer.is_empty() => ("", error.detail.clone()),
                false => ("", format!("{}: {}", error.pointer, error.detail)),
            };
            mistakes.entry(field.to_owned()).or_default().push(detail);
        }
        if mistakes.is_empty() {
            mistakes.entry(String::new()).or_default().push(format!("{}: {}", trouble.title, trouble.detail));
        }
        Self(mistakes)
    }

    /// One that the form itself finds.
    pub fn one(field: &str, detail: impl Into<String>) -> Self {
        Self(HashMap::from([(field.to_owned(), vec![detail.into()])]))
    }

    /// One more that the form itself finds.
    pub fn add(&mut self, field: &str, detail: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(detail.into());
    }

    /// These, and of fields in which none is known yet, those.
    pub fn and(mut self, others: Self) -> Self {
        for (field, details) in others.0 {
            self.0.entry(field).or_insert(details);
        }
        self
    }

    /// Those of a field.
    pub fn at(&self, field: &str) -> &[String] {
        self.0.get(field).map_or(&[], Vec::as_slice)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::inside::{FieldTrouble, Trouble};

    #[test]
    fn fields_are_decoded_and_may_be_repeated() {
        let form = Form::parse(b"events=a.b&events=*&url=https%3A%2F%2Fx%2F%3Fa%3D1+2&empty=+");
        assert_eq!(form.all("events").collect::<Vec<_>>(), ["a.b", "*"]);
        assert_eq!(form.get("url"), Some("https://x/?a=1 2"));
        assert_eq!((form.filled("empty"), form.is_on("empty"), form.get("none")), (None, true, None));
        assert_eq!(query(&[("a", "1 2"), ("b", "&")]), "?a=1+2&b=%26");
        assert_eq!(query(&[]), "");
    }

    #[test]
    fn a_mistake_stands_at_its_field() {
        let error = |pointer: &str| FieldTrouble { pointer: pointer.to_owned(), detail: "is wrong".to_owned() };
        let errors = vec![error("/events/0"), error("/other")];
        let trouble = Trouble { status: 422, title: "Bad".to_owned(), detail: "two".to_owned(), errors };
        let mistakes = Mistakes::of(&trouble, &["events", "url"]);
        assert_eq!(mistakes.at("events"), ["is wrong"]);
        assert_eq!(mistakes.at(""), ["/other: is wrong"]);
        let without = Mistakes::of(&Trouble { errors: Vec::new(), ..trouble }, &["events"]);
        assert_eq!(without.at(""), ["Bad: two"]);
        // What the form found itself is not told twice.
        let mut own = Mistakes::default();
        own.add("events", "tick one");
        let both = own.and(mistakes);
        assert_eq!((both.at("events"), both.at("").len()), (&["tick one".to_owned()][..], 1));
    }
}
