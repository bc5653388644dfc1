//! Typed ids: a prefix that says what it names, and a UUIDv7 (`product.md`,
//! "Ids are TypeIDs"). How the store draws the UUIDs is the store's affair.

use std::fmt;
use std::str::FromStr;

use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::domain::Timestamp;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind} id: it is `{prefix}_` and 26 characters of lower-case base 32")]
pub struct IdError {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What was expected, with its article, e.g. `an endpoint`.
    pub kind: &'static str,
    /// The prefix that was expected, e.g. `ep`.
    pub prefix: &'static str,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $tag:ident, $prefix:literal, $kind:literal) => {
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        struct $tag;

        impl StaticType for $tag {
            const TYPE: &'static str = $prefix;
        }

        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that carries this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// When it was made: a UUIDv7 begins with its time.
            pub const fn made_at(self) -> Timestamp {
                Timestamp::from_millis((self.0.as_u128() >> 80) as i64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                TypeSafeId::<$tag>::from_uuid(self.0).fmt(formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse::<TypeSafeId<$tag>>().map(|id| Self(id.uuid())).map_err(|_| IdError {
                    text: text.chars().take(64).collect(),
                    kind: $kind,
                    prefix: $prefix,
                })
            }
        }
    };
}

typed_id!(
    /// One subscription of a partner: `ep_…`.
    EndpointId, EndpointTag, "ep", "an endpoint"
);
typed_id!(
    /// One accepted event: `evt_…`. It is also the `webhook-id` of every attempt.
    EventId, EventTag, "evt", "an event"
);
typed_id!(
    /// One event on its way to one endpoint: `dlv_…`.
    DeliveryId, DeliveryTag, "dlv", "a delivery"
);
typed_id!(
    /// An API key's name (not the key itself): `key_…`.
    KeyId, KeyTag, "key", "a key"
);
typed_id!(
    /// Something to be delivered again: `rpl_…`.
    ReplayId, ReplayTag, "rpl", "a replay"
);
typed_id!(
    /// One run of a node, from its start to its end: `node_…`.
    NodeId, NodeTag, "node", "a node"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let id = EventId::from_uuid(Uuid::from_u128(0x0192_0000_0000_7abc_8000_0000_0000_0001));
        let text = id.to_string();
        assert!(text.starts_with("evt_"), "{text}");
        assert_eq!(text.parse::<EventId>(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = EventId::from_uuid(Uuid::from_u128(7)).to_string();
        let error = id.parse::<EndpointId>().expect_err("an event id is no endpoint id");
        assert_eq!(error.prefix, "ep");
        assert!("ep_".parse::<EndpointId>().is_err());
        assert!("ep_ÄÖÜ".parse::<EndpointId>().is_err());
    }
}
