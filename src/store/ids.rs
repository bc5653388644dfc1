//! How a row's number becomes a public id and back.
//!
//! Rows are numbered by time: 42 bits of milliseconds, 21 bits that count
//! within one. An integer that only grows is the cheapest key a B-tree can
//! have, needs no index beside it, and an event's deliveries simply follow it
//! in number. The public id is a UUIDv7 made of the same bits and a tail that
//! only this store can compute, so that an id can neither be guessed nor be
//! taken for another installation's, and none has to be stored.

use std::hash::Hasher;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::domain::{DeliveryId, EndpointId, EventId, KeyId, ReplayId, Timestamp};

/// Bits that count rows within a millisecond.
const COUNTER_BITS: u32 = 21;
/// Bits of the tail.
const TAIL_BITS: u32 = 53;

/// A row's number.
pub(in crate::store) type RowKey = i64;

/// The first row key that a row made at this time can have.
pub(in crate::store) fn first_key_at(time: Timestamp) -> RowKey {
    time.as_millis().clamp(0, (1 << 42) - 1) << COUNTER_BITS
}

/// When a row was made.
pub(in crate::store) fn time_of_key(key: RowKey) -> Timestamp {
    Timestamp::from_millis(key >> COUNTER_BITS)
}

/// Hands out row keys that only grow, whatever the wall clock does.
#[derive(Debug)]
pub(in crate::store) struct KeySequence {
    last: RowKey,
}

impl KeySequence {
    /// Goes on behind the largest key that is stored.
    pub(in crate::store) fn after(last: RowKey) -> Self {
        Self { last }
    }

    /// The first of `count` keys in a row.
    pub(in crate::store) fn take(&mut self, now: Timestamp, count: usize) -> RowKey {
        let first = first_key_at(now).max(self.last + 1);
        self.last = first + count as RowKey - 1;
        first
    }
}

/// What an id names: two kinds never share a tail.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Kind {
    Endpoint = 1,
    Event = 2,
    Delivery = 3,
    Key = 4,
    Replay = 5,
}

/// Makes ids out of row keys, with a secret of the store's own.
#[derive(Debug, Clone)]
pub(in crate::store) struct IdCodec {
    hasher: SipHasher13,
    /// Begun with the secret, for others that are made of it.
    derive: Hmac<Sha256>,
}

impl IdCodec {
    /// The codec of the store with this secret.
    pub(in crate::store) fn new(secret: &[u8; 16]) -> Self {
        let derive = Hmac::new_from_slice(secret).expect("HMAC takes keys of every length");
        Self { hasher: SipHasher13::new_with_key(secret), derive }
    }

    /// Another secret of the same store's, for one purpose. It tells nothing of ids, nor
    /// of secrets for other purposes.
    pub(in crate::store) fn secret_for(&self, purpose: &str) -> [u8; 32] {
        let mut mac = self.derive.clone();
        mac.update(b"posthaste secret for ");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// For other numbers that only this store can compute. What is written to it must
    /// begin as no [`Kind`] with a key does.
    pub(in crate::store) fn keyed_hasher(&self) -> SipHasher13 {
        self.hasher
    }

    fn tail(&self, kind: Kind, key: RowKey) -> u128 {
        let mut hasher = self.hasher;
        hasher.write_u8(kind as u8);
        hasher.write_i64(key);
        u128::from(hasher.finish() >> (64 - TAIL_BITS))
    }

    fn uuid(&self, kind: Kind, key: RowKey) -> Uuid {
        let bits = key as u128;
        let millis = bits >> COUNTER_BITS;
        let counter = bits & ((1 << COUNTER_BITS) - 1);
        let layout = (millis << 80)
            | (0x7 << 76)
            | ((counter >> 9) << 64)
            | (0b10 << 62)
            | ((counter & 0x1ff) << TAIL_BITS)
            | self.tail(kind, key);
        Uuid::from_u128(layout)
    }

    /// The row that an id names; `None` when this store never made the id.
    fn key(&self, kind: Kind, uuid: Uuid) -> Option<RowKey> {
        let layout = uuid.as_u128();
        let millis = layout >> 80;
        if millis >= 1 << 42 {
            return None;
        }
        let counter = (((layout >> 64) & 0xfff) << 9) | ((layout >> TAIL_BITS) & 0x1ff);
        let key = RowKey::try_from((millis << COUNTER_BITS) | counter).ok()?;
        (self.uuid(kind, key) == uuid).then_some(key)
    }

    pub(in crate::store) fn endpoint(&self, key: RowKey) -> EndpointId {
        EndpointId::from_uuid(self.uuid(Kind::Endpoint, key))
    }

    pub(in crate::store) fn endpoint_key(&self, id: EndpointId) -> Option<RowKey> {
        self.key(Kind::Endpoint, id.uuid())
    }

    pub(in crate::store) fn event(&self, key: RowKey) -> EventId {
        EventId::from_uuid(self.uuid(Kind::Event, key))
    }

    pub(in crate::store) fn event_key(&self, id: EventId) -> Option<RowKey> {
        self.key(Kind::Event, id.uuid())
    }

    pub(in crate::store) fn delivery(&self, key: RowKey) -> DeliveryId {
        DeliveryId::from_uuid(self.uuid(Kind::Delivery, key))
    }

    pub(in crate::store) fn delivery_key(&self, id: DeliveryId) -> Option<RowKey> {
        self.key(Kind::Delivery, id.uuid())
    }

    pub(in crate::store) fn api_key(&self, key: RowKey) -> KeyId {
        KeyId::from_uuid(self.uuid(Kind::Key, key))
    }

    pub(in crate::store) fn api_key_key(&self, id: KeyId) -> Option<RowKey> {
        self.key(Kind::Key, id.uuid())
    }

    pub(in crate::store) fn replay(&self, key: RowKey) -> ReplayId {
        ReplayId::from_uuid(self.uuid(Kind::Replay, key))
    }

    pub(in crate::store) fn replay_key(&self, id: ReplayId) -> Option<RowKey> {
        self.key(Kind::Replay, id.uuid())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_leads_back_to_its_row(key in 0..i64::MAX, secret: [u8; 16]) {
            let codec = IdCodec::new(&secret);
            let id = codec.delivery(key);
            prop_assert_eq!(codec.delivery_key(id), Some(key));
            prop_assert_eq!(id.uuid().get_version_num(), 7);
            prop_assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        }

        #[test]
        fn ids_sort_as_their_rows_do(one in 0..i64::MAX, other in 0..i64::MAX) {
            let codec = IdCodec::new(&[7; 16]);
            prop_assert_eq!(one.cmp(&other), codec.event(one).cmp(&codec.event(other)));
        }

        #[test]
        fn an_id_of_another_kind_or_store_leads_nowhere(key in 0..i64::MAX) {
            let codec = IdCodec::new(&[7; 16]);
            let elsewhere = IdCodec::new(&[8; 16]);
            let id = codec.event(key);
            prop_assert_eq!(codec.delivery_key(DeliveryId::from_uuid(id.uuid())), None);
            prop_assert_eq!(elsewhere.event_key(id), None);
        }

        #[test]
        fn row_keys_only_grow(steps in prop::collection::vec((-5_000i64..5_000, 1usize..2_000), 1..50)) {
            let mut sequence = KeySequence::after(0);
            let mut now = 1_700_000_000_000;
            let mut last = 0;
            for (step, count) in steps {
                now += step;
                let first = sequence.take(Timestamp::from_millis(now), count);
                prop_assert!(first > last);
                last = first + count as i64 - 1;
            }
        }
    }

    #[test]
    fn the_time_stands_in_the_id() {
        let time = Timestamp::from_millis(1_795_000_000_123);
        assert_eq!(time_of_key(first_key_at(time)), time);
        assert_eq!(time_of_key(first_key_at(time) + 5), time);
    }
}
