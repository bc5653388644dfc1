//! What is written into the audit log and asked of it, and how it is read to be
//! checked. What its hashes are made of is in `policy::audit_chain`, what of it
//! somebody may see in `routes`.

use std::net::IpAddr;

use crate::domain::{Actor, AuditAction, AuditHead, Environment, KeyId, PartnerName, Timestamp};
use crate::policy::audit_chain::ChainCheck;
use crate::store::{Scope, Store, StoreError};

/// Entries that are read and checked at once. The largest has two versions of an
/// endpoint's settings in it.
const CHECKED_AT_ONCE: usize = 250;

/// Something that was done, to be written down with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who did it.
    pub actor: Actor,
    /// By which key, if it has an id.
    pub key: Option<KeyId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What was done.
    pub action: AuditAction,
    /// To what: an id or a name.
    pub subject: String,
    /// Where; `None` is both environments.
    pub environment: Option<Environment>,
    /// Whose it is, and so who else may know; `None` is nobody's, or everybody's.
    pub partner: Option<PartnerName>,
    /// More of it: a JSON object without anything that is secret.
    pub detail: String,
}

impl AuditEntry {
    /// Something that Posthaste or a command did, and no request.
    pub fn new(actor: Actor, action: AuditAction) -> Self {
        Self {
            actor,
            key: None,
            address: None,
            action,
            subject: String::new(),
            environment: None,
            partner: None,
            detail: "{}".to_owned(),
        }
    }

    /// The same, done to this.
    #[must_use]
    pub fn about(mut self, subject: impl ToString) -> Self {
        self.subject = subject.to_string();
        self
    }

    /// The same, to something of this scope.
    #[must_use]
    pub fn of(self, scope: &Scope) -> Self {
        self.belonging_to(Some(scope.environment), scope.partner.clone())
    }

    /// The same, to something of this partner in this environment, as far as it has any.
    #[must_use]
    pub fn belonging_to(mut self, environment: Option<Environment>, partner: Option<PartnerName>) -> Self {
        (self.environment, self.partner) = (environment, partner);
        self
    }

    /// The same, with more to say of it: a JSON object.
    #[must_use]
    pub fn with(mut self, detail: impl ToString) -> Self {
        self.detail = detail.to_string();
        self
    }
}

/// Which entries. What is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this environment alone: what is of both is left out.
    pub environment: Option<Environment>,
    /// About this partner alone.
    pub partner: Option<PartnerName>,
    /// Of this kind.
    pub action: Option<AuditAction>,
    /// About exactly this.
    pub subject: Option<String>,
    /// Done by these: the words of `domain::Actor`.
    pub actor: Option<String>,
    /// Done by the key with this id.
    pub key: Option<KeyId>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditEnd {
    /// What was written down of its last entry, beside the log.
    pub head: AuditHead,
    /// The largest number in the log itself; 0 where it is empty.
    pub last: i64,
}

/// Begins to check the log as it is now; and whether an entry that was noted is
/// still in it. Blocks.
pub fn begin_check(store: &dyn Store, noted: Option<AuditHead>) -> Result<ChainCheck, StoreError> {
    let AuditEnd { head, last } = store.audit_end()?;
    Ok(ChainCheck::new(head, last, noted))
}

/// Checks the next part of it, unless the check is over: in a read of its own, so that a
/// long log is in nobody's way. Blocks.
pub fn check_more(store: &dyn Store, check: &mut ChainCheck) -> Result<(), StoreError> {
    if !check.is_over() {
        let after = if check.checked() == 0 { i64::MIN } else { check.checked() };
        match store.audit_chain(after, CHECKED_AT_ONCE) {
            // Those before the one that is no entry are checked one by one.
            Err(StoreError::Corrupt(_)) => match store.audit_chain(after, 1) {
                Err(StoreError::Corrupt(_)) => check.cannot_read(),
                next => check.take(&next?),
            },
            read => check.take(&read?),
        }
    }
    Ok(())
}
