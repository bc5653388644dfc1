//! The table of operations: who may ask for each, and which problems it answers. What
//! one is asked and what it answers when all is well stands beside its handler.

use crate::auth::Permission;
use crate::routes::problem::Kind;

/// One operation.
pub struct Operation {
    /// Its `operationId`.
    pub id: &'static str,
    /// What it takes a key for; `None` is open to everybody.
    pub permission: Option<Permission>,
    /// What can be wrong, group by group.
    problems: &'static [&'static [Kind]],
}

/// Whoever asks, and however.
const ASKING: &[Kind] = &[Kind::Unauthorized, Kind::Invalid, Kind::RateLimited, Kind::StoreUnavailable, Kind::Internal];
/// What is named is not there: a partner, an environment, a thing.
const NAMING: &[Kind] = &[Kind::NotFound];
/// A body is read.
const READING: &[Kind] = &[
    Kind::InvalidJson,
    Kind::BadRequest,
    Kind::RequestTimeout,
    Kind::TooLarge,
    Kind::UnsupportedMediaType,
    Kind::Invalid,
];
/// Something is written.
const WRITING: &[Kind] =
    &[Kind::Overloaded, Kind::StoreUnavailable, Kind::StoreFull, Kind::OutcomeUnknown, Kind::Internal];
/// An endpoint is set.
const SETTING: &[Kind] = &[Kind::DuplicateUrl, Kind::LimitReached];
/// A replay is begun.
const REPLAYING: &[Kind] = &[Kind::LimitReached, Kind::IdempotencyKeyReused];
/// Events are accepted.
const ACCEPTING: &[Kind] = &[Kind::IdempotencyKeyReused, Kind::LimitReached];
/// The thing is not in a state for it.
const STATE: &[Kind] = &[Kind::Conflict];

const fn open(id: &'static str, problems: &'static [&'static [Kind]]) -> Operation {
    Operation { id, permission: None, problems }
}

const fn by(permission: Permission, id: &'static str, problems: &'static [&'static [Kind]]) -> Operation {
    Operation { id, permission: Some(permission), problems }
}

/// All of them. A test compares this with the document, and another walks it with every
/// role.
pub const OPERATIONS: &[Operation] = &[
    by(
        Permission::PostEvents,
        "post_event",
        &[ASKING, NAMING, READING, WRITING, ACCEPTING, &[Kind::InvalidEvent, Kind::UnknownEventType]],
    ),
    by(Permission::PostEvents, "post_events", &[ASKING, NAMING, READING, WRITING, ACCEPTING]),
    by(Permission::ReadDeliveries, "list_events", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "list_refused", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "read_event", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "read_payload", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "search", &[ASKING, NAMING]),
    by(Permission::ManageEndpoints, "create_webhook", &[ASKING, NAMING, READING, WRITING, SETTING]),
    by(Permission::ManageEndpoints, "list_webhooks", &[ASKING, NAMING]),
    by(Permission::ManageEndpoints, "list_webhook_health", &[ASKING, NAMING]),
    by(Permission::ManageEndpoints, "list_webhook_attempts", &[ASKING, NAMING]),
    by(Permission::ManageEndpoints, "read_webhook", &[ASKING, NAMING]),
    by(Permission::ManageEndpoints, "change_webhook", &[ASKING, NAMING, READING, WRITING, SETTING, STATE]),
    by(Permission::ManageEndpoints, "delete_webhook", &[ASKING, NAMING, WRITING]),
    by(Permission::ManageEndpoints, "read_secret", &[ASKING, NAMING, WRITING]),
    by(Permission::ManageEndpoints, "rotate_secret", &[ASKING, NAMING, READING, WRITING, STATE]),
    by(Permission::ManageEndpoints, "pause_webhook", &[ASKING, NAMING, READING, WRITING]),
    by(Permission::ManageEndpoints, "resume_webhook", &[ASKING, NAMING, READING, WRITING]),
    by(Permission::ManageEndpoints, "test_webhook", &[ASKING, NAMING, READING, STATE, &[Kind::Overloaded]]),
    by(Permission::RetryDeliveries, "retry_webhook_now", &[ASKING, NAMING, READING, WRITING, STATE]),
    by(Permission::RetryDeliveries, "replay_webhook", &[ASKING, NAMING, READING, WRITING, REPLAYING]),
    by(Permission::RetryDeliveries, "dismiss_webhook_exhausted", &[ASKING, NAMING, READING, WRITING]),
    by(Permission::ReadStatistics, "read_webhook_stats", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "list_deliveries", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "read_delivery", &[ASKING, NAMING]),
    by(Permission::RetryDeliveries, "retry_delivery", &[ASKING, NAMING, WRITING, STATE]),
    by(Permission::RetryDeliveries, "skip_delivery", &[ASKING, NAMING, WRITING, STATE]),
    by(Permission::ReadDeliveries, "pull_events", &[ASKING, NAMING]),
    by(Permission::RetryDeliveries, "dismiss_delivery", &[ASKING, NAMING, WRITING, STATE]),
    by(Permission::ReadDeliveries, "count_exhausted", &[ASKING, NAMING]),
    by(Permission::Operate, "create_replay", &[ASKING, NAMING, READING, WRITING, REPLAYING]),
    by(Permission::ReadDeliveries, "list_replays", &[ASKING, NAMING]),
    by(Permission::ReadDeliveries, "read_replay", &[ASKING, NAMING]),
    by(Permission::RetryDeliveries, "cancel_replay", &[ASKING, NAMING, WRITING, STATE]),
    by(Permission::ReadEventTypes, "list_event_types", &[ASKING, NAMING]),
    by(Permission::ReadEventTypes, "read_event_type", &[ASKING, NAMING]),
    by(Permission::WriteEventTypes, "put_event_type", &[ASKING, READING, WRITING]),
    by(Permission::WriteEventTypes, "check_event_type", &[ASKING, READING]),
    by(Permission::WriteEventTypes, "delete_event_type", &[ASKING, NAMING, WRITING, STATE]),
    by(Permission::Operate, "create_partner", &[ASKING, READING, WRITING, &[Kind::AlreadyExists]]),
    by(Permission::Operate, "list_partners", &[ASKING]),
    by(Permission::Operate, "list_partner_health", &[ASKING, NAMING]),
    by(Permission::Operate, "read_partner", &[ASKING, NAMING]),
    by(Permission::Operate, "erase_partner", &[ASKING, NAMING, WRITING]),
    by(Permission::Operate, "create_portal_link", &[ASKING, NAMING, READING, WRITING]),
    by(Permission::Operate, "list_portal_links", &[ASKING, NAMING]),
    by(Permission::Operate, "revoke_portal_link", &[ASKING, NAMING, WRITING]),
    by(Permission::Operate, "create_key", &[ASKING, READING, WRITING]),
    by(Permission::Operate, "list_keys", &[ASKING]),
    by(Permission::Operate, "read_key", &[ASKING, NAMING]),
    by(Permission::Operate, "revoke_key", &[ASKING, NAMING, WRITING]),
    by(Permission::Operate, "read_encryption", &[ASKING]),
    by(Permission::Operate, "reencrypt", &[ASKING, READING, WRITING]),
    by(Permission::ReadRetention, "read_retention", &[ASKING, NAMING]),
    by(Permission::SetRetention, "set_retention", &[ASKING, NAMING, READING, WRITING]),
    by(Permission::SetRetention, "clear_retention", &[ASKING, NAMING, WRITING]),
    by(Permission::ReadAudit, "list_audit", &[ASKING, NAMING]),
    by(Permission::Operate, "verify_audit", &[ASKING]),
    by(Permission::ReadStatistics, "read_stats", &[ASKING, NAMING]),
    by(Permission::Operate, "list_nodes", &[ASKING]),
    by(Permission::Operate, "list_partitions", &[ASKING]),
    by(Permission::Operate, "read_nodes_health", &[ASKING]),
    by(Permission::Operate, "read_settings", &[ASKING]),
    by(Permission::Operate, "release_node", &[ASKING, NAMING, WRITING, STATE]),
    by(Permission::Brake, "set_brake", &[ASKING, NAMING, READING, WRITING]),
    by(Permission::Brake, "list_brakes", &[ASKING]),
    by(Permission::Brake, "release_brake", &[ASKING, NAMING, WRITING]),
    open("live", &[]),
    open("ready", &[WRITING]),
    open("metrics", &[]),
    open("describe", &[]),
    open("show_docs", &[]),
    open("show_docs_file", &[NAMING]),
];

impl Operation {
    /// The operation of this id.
    pub fn of(id: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.id == id)
    }

    /// Every problem that it answers, in the order of their statuses.
    pub fn problems(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.problems.concat();
        if self.permission.is_some_and(|permission| !permission.is_given_to_all()) {
            kinds.push(Kind::Forbidden);
        }
        let place = |kind: &Kind| Kind::ALL.iter().position(|known| known == kind);
        kinds.sort_by_key(|kind| (kind.status().as_u16(), place(kind)));
        kinds.dedup();
        kinds
    }
}
