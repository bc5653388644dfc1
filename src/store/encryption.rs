//! What of a store is sealed: the binding of one endpoint's values, the walk over all
//! of them, and how that is carried out in slices. How a value is sealed is the
//! `keyring`'s; which fields of the settings are secrets is said in `rows`.

use std::collections::BTreeMap;

use serde_json::json;
use zeroize::Zeroizing;

use crate::keyring::{Binding, Keyring, KeyringError, Purpose, RingKeyId};
use crate::store::ids::RowKey;
use crate::store::{AuditEntry, Journal, JournalError, ScopeId, StoreError};

/// Rows that one commit of a re-encryption looks at: a few milliseconds.
const SLICE: usize = 200;

/// Seals and opens the values of one endpoint.
#[derive(Clone, Copy)]
pub(in crate::store) struct Sealer<'a> {
    keyring: &'a Keyring,
    scope: ScopeId,
    endpoint: RowKey,
}

impl<'a> Sealer<'a> {
    pub(in crate::store) fn new(keyring: &'a Keyring, scope: ScopeId, endpoint: RowKey) -> Self {
        Self { keyring, scope, endpoint }
    }

    fn binding<'b>(&self, purpose: Purpose<'b>) -> Binding<'b> {
        Binding::new(purpose, self.scope.0, self.endpoint)
    }

    /// A value as it is to be stored.
    pub(in crate::store) fn seal(&self, purpose: Purpose<'_>, plain: &str) -> Result<String, StoreError> {
        self.keyring.seal(plain, &self.binding(purpose)).map_err(not_to_be_had)
    }

    /// A value that was stored.
    pub(in crate::store) fn open(&self, purpose: Purpose<'_>, stored: &str) -> Result<Zeroizing<String>, StoreError> {
        self.keyring.open(stored, &self.binding(purpose)).map_err(not_to_be_had)
    }

    /// A stored value, sealed anew; `None` where it is as it would be sealed now.
    pub(in crate::store) fn reencrypt(&self, purpose: Purpose<'_>, stored: &str) -> Result<Option<String>, StoreError> {
        if self.keyring.is_current(stored).map_err(not_to_be_had)? {
            return Ok(None);
        }
        let plain = self.open(purpose, stored)?;
        self.seal(purpose, &plain).map(Some)
    }
}

/// A value that cannot be read, or sealed, as an error of the store.
pub(in crate::store) fn not_to_be_had(error: KeyringError) -> StoreError {
    match error {
        KeyringError::UnknownKey(_) => {
            StoreError::Configuration(format!("{error}: give this node the key that other nodes seal with"))
        }
        KeyringError::Randomness(_) => StoreError::Unavailable(error.to_string()),
        KeyringError::DoesNotOpen(_) | KeyringError::Damaged(_) => StoreError::Corrupt(error.to_string()),
    }
}

/// How far a walk over everything that is sealed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncryptedPlace {
    pub(in crate::store) part: EncryptedPart,
    pub(in crate::store) endpoint: RowKey,
    /// The version of the settings, or the number of the secret.
    pub(in crate::store) number: i64,
}

/// The tables with sealed values, in the order of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum EncryptedPart {
    Settings,
    Secrets,
}

/// How many values stand where, by what they are sealed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionCounts {
    /// As they are.
    pub clear: u64,
    /// Sealed.
    pub by_key: BTreeMap<RingKeyId, u64>,
}

impl EncryptionCounts {
    /// One value more.
    pub(in crate::store) fn count(&mut self, sealed_with: Option<RingKeyId>) {
        match sealed_with {
            None => self.clear += 1,
            Some(key) => *self.by_key.entry(key).or_default() += 1,
        }
    }

    /// Those of another part of the store as well.
    pub fn add(&mut self, others: Self) {
        self.clear += others.clear;
        for (key, count) in others.by_key {
            *self.by_key.entry(key).or_default() += count;
        }
    }
}

/// A slice of a re-encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReencryptedSlice {
    /// Rows that were looked at.
    pub rows: usize,
    /// Values that were sealed anew.
    pub values: usize,
    /// Rows that were left as they are: a value in them does not open.
    pub unreadable: usize,
    /// Where to go on; `None` at the end.
    pub next: Option<EncryptedPlace>,
}

/// What a re-encryption has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reencrypted {
    /// Rows that were looked at.
    pub rows: u64,
    /// Values that were sealed anew.
    pub values: u64,
    /// Rows that were left as they are, because a value in them does not open: the log
    /// says whose.
    pub unreadable: u64,
    /// Keys that the store needs no more, and may be taken out of the ring.
    pub released: Vec<RingKeyId>,
}

/// Seals everything with the current key that is not yet, slice by slice, each a
/// commit: whatever ends it half-way, every value can be read, and the next one goes
/// on. `entry` says in the audit log that it was begun, with the first slice, and what
/// came of it. `progress` hears after each slice.
pub async fn reencrypt(
    journal: &Journal,
    entry: AuditEntry,
    mut progress: impl FnMut(&Reencrypted),
) -> Result<Reencrypted, JournalError> {
    let mut done = Reencrypted::default();
    let mut after = None;
    loop {
        let from = after;
        let begun = entry.clone().with(json!({ "state": "begun" }));
        let sealing = journal.change(move |transaction| {
            if from.is_none() {
                transaction.audit(&begun);
            }
            transaction.reencrypt(from, SLICE)
        });
        let slice = sealing.await?;
        done.rows += slice.rows as u64;
        done.values += slice.values as u64;
        done.unreadable += slice.unreadable as u64;
        progress(&done);
        match slice.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let (values, unreadable) = (done.values, done.unreadable);
    let releasing = journal.change(move |transaction| {
        let released = transaction.release_unused_keys()?;
        let ids: Vec<&str> = released.iter().map(RingKeyId::as_str).collect();
        let detail = json!({ "state": "done", "values": values, "unreadable": unreadable, "released": ids });
        transaction.audit(&entry.clone().with(detail));
        Ok(released)
    });
    done.released = releasing.await?;
    Ok(done)
}
