//! Hints as JSON, both ways:
//! `{"hints": [["born", "ep_…", "dlv_…", "evt_…", "17"], ["changed", "ep_…"],
//! ["attempt", "ep_…"], ["scheduled", "ep_…"], ["replayed", "ep_…"]]}`.
//! Releases differ while nodes are upgraded one by one, so kinds, members and
//! elements that a newer release may add are passed over. What is known must be
//! right.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::cluster::hints::Hint;

/// Why a body cannot be read as hints.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is JSON of another shape.
    #[error("the body does not hold hints: {0}")]
    NotHints(serde_json::Error),
}

/// A request's body.
pub fn encode(hints: &[Hint]) -> Bytes {
    serde_json::to_vec(&Outgoing { hints }).expect("hints are arrays of text, and memory takes any length").into()
}

/// The hints of a request's body, in order, without those of unknown kinds.
pub fn decode(body: &[u8]) -> Result<Vec<Hint>, DecodeError> {
    let incoming = serde_json::from_slice::<Incoming>(body);
    incoming
        .map(|incoming| incoming.hints)
        .map_err(|error| if error.is_data() { DecodeError::NotHints(error) } else { DecodeError::NotJson(error) })
}

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(serialize_with = "write_hints")]
    hints: &'a [Hint],
}

fn write_hints<S: Serializer>(hints: &[Hint], serializer: S) -> Result<S::Ok, S::Error> {
    let mut elements = serializer.serialize_seq(Some(hints.len()))?;
    for hint in hints {
        match hint {
            Hint::Born { endpoint, delivery, event, sequence: None } => {
                elements.serialize_element(&("born", Text(endpoint), Text(delivery), Text(event)))?;
            }
            Hint::Born { endpoint, delivery, event, sequence: Some(sequence) } => {
                elements.serialize_element(&("born", Text(endpoint), Text(delivery), Text(event), Text(sequence)))?;
            }
            Hint::Changed(endpoint) => elements.serialize_element(&("changed", Text(endpoint)))?,
            Hint::AttemptRequested(endpoint) => elements.serialize_element(&("attempt", Text(endpoint)))?,
            Hint::Scheduled(endpoint) => elements.serialize_element(&("scheduled", Text(endpoint)))?,
            Hint::Replayed(endpoint) => elements.serialize_element(&("replayed", Text(endpoint)))?,
        }
    }
    elements.end()
}

/// Written as it shows itself.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Deserialize)]
struct Incoming {
    #[serde(deserialize_with = "read_hints")]
    hints: Vec<Hint>,
}

fn read_hints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hint>, D::Error> {
    deserializer.deserialize_seq(Hints)
}

struct Hints;

impl<'de> Visitor<'de> for Hints {
    type Value = Vec<Hint>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of hints")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Hint>, A::Error> {
        let mut hints = Vec::new();
        while let Some(Known(hint)) = sequence.next_element()? {
            hints.extend(hint);
        }
        Ok(hints)
    }
}

/// A hint, if it is of a kind that is known here.
struct Known(Option<Hint>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OneHint)
    }
}

struct OneHint;

impl<'de> Visitor<'de> for OneHint {
    type Value = Known;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a hint: an array that begins with its kind")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Known, A::Error> {
        let hint = match parsed(&mut elements, "its kind")? {
            Kind::Born => Some(Hint::Born {
                endpoint: parsed(&mut elements, "an endpoint's id")?,
                delivery: parsed(&mut elements, "a delivery's id")?,
                event: parsed(&mut elements, "an event's id")?,
                sequence: elements.next_element()?.map(|Parsed(sequence)| sequence),
            }),
            Kind::Changed => Some(Hint::Changed(parsed(&mut elements, "an endpoint's id")?)),
            Kind::Attempt => Some(Hint::AttemptRequested(parsed(&mut elements, "an endpoint's id")?)),
            Kind::Scheduled => Some(Hint::Scheduled(parsed(&mut elements, "an endpoint's id")?)),
            Kind::Replayed => Some(Hint::Replayed(parsed(&mut elements, "an endpoint's id")?)),
            Kind::Unknown => None,
        };
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Known(hint))
    }
}

enum Kind {
    Born,
    Changed,
    Attempt,
    Scheduled,
    Replayed,
    Unknown,
}

impl FromStr for Kind {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "born" => Self::Born,
            "changed" => Self::Changed,
            "attempt" => Self::Attempt,
            "scheduled" => Self::Scheduled,
            "replayed" => Self::Replayed,
            _ => Self::Unknown,
        })
    }
}

/// The next element of a hint, which must be there.
fn parsed<'de, A, T>(elements: &mut A, what: &'static str) -> Result<T, A::Error>
where
    A: SeqAccess<'de>,
    T: FromStr<Err: fmt::Display>,
{
    match elements.next_element()? {
        Some(Parsed(value)) => Ok(value),
        None => Err(de::Error::custom(format_args!("a hint ends before {what}"))),
    }
}

/// Read from text.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextOf(PhantomData)).map(Self)
    }
}

struct TextOf<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for TextOf<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::cluster::hints::HINTS_BYTES_MAX;
    use crate::cluster::hints::sender::HintOptions;
    use crate::domain::{DeliveryId, EndpointId, EventId};

    fn hint() -> impl Strategy<Value = Hint> {
        let endpoint = || any::<u128>().prop_map(|bits| EndpointId::from_uuid(Uuid::from_u128(bits)));
        let delivery = any::<u128>().prop_map(|bits| DeliveryId::from_uuid(Uuid::from_u128(bits)));
        let event = any::<u128>().prop_map(|bits| EventId::from_uuid(Uuid::from_u128(bits)));
        prop_oneof![
            (endpoint(), delivery, event, any::<Option<u64>>()).prop_map(|(endpoint, delivery, event, sequence)| {
                Hint::Born { endpoint, delivery, event, sequence }
            }),
            endpoint().prop_map(Hint::Changed),
            endpoint().prop_map(Hint::AttemptRequested),
            endpoint().prop_map(Hint::Scheduled),
            endpoint().prop_map(Hint::Replayed),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(hints in prop::collection::vec(hint(), 0..40)) {
            prop_assert_eq!(decode(&encode(&hints)).expect("it was written here"), hints);
        }

        #[test]
        fn junk_is_refused_and_never_a_panic(junk in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&junk).is_err());
        }

        #[test]
        fn a_body_cut_short_is_no_json(hints in prop::collection::vec(hint(), 0..10), at in any::<prop::sample::Index>()) {
            let whole = encode(&hints);
            let cut = decode(&whole[..at.index(whole.len())]);
            prop_assert!(matches!(cut, Err(DecodeError::NotJson(_))), "{cut:?}");
        }
    }

    fn endpoint() -> EndpointId {
        "ep_01h455vb4pex5vsknk084sn02q".parse().expect("an id")
    }

    #[test]
    fn it_looks_as_it_is_documented() {
        let born = Hint::Born {
            endpoint: endpoint(),
            delivery: "dlv_01h455vb4pex5vsknk084sn02q".parse().expect("an id"),
            event: "evt_01h455vb4pex5vsknk084sn02q".parse().expect("an id"),
            // More than an endpoint will ever be sent.
            sequence: Some(999_999_999_999),
        };
        let hints = [
            born,
            Hint::Changed(endpoint()),
            Hint::AttemptRequested(endpoint()),
            Hint::Scheduled(endpoint()),
            Hint::Replayed(endpoint()),
        ];
        let expected = concat!(
            r#"{"hints":[["born","ep_01h455vb4pex5vsknk084sn02q","dlv_01h455vb4pex5vsknk084sn02q","#,
            r#""evt_01h455vb4pex5vsknk084sn02q","999999999999"],["changed","ep_01h455vb4pex5vsknk084sn02q"],"#,
            r#"["attempt","ep_01h455vb4pex5vsknk084sn02q"],"#,
            r#"["scheduled","ep_01h455vb4pex5vsknk084sn02q"],"#,
            r#"["replayed","ep_01h455vb4pex5vsknk084sn02q"]]}"#
        );
        assert_eq!(encode(&hints), expected);
        let fullest = encode(&vec![born; HintOptions::default().request_hints]);
        assert!(fullest.len() <= HINTS_BYTES_MAX / 2, "{} bytes are too near to what is taken", fullest.len());
    }

    #[test]
    fn what_a_newer_release_adds_is_passed_over() {
        let body = r#"{"from": "node_1", "hints": [["moved", {"to": [7]}, 8], ["changed", "ep_01h455vb4pex5vsknk084sn02q", 9],
            ["\u0061ttempt", "ep_01h455vb4pex5vsknk084sn02q"]], "more": [1, {}]}"#;
        let hints = decode(body.as_bytes()).expect("nothing known is wrong");
        assert_eq!(hints, [Hint::Changed(endpoint()), Hint::AttemptRequested(endpoint())]);
    }

    #[test]
    fn what_is_known_must_be_right() {
        for (body, says) in [
            ("[]", "struct Incoming"),
            ("{}", "missing field `hints`"),
            (r#"{"hints": {}}"#, "an array of hints"),
            (r#"{"hints": ["born"]}"#, "a hint: an array that begins with its kind"),
            (r#"{"hints": [[]]}"#, "a hint ends before its kind"),
            (r#"{"hints": [[7]]}"#, "expected text"),
            (r#"{"hints": [["changed"]]}"#, "a hint ends before an endpoint's id"),
            (r#"{"hints": [["changed", "dlv_01h455vb4pex5vsknk084sn02q"]]}"#, "not an endpoint id"),
            (r#"{"hints": [["born", "ep_01h455vb4pex5vsknk084sn02q"]]}"#, "a hint ends before a delivery's id"),
        ] {
            match decode(body.as_bytes()) {
                Err(error @ DecodeError::NotHints(_)) => assert!(error.to_string().contains(says), "{body}: {error}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }
}
