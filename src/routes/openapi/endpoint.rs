//! Endpoints: what is asked for, and what is shown.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::ToSchema;

use super::harm::StoredHealth;
use super::health::Health;
use super::values::{
    CertificateText, Description, EndpointId, EnvironmentName, EventPattern, EventTypeName, FieldPointer, Filter,
    GivenSecret, KeyText, MaxConcurrency, OverlapSeconds, PartnerOrAll, PublicKey, RedactedHeaders, RequestHeaders,
    RequestsPerSecond, RetryCount, SigningSecret, SigningWord, TimeoutMs, Timestamp, WaitMs, WebhookUrl,
};

/// Waits between attempts: a list of them, or what they are reckoned by. All together take at most `max_retry_days`.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Retry {
    Schedule(RetrySchedule),
    Exponential(ExponentialRetry),
}

/// A wait before each retry; none at all means no retry. The most is the option `max_retries`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "schedule_ms": [5_000, 60_000, 3_600_000] })))]
pub struct RetrySchedule {
    /// In milliseconds, in this order.
    schedule_ms: Vec<WaitMs>,
}

/// Waits that grow: `base_ms × factor^(k-1)` before retry `k`, at most `max_ms`. What is left out is as in the default schedule.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "retries": 14, "base_ms": 5_000, "factor": 2.0, "max_ms": 604_800_000_u64, "jitter": 0.1 })))]
pub struct ExponentialRetry {
    #[schema(required = false)]
    retries: RetryCount,
    /// The wait before the first retry, at least 1.
    #[schema(required = false)]
    base_ms: WaitMs,
    /// What each further wait is multiplied by.
    #[schema(required = false, minimum = 1, maximum = 100)]
    factor: f64,
    /// The longest wait, at least `base_ms`.
    #[schema(required = false)]
    max_ms: WaitMs,
    /// The share of a wait that chance may add.
    #[schema(required = false, minimum = 0, maximum = 1)]
    jitter: f64,
}

/// In which order deliveries go out: in none, one after the other, or one after the other where a field has the same value.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum Ordering {
    Word(OrderingWord),
    By(OrderingBy),
}

/// `none` or `fifo`.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderingWord {
    None,
    Fifo,
}

/// One after the other where this field has the same value.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "by": "/id" })))]
pub struct OrderingBy {
    by: FieldPointer,
}

/// A pace that is never exceeded.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    per_second: RequestsPerSecond,
}

/// What is sent: the very bytes that were posted.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Flat,
}

/// `*`: the endpoint hears of the troubles of all partners, and of nothing else. Said once, by an operator, when it is made.
#[derive(ToSchema)]
pub enum AllPartners {
    #[serde(rename = "*")]
    All,
}

/// What requests show to a receiver that asks who calls (mTLS): its URL is `https` then.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenCertificate {
    /// The certificate, and behind it those that lead to one that the receiver trusts, as PEM.
    certificate: CertificateText,
    /// Its private key, as PEM. Never shown.
    key: KeyText,
}

/// What is shown of a client certificate.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// Whom it names, if it names anybody.
    #[schema(required = true)]
    subject: Option<String>,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    sha256: String,
    /// When it expires.
    not_after: Timestamp,
}

/// The settings of a new endpoint. `null` is a field's default.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({ "url": "https://example.com/hooks", "events": ["campaign.updated"] }),
    json!({ "url": "https://example.com/screenshots", "events": ["screenshot_set.approved"], "ordering": "fifo" })
))]
pub struct NewWebhook {
    url: WebhookUrl,
    /// Which events go there. Each is a type of the catalog, or a pattern that some type fits.
    #[schema(min_items = 1)]
    events: Vec<EventPattern>,
    description: Option<Description>,
    /// `false` holds deliveries.
    #[schema(default = true)]
    enabled: Option<bool>,
    headers: Option<RequestHeaders>,
    client_certificate: Option<GivenCertificate>,
    /// Drawn at random if it is left out.
    secret: Option<GivenSecret>,
    signing: Option<SigningWord>,
    format: Option<Format>,
    ordering: Option<Ordering>,
    /// As many as the receiver keeps up with, if it is left out.
    rate_limit: Option<RateLimit>,
    max_concurrency: Option<MaxConcurrency>,
    timeout_ms: Option<TimeoutMs>,
    /// The event type's schedule if it is left out, or else 14 retries over about 24 hours.
    retry: Option<Retry>,
    /// Whether an answer of `410 Gone` disables the endpoint.
    #[schema(default = false)]
    disable_on_gone: Option<bool>,
    filter: Option<Filter>,
    partners: Option<AllPartners>,
}

/// The settings that change; what is not named stays, and `null` sets a field back to its default. A secret is changed by `POST /webhook/{id}/secret/rotate`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "enabled": false }), json!({ "events": ["campaign.*"], "rate_limit": { "per_second": 10 } })))]
pub struct ChangedWebhook {
    #[schema(required = false)]
    url: WebhookUrl,
    /// Which events go there.
    #[schema(required = false, min_items = 1)]
    events: Vec<EventPattern>,
    description: Option<Description>,
    /// `false` holds deliveries.
    enabled: Option<bool>,
    /// All of them: those that are not named go.
    headers: Option<RequestHeaders>,
    client_certificate: Option<GivenCertificate>,
    /// As it is: `POST /webhook/{id}/secret/rotate` changes it, and both sign for a while.
    signing: Option<SigningWord>,
    format: Option<Format>,
    ordering: Option<Ordering>,
    rate_limit: Option<RateLimit>,
    max_concurrency: Option<MaxConcurrency>,
    timeout_ms: Option<TimeoutMs>,
    retry: Option<Retry>,
    disable_on_gone: Option<bool>,
    filter: Option<Filter>,
    /// As it was when the endpoint was made: this does not change.
    partners: Option<AllPartners>,
}

/// Whether deliveries go out: `disabled` by the settings, `paused` by its partner or by an operator.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointStatus {
    Active,
    Paused,
    Disabled,
}

/// Who paused an endpoint, and so who has to end it.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PausedBy {
    Partner,
    Operator,
    Both,
}

macro_rules! endpoint {
    ($(#[$meta:meta])* $name:ident { $($more:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            id: EndpointId,
            partner: PartnerOrAll,
            environment: EnvironmentName,
            url: WebhookUrl,
            events: Vec<EventPattern>,
            #[schema(required = true)]
            description: Option<Description>,
            enabled: bool,
            headers: RedactedHeaders,
            #[schema(required = true)]
            client_certificate: Option<ClientCertificate>,
            signing: SigningWord,
            format: Format,
            ordering: Ordering,
            #[schema(required = true)]
            rate_limit: Option<RateLimit>,
            #[schema(required = true)]
            filter: Option<Filter>,
            max_concurrency: MaxConcurrency,
            timeout_ms: TimeoutMs,
            #[schema(required = true)]
            retry: Option<Retry>,
            disable_on_gone: bool,
            status: EndpointStatus,
            /// Since when its partner has paused it.
            #[schema(required = true)]
            paused_at: Option<Timestamp>,
            /// Since when an operator's brake is over it.
            #[schema(required = true)]
            braked_at: Option<Timestamp>,
            #[schema(required = true)]
            paused_by: Option<PausedBy>,
            /// Counts the settings it has had, from 1.
            #[schema(minimum = 1)]
            version: u32,
            created_at: Timestamp,
            updated_at: Timestamp,
            #[schema(required = false)]
            partners: AllPartners,
            $($more)*
        }
    };
}

endpoint! {
    /// An endpoint as it is set.
    Webhook {}
}
endpoint! {
    /// A new endpoint, with its secret.
    MadeWebhook {
        /// Shown here this once; later at `GET /webhook/{id}/secret`. `null` where it signs by `v1a`.
        #[schema(required = true)]
        secret: Option<SigningSecret>,
        /// What receivers check by, where it signs by `v1a`.
        #[schema(required = false)]
        public_key: PublicKey,
    }
}
endpoint! {
    /// An endpoint, and what the store knows of how it is.
    HarmedWebhook { health: StoredHealth, }
}
endpoint! {
    /// An endpoint, and how it is.
    WebhookWithHealth { health: Health, }
}

/// The secrets that sign now.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// `null` where it signs by `v1a`.
    #[schema(required = true)]
    secret: Option<SigningSecret>,
    /// What receivers check by, where it signs by `v1a`.
    #[schema(required = false)]
    public_key: PublicKey,
    /// Those from before a rotation that still sign beside it.
    previous: Vec<PreviousSecret>,
}

/// A secret from before a rotation.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviousSecret {
    /// `null` of a key pair.
    #[schema(required = true)]
    secret: Option<SigningSecret>,
    /// Of a key pair, what receivers check by.
    #[schema(required = false)]
    public_key: PublicKey,
    /// Until when it signs.
    expires_at: Timestamp,
}

/// How a secret is rotated.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "overlap_seconds": 3_600 })))]
pub struct Rotation {
    /// Drawn at random if it is left out.
    secret: Option<GivenSecret>,
    /// How it signs from now on: as before, if it is left out.
    signing: Option<SigningWord>,
    overlap_seconds: Option<OverlapSeconds>,
}

/// What a test sends.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "event_type": "campaign.updated" })))]
pub struct Trial {
    /// Whose example is sent; the first type that the endpoint wants, if it is left out.
    event_type: Option<EventTypeName>,
}

/// Nothing: there is no field to give.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({})))]
pub struct Nothing {}
