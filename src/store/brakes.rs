//! What operators hold: all endpoints of a partner, or of a whole environment,
//! whatever partners say.

use crate::domain::Timestamp;
use crate::store::Scope;

/// A brake in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brake {
    /// What it is over: a partner in an environment, or all of the environment.
    pub scope: Scope,
    /// Since when.
    pub since: Timestamp,
    /// What the operator had to say about it.
    pub reason: Option<String>,
}

impl Brake {
    /// Whether something of this scope is held by it.
    pub fn touches(&self, scope: &Scope) -> bool {
        let is_same = self.scope.partner == scope.partner;
        self.scope.environment == scope.environment
            && (is_same || self.scope.partner.is_none() || scope.partner.is_none())
    }
}
