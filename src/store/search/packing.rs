//! How the hashes of a segment and the events that have them are written down: few rows
//! instead of many, so that indexing costs next to nothing. Of a hash, the first eight
//! bits say in which bucket it is, and the next 32 stand in it; hashes that are the same
//! as far as that are told apart by whoever looks at the events.
//!
//! A bucket is a sequence of groups, by hash: four bytes of the hash, how many events
//! have it, and their keys, each as its distance from the one before it, the first from
//! the segment's first key. Numbers are written seven bits a byte.

use std::collections::BTreeMap;

use crate::store::ids::RowKey;

/// A bucket of a segment.
pub(in crate::store) type Packed = Vec<u8>;

/// The bucket of a hash, and what stands of it there.
pub(in crate::store) fn place_of(hash: u64) -> (u8, u32) {
    ((hash >> 56) as u8, (hash >> 24) as u32)
}

/// The buckets of a segment; those that would be empty are left out.
pub(in crate::store) fn pack(first_key: RowKey, entries: Vec<(u64, RowKey)>) -> BTreeMap<u8, Packed> {
    let mut placed: Vec<((u8, u32), RowKey)> = entries.into_iter().map(|(hash, key)| (place_of(hash), key)).collect();
    placed.sort_unstable();
    placed.dedup();
    let mut buckets: BTreeMap<u8, Packed> = BTreeMap::new();
    for group in placed.chunk_by(|one, other| one.0 == other.0) {
        let Some(((bucket, tail), _)) = group.first() else { continue };
        let bytes = buckets.entry(*bucket).or_default();
        bytes.extend_from_slice(&tail.to_be_bytes());
        write_number(bytes, group.len() as u64);
        let mut before = first_key;
        for (_, key) in group {
            // Keys lie behind the first one of the segment, and are sorted.
            write_number(bytes, key.abs_diff(before));
            before = *key;
        }
    }
    buckets
}

/// The events of a bucket that have a hash, by key; `None` where the bucket cannot be
/// read.
pub(in crate::store) fn find(bytes: &[u8], first_key: RowKey, tail: u32) -> Option<Vec<RowKey>> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (found, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        let found = u32::from_be_bytes(*found);
        let count = read_number(&mut rest)?;
        if found < tail {
            for _ in 0..count {
                skip_number(&mut rest)?;
            }
            continue;
        }
        if found > tail {
            return Some(Vec::new());
        }
        let mut keys = Vec::with_capacity(usize::try_from(count).ok()?.min(rest.len()));
        let mut key = first_key;
        for _ in 0..count {
            key = key.checked_add(i64::try_from(read_number(&mut rest)?).ok()?)?;
            keys.push(key);
        }
        return Some(keys);
    }
    Some(Vec::new())
}

fn write_number(bytes: &mut Packed, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn skip_number(rest: &mut &[u8]) -> Option<()> {
    let last = rest.iter().position(|byte| byte & 0x80 == 0)?;
    *rest = &rest[last + 1..];
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few different ones, so that some events share them.
    fn any_hash() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), (0u64..4, 0u64..4).prop_map(|(bucket, tail)| (bucket << 56) | (tail << 24))]
    }

    proptest! {
        #[test]
        fn whatever_was_packed_is_found_and_nothing_else(
            first in 0i64..1 << 62,
            entries in prop::collection::vec((any_hash(), 0i64..1 << 50), 0..200),
            other in any_hash(),
        ) {
            let entries: Vec<(u64, RowKey)> = entries.into_iter().map(|(hash, behind)| (hash, first + behind)).collect();
            let buckets = pack(first, entries.clone());
            for hash in entries.iter().map(|(hash, _)| *hash).chain([other]) {
                let (bucket, tail) = place_of(hash);
                let mut expected: Vec<RowKey> =
                    entries.iter().filter(|(of, _)| place_of(*of) == (bucket, tail)).map(|(_, key)| *key).collect();
                expected.sort_unstable();
                expected.dedup();
                let found = buckets.get(&bucket).map_or(Some(Vec::new()), |bytes| find(bytes, first, tail));
                prop_assert_eq!(found, Some(expected));
            }
            prop_assert!(buckets.values().all(|bytes| !bytes.is_empty()));
        }

        #[test]
        fn numbers_read_back(number: u64, behind: Vec<u8>) {
            let mut bytes = Packed::new();
            write_number(&mut bytes, number);
            bytes.extend_from_slice(&behind);
            let (mut read, mut skipped) = (&bytes[..], &bytes[..]);
            prop_assert_eq!(read_number(&mut read), Some(number));
            skip_number(&mut skipped).expect("there is one");
            prop_assert_eq!((read, skipped), (&behind[..], &behind[..]));
        }

        #[test]
        fn what_is_no_bucket_brings_nothing_down(bytes: Vec<u8>, first in 0i64..1 << 62, tail: u32) {
            let _ = find(&bytes, first, tail);
        }
    }
}
