//! What the configuration says, as the rooms take it that do not know it.

use crate::config::{Config, Origin};
use crate::engine::EngineOptions;
use crate::policy::allowance::Rate;
use crate::policy::health::Patience;
use crate::routes::{Configured, Limits, RateLimits, RetryLimits, Source};
use crate::server::ConnectionLimits;

/// For the engine.
pub(super) fn engine(config: &Config) -> EngineOptions {
    let engine = &config.engine;
    EngineOptions {
        arbiters: engine.arbiters,
        window: engine.window,
        max_in_flight: engine.max_in_flight,
        passivate_after: engine.passivate_after,
        patience: Patience {
            opens_after: engine.breaker_opens_after,
            warn_after: engine.warn_after,
            disable_after: engine.disable_after,
            announce_after: engine.announce_after,
        },
        body_budget_bytes: engine.body_budget_bytes,
    }
}

/// For the routes.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        event_bytes: config.limits.event_bytes,
        batch_bytes: config.limits.batch_bytes,
        batch_events: config.limits.batch_events,
        settings_bytes: config.limits.settings_bytes,
        page: config.limits.page,
        page_max: config.limits.page_max,
        endpoints_per_partner: config.limits.endpoints_per_partner,
        max_fan_out: config.limits.max_fan_out,
        endpoints_per_replay: config.limits.endpoints_per_replay,
        replays_per_partner: config.limits.replays_per_partner,
        stats_buckets: config.limits.stats_buckets,
        retries: RetryLimits {
            retries: config.limits.max_retries,
            span: config.limits.max_retry_span,
            retention: config.store.retention,
        },
    }
}

/// For people who look at it.
pub(super) fn configured(config: &Config) -> Vec<Configured> {
    let told = config.told.iter().map(|setting| Configured {
        heading: setting.heading,
        name: setting.name,
        value: setting.value.text.clone(),
        is_masked: setting.value.is_masked,
        default: setting.default.clone(),
        source: match &setting.origin {
            Origin::Defaults => Source::Default,
            said @ Origin::File { .. } => Source::File(said.to_string()),
            said @ Origin::Environment(_) => Source::Environment(said.to_string()),
            said @ Origin::Flag(_) => Source::Flag(said.to_string()),
        },
        meaning: setting.meaning.clone(),
    });
    told.collect()
}

/// How many requests who may send.
pub(super) fn rates(config: &Config) -> RateLimits {
    let inbound = &config.inbound;
    RateLimits {
        key: Rate::per_second(inbound.key_requests_per_second),
        partner: Rate::per_second(inbound.partner_requests_per_second),
        producer: Rate::per_second(inbound.producer_requests_per_second),
        failed_authentications: Rate::per_minute(inbound.failed_authentications_per_minute),
        tests: Rate::per_minute(inbound.tests_per_minute),
    }
}

/// For each connection.
pub(super) fn connections(config: &Config) -> ConnectionLimits {
    let inbound = &config.inbound;
    ConnectionLimits {
        head_bytes: inbound.head_bytes,
        head_timeout: inbound.head_timeout,
        write_timeout: inbound.write_timeout,
        keep_alive: inbound.keep_alive,
    }
}
