//! Reading a posted body strictly. The bytes are passed on as they came and
//! each subscriber reads them with a parser of its own, so what parsers
//! disagree on is refused here: a key twice in one object (some take the
//! first, some the last), nesting that runs a parser out of stack. Whether
//! the value is an event is not decided here.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::catalog::{Refusal, explain};

/// Deepest nesting of arrays and objects in an event. Below serde_json's own
/// limit, so that the message is ours.
pub(super) const MAX_DEPTH: usize = 100;

/// What serde_json writes in front of names that mean something to itself: an object
/// with such a key reads as another value, or as none, wherever it is read with it again.
const PRIVATE: &str = "$serde_json::private::";

/// The body as a value: one JSON text and nothing after it.
pub fn read(body: &[u8]) -> Result<Value, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::NotJson { detail: "the body is empty: post one JSON object".to_owned() });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Strict { depth: 0 }.deserialize(&mut deserializer);
    read.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| Refusal::NotJson {
        detail: match error.classify() {
            // What the visitor below raised speaks for itself.
            Category::Data => error.to_string(),
            Category::Syntax | Category::Eof | Category::Io => format!("the body is not JSON: {error}"),
        },
    })
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("arrays and objects are nested more than {MAX_DEPTH} deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    // Integers past 64 bits arrive here too; their nearest float is as good
    // for checking a type, and the subscriber gets the digits as posted.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if key.starts_with(PRIVATE) {
                return Err(A::Error::custom(format_args!("the key `{}` cannot be used", explain::short(&key))));
            }
            match object.entry(key) {
                Entry::Occupied(taken) => {
                    let key = explain::short(taken.key());
                    return Err(A::Error::custom(format_args!("the key `{key}` is twice in one object")));
                }
                Entry::Vacant(place) => {
                    place.insert(fields.next_value_seed(inner)?);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn detail(body: impl AsRef<[u8]>) -> String {
        match read(body.as_ref()) {
            Err(Refusal::NotJson { detail }) => detail,
            other => panic!("read as {other:?}"),
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for body in ["", " \r\n\t "] {
            assert_eq!(detail(body), "the body is empty: post one JSON object");
        }
        for (body, place) in [
            ("nonsense", "line 1 column 2"),
            ("{\"a\":1,}", "line 1 column 8"),
            ("{\n\"a\" 1}", "line 2 column 5"),
            ("{\"a\":1} x", "line 1 column 9"),
            ("{}{}", "line 1 column 3"),
            ("{}\0", "line 1 column 3"),
            ("\u{feff}{}", "line 1 column 1"),
            ("{\"a\":\"\0\"}", "line 1 column 7"),
            ("{\"a\":\"\\ud800\"}", "line 1 column"),
            ("{\"a\":NaN}", "line 1 column 6"),
            ("{'a':1}", "line 1 column 2"),
            ("{\"a\":1e400}", "line 1 column"),
            ("{\"event\":\"campaign.cre", "line 1 column 22"),
        ] {
            let detail = detail(body);
            assert!(detail.starts_with("the body is not JSON: ") && detail.contains(place), "{body:?}: {detail}");
        }
        assert!(detail(b"{\"a\":\"\xff\xfe\"}").contains("line 1 column"));
        assert!(detail(b"\xff").contains("line 1 column 1"));
    }

    #[test]
    fn a_key_twice_is_refused_wherever_it_is() {
        for (body, key, line) in [
            (r#"{"event":"a","event":"b"}"#, "event", 1),
            ("{\"event\":\"a\",\n\"\\u0065vent\":\"b\"}", "event", 2),
            (r#"{"list":[{"x":{"status":1,"id":2,"status":1}}]}"#, "status", 1),
        ] {
            let detail = detail(body);
            let expected = format!("the key `{key}` is twice in one object at line {line} column ");
            assert!(detail.starts_with(&expected), "{detail}");
        }
        assert!(read(br#"{"a":{"b":1},"b":{"a":1},"A":1}"#).is_ok(), "different objects, different keys");
        let long = "k".repeat(5_000);
        assert!(detail(format!("{{\"{long}\":1,\"{long}\":2}}")).len() < 200);
    }

    /// Found by fuzzing: such a key would be stored, and then be read as something else.
    #[test]
    fn a_key_that_means_something_to_the_parser_is_refused() {
        for body in [
            r#"{"$serde_json::private::RawValue":2}"#,
            r#"{"a":[{"\u0024serde_json::private::RawValue":"{\"event\":\"b\"}"}]}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
        ] {
            let detail = detail(body);
            assert!(
                detail.starts_with("the key `$serde_json::private::") && detail.contains("cannot be used"),
                "{detail}"
            );
        }
        assert!(read(br#"{"$serde_json":1,"$ref":"serde_json::private"}"#).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(
            detail(nested(MAX_DEPTH + 1)).starts_with("arrays and objects are nested more than 100 deep at line 1")
        );
        assert!(detail("{\"a\":".repeat(100_000)).starts_with("arrays and objects are nested"));
    }

    #[test]
    fn numbers_past_64_bits_are_read_as_floats() {
        let value = read(b"[18446744073709551615,18446744073709551616,-9223372036854775809,1e300]").expect("numbers");
        assert!(value[0].is_u64());
        assert!((1..4).all(|place| value[place].is_f64()));
    }

    proptest! {
        #[test]
        fn any_object_without_twins_reads_as_serde_json_reads_it(
            fields in prop::collection::btree_map(".{0,6}", (any::<i64>(), any::<f64>(), ".{0,20}"), 0..6)
        ) {
            let body = serde_json::json!({ "fields": fields }).to_string();
            prop_assert_eq!(read(body.as_bytes()), Ok(serde_json::from_str::<Value>(&body).expect("written by serde_json")));
        }
    }
}
