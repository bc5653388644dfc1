//! Pages of lists: newest first, and where the next one begins.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::administration::Partner;
use super::audit::AuditEntry;
use super::delivery::ListedDelivery;
use super::endpoint::{HarmedWebhook, Webhook};
use super::event::ListedEvent;
use super::event_type::EventTypeShown;
use super::harm::PartnerStanding;
use super::key::Key;
use super::portal_link::PortalLink;
use super::replay::{ExhaustedEndpoint, Replay};

macro_rules! pages {
    ($($(#[doc = $doc:literal])+ $name:ident of $item:ty;)*) => {$(
        $(#[doc = $doc])+
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            data: Vec<$item>,
            /// What `?cursor=` takes for the next page; `null` on the last.
            #[schema(required = true)]
            next_cursor: Option<String>,
        }
    )*};
}

pages! {
    /// Endpoints, newest first.
    Webhooks of Webhook;
    /// Endpoints, the most harmed first, and of those the newest.
    HarmedWebhooks of HarmedWebhook;
    /// Partners, newest first.
    PartnersStanding of PartnerStanding;
    /// Events, newest first.
    Events of ListedEvent;
    /// Deliveries, newest first.
    Deliveries of ListedDelivery;
    /// Replays, newest first.
    Replays of Replay;
    /// Endpoints with exhausted deliveries, newest first.
    Exhausted of ExhaustedEndpoint;
    /// Event types, by name.
    EventTypes of EventTypeShown;
    /// Partners, newest first.
    Partners of Partner;
    /// Keys, newest first.
    Keys of Key;
    /// Links to a partner's portal, newest first.
    PortalLinks of PortalLink;
    /// Entries of the audit log, newest first.
    AuditEntries of AuditEntry;
}
