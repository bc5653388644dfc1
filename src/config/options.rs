//! Every option, declared once: its type, its environment variable and the
//! heading it stands under in `--help`. What it means and its default are in
//! `defaults.toml`, which is also where `--help` takes its words from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::parser::ValueSource;
use ipnet::IpNet;

use super::outbound::{NameServerList, PortList, SourceList};
use super::telling::{Tell, Telling};

/// The defaults with their explanations, as shipped.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// What the command line and the environment say. Not to be printed: a store's
/// URL may carry a password.
#[derive(Clone, Default, clap::Args)]
pub struct OptionArgs {
    /// The configuration file; without it `posthaste.toml`, if it is there.
    #[arg(long, env = "POSTHASTE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which of the options were said by flags. It looks before they are taken out.
    #[command(flatten)]
    pub flags: Flags,
    /// The options proper.
    #[command(flatten)]
    pub options: Options,
}

/// The options that stand on the command line: whatever else is set, the environment has
/// set. No argument of its own.
#[derive(Debug, Clone, Default)]
pub struct Flags(pub(super) Vec<&'static str>);

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let is_flag = |name: &&'static str| {
            let is_known = matches.try_contains_id(name).is_ok();
            is_known && matches.value_source(name) == Some(ValueSource::CommandLine)
        };
        Ok(Self(Options::NAMES.iter().copied().filter(is_flag).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

/// Declares the options: the layer in which each may be absent, the sum of the
/// layers in which none is, and the names. What of a type's values may be shown,
/// `telling.rs` says.
macro_rules! options {
    ($($heading:literal { $($field:ident: $type:ty = $env:literal $(, $attribute:ident = $value:expr)*;)* })*) => {
        /// One layer of configuration: a file, or flags and environment.
        #[derive(Clone, Default, clap::Args, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "`defaults.toml` explains each")]
        pub struct Options {
            $($(
                #[arg(long, env = $env, help = help(stringify!($field)), help_heading = $heading $(, $attribute = $value)*)]
                pub $field: Option<$type>,
            )*)*
        }

        /// All layers together: every option has a value.
        pub(super) struct Settled {
            $($(pub $field: $type,)*)*
        }

        impl Settled {
            /// Each option: its heading, its name and its value, as far as that may be seen.
            pub(super) fn told(&self) -> Vec<(&'static str, &'static str, Telling)> {
                vec![$($(($heading, stringify!($field), self.$field.tell()),)*)*]
            }
        }

        impl Options {
            /// The options' names, as the configuration file spells them.
            pub const NAMES: &[&str] = &[$($(stringify!($field),)*)*];

            /// The names of those that this layer sets.
            pub(super) fn names_set(&self) -> impl Iterator<Item = &'static str> {
                [$($(self.$field.is_some().then_some(stringify!($field)),)*)*].into_iter().flatten()
            }

            /// This layer, completed by a lower one.
            pub(super) fn over(self, lower: Self) -> Self {
                Self { $($($field: self.$field.or(lower.$field),)*)* }
            }

            /// The values, or the name of the first option that has none.
            pub(super) fn settle(self) -> Result<Settled, &'static str> {
                Ok(Settled { $($($field: self.$field.ok_or(stringify!($field))?,)*)* })
            }
        }
    };
}

options! {
    "Server" {
        listen: SocketAddr = "POSTHASTE_LISTEN";
        workers: usize = "POSTHASTE_WORKERS";
        hold: bool = "POSTHASTE_HOLD", num_args = 0..=1, require_equals = true,
            default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new();
        operator_key: Secret = "POSTHASTE_OPERATOR_KEY", hide_env_values = true;
        metrics_endpoints: usize = "POSTHASTE_METRICS_ENDPOINTS";
    }
    "Connections" {
        tls_certificate: String = "POSTHASTE_TLS_CERTIFICATE";
        tls_key: String = "POSTHASTE_TLS_KEY";
        max_connections: usize = "POSTHASTE_MAX_CONNECTIONS";
        head_bytes: usize = "POSTHASTE_HEAD_BYTES";
        head_timeout_ms: u64 = "POSTHASTE_HEAD_TIMEOUT_MS";
        write_timeout_ms: u64 = "POSTHASTE_WRITE_TIMEOUT_MS";
        keep_alive_ms: u64 = "POSTHASTE_KEEP_ALIVE_MS";
    }
    "Store" {
        store: String = "POSTHASTE_STORE", hide_env_values = true;
        readers: usize = "POSTHASTE_READERS";
        statement_cache: bool = "POSTHASTE_STATEMENT_CACHE", num_args = 0..=1, require_equals = true,
            default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new();
        retention_days: u64 = "POSTHASTE_RETENTION_DAYS";
        encryption_keys: Secret = "POSTHASTE_ENCRYPTION_KEYS", hide_env_values = true;
        encryption_keys_file: String = "POSTHASTE_ENCRYPTION_KEYS_FILE";
    }

    "Several nodes" {
        advertise: String = "POSTHASTE_ADVERTISE";
        cluster_token: Secret = "POSTHASTE_CLUSTER_TOKEN", hide_env_values = true;
        lease_term_ms: u64 = "POSTHASTE_LEASE_TERM_MS";
        cluster_ca_file: String = "POSTHASTE_CLUSTER_CA_FILE";
    }
    "Addresses that may be dialled" {
        allow_addresses: AddressList = "POSTHASTE_ALLOW_ADDRESSES";
        // The equals sign is required so that a bare `--allow-http` never
        // swallows the word after it.
        allow_http: bool = "POSTHASTE_ALLOW_HTTP", num_args = 0..=1, require_equals = true,
            default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new();
        denied_ports: PortList = "POSTHASTE_DENIED_PORTS";
    }
    "Limits" {
        event_bytes: usize = "POSTHASTE_EVENT_BYTES";
        batch_bytes: usize = "POSTHASTE_BATCH_BYTES";
        batch_events: usize = "POSTHASTE_BATCH_EVENTS";
        settings_bytes: usize = "POSTHASTE_SETTINGS_BYTES";
        page: usize = "POSTHASTE_PAGE";
        page_max: usize = "POSTHASTE_PAGE_MAX";
        endpoints_per_partner: usize = "POSTHASTE_ENDPOINTS_PER_PARTNER";
        max_retries: u32 = "POSTHASTE_MAX_RETRIES";
        max_retry_days: u64 = "POSTHASTE_MAX_RETRY_DAYS";
        max_fan_out: usize = "POSTHASTE_MAX_FAN_OUT";
        endpoints_per_replay: usize = "POSTHASTE_ENDPOINTS_PER_REPLAY";
        replays_per_partner: usize = "POSTHASTE_REPLAYS_PER_PARTNER";
        stats_buckets: usize = "POSTHASTE_STATS_BUCKETS";
        key_requests_per_second: u32 = "POSTHASTE_KEY_REQUESTS_PER_SECOND";
        partner_requests_per_second: u32 = "POSTHASTE_PARTNER_REQUESTS_PER_SECOND";
        producer_requests_per_second: u32 = "POSTHASTE_PRODUCER_REQUESTS_PER_SECOND";
        failed_authentications_per_minute: u32 = "POSTHASTE_FAILED_AUTHENTICATIONS_PER_MINUTE";
        tests_per_minute: u32 = "POSTHASTE_TESTS_PER_MINUTE";
    }
    "Portal" {
        portal_frame_origins: String = "POSTHASTE_PORTAL_FRAME_ORIGINS";
        portal_name: String = "POSTHASTE_PORTAL_NAME";
        portal_logo: String = "POSTHASTE_PORTAL_LOGO";
        portal_accent_light: String = "POSTHASTE_PORTAL_ACCENT_LIGHT";
        portal_accent_dark: String = "POSTHASTE_PORTAL_ACCENT_DARK";
    }
    "Transport" {
        connect_timeout_ms: u64 = "POSTHASTE_CONNECT_TIMEOUT_MS";
        response_read_bytes: usize = "POSTHASTE_RESPONSE_READ_BYTES";
        response_keep_bytes: usize = "POSTHASTE_RESPONSE_KEEP_BYTES";
        response_headers_keep_bytes: usize = "POSTHASTE_RESPONSE_HEADERS_KEEP_BYTES";
    }
    "The way out" {
        name_servers: NameServerList = "POSTHASTE_NAME_SERVERS";
        ca_file: String = "POSTHASTE_CA_FILE";
        source_address: SourceList = "POSTHASTE_SOURCE_ADDRESS";
        proxy: Secret = "POSTHASTE_PROXY", hide_env_values = true;
    }
    "Engine" {
        arbiters: usize = "POSTHASTE_ARBITERS";
        window: usize = "POSTHASTE_WINDOW";
        max_in_flight: usize = "POSTHASTE_MAX_IN_FLIGHT";
        passivate_after_ms: u64 = "POSTHASTE_PASSIVATE_AFTER_MS";
        breaker_opens_after: u32 = "POSTHASTE_BREAKER_OPENS_AFTER";
        endpoint_announce_after_ms: u64 = "POSTHASTE_ENDPOINT_ANNOUNCE_AFTER_MS";
        endpoint_warn_after_ms: u64 = "POSTHASTE_ENDPOINT_WARN_AFTER_MS";
        endpoint_disable_after_ms: u64 = "POSTHASTE_ENDPOINT_DISABLE_AFTER_MS";
        body_budget_bytes: usize = "POSTHASTE_BODY_BUDGET_BYTES";
        drain_timeout_ms: u64 = "POSTHASTE_DRAIN_TIMEOUT_MS";
        statistics_cells: usize = "POSTHASTE_STATISTICS_CELLS";
    }
    "Journal" {
        journal_queue: usize = "POSTHASTE_JOURNAL_QUEUE";
        journal_batch: usize = "POSTHASTE_JOURNAL_BATCH";
    }
}

/// A word that opens something: the first operator key, or what nodes know each
/// other by. It stays out of logs: only [`Secret::expose`] shows it.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The word itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(redacted)")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    /// Takes anything: what a secret must look like is checked with the other
    /// bounds, whose messages never repeat it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Networks, written as addresses and CIDRs with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct AddressList(pub Vec<IpNet>);

/// A word that is neither an address nor a CIDR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a CIDR such as 127.0.0.0/8")]
pub struct AddressListError(String);

impl FromStr for AddressList {
    type Err = AddressListError;

    fn from_str(text: &str) -> Result<Self, AddressListError> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for AddressList {
    type Error = AddressListError;

    fn try_from(text: String) -> Result<Self, AddressListError> {
        text.parse()
    }
}

/// A plain address is the network of that address alone.
fn network(word: &str) -> Result<IpNet, AddressListError> {
    let network = match word.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => word.parse::<IpNet>().map_err(|_| AddressListError(word.chars().take(64).collect()))?,
    };
    Ok(network.trunc())
}

/// The explanation of an option: the comment right above it in
/// `defaults.toml`, line by line.
pub(super) fn explanation(name: &str) -> Option<String> {
    let mut comment: Vec<&str> = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim());
        } else if key_of(line) == Some(name) {
            return (!comment.is_empty()).then(|| comment.join("\n"));
        } else {
            comment.clear();
        }
    }
    None
}

/// An option's help: its explanation and its default.
fn help(name: &str) -> String {
    let default = DEFAULTS.lines().find(|line| key_of(line) == Some(name)).and_then(|line| line.split_once('='));
    let default = default.map_or("", |(_, value)| value.trim().trim_matches('"'));
    let explanation = explanation(name).unwrap_or_default();
    if default.is_empty() { explanation } else { format!("{explanation} [default: {default}]") }
}

fn key_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_networks() {
        let list: AddressList = "127.0.0.0/8, 10.1.2.3,, ::1 ,fd00::5/8".parse().expect("each is an address or a CIDR");
        let shown: Vec<String> = list.0.iter().map(IpNet::to_string).collect();
        assert_eq!(shown, ["127.0.0.0/8", "10.1.2.3/32", "::1/128", "fd00::/8"]);
        assert_eq!("".parse(), Ok(AddressList::default()));
        for wrong in ["localhost", "10.0.0.0/33", "10.0.0/8", "127.0.0.1:80", "10.0.0.1;10.0.0.2"] {
            assert!(wrong.parse::<AddressList>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_never_shows_itself() {
        let key: Secret = "correct-horse-battery-staple".parse().expect("any text is taken");
        assert_eq!(format!("{key:?}"), "(redacted)");
        assert_eq!(key.expose(), "correct-horse-battery-staple");
    }
}
