//! In which order an endpoint wants its events.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Longest pointer.
pub const MAX_POINTER_BYTES: usize = 256;

/// What an endpoint's deliveries wait for each other by. Endpoints that want no
/// order have none of this.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventOrder {
    /// One after the other.
    Fifo,
    /// One after the other where they have the same value at this place, and side by
    /// side otherwise.
    By(FieldPointer),
}

/// A JSON pointer (RFC 6901) to a field: at least one step long.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPointer(String);

/// Why a text is no pointer to a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldPointerError {
    /// It does not begin as one.
    #[error("a JSON pointer begins with `/`, such as `/id` or `/metadata/region`")]
    NoSlash,
    /// A tilde that escapes nothing.
    #[error("`~` at byte {at} must be followed by 0 (for `~`) or 1 (for `/`)")]
    Escape {
        /// Where it is.
        at: usize,
    },
    /// It is too long.
    #[error("the limit is {MAX_POINTER_BYTES} bytes")]
    TooLong,
    /// Not every store keeps it.
    #[error("must not contain the character U+0000")]
    Nul,
}

impl FieldPointer {
    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it leads to in an event.
    pub fn lead<'a>(&self, event: &'a Value) -> Option<&'a Value> {
        event.pointer(&self.0)
    }
}

impl FromStr for FieldPointer {
    type Err = FieldPointerError;

    fn from_str(text: &str) -> Result<Self, FieldPointerError> {
        if !text.starts_with('/') {
            return Err(FieldPointerError::NoSlash);
        }
        if text.len() > MAX_POINTER_BYTES {
            return Err(FieldPointerError::TooLong);
        }
        if text.contains('\0') {
            return Err(FieldPointerError::Nul);
        }
        let escapes_nothing = |at: &usize| !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1'));
        match text.match_indices('~').map(|(at, _)| at).find(escapes_nothing) {
            Some(at) => Err(FieldPointerError::Escape { at }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

/// A text that names no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no order of events")]
pub struct EventOrderError(String);

/// As stores keep it.
impl fmt::Display for EventOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fifo => formatter.write_str("fifo"),
            Self::By(pointer) => write!(formatter, "by {}", pointer.as_str()),
        }
    }
}

impl FromStr for EventOrder {
    type Err = EventOrderError;

    fn from_str(text: &str) -> Result<Self, EventOrderError> {
        match text.strip_prefix("by ") {
            Some(pointer) => pointer.parse().map(Self::By).map_err(|_| EventOrderError(text.to_owned())),
            None if text == "fifo" => Ok(Self::Fifo),
            None => Err(EventOrderError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_is_refused_with_where_it_is_wrong() {
        let problem = |text: &str| text.parse::<FieldPointer>().err();
        assert_eq!(problem("/id"), None);
        assert_eq!(problem("/a~1b/~0/0"), None);
        assert_eq!(problem("/"), None, "the field without a name");
        for text in ["", "id", "#/id", " /id"] {
            assert_eq!(problem(text), Some(FieldPointerError::NoSlash), "{text:?}");
        }
        assert_eq!(problem("/a~"), Some(FieldPointerError::Escape { at: 2 }));
        assert_eq!(problem("/~2/b"), Some(FieldPointerError::Escape { at: 1 }));
        assert_eq!(problem(&format!("/{}", "a".repeat(MAX_POINTER_BYTES))), Some(FieldPointerError::TooLong));
        assert_eq!(problem("/a\0"), Some(FieldPointerError::Nul));
    }

    #[test]
    fn a_pointer_leads_to_a_field() {
        let event = json!({"id": 7, "a/b": {"~": [1, null]}});
        let lead = |text: &str| text.parse::<FieldPointer>().expect("a pointer").lead(&event).cloned();
        assert_eq!(lead("/id"), Some(json!(7)));
        assert_eq!(lead("/a~1b/~0/1"), Some(json!(null)));
        assert_eq!(lead("/a~1b/~0/2"), None);
        assert_eq!(lead("/ID"), None);
    }

    #[test]
    fn an_order_reads_back_as_it_was() {
        for order in [EventOrder::Fifo, EventOrder::By("/a b/~0".parse().expect("a pointer"))] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
        for text in ["", "none", "by id", "by", "FIFO"] {
            assert!(text.parse::<EventOrder>().is_err(), "{text}");
        }
    }
}
