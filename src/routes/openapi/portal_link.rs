//! Links to the partner portal.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::values::{Description, EnvironmentName, KeyId, LinkSeconds, PartnerName, PortalUrl, Timestamp};

/// A link to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "expires_in_seconds": 3_600, "description": "Ann, onboarding" }), json!({ "environment": "sandbox" })))]
pub struct NewPortalLink {
    /// Where it leads: `production` if it is left out.
    environment: Option<EnvironmentName>,
    expires_in_seconds: Option<LinkSeconds>,
    /// Whether it opens once; it does if this is left out. One that opens again and again opens for everybody who sees it.
    single_use: Option<bool>,
    description: Option<Description>,
}

macro_rules! link {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            id: KeyId,
            partner: PartnerName,
            environment: EnvironmentName,
            #[schema(required = true)]
            description: Option<Description>,
            single_use: bool,
            created_at: Timestamp,
            /// When it ends, and every session that began with it.
            expires_at: Timestamp,
            /// When it was last opened; `null` is never.
            #[schema(required = true)]
            opened_at: Option<Timestamp>,
            #[schema(required = true)]
            revoked_at: Option<Timestamp>,
            $($more)*
        }
    };
}

link! {
    /// What is known of a link. Where it leads is not.
    PortalLink {}
}
link! {
    /// A new link.
    MadePortalLink {
        /// The link. It is shown this once, and not stored.
        url: PortalUrl,
    }
}
