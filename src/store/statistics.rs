//! What is counted of attempts and events, as it is written down and asked for: by the
//! minute, later by the hour. What is counted is [`Tally`]'s to say; here is how it
//! stands in a row.
//!
//! A tally is a list of numbers, each with its name's number before it, and nothing where
//! it is zero; then its histograms. Names that are not known are passed over: the next
//! release may have more of them.

use crate::domain::{EndpointId, EventType, Failure, Histogram, NodeId, Tally, Timestamp};
use crate::store::{ScopeId, StoreError};

/// How long a stretch is that is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Minutes, for two days.
    Minute,
    /// Hours, as long as deliveries are kept.
    Hour,
}

impl Resolution {
    /// How many milliseconds that is.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }

    /// The stretch that a time is in, by its begin.
    pub const fn bucket_of(self, time: Timestamp) -> Timestamp {
        Timestamp::from_millis(time.as_millis().div_euclid(self.millis()) * self.millis())
    }

    /// Its number in the store.
    pub(in crate::store) const fn number(self) -> i64 {
        match self {
            Self::Minute => 0,
            Self::Hour => 1,
        }
    }
}

/// Whom something is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountedAbout {
    /// The partner, or all of an environment.
    pub scope: ScopeId,
    /// The endpoint; `None` is the sum over the scope.
    pub endpoint: Option<EndpointId>,
}

/// What was counted of a type of events in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// When it begins.
    pub bucket: Timestamp,
    /// Of which type; `None` where types found no room of their own, and of a sum over
    /// types.
    pub event_type: Option<EventType>,
    /// How much.
    pub tally: Tally,
}

/// Which counts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsQuestion {
    /// How fine. Hours are told with what is still there of minutes.
    pub resolution: Resolution,
    /// From the stretch that begins then.
    pub since: Timestamp,
    /// Up to the stretch that begins then, without it.
    pub until: Timestamp,
    /// Of which types.
    pub types: CountedTypes,
}

/// Of which types counts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountedTypes {
    /// Of all, added up.
    Sum,
    /// Of this one.
    Only(EventType),
    /// Of each by itself, in the order of their names, what found no room of its own
    /// before all others: no more than so many of those behind this one.
    Each {
        /// `Some(None)` is what found no room.
        after: Option<Option<EventType>>,
        /// How many.
        limit: usize,
    },
}

/// How a row says that its types found no room of their own.
const ANY_TYPE: &str = "*";

/// A row's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::store) struct StatisticsKey {
    pub(in crate::store) resolution: i64,
    pub(in crate::store) scope: i64,
    pub(in crate::store) endpoint: i64,
    pub(in crate::store) bucket: i64,
    pub(in crate::store) event_type: String,
    pub(in crate::store) writer: i64,
}

/// A row.
pub(in crate::store) struct StatisticsRow {
    pub(in crate::store) key: StatisticsKey,
    pub(in crate::store) tally: Vec<u8>,
}

/// The number of whoever writes rows: drawn with its id. Two that were to share one
/// would count too little for a minute.
pub(in crate::store) fn writer_number(writer: NodeId) -> i64 {
    (writer.uuid().as_u128() & 0x3fff_ffff_ffff_ffff) as i64
}

/// A type as a row has it.
pub(in crate::store) fn type_text(event_type: Option<&EventType>) -> &str {
    event_type.map_or(ANY_TYPE, EventType::as_str)
}

/// The type that a row has.
pub(in crate::store) fn type_of(text: &str) -> Result<Option<EventType>, StoreError> {
    if text == ANY_TYPE {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| StoreError::Corrupt(format!("statistics of {error}")))
}

/// The numbers of single counts; those of failures follow [`FAILURES`].
const SINGLE: [u64; 6] = [1, 2, 3, 4, 5, 6];
const FAILURES: u64 = 32;
const ATTEMPT_MS: u64 = 1;
const DELIVERY_MS: u64 = 2;

/// A tally as a row has it.
pub(in crate::store) fn packed(tally: &Tally) -> Vec<u8> {
    let single = [tally.events, tally.deliveries, tally.succeeded, tally.delivered, tally.exhausted, tally.expired];
    let failures = tally.failures.iter().zip(FAILURES..).map(|(count, number)| (number, *count));
    let counts: Vec<(u64, u64)> =
        SINGLE.into_iter().zip(single).chain(failures).filter(|(_, count)| *count > 0).collect();
    let mut bytes = Vec::with_capacity(64);
    put(&mut bytes, counts.len() as u64);
    for (number, count) in counts {
        put(&mut bytes, number);
        put(&mut bytes, count);
    }
    for (number, histogram) in [(ATTEMPT_MS, &tally.attempt_ms), (DELIVERY_MS, &tally.delivery_ms)] {
        let steps = histogram.steps();
        if !steps.is_empty() {
            put(&mut bytes, number);
            put(&mut bytes, steps.len() as u64);
            for (step, count) in steps {
                bytes.push(*step);
                put(&mut bytes, *count);
            }
        }
    }
    bytes
}

/// The tally that a row has.
pub(in crate::store) fn unpacked(bytes: &[u8]) -> Result<Tally, StoreError> {
    read(bytes).ok_or_else(|| StoreError::Corrupt("statistics that cannot be read".into()))
}

fn read(mut bytes: &[u8]) -> Option<Tally> {
    let mut tally = Tally::default();
    for _ in 0..take(&mut bytes)? {
        let (number, count) = (take(&mut bytes)?, take(&mut bytes)?);
        let place = match number {
            1 => &mut tally.events,
            2 => &mut tally.deliveries,
            3 => &mut tally.succeeded,
            4 => &mut tally.delivered,
            5 => &mut tally.exhausted,
            6 => &mut tally.expired,
            _ => match tally.failures.get_mut(usize::try_from(number.checked_sub(FAILURES)?).ok()?) {
                Some(place) => place,
                None => continue,
            },
        };
        *place = count;
    }
    while !bytes.is_empty() {
        let (number, length) = (take(&mut bytes)?, take(&mut bytes)?);
        let mut steps = Vec::new();
        for _ in 0..length {
            let (step, rest) = bytes.split_first()?;
            bytes = rest;
            steps.push((*step, take(&mut bytes)?));
        }
        match number {
            ATTEMPT_MS => tally.attempt_ms = Histogram::from_steps(steps)?,
            DELIVERY_MS => tally.delivery_ms = Histogram::from_steps(steps)?,
            _ => {}
        }
    }
    Some(tally)
}

/// Seven bits a byte, the lowest first; the highest bit says that there is more.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

// Every failure has its number, and none is a single count's.
const _: () = assert!(FAILURES as usize > SINGLE.len() && Failure::ALL.len() < 32);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any tally.
    fn tallies() -> impl Strategy<Value = Tally> {
        let histogram = || {
            prop::collection::vec(0..100_000_000u64, 0..20).prop_map(|took| {
                let mut histogram = Histogram::default();
                took.into_iter().for_each(|millis| histogram.add(millis));
                histogram
            })
        };
        let count = || prop_oneof![Just(0u64), 0..1_000u64, Just(u64::MAX >> 8)];
        (prop::array::uniform6(count()), prop::array::uniform9(count()), histogram(), histogram()).prop_map(
            |([events, deliveries, succeeded, delivered, exhausted, expired], failures, attempt_ms, delivery_ms)| {
                Tally {
                    events,
                    deliveries,
                    succeeded,
                    failures,
                    delivered,
                    exhausted,
                    expired,
                    attempt_ms,
                    delivery_ms,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_tally_reads_back_as_it_was_written(tally in tallies()) {
            prop_assert_eq!(read(&packed(&tally)), Some(tally));
        }

        #[test]
        fn whatever_stands_in_a_row_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpacked(&bytes);
        }

        #[test]
        fn what_is_cut_off_is_refused(tally in tallies(), cut in any::<prop::sample::Index>()) {
            let bytes = packed(&tally);
            let cut = &bytes[..cut.index(bytes.len())];
            // Between two histograms a cut cannot be seen.
            prop_assert!(read(cut).is_none_or(|read| read.events == tally.events));
        }

        #[test]
        fn a_later_releases_names_are_passed_over(tally in tallies(), count in 1..1_000u64) {
            let packed = packed(&tally);
            let mut bytes = Vec::new();
            let mut rest = packed.as_slice();
            put(&mut bytes, take(&mut rest).expect("how many") + 1);
            put(&mut bytes, FAILURES + 31);
            put(&mut bytes, count);
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(&[9, 1, 7, 7]);
            prop_assert_eq!(read(&bytes), Some(tally));
        }
    }

    #[test]
    fn a_stretch_begins_where_it_should() {
        let at = Timestamp::from_millis(7_325_999);
        assert_eq!(Resolution::Minute.bucket_of(at).as_millis(), 7_320_000);
        assert_eq!(Resolution::Hour.bucket_of(at).as_millis(), 7_200_000);
        assert_eq!(Resolution::Minute.bucket_of(Timestamp::from_millis(-1)).as_millis(), -60_000);
        assert!(matches!(type_of(type_text(None)), Ok(None)));
    }
}
