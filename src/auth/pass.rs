//! Who has shown a key before, or opened a link to the portal, and is known by it from then
//! on without showing it again: sessions of the dashboard. Whether the key is still good is asked each time,
//! of the store, so that a revocation ends what began with the key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::auth::{Authenticator, Principal, Recognised};
use crate::domain::{KeyId, Role};
use crate::store::{self, StoreError};

/// Which key was shown. It opens nothing by itself: it is made only of a key that was
/// recognised, and kept where nobody can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// One of the store's.
    Key(KeyId),
    /// A link to the portal, which was opened.
    Link(KeyId),
    /// The configuration's, by what of it can be told: another key there ends it.
    Configured([u8; 8]),
}

/// What stands before a configured key's fingerprint.
const CONFIGURED: &str = "configured-";
/// What stands before a link's id.
const LINK: &str = "link-";

impl fmt::Display for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(formatter),
            Self::Link(id) => write!(formatter, "{LINK}{id}"),
            Self::Configured(print) => write!(formatter, "{CONFIGURED}{:016x}", u64::from_be_bytes(*print)),
        }
    }
}

/// Not a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this names no key")]
pub struct PassProblem;

impl FromStr for Pass {
    type Err = PassProblem;

    fn from_str(text: &str) -> Result<Self, PassProblem> {
        if let Some(id) = text.strip_prefix(LINK) {
            return id.parse().map(Self::Link).map_err(|_| PassProblem);
        }
        match text.strip_prefix(CONFIGURED) {
            Some(print) => u64::from_str_radix(print, 16)
                .map(|print| Self::Configured(print.to_be_bytes()))
                .map_err(|_| PassProblem),
            None => text.parse().map(Self::Key).map_err(|_| PassProblem),
        }
    }
}

/// What of a configured key can be told: of its hash, hashed again, a part.
fn print(hash: &[u8; 32]) -> [u8; 8] {
    let digest = Sha256::digest(hash);
    std::array::from_fn(|at| digest[at])
}

impl Authenticator {
    /// What whoever was recognised by a key is known by from then on.
    pub fn pass_of(&self, principal: &Principal) -> Option<Pass> {
        match principal.key {
            Some(key) => Some(Pass::Key(key)),
            None => self.configured.as_ref().map(|hash| Pass::Configured(print(hash))),
        }
    }

    /// Who has this pass; `None` when its key opens nothing any more.
    pub async fn still_known(&self, pass: Pass) -> Result<Option<Recognised>, StoreError> {
        // Before the key is read: what is read then is at least as late.
        let keys_version = self.keys_version();
        let principal = match pass {
            Pass::Configured(shown) => {
                let is_it = self.configured.as_ref().is_some_and(|hash| print(hash) == shown);
                is_it.then_some(Principal { role: Role::Operator, environment: None, partner: None, key: None })
            }
            Pass::Key(id) | Pass::Link(id) => {
                let is_link = matches!(pass, Pass::Link(_));
                let now = self.clock.wall();
                let found = store::blocking(&self.store, move |store| store.key(id)).await?;
                let live = found.filter(|record| record.is_live(now) && record.link.is_some() == is_link);
                if live.is_some() {
                    self.kept_to_change().left.leave(id, now);
                }
                live.map(|record| Principal {
                    role: record.role,
                    environment: record.environment,
                    partner: record.partner,
                    key: Some(record.id),
                })
            }
        };
        Ok(principal.map(|principal| Recognised { principal: Arc::new(principal), keys_version }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pass_is_read_as_it_is_written(id in any::<u128>(), shown in any::<[u8; 8]>()) {
            let id = KeyId::from_uuid(uuid::Uuid::from_u128(id));
            for pass in [Pass::Key(id), Pass::Link(id), Pass::Configured(shown)] {
                prop_assert_eq!(pass.to_string().parse(), Ok(pass));
            }
        }
    }
}
