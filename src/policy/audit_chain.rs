//! How the audit log is a chain: what an entry's hash is made of, and whether
//! entries hang together. Where they are kept and read from is not decided here.

use sha2::{Digest, Sha256};

use crate::domain::{AuditHash, AuditHead, AuditRecord, Environment};

/// Stands before everything that is hashed, so that no other hash of Posthaste's is
/// ever one of these.
const WHAT: &[u8] = b"posthaste audit log 1";

/// The hash of an entry: SHA-256 over all of it but its hash. Each field has its length
/// before it, or a byte that says that there is none, so that no two entries are the
/// same bytes.
pub fn hash_of(record: &AuditRecord) -> AuditHash {
    // Whoever adds a field decides here how it is hashed.
    let AuditRecord {
        number,
        at,
        environment,
        partner,
        actor,
        key,
        address,
        action,
        subject,
        detail,
        salt,
        previous_hash,
        hash: _,
    } = record;
    let mut hasher = Sha256::new();
    let mut put = |field: Option<&[u8]>| match field {
        None => hasher.update([0]),
        Some(bytes) => {
            hasher.update([1]);
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        }
    };
    put(Some(WHAT));
    put(Some(previous_hash.as_bytes()));
    put(Some(&number.to_be_bytes()));
    put(Some(&at.as_millis().to_be_bytes()));
    put(environment.map(Environment::as_str).map(str::as_bytes));
    put(partner.as_deref().map(str::as_bytes));
    put(Some(actor.as_bytes()));
    put(key.as_deref().map(str::as_bytes));
    put(address.as_deref().map(str::as_bytes));
    put(Some(action.as_bytes()));
    put(Some(subject.as_bytes()));
    put(Some(detail.as_bytes()));
    put(Some(salt));
    AuditHash::from_bytes(hasher.finalize().into())
}

/// Gives an entry its place behind `head`, and answers the new head.
pub fn append(record: &mut AuditRecord, head: AuditHead) -> AuditHead {
    record.number = head.number + 1;
    record.previous_hash = head.hash;
    record.hash = hash_of(record);
    AuditHead { number: record.number, hash: record.hash }
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// Another number comes where this one should.
    #[error("entry {expected} is missing: entry {found} comes next")]
    Missing {
        /// Which should come.
        expected: i64,
        /// Which does.
        found: i64,
    },
    /// It says that another entry is before it.
    #[error("it does not follow from the entry before it")]
    NotInChain,
    /// Its hash is not of what it says.
    #[error("it does not say what its hash was made of")]
    Changed,
    /// It was another one when somebody noted its hash.
    #[error("its hash is not the one that was noted")]
    NotAsNoted,
    /// What stands there is no entry.
    #[error("it cannot be read as an entry")]
    Unreadable,
    /// The last entries are gone.
    #[error("it is missing: the log ends before it")]
    CutOff,
    /// Entries stand behind the last one that was written.
    #[error("it was not written by Posthaste: the log ended before it")]
    Beyond,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The last entry that is in order, with all before it.
    pub head: AuditHead,
    /// The number of the first that is not, and why.
    pub broken: Option<(i64, Break)>,
}

/// A check of a log, page by page from its first entry on. What is written meanwhile
/// is left out.
#[derive(Debug, Clone)]
pub struct ChainCheck {
    /// Where the log ended when the check began.
    end: AuditHead,
    noted: Option<AuditHead>,
    head: AuditHead,
    broken: Option<(i64, Break)>,
}

impl ChainCheck {
    /// A check of a log that ends with `end` by what was written down of it, and whose
    /// last entry has the number `last`; and, if somebody noted an entry, whether that
    /// is still in it.
    pub fn new(end: AuditHead, last: i64, noted: Option<AuditHead>) -> Self {
        let head = AuditHead { number: 0, hash: AuditHash::GENESIS };
        let mut check = Self { end, noted, head, broken: None };
        if last > end.number {
            check.broken = Some((end.number + 1, Break::Beyond));
        } else if end.number == 0 && end.hash != AuditHash::GENESIS {
            check.broken = Some((1, Break::CutOff));
        } else if let Some(noted) = noted.filter(|noted| noted.number > end.number) {
            check.broken = Some((noted.number, Break::CutOff));
        } else if noted.is_some_and(|noted| noted.number == 0 && noted.hash != AuditHash::GENESIS) {
            check.broken = Some((0, Break::NotAsNoted));
        }
        check
    }

    /// How many entries there are to check.
    pub fn entries(&self) -> i64 {
        self.end.number
    }

    /// The last entry that was checked.
    pub fn checked(&self) -> i64 {
        self.head.number
    }

    /// Whether nothing more need be read.
    pub fn is_over(&self) -> bool {
        self.broken.is_some() || self.head.number == self.end.number
    }

    /// Takes the next entries, in the order of their numbers: all that there are, or as
    /// many as were read. None at all means that there are no more.
    pub fn take(&mut self, records: &[AuditRecord]) {
        if records.is_empty() && !self.is_over() {
            self.broken = Some((self.head.number + 1, Break::CutOff));
        }
        for record in records {
            if self.is_over() {
                return;
            }
            if let Err(why) = self.check(record) {
                self.broken = Some((record.number.min(self.head.number + 1), why));
                return;
            }
            self.head = AuditHead { number: record.number, hash: record.hash };
        }
    }

    /// What comes next is there, and is no entry.
    pub fn cannot_read(&mut self) {
        if !self.is_over() {
            self.broken = Some((self.head.number + 1, Break::Unreadable));
        }
    }

    fn check(&self, record: &AuditRecord) -> Result<(), Break> {
        let expected = self.head.number + 1;
        if record.number != expected {
            return Err(Break::Missing { expected, found: record.number });
        }
        if record.previous_hash != self.head.hash {
            return Err(Break::NotInChain);
        }
        if record.hash != hash_of(record) {
            return Err(Break::Changed);
        }
        if self.noted.is_some_and(|noted| noted.number == record.number && noted.hash != record.hash) {
            return Err(Break::NotAsNoted);
        }
        // The log was written anew, and what was noted beside it was not.
        if record.number == self.end.number && record.hash != self.end.hash {
            return Err(Break::NotInChain);
        }
        Ok(())
    }

    /// What came of it, once it is over.
    pub fn verdict(&self) -> Verdict {
        Verdict { head: self.head, broken: self.broken }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Timestamp;

    const START: AuditHead = AuditHead { number: 0, hash: AuditHash::GENESIS };

    prop_compose! {
        fn record()(
            at in any::<i64>(),
            environment in prop::option::of(prop::sample::select(&Environment::ALL)),
            partner in prop::option::of("[a-z]{0,3}"),
            actor in "[a-z]{0,3}",
            key in prop::option::of("[a-z]{0,3}"),
            address in prop::option::of("[0-9.]{0,3}"),
            action in "[a-z.]{0,3}",
            subject in ".{0,3}",
            detail in ".{0,3}",
            salt in any::<[u8; 16]>(),
        ) -> AuditRecord {
            AuditRecord {
                number: 0, at: Timestamp::from_millis(at), environment, partner, actor, key, address, action, subject,
                detail, salt, previous_hash: AuditHash::GENESIS, hash: AuditHash::GENESIS,
            }
        }
    }

    fn chained(mut records: Vec<AuditRecord>) -> (Vec<AuditRecord>, AuditHead) {
        let head = records.iter_mut().fold(START, |head, record| append(record, head));
        (records, head)
    }

    /// A check in pages of this many.
    fn check(records: &[AuditRecord], end: AuditHead, noted: Option<AuditHead>, page: usize) -> Verdict {
        let mut check = ChainCheck::new(end, records.last().map_or(0, |last| last.number), noted);
        let mut pages = records.chunks(page);
        while !check.is_over() {
            check.take(pages.next().unwrap_or_default());
        }
        check.verdict()
    }

    /// Changes one field, whichever `which` says.
    fn tampered(mut record: AuditRecord, which: usize) -> AuditRecord {
        let other = |text: &mut Option<String>| match text {
            None => *text = Some(String::new()),
            Some(_) => *text = None,
        };
        match which {
            0 => record.at = Timestamp::from_millis(record.at.as_millis() ^ 1),
            1 => {
                record.environment = match record.environment {
                    None => Some(Environment::Sandbox),
                    Some(Environment::Sandbox) => Some(Environment::Production),
                    Some(Environment::Production) => None,
                }
            }
            2 => other(&mut record.partner),
            3 => record.actor.push('x'),
            4 => other(&mut record.key),
            5 => other(&mut record.address),
            6 => record.action.push('x'),
            // The same bytes in a row, cut elsewhere.
            7 if !record.detail.is_empty() => {
                let first = record.detail.remove(0);
                record.subject.push(first);
            }
            7 => record.subject.push('x'),
            8 => record.detail.push('x'),
            9 => record.salt[3] ^= 128,
            10 => record.number += 1,
            11 => record.previous_hash = AuditHash::from_bytes([7; 32]),
            _ => record.hash = AuditHash::from_bytes([7; 32]),
        }
        record
    }

    proptest! {
        #[test]
        fn a_log_as_it_was_written_is_whole(records in prop::collection::vec(record(), 0..12), page in 1..5_usize) {
            let (records, end) = chained(records);
            let whole = Verdict { head: end, broken: None };
            prop_assert_eq!(check(&records, end, None, page), whole.clone());
            for noted in records.iter().map(|record| AuditHead { number: record.number, hash: record.hash }) {
                prop_assert_eq!(check(&records, end, Some(noted), page), whole.clone());
                let other = AuditHead { hash: AuditHash::from_bytes([7; 32]), ..noted };
                let broken = check(&records, end, Some(other), page).broken;
                prop_assert_eq!(broken, Some((noted.number, Break::NotAsNoted)));
            }
            let longer = AuditHead { number: end.number + 3, ..end };
            prop_assert_eq!(check(&records, end, Some(longer), page).broken, Some((longer.number, Break::CutOff)));
        }

        #[test]
        fn whatever_is_done_to_a_log_is_noticed(
            records in prop::collection::vec(record(), 1..12),
            another in record(),
            page in 1..5_usize,
            at in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
            which in 0..13_usize,
        ) {
            let (records, end) = chained(records);
            let (at, to) = (at.index(records.len()), to.index(records.len()));
            let is_broken = |records: &[AuditRecord]| check(records, end, None, page).broken;

            let mut changed = records.clone();
            changed[at] = tampered(changed[at].clone(), which);
            let found = is_broken(&changed);
            prop_assert!(found.is_some_and(|(number, _)| number <= at as i64 + 2), "{:?}", found);
            // With a hash that fits again, the next entry tells, or the end.
            changed[at].hash = hash_of(&changed[at]);
            prop_assert!(changed == records || is_broken(&changed).is_some());

            let mut dropped = records.clone();
            dropped.remove(at);
            prop_assert!(is_broken(&dropped).is_some());
            if at != to {
                let mut swapped = records.clone();
                swapped.swap(at, to);
                prop_assert!(is_broken(&swapped).is_some());
                let (one, other) = (swapped[at].number, swapped[to].number);
                (swapped[at].number, swapped[to].number) = (other, one);
                prop_assert!(is_broken(&swapped).is_some(), "with their numbers put right");
            }
            let mut inserted = records.clone();
            inserted.insert(at, AuditRecord { number: at as i64 + 1, ..another.clone() });
            prop_assert!(is_broken(&inserted).is_some());
            let mut added = records.clone();
            let mut last = another.clone();
            append(&mut last, end);
            added.push(last);
            prop_assert_eq!(is_broken(&added), Some((end.number + 1, Break::Beyond)));

            // All of it anew, hashes and all: by what was noted of it before.
            let mut anew = records.clone();
            anew[at] = AuditRecord { salt: another.salt, ..anew[at].clone() };
            let (anew, new_end) = chained(anew);
            if another.salt != records[at].salt {
                let noted = AuditHead { number: records[at].number, hash: records[at].hash };
                prop_assert!(check(&anew, end, None, page).broken.is_some(), "its end was noted beside it");
                prop_assert!(check(&anew, new_end, Some(noted), page).broken.is_some(), "and elsewhere");
            }
        }
    }

    #[test]
    fn the_hash_of_an_entry_stays_what_it_is() {
        let mut record = AuditRecord {
            number: 0,
            at: Timestamp::from_millis(1_900_000_000_000),
            environment: Some(Environment::Production),
            partner: Some("acme".into()),
            actor: "operator (configured)".into(),
            key: None,
            address: Some("127.0.0.1".into()),
            action: "endpoint.paused".into(),
            subject: "ep_01h455vb4pex5vsknk084sn02q".into(),
            detail: "{}".into(),
            salt: [9; 16],
            previous_hash: AuditHash::GENESIS,
            hash: AuditHash::GENESIS,
        };
        let head = append(&mut record, START);
        // Worked out apart from this code: a release that hashes otherwise calls every log broken.
        assert_eq!(head.hash.to_string(), "db6e2134baf3f0bb2a48cc7742eaf33bf04a20f8127634e5cbb5516afe1409d7");
    }

    #[test]
    fn an_empty_log_is_whole_unless_something_was_in_it() {
        assert_eq!(check(&[], START, None, 1), Verdict { head: START, broken: None });
        assert_eq!(check(&[], START, Some(START), 1).broken, None);
        let one = AuditHead { number: 1, hash: AuditHash::from_bytes([7; 32]) };
        assert_eq!(check(&[], one, None, 1).broken, Some((1, Break::CutOff)));
        assert_eq!(check(&[], START, Some(one), 1).broken, Some((1, Break::CutOff)));
        let forged = AuditHead { number: 0, ..one };
        assert_eq!(check(&[], forged, None, 1).broken, Some((1, Break::CutOff)));
        assert_eq!(check(&[], START, Some(forged), 1).broken, Some((0, Break::NotAsNoted)));
    }
}
