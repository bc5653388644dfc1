//! Which events an endpoint wants, by what is in them. What the schema means,
//! and whether it can be used, is the catalog's to say.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Longest filter of an endpoint, as compact JSON.
pub const MAX_FILTER_BYTES: usize = 16 * 1024;

/// A JSON Schema over events: an object, kept as text, because most of the time
/// it is only kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventFilter(Arc<str>);

/// A text that is no filter.
#[derive(Debug, thiserror::Error)]
#[error("a filter is a JSON object: {0}")]
pub struct EventFilterError(#[from] serde_json::Error);

impl EventFilter {
    /// The text, which stays as it is from its making on.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The schema.
    pub fn schema(&self) -> Value {
        serde_json::from_str(&self.0).expect("the text was read, or written, when this was made")
    }
}

impl From<&Map<String, Value>> for EventFilter {
    fn from(schema: &Map<String, Value>) -> Self {
        Self(serde_json::to_string(schema).expect("a JSON value prints as JSON").into())
    }
}

impl FromStr for EventFilter {
    type Err = EventFilterError;

    fn from_str(text: &str) -> Result<Self, EventFilterError> {
        serde_json::from_str::<Map<String, Value>>(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for EventFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_reads_back_as_it_was() {
        let schema = json!({"required": ["id"], "properties": {"a": {"minimum": 0.1}}});
        let filter = EventFilter::from(schema.as_object().expect("an object"));
        assert_eq!(filter.schema(), schema);
        assert_eq!(filter.as_str().parse::<EventFilter>().expect("we wrote it"), filter);
        for text in ["", "true", "[]", "{", "{} {}"] {
            assert!(text.parse::<EventFilter>().is_err(), "{text}");
        }
    }
}
