//! Tenants, the two environments that share nothing, and the roles of keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::domain::Timestamp;

/// Sandbox or production: the two share nothing but partners' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Environment {
    /// For trying things out.
    Sandbox,
    /// The real thing; what an operator's key means when it names none.
    Production,
}

impl Environment {
    /// Both, for loops over all there is.
    pub const ALL: [Self; 2] = [Self::Sandbox, Self::Production];

    /// The word used in the API, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that names no environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an environment: use `sandbox` or `production`")]
pub struct EnvironmentError(String);

impl FromStr for Environment {
    type Err = EnvironmentError;

    fn from_str(text: &str) -> Result<Self, EnvironmentError> {
        match text {
            "sandbox" => Ok(Self::Sandbox),
            "production" => Ok(Self::Production),
            other => Err(EnvironmentError(other.chars().take(64).collect())),
        }
    }
}

/// What a key may do (`product.md`, "Keys have a role").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its own endpoints, deliveries and replays.
    Partner,
    /// Posts events, for one partner or for all.
    Producer,
    /// Everything.
    Operator,
}

impl Role {
    /// The word used in the API and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Producer => "producer",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A word that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: use `partner`, `producer` or `operator`")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        match text {
            "partner" => Ok(Self::Partner),
            "producer" => Ok(Self::Producer),
            "operator" => Ok(Self::Operator),
            other => Err(RoleError(other.chars().take(64).collect())),
        }
    }
}

/// A partner's name: 1–64 of `a-z`, `0-9`, `-`, `_`, `.`, beginning with a
/// letter or a digit, so that it never needs escaping in a URL or a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartnerName(Arc<str>);

/// A text that cannot be a partner's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a partner's name is 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`, and begins with a letter or a digit")]
pub struct PartnerNameError;

impl PartnerName {
    /// The partner that the first start makes.
    pub fn default_partner() -> Self {
        Self("default".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartnerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for PartnerName {
    type Err = PartnerNameError;

    fn from_str(text: &str) -> Result<Self, PartnerNameError> {
        let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if begins_well && text.len() <= 64 && text.chars().all(known) {
            Ok(Self(text.into()))
        } else {
            Err(PartnerNameError)
        }
    }
}

/// A tenant. It exists in both environments at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Unique in the store.
    pub name: PartnerName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when everything of it is being erased: whoever asks for what is its finds
    /// nothing from then on.
    pub erasing_since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_escaping() {
        for good in ["acme", "a", "0-9", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<PartnerName>().is_ok(), "{good}");
        }
        for bad in ["", "*", "Acme", "-a", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<PartnerName>().is_err(), "{bad}");
        }
    }
}
