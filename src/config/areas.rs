//! The areas of the configuration, as the rooms take them: plain values with
//! their units in the type. Bounds are checked here and nowhere else.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::keyring::{KeySource, KeysText};

use super::options::{Secret, Settled};
use super::postgres_url::PostgresUrl;
use super::{ConfigError, Origins};

const MIN_SECRET_CHARS: usize = 8;
const MAX_SECRET_CHARS: usize = 256;
const MAX_BODY_BYTES: usize = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The HTTP server and who may operate it.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where the API and the dashboard are.
    pub listen: SocketAddr,
    /// Threads that serve HTTP.
    pub workers: usize,
    /// Whether nothing is sent before an operator says so.
    pub hold: bool,
    /// The first operator key; `None`: one is made.
    pub operator_key: Option<Secret>,
    /// Most endpoints that `/metrics` names.
    pub metrics_endpoints: usize,
}

/// Where things are kept, and for how long.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where that is.
    pub location: StoreLocation,
    /// Connections that read.
    pub readers: usize,
    /// Whether PostgreSQL connections keep statements prepared.
    pub statement_cache: bool,
    /// How long finished things are kept.
    pub retention: Duration,
    /// Where the keys are that secrets are sealed with.
    pub keys: KeySource,
}

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A file of this process alone.
    Sqlite(PathBuf),
    /// A database that nodes share.
    Postgres(PostgresUrl),
}

/// How nodes that share a database work together.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Where others reach this node, if it was said.
    pub advertise: Option<String>,
    /// What nodes know each other by; `None`: no hints between them.
    pub token: Option<Secret>,
    /// How long a lease holds without being renewed.
    pub lease_term: Duration,
    /// Certificates that other nodes' TLS is checked against; `None`: the platform's.
    pub ca_file: Option<PathBuf>,
}

impl ClusterConfig {
    /// Where others reach this node, which listens there by `http` or `https`; `None`
    /// when that is every address of the machine, and so none in particular.
    pub fn advertised(&self, scheme: &str, listens_on: SocketAddr) -> Option<String> {
        let derived = || (!listens_on.ip().is_unspecified()).then(|| format!("{scheme}://{listens_on}"));
        self.advertise.clone().or_else(derived)
    }
}

/// What may be dialled beyond what policy allows.
#[derive(Debug, Clone)]
pub struct AddressConfig {
    /// Networks that are exempt.
    pub allow: Vec<IpNet>,
    /// Whether production endpoints may have http URLs.
    pub allow_http: bool,
}

/// What a request may ask for.
#[derive(Debug, Clone)]
pub struct LimitConfig {
    /// Largest event body.
    pub event_bytes: usize,
    /// Largest batch body.
    pub batch_bytes: usize,
    /// Most events of a batch.
    pub batch_events: usize,
    /// Largest settings body.
    pub settings_bytes: usize,
    /// A page's entries by default.
    pub page: usize,
    /// A page's entries at most.
    pub page_max: usize,
    /// Most endpoints of a partner in an environment.
    pub endpoints_per_partner: usize,
    /// Most retries of a schedule.
    pub max_retries: u32,
    /// Longest span of a whole schedule, where retention is not shorter.
    pub max_retry_span: Duration,
    /// Most deliveries of one request.
    pub max_fan_out: usize,
    /// Most endpoints that one replay may be for.
    pub endpoints_per_replay: usize,
    /// Most replays of a partner in an environment that may run at once.
    pub replays_per_partner: usize,
    /// Most stretches of time that one answer of statistics tells.
    pub stats_buckets: usize,
}

/// How attempts are made.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// What connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// Bytes of a response body that are read.
    pub response_read_bytes: usize,
    /// Bytes of it that are kept.
    pub response_keep_bytes: usize,
    /// Bytes of a response's headers that are kept.
    pub response_headers_keep_bytes: usize,
}

/// How much the endpoint actors hold and do at once.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Threads that actors are spread over.
    pub arbiters: usize,
    /// Deliveries an actor holds.
    pub window: usize,
    /// Attempts in flight over all endpoints.
    pub max_in_flight: usize,
    /// Idle time after which an actor leaves memory.
    pub passivate_after: Duration,
    /// Failed attempts in a row that open an endpoint's breaker; `None`: none do.
    pub breaker_opens_after: Option<u32>,
    /// How long an endpoint may fail before those who subscribed to that are told.
    pub announce_after: Duration,
    /// How long an endpoint may fail before it is warned of.
    pub warn_after: Duration,
    /// How long before it is disabled; `None` is for ever.
    pub disable_after: Option<Duration>,
    /// Bytes of event bodies in memory over all endpoints.
    pub body_budget_bytes: usize,
    /// What attempts in flight are given at a clean stop.
    pub drain_timeout: Duration,
    /// Counts in memory at once.
    pub statistics_cells: usize,
}

/// How much the journal takes at once.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// Entries that may wait.
    pub queue: usize,
    /// Most entries of a commit.
    pub batch: usize,
}

/// A machine that does not tell has at least the core this runs on.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Taking an event in costs about half of what delivering it does: with as many
/// threads, more is accepted than can be sent.
fn half_the_cores() -> usize {
    (cores() / 2).max(1)
}

/// Checks values against their bounds and knows where each came from.
pub(super) struct Check<'a> {
    pub origins: &'a Origins,
}

impl Check<'_> {
    pub fn server(&self, values: &Settled) -> Result<ServerConfig, ConfigError> {
        Ok(ServerConfig {
            listen: values.listen,
            workers: self.threads("workers", values.workers, half_the_cores)?,
            hold: values.hold,
            operator_key: self.secret("operator_key", &values.operator_key)?,
            metrics_endpoints: self.within("metrics_endpoints", values.metrics_endpoints, 0..=10_000)?,
        })
    }

    pub fn store(&self, values: &Settled) -> Result<StoreConfig, ConfigError> {
        let days = self.within("retention_days", values.retention_days, 1..=36_500)?;
        Ok(StoreConfig {
            location: self.store_location(&values.store)?,
            readers: self.within("readers", values.readers, 1..=256)?,
            statement_cache: values.statement_cache,
            retention: DAY * u32::try_from(days).expect("the bounds above fit"),
            keys: self.keys(values)?,
        })
    }

    pub fn cluster(&self, values: &Settled) -> Result<ClusterConfig, ConfigError> {
        Ok(ClusterConfig {
            advertise: self.advertise(&values.advertise)?,
            token: self.secret("cluster_token", &values.cluster_token)?,
            lease_term: self.millis("lease_term_ms", values.lease_term_ms, 2_000..=60_000)?,
            ca_file: Some(PathBuf::from(&values.cluster_ca_file)).filter(|path| !path.as_os_str().is_empty()),
        })
    }

    pub fn addresses(&self, values: &Settled) -> AddressConfig {
        AddressConfig { allow: values.allow_addresses.0.clone(), allow_http: values.allow_http }
    }

    pub fn limits(&self, values: &Settled) -> Result<LimitConfig, ConfigError> {
        let event_bytes = self.within("event_bytes", values.event_bytes, 1..=MAX_BODY_BYTES)?;
        let page_max = self.within("page_max", values.page_max, 1..=10_000)?;
        let retry_days = self.within("max_retry_days", values.max_retry_days, 1..=36_500)?;
        Ok(LimitConfig {
            event_bytes,
            batch_bytes: self.within("batch_bytes", values.batch_bytes, event_bytes..=MAX_BODY_BYTES)?,
            batch_events: self.within("batch_events", values.batch_events, 1..=100_000)?,
            settings_bytes: self.within("settings_bytes", values.settings_bytes, 1_024..=MAX_BODY_BYTES)?,
            page: self.within("page", values.page, 1..=page_max)?,
            page_max,
            endpoints_per_partner: self.within("endpoints_per_partner", values.endpoints_per_partner, 1..=1_000_000)?,
            max_retries: self.within("max_retries", values.max_retries, 0..=1_000)?,
            max_fan_out: self.within("max_fan_out", values.max_fan_out, 1..=1_000_000_000)?,
            endpoints_per_replay: self.within("endpoints_per_replay", values.endpoints_per_replay, 1..=100_000)?,
            replays_per_partner: self.within("replays_per_partner", values.replays_per_partner, 1..=10_000)?,
            stats_buckets: self.within("stats_buckets", values.stats_buckets, 1..=1_000_000)?,
            max_retry_span: DAY * u32::try_from(retry_days).expect("the bounds above fit"),
        })
    }

    pub fn transport(&self, values: &Settled) -> Result<TransportConfig, ConfigError> {
        let read = self.within("response_read_bytes", values.response_read_bytes, 0..=16 << 20)?;
        Ok(TransportConfig {
            connect_timeout: self.millis("connect_timeout_ms", values.connect_timeout_ms, 1..=60_000)?,
            response_read_bytes: read,
            response_keep_bytes: self.within("response_keep_bytes", values.response_keep_bytes, 0..=read)?,
            response_headers_keep_bytes: self.within(
                "response_headers_keep_bytes",
                values.response_headers_keep_bytes,
                0..=64 << 10,
            )?,
        })
    }

    pub fn engine(&self, values: &Settled) -> Result<EngineConfig, ConfigError> {
        // A budget below one event would never let that event be sent.
        let budget = values.event_bytes..=usize::MAX;
        Ok(EngineConfig {
            arbiters: self.threads("arbiters", values.arbiters, cores)?,
            window: self.within("window", values.window, 1..=65_536)?,
            max_in_flight: self.within("max_in_flight", values.max_in_flight, 1..=1_000_000)?,
            passivate_after: self.millis("passivate_after_ms", values.passivate_after_ms, 1..=86_400_000)?,
            breaker_opens_after: Some(values.breaker_opens_after).filter(|failures| *failures > 0),
            announce_after: self.millis(
                "endpoint_announce_after_ms",
                values.endpoint_announce_after_ms,
                1..=u64::MAX / 2,
            )?,
            warn_after: self.millis("endpoint_warn_after_ms", values.endpoint_warn_after_ms, 1..=u64::MAX / 2)?,
            disable_after: Some(self.millis(
                "endpoint_disable_after_ms",
                values.endpoint_disable_after_ms,
                0..=u64::MAX / 2,
            )?)
            .filter(|after| !after.is_zero()),
            body_budget_bytes: self.within("body_budget_bytes", values.body_budget_bytes, budget)?,
            drain_timeout: self.millis("drain_timeout_ms", values.drain_timeout_ms, 0..=3_600_000)?,
            statistics_cells: self.within("statistics_cells", values.statistics_cells, 0..=10_000_000)?,
        })
    }

    pub fn journal(&self, values: &Settled) -> Result<JournalConfig, ConfigError> {
        Ok(JournalConfig {
            queue: self.within("journal_queue", values.journal_queue, 1..=1_000_000)?,
            batch: self.within("journal_batch", values.journal_batch, 1..=65_536)?,
        })
    }

    fn secret(&self, name: &'static str, secret: &Secret) -> Result<Option<Secret>, ConfigError> {
        let text = secret.expose();
        if text.is_empty() {
            return Ok(None);
        }
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (MIN_SECRET_CHARS..=MAX_SECRET_CHARS).contains(&text.len()) {
            return Ok(Some(secret.clone()));
        }
        let reason =
            format!("must have {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} visible ASCII characters without spaces");
        Err(self.refuse(name, reason))
    }

    /// No error repeats a key.
    fn keys(&self, values: &Settled) -> Result<KeySource, ConfigError> {
        let (keys, file) = (values.encryption_keys.expose(), values.encryption_keys_file.as_str());
        match (keys.is_empty(), file.is_empty()) {
            (true, true) => Ok(KeySource::BesideTheStore),
            (true, false) => Ok(KeySource::File(PathBuf::from(file))),
            (false, true) => {
                let keyring = KeysText::Option(keys).keyring();
                let keyring =
                    keyring.map_err(|problem| self.refuse("encryption_keys", format!("cannot be read: {problem}")))?;
                Ok(KeySource::Given(Arc::new(keyring)))
            }
            (false, false) => Err(self.refuse(
                "encryption_keys",
                format!(
                    "and `encryption_keys_file` ({}) are both given: leave one of them out",
                    self.origins.of("encryption_keys_file")
                ),
            )),
        }
    }

    /// The value is not repeated in the error: a URL may carry a password.
    fn store_location(&self, store: &str) -> Result<StoreLocation, ConfigError> {
        if let Some(parsed) = PostgresUrl::parse(store) {
            let url = parsed.map_err(|problem| self.refuse("store", problem.to_string()))?;
            return Ok(StoreLocation::Postgres(url));
        }
        match store.strip_prefix("sqlite://") {
            Some("" | ":memory:") => {
                Err(self.refuse("store", "must name a file after `sqlite://`, such as sqlite://posthaste.db"))
            }
            Some(path) => Ok(StoreLocation::Sqlite(PathBuf::from(path))),
            None => Err(self
                .refuse("store", "must begin with `sqlite://`, such as sqlite://posthaste.db, or with `postgres://`")),
        }
    }

    /// An origin: nodes know the paths of each other themselves.
    fn advertise(&self, text: &str) -> Result<Option<String>, ConfigError> {
        if text.is_empty() {
            return Ok(None);
        }
        let origin = url::Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
        });
        match origin {
            Some(url) => Ok(Some(url.origin().ascii_serialization())),
            None => Err(self.refuse("advertise", "must be `http://`, a host and a port, such as http://10.1.2.3:8080")),
        }
    }

    fn threads(&self, name: &'static str, value: usize, default: fn() -> usize) -> Result<usize, ConfigError> {
        let threads = self.within(name, value, 0..=1_024)?;
        Ok(if threads == 0 { default() } else { threads })
    }

    pub(super) fn millis(
        &self,
        name: &'static str,
        value: u64,
        bounds: RangeInclusive<u64>,
    ) -> Result<Duration, ConfigError> {
        self.within(name, value, bounds).map(Duration::from_millis)
    }

    pub(super) fn within<T: PartialOrd + Display>(
        &self,
        name: &'static str,
        value: T,
        bounds: RangeInclusive<T>,
    ) -> Result<T, ConfigError> {
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (least, most) = bounds.into_inner();
        Err(self.refuse(name, format!("must be {least} to {most}, not {value}")))
    }

    pub(super) fn refuse(&self, name: &'static str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Refused { name, reason: reason.into(), origin: self.origins.of(name) }
    }
}
