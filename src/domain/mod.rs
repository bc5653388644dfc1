//! The nouns of `product.md` and what is always true of them. No I/O, no
//! clock, no database, no HTTP: every other room may import this one, and it
//! imports none of them.

mod announcement;
mod attempt;
mod audit;
mod client_certificate;
mod delivery;
mod endpoint;
mod event;
mod event_filter;
mod event_order;
mod exchange;
mod histogram;
mod ids;
mod partition;
mod partner;
mod replay;
mod retention;
mod retry_policy;
mod signing;
mod tally;
mod time;
mod trouble;

pub use announcement::{Announcement, Setback};
pub use attempt::{Attempt, AttemptError, ErrorClass, Outcome, RetryAfter};
pub use audit::{Actor, AuditAction, AuditActionError, AuditHash, AuditHashError, AuditHead, AuditRecord};
pub use client_certificate::{
    ClientCertificate, MAX_CHAIN_BYTES, MAX_CHAIN_LENGTH, MAX_KEY_BYTES, MAX_SUBJECT_CHARS, PrivateKey,
};
pub use delivery::{Delivery, DeliveryStatus, DiscardReason, StatusError, StatusFilter, StoredStatus};
pub use endpoint::{
    DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_MS, Endpoint, EndpointSettings, EndpointStatus, Header, HeaderName,
    MAX_CONCURRENCY, MAX_DESCRIPTION_CHARS, MAX_EVENT_TYPES, MAX_HEADER_VALUE_BYTES, MAX_HEADERS, MAX_LISTENERS,
    MAX_RATE, MAX_TIMEOUT_MS, MAX_URL_BYTES, MIN_TIMEOUT_MS, PausedBy, SettingsProblem,
};
pub use event::{DeliveryTimes, Event, EventType, EventTypeError, TypePattern};
pub use event_filter::{EventFilter, EventFilterError, MAX_FILTER_BYTES};
pub use event_order::{EventOrder, EventOrderError, FieldPointer, FieldPointerError, MAX_POINTER_BYTES};
pub use exchange::{ConnectionUse, Exchange, ResponseHeaders, Timing};
pub use histogram::Histogram;
pub use ids::{DeliveryId, EndpointId, EventId, IdError, KeyId, NodeId, ReplayId};
pub use partition::{PARTITIONS, Partition, PartitionSet};
pub use partner::{Environment, EnvironmentError, Partner, PartnerName, PartnerNameError, Role, RoleError};
pub use replay::{Replay, ReplaySelection, ReplayState, ReplayTarget, Replayable, ReplayableError};
pub use retention::{ErasedBy, Erasure, Kept, RetentionDays};
pub use retry_policy::{MAX_WAIT_MS, RetryBounds, RetryPolicy, RetryPolicyError};
pub use signing::{MAX_SECRETS, Signing, SigningError};
pub use tally::{Ending, Failure, Tally};
pub use time::{Moment, Monotonic, Timestamp, TimestampError};
pub use trouble::{DisabledReason, OpenBreaker, Trouble};
