//! Keys.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{ApiKey, ComingTime, EnvironmentName, KeyDescription, KeyId, PartnerName, Timestamp};

/// What a key opens: `partner` its own endpoints and deliveries, `producer` posts events, `operator` everything.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Partner,
    Producer,
    Operator,
}

/// A key to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({ "role": "partner", "partner": "acme", "environment": "sandbox" }),
    json!({ "role": "producer", "description": "from our CRM", "expires_at": "2099-01-31T12:00:00Z" })
))]
pub struct NewKey {
    role: Role,
    /// Whom it is for: needed for `partner`, left out for a `producer` of all partners, and for `operator`.
    partner: Option<PartnerName>,
    /// Where it is for: `production` if it is left out; always left out for `operator`.
    environment: Option<EnvironmentName>,
    description: Option<KeyDescription>,
    /// A time to come, from which on it opens nothing.
    expires_at: Option<ComingTime>,
}

macro_rules! key {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            id: KeyId,
            /// How the key begins.
            prefix: String,
            role: Role,
            /// `null` is both.
            #[schema(required = true)]
            environment: Option<EnvironmentName>,
            /// `null` is all of them.
            #[schema(required = true)]
            partner: Option<PartnerName>,
            #[schema(required = true)]
            description: Option<KeyDescription>,
            created_at: Timestamp,
            #[schema(required = true)]
            expires_at: Option<Timestamp>,
            #[schema(required = true)]
            revoked_at: Option<Timestamp>,
            /// Exact to a minute; `null` is never.
            #[schema(required = true)]
            last_used_at: Option<Timestamp>,
            $($more)*
        }
    };
}

key! {
    /// What is known of a key. The key itself is not.
    Key {}
}
key! {
    /// A new key.
    MadeKey {
        /// The key. It is shown this once, and not stored.
        key: ApiKey,
    }
}
