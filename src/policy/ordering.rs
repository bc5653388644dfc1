//! Which deliveries of an ordered endpoint wait for each other: those with the same
//! key. A key is a number made of the value, so that a store can index it. Two
//! values that share one by chance are kept in order too; nobody is harmed by that.

use std::hash::Hasher;

use serde_json::{Number, Value};
use siphasher::sip::SipHasher13;

use crate::domain::EventOrder;

/// What an event's delivery waits by; `None` where it waits for no other: the event
/// has no such field. Made of the order as well: what was put in order by another
/// field shares no key with it.
pub fn order_key(order: &EventOrder, event: Option<&Value>) -> Option<i64> {
    let mut hasher = SipHasher13::new();
    match order {
        EventOrder::Fifo => hasher.write_u8(b'f'),
        EventOrder::By(pointer) => {
            let value = pointer.lead(event?)?;
            hasher.write_u8(b'b');
            write_text(&mut hasher, pointer.as_str());
            write_value(&mut hasher, value);
        }
    }
    Some((hasher.finish() >> 1) as i64)
}

fn write_text(hasher: &mut SipHasher13, text: &str) {
    hasher.write_u64(text.len() as u64);
    hasher.write(text.as_bytes());
}

/// Values that JSON holds for equal are written alike, however they were spelt.
fn write_value(hasher: &mut SipHasher13, value: &Value) {
    match value {
        Value::Null => hasher.write_u8(0),
        Value::Bool(value) => hasher.write(&[1, u8::from(*value)]),
        Value::Number(number) => write_number(hasher, number),
        Value::String(text) => {
            hasher.write_u8(3);
            write_text(hasher, text);
        }
        Value::Array(items) => {
            hasher.write_u8(4);
            hasher.write_u64(items.len() as u64);
            items.iter().for_each(|item| write_value(hasher, item));
        }
        Value::Object(fields) => {
            hasher.write_u8(5);
            hasher.write_u64(fields.len() as u64);
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in fields {
                write_text(hasher, name);
                write_value(hasher, value);
            }
        }
    }
}

/// 7, 7.0 and 70e-1 are one number.
fn write_number(hasher: &mut SipHasher13, number: &Number) {
    hasher.write_u8(2);
    let number = number.as_f64().unwrap_or(0.0);
    // Whole numbers that a double cannot tell apart share a key.
    hasher.write_u64(if number == 0.0 { 0 } else { number.to_bits() });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn by(pointer: &str) -> EventOrder {
        EventOrder::By(pointer.parse().expect("a pointer"))
    }

    fn key(value: &Value) -> Option<i64> {
        order_key(&by("/id"), Some(&json!({ "id": value })))
    }

    #[test]
    fn in_one_line_everything_waits_for_everything() {
        let key = order_key(&EventOrder::Fifo, None);
        assert!(key.is_some());
        assert_eq!(key, order_key(&EventOrder::Fifo, Some(&json!({"id": 1}))));
        assert_ne!(key, order_key(&by("/id"), Some(&json!({"id": 1}))));
    }

    #[test]
    fn what_has_no_such_field_waits_for_nobody() {
        assert_eq!(order_key(&by("/id"), Some(&json!({"ID": 1}))), None);
        assert_eq!(order_key(&by("/id"), None), None);
        assert_ne!(key(&json!(null)), None, "null is a value");
    }

    #[test]
    fn equal_values_share_a_key_however_they_are_spelt() {
        for (one, other) in [("7", "7.0"), ("0", "-0.0"), ("7", "70e-1"), (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1.0}"#)] {
            let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(key(&read(one)), key(&read(other)), "{one} and {other}");
        }
        for (one, other) in [
            (json!(1), json!("1")),
            (json!(null), json!(false)),
            (json!([]), json!({})),
            (json!(["ab", "c"]), json!(["a", "bc"])),
            (json!([[1], 2]), json!([[1, 2]])),
        ] {
            assert_ne!(key(&one), key(&other), "{one} and {other}");
        }
        let event = json!({"id": 1, "other": 1});
        assert_ne!(order_key(&by("/id"), Some(&event)), order_key(&by("/other"), Some(&event)));
    }

    proptest! {
        #[test]
        fn keys_are_never_negative_and_always_the_same(text in ".*", number: i64) {
            for value in [json!(text), json!(number), json!([text, number])] {
                prop_assert!(key(&value).is_some_and(|key| key >= 0));
                prop_assert_eq!(key(&value), key(&value));
            }
        }
    }
}
