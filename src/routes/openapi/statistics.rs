//! What `/stats` is asked and answers.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use utoipa::{IntoParams, ToSchema};

use super::values::{EndpointId, EndpointIds, EventTypeName, EventTypeOrOthers, GivenTime, PartnerOrAll, Timestamp};

/// What there is a series of each.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    Endpoint,
    Partner,
    Type,
}

/// What there is a series of each, of one endpoint.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SplitByType {
    Type,
}

/// How long the stretches are that are counted together.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResolutionWord {
    Minute,
    Hour,
}

/// Whose counts, and split how.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatisticsSplit {
    /// A series of each; without it there is one. Of each partner only with `partner=*`. Not `endpoint` or `partner` beside `endpoint`, nor `type` beside `type`.
    #[param(required = false)]
    by: SplitBy,
    /// Those of this endpoint.
    #[param(required = false)]
    endpoint: EndpointId,
    /// With `by=endpoint`: of these, in this order, with commas between them; at most `limit`. What is not there is left out. Not beside `endpoint` or `cursor`.
    #[param(required = false)]
    endpoints: EndpointIds,
}

/// Split how, of one endpoint.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatisticsOfTypes {
    /// A series of each; without it there is one. Not beside `type`.
    #[param(required = false)]
    by: SplitByType,
}

/// Which counts, of which time.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuestion {
    /// Those of events of this type.
    #[param(required = false, rename = "type")]
    event_type: EventTypeName,
    /// From the stretch in which this time lies: a day before `until` or, by the minute, an hour, if it is not given. Minutes are told for 48 hours.
    #[param(required = false)]
    since: GivenTime,
    /// Up to the stretch in which this time lies, or begins: now, if it is not given.
    #[param(required = false)]
    until: GivenTime,
    /// Hours, or minutes. At most <<stats_buckets>> of them in all series of a page (`stats_buckets`).
    #[param(required = false, default = "hour")]
    resolution: ResolutionWord,
    /// `true` tells, beside the totals, how many attempts took how long.
    #[param(required = false, default = false)]
    histogram: bool,
}

/// Series of counts: a page of them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    resolution: ResolutionWord,
    /// When the first stretch begins.
    since: Timestamp,
    /// When the last one ends.
    until: Timestamp,
    data: Vec<Series>,
    /// What `?cursor=` takes for the next page; `null` on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Counts over a time.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Whose; `*` is the environment as a whole.
    partner: PartnerOrAll,
    /// Of which endpoint; `null` is all.
    #[schema(required = true)]
    endpoint: Option<EndpointId>,
    /// Of which type of events; `null` is all.
    #[schema(required = true)]
    r#type: Option<EventTypeOrOthers>,
    totals: Counts,
    /// Stretches with something in them, the first first.
    buckets: Vec<Bucket>,
    /// How long attempts took, the shortest first: with `histogram=true`.
    #[schema(required = false)]
    histogram: Vec<Step>,
}

/// Attempts that took about as long: up to ten milliseconds to the millisecond, and from there within a tenth.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// How long each of them took at most.
    #[schema(minimum = 1)]
    at_most_ms: u64,
    #[schema(minimum = 1)]
    count: u64,
}

/// A minute or an hour.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// When it begins.
    at: Timestamp,
    counts: Counts,
}

/// What happened in a stretch of time: an attempt counts when its outcome is written, an event when it is accepted.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Events that were accepted, for whom they were posted: one over all partners counts for the environment alone. `null` for an endpoint.
    #[schema(required = true, minimum = 0)]
    events: Option<u64>,
    /// The deliveries that were accepted with them; `null` for an endpoint.
    #[schema(required = true, minimum = 0)]
    deliveries: Option<u64>,
    #[schema(minimum = 0)]
    attempts: u64,
    /// Attempts that were answered 2xx.
    #[schema(minimum = 0)]
    succeeded: u64,
    /// Attempts that failed.
    #[schema(minimum = 0)]
    failed: u64,
    failures: Failures,
    /// Which part of the attempts succeeded, to four places and rounded down: 1 is all of them. `null` without attempts.
    #[schema(required = true, minimum = 0, maximum = 1)]
    success_rate: Option<f64>,
    /// Deliveries that were delivered.
    #[schema(minimum = 0)]
    delivered: u64,
    /// Deliveries whose schedule of retries came to its end.
    #[schema(minimum = 0)]
    retries_exhausted: u64,
    /// Deliveries that were discarded because they would have come too late.
    #[schema(minimum = 0)]
    expired: u64,
    /// How long attempts took.
    attempt_ms: Percentiles,
    /// How long it took from accepting to delivering.
    delivery_ms: Percentiles,
}

/// Attempts that failed, by why: an answer by its hundred, anything else by its class.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    #[schema(minimum = 0)]
    dns: u64,
    #[schema(minimum = 0)]
    connect: u64,
    #[schema(minimum = 0)]
    tls: u64,
    #[schema(minimum = 0)]
    timeout: u64,
    #[schema(minimum = 0)]
    blocked_address: u64,
    #[schema(minimum = 0)]
    protocol: u64,
    #[schema(minimum = 0)]
    redirect: u64,
    #[schema(minimum = 0)]
    http_4xx: u64,
    #[schema(minimum = 0)]
    http_5xx: u64,
}

/// Milliseconds that half, nine tenths and 99 hundredths took at most. They are counted in steps of a tenth and told by the end of their step: never less than what it was, and at most a tenth more. `null` of nothing.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    #[schema(required = true, minimum = 0)]
    p50: Option<u64>,
    #[schema(required = true, minimum = 0)]
    p90: Option<u64>,
    #[schema(required = true, minimum = 0)]
    p99: Option<u64>,
}
