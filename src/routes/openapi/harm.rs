//! What suffers: endpoints, the most harmed first, what attempts came to, how partners stand.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::{IntoParams, ToSchema};

use super::administration::Erasing;
use super::delivery::ErrorClass;
use super::health::{Breaker, DisabledReason};
use super::values::{DeliveryId, EventId, EventTypeName, PageLimit, PartnerName, Timestamp, UrlPart};

/// How an endpoint is, in the one word that says most of it.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthWord {
    /// Its breaker is open.
    Open,
    /// It has only failed for a while.
    Failing,
    /// By its settings, or by Posthaste.
    Disabled,
    /// By its partner, or by an operator.
    Paused,
    /// None of those.
    Ok,
}

/// Which endpoints are listed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HarmQuestion {
    /// Those that are so: `open` and `failing` of those that are neither paused nor disabled.
    #[param(required = false)]
    health: HealthWord,
    /// Those that want events of this type.
    #[param(required = false, rename = "type")]
    event_type: EventTypeName,
    /// Those whose URL has this in it.
    #[param(required = false)]
    url_part: UrlPart,
}

/// How many are told.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Limit {
    /// Entries of the list.
    #[param(required = false)]
    limit: PageLimit,
}

/// What the store knows of how an endpoint is.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredHealth {
    /// `open` lets one probe out at a time.
    breaker: Breaker,
    #[schema(required = true)]
    breaker_opened_at: Option<Timestamp>,
    /// Probes that have failed since then.
    failed_probes: u32,
    #[schema(required = true)]
    next_probe_at: Option<Timestamp>,
    /// The first of the failed attempts since the last success.
    #[schema(required = true)]
    failing_since: Option<Timestamp>,
    /// The receiver asked for no request before then.
    #[schema(required = true)]
    retry_after: Option<Timestamp>,
    /// When the operator was warned that it fails.
    #[schema(required = true)]
    warned_at: Option<Timestamp>,
    /// When `posthaste.endpoint.failing` was last told.
    #[schema(required = true)]
    announced_at: Option<Timestamp>,
    /// When Posthaste disabled it.
    #[schema(required = true)]
    disabled_at: Option<Timestamp>,
    #[schema(required = true)]
    disabled_reason: Option<DisabledReason>,
    /// Deliveries that are not finished, counted up to 1,000.
    backlog: u32,
    /// Whether there are more than that.
    backlog_has_more: bool,
    /// The oldest of those that were counted.
    #[schema(required = true)]
    oldest_waiting: Option<WaitingSince>,
}

/// A delivery that waits.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitingSince {
    delivery: DeliveryId,
    created_at: Timestamp,
}

/// An endpoint's last attempts, the latest first.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptsSeen {
    data: Vec<AttemptSeen>,
}

/// An attempt as it is looked at among many.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptSeen {
    delivery: DeliveryId,
    /// Which of its attempts.
    #[schema(minimum = 1)]
    number: u32,
    started_at: Timestamp,
    duration_ms: u32,
    /// The receiver's answer; `null` if there was none.
    #[schema(required = true, minimum = 100, maximum = 999)]
    status_code: Option<u16>,
    /// What went wrong; `null` where it delivered.
    #[schema(required = true)]
    error_class: Option<ErrorClass>,
}

/// A partner, and how it stands in an environment. Each count goes up to 1,000.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerStanding {
    name: PartnerName,
    created_at: Timestamp,
    /// That everything of it is being erased; `null` where it is not.
    #[schema(required = true)]
    erasing: Option<Erasing>,
    /// Endpoints that it has.
    endpoints: u32,
    endpoints_has_more: bool,
    /// Deliveries to them that are not finished.
    backlog: u32,
    backlog_has_more: bool,
    /// Deliveries to them that were given up and not replayed since, among those that were looked at.
    exhausted: u32,
    /// Whether there may be more.
    exhausted_has_more: bool,
    /// The newest that was posted for it alone.
    #[schema(required = true)]
    last_event: Option<LastEvent>,
}

/// The newest event.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LastEvent {
    event: EventId,
    accepted_at: Timestamp,
}
