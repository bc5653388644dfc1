//! What holds of the configuration as a whole: every option is in every
//! place, and the layers lie in the right order.

use std::process::Command;
use std::time::Duration;

use clap::{Args, Parser};

use crate::keyring::{KeySource, RingKeyId};

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: OptionArgs,
}

/// A directory of its own for a test, gone when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("posthaste-config-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, words: &[&str]) -> Result<Config, ConfigError> {
        Config::load_in(&self.0, flags(words))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Loads where there is no file.
fn load(words: &[&str]) -> Result<Config, ConfigError> {
    Config::load_in(Path::new("no-such-directory"), flags(words))
}

fn flags(words: &[&str]) -> OptionArgs {
    Flags::try_parse_from(std::iter::once(&"posthaste").chain(words)).unwrap().options
}

fn refusal(words: &[&str]) -> String {
    load(words).expect_err("the value is out of bounds").to_string()
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = load(&[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.operator_key, None);
    assert!(config.server.workers > 0 && config.engine.arbiters > 0, "0 is as many as there are cores");
    assert_eq!(config.store.location, StoreLocation::Sqlite("posthaste.db".into()));
    assert!(config.store.statement_cache);
    assert_eq!((config.cluster.advertise, config.cluster.token), (None, None));
    assert_eq!(config.cluster.lease_term, Duration::from_secs(6));
    assert_eq!(config.store.retention, Duration::from_secs(30 * 86_400));
    assert!(config.addresses.allow.is_empty() && !config.addresses.allow_http);
    assert_eq!(config.outbound.denied_ports, PortList { has_usual: true, ranges: Vec::new() });
    assert!(config.outbound.name_servers.is_empty() && config.outbound.ca_file.is_none());
    assert_eq!((config.outbound.source, config.outbound.proxy), (SourceList::default(), None));
    assert_eq!((config.limits.event_bytes, config.limits.batch_bytes), (256 << 10, 16 << 20));
    assert_eq!((config.limits.batch_events, config.limits.settings_bytes), (1_000, 64 << 10));
    assert_eq!((config.limits.page, config.limits.page_max), (50, 250));
    assert_eq!((config.limits.endpoints_per_partner, config.limits.max_fan_out), (1_000, 1_000_000));
    assert_eq!(
        (config.inbound.tls, config.inbound.max_connections, config.inbound.head_bytes),
        (None, 4_096, 32 << 10)
    );
    assert_eq!(
        (config.inbound.head_timeout, config.inbound.write_timeout),
        (Duration::from_secs(10), Duration::from_secs(30))
    );
    assert_eq!(config.inbound.keep_alive, Duration::from_secs(5));
    assert_eq!((config.inbound.key_requests_per_second, config.inbound.partner_requests_per_second), (500, 1_000));
    assert_eq!(config.inbound.producer_requests_per_second, 0);
    assert_eq!((config.inbound.failed_authentications_per_minute, config.inbound.tests_per_minute), (60, 60));
    assert_eq!(config.portal, PortalConfig::default());
    assert_eq!(config.limits.max_retries, 30);
    assert_eq!(config.limits.max_retry_span, Duration::from_secs(30 * 86_400));
    assert_eq!(config.transport.connect_timeout, Duration::from_secs(5));
    assert_eq!((config.transport.response_read_bytes, config.transport.response_keep_bytes), (64 << 10, 4 << 10));
    assert_eq!((config.engine.window, config.engine.max_in_flight), (128, 2_048));
    assert_eq!(
        (config.engine.passivate_after, config.engine.drain_timeout),
        (Duration::from_secs(10), Duration::from_secs(10))
    );
    assert_eq!(config.engine.body_budget_bytes, 64 << 20);
    let day = Duration::from_secs(86_400);
    assert_eq!(config.engine.breaker_opens_after, Some(5));
    assert_eq!((config.engine.warn_after, config.engine.disable_after), (day, Some(5 * day)));
    assert_eq!((config.journal.queue, config.journal.batch, config.store.readers), (8_192, 1_024, 4));
}

#[test]
fn every_option_is_in_the_defaults_with_a_comment_and_nothing_else_is() {
    let defaults = file::parse(Path::new("defaults.toml"), DEFAULTS).expect("no unknown option, no wrong type");
    let set: Vec<_> = defaults.options.names_set().collect();
    assert_eq!(set, Options::NAMES, "an option without a default");
    for name in Options::NAMES {
        let explanation = options::explanation(name).unwrap_or_else(|| panic!("`{name}` has no comment above it"));
        assert!(
            explanation.ends_with('.') && explanation.split(' ').count() > 3,
            "`{name}` is not explained: {explanation}"
        );
    }
}

#[test]
fn every_option_is_a_flag_and_a_variable() {
    let command = OptionArgs::augment_args(clap::Command::new("posthaste"));
    let mut names: Vec<&str> = vec!["config"];
    names.extend(Options::NAMES);
    let flags: Vec<&str> = command.get_arguments().map(|argument| argument.get_id().as_str()).collect();
    assert_eq!(flags, names);
    for argument in command.get_arguments() {
        let name = argument.get_id().as_str();
        assert_eq!(argument.get_long(), Some(name.replace('_', "-").as_str()));
        let variable = format!("POSTHASTE_{}", name.to_uppercase());
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
        assert!(argument.get_help().is_some_and(|help| !help.to_string().is_empty()), "`{name}` has no help");
    }
    command.debug_assert();
}

#[test]
fn each_layer_wins_over_those_below() {
    let directory = Directory::new("layers");
    directory.write("posthaste.toml", "page = 2\nwindow = 2\njournal_batch = 2\n");
    // The environment of this process is shared by all tests, so the one with
    // variables is a process of its own: this test binary, asked for one test.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "config::tests::loads_in_the_working_directory", "--ignored", "--nocapture"])
        .current_dir(&directory.0)
        .env("POSTHASTE_PAGE", "3")
        .env("POSTHASTE_WINDOW", "3")
        .env("POSTHASTE_ALLOW_HTTP", "yes")
        .env("POSTHASTE_OPERATOR_KEY", "from-the-environment-1234")
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("page 4, window 3, journal batch 2, readers 4, http true"), "{output}");
    assert!(output.contains("operator key of 25"), "{output}");
    for said in [
        "page: 4 by --page",
        "window: 3 by POSTHASTE_WINDOW",
        "allow_http: true by POSTHASTE_ALLOW_HTTP",
        "operator_key: •••••• by POSTHASTE_OPERATOR_KEY",
        "journal_batch: 2 by posthaste.toml:3",
        "readers: 4 by by default",
    ] {
        assert!(output.contains(said), "{said}: {output}");
    }
}

#[test]
#[ignore = "a process that `each_layer_wins_over_those_below` starts"]
fn loads_in_the_working_directory() {
    let config = Config::load(flags(&["--page", "4"])).unwrap();
    let (page, window, batch) = (config.limits.page, config.engine.window, config.journal.batch);
    let (readers, http) = (config.store.readers, config.addresses.allow_http);
    println!("page {page}, window {window}, journal batch {batch}, readers {readers}, http {http}");
    println!("operator key of {}", config.server.operator_key.map_or(0, |key| key.expose().len()));
    for setting in config.told {
        println!("{}: {} by {}", setting.name, setting.value.text, setting.origin);
    }
}

#[test]
fn every_option_is_told_with_its_heading_default_and_meaning() {
    let told = load(&["--window", "7"]).unwrap().told;
    let names: Vec<&str> = told.iter().map(|setting| setting.name).collect();
    assert_eq!(names, Options::NAMES);
    let command = OptionArgs::augment_args(clap::Command::new("posthaste"));
    for setting in &told {
        let argument = command.get_arguments().find(|argument| argument.get_id() == setting.name).unwrap();
        assert_eq!(argument.get_help_heading(), Some(setting.heading));
        assert!(setting.meaning.len() > 20 && !setting.meaning.contains('\n'), "{setting:?}");
        if setting.name == "window" {
            assert_eq!((setting.value.text.as_str(), setting.default.as_str()), ("7", "128"));
        } else {
            assert_eq!(setting.value.text, setting.default, "{}", setting.name);
            assert_eq!(setting.origin, Origin::Defaults, "{}", setting.name);
        }
    }
}

#[test]
fn no_secret_is_told() {
    let ring = "a:czNjcmV0LXMzY3JldC1zM2NyZXQtczNjcmV0LTY3ODk=";
    let secrets = [
        ("--operator-key", "s3cret-s3cret-1"),
        ("--cluster-token", "s3cret-s3cret-2"),
        ("--proxy", "http://me:s3cret-s3cret-3@proxy:3128"),
        ("--store", "postgres://me:s3cret-s3cret-4@db/x?password=s3cret-s3cret-5"),
        ("--encryption-keys", ring),
    ];
    let words: Vec<&str> = secrets.iter().flat_map(|(flag, value)| [*flag, *value]).collect();
    let told = load(&words).unwrap().told;
    let whole = format!("{told:?}");
    assert!(!whole.contains("s3cret") && !whole.contains("czNjcmV0"), "{whole}");
    let masked: Vec<&str> = told.iter().filter(|setting| setting.value.is_masked).map(|setting| setting.name).collect();
    assert_eq!(masked, ["operator_key", "store", "encryption_keys", "cluster_token", "proxy"]);
    // Whatever else is declared to be a secret is one of these: a new one has its line above.
    let hidden: Vec<String> = OptionArgs::augment_args(clap::Command::new("posthaste"))
        .get_arguments()
        .filter(|argument| argument.is_hide_env_values_set())
        .map(|argument| argument.get_id().to_string())
        .collect();
    let mut expected = masked;
    expected.sort_unstable();
    let mut hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
    hidden.sort_unstable();
    assert_eq!(hidden, expected);
}

#[test]
fn a_named_file_must_be_there() {
    let directory = Directory::new("named");
    let missing = directory.0.join("missing.toml");
    let error = directory.load(&["--config", missing.to_str().unwrap()]).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { path, .. } if path == missing));

    let named = directory.write("named.toml", "page = 7\n");
    directory.write("posthaste.toml", "page = 8\n");
    let config = directory.load(&["--config", named.to_str().unwrap()]).unwrap();
    assert_eq!(config.limits.page, 7, "the named file stands in for the default one");
    assert_eq!(directory.load(&[]).unwrap().limits.page, 8);
}

#[test]
fn values_out_of_bounds_name_the_option_and_its_origin() {
    assert_eq!(refusal(&["--page", "251"]), "`page` must be 1 to 250, not 251 (--page)");
    assert_eq!(refusal(&["--page-max", "10"]), "`page` must be 1 to 10, not 50 (by default)");
    assert!(refusal(&["--event-bytes", "20000000"]).starts_with("`batch_bytes` must be 20000000 to "));
    assert!(refusal(&["--response-read-bytes", "100"]).starts_with("`response_keep_bytes` must be 0 to 100,"));
    assert!(refusal(&["--body-budget-bytes", "1000"]).starts_with("`body_budget_bytes` must be 262144 to "));
    assert!(refusal(&["--max-retries", "1001"]).starts_with("`max_retries` must be 0 to 1000,"));
    assert!(refusal(&["--max-retry-days", "0"]).starts_with("`max_retry_days` must be 1 to "));
    assert!(refusal(&["--journal-queue", "0"]).starts_with("`journal_queue` must be 1 to "));

    let directory = Directory::new("bounds");
    let path = directory.write("posthaste.toml", "# mine\nretention_days = 0\n");
    let error = directory.load(&[]).unwrap_err().to_string();
    assert_eq!(error, format!("`retention_days` must be 1 to 36500, not 0 ({}:2)", path.display()));
}

#[test]
fn a_store_is_a_file_or_a_database() {
    let stored = |url: &str| load(&["--store", url]).map(|config| config.store.location);
    assert_eq!(stored("sqlite:///var/lib/a.db").unwrap(), StoreLocation::Sqlite("/var/lib/a.db".into()));
    assert_eq!(stored("sqlite://data/a.db").unwrap(), StoreLocation::Sqlite("data/a.db".into()));
    for url in ["postgres://ann:hunter2@db/x", "postgresql://ann:hunter2@db:5433,other:5433/x?sslmode=disable"] {
        let config = load(&["--store", url]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        let StoreLocation::Postgres(found) = config.store.location else { panic!("{url} is PostgreSQL's") };
        assert_eq!(found.expose(), url);
    }
    for wrong in ["mysql://ann:hunter2@db/x", "posthaste.db", "sqlite:a.db", "sqlite://", "sqlite://:memory:", ""] {
        let error = stored(wrong).unwrap_err().to_string();
        assert!(error.contains("`sqlite://`") && !error.contains("hunter2"), "{error}");
    }
    let error = stored("postgres://").unwrap_err().to_string();
    assert!(error.starts_with("`store` must name a server"), "{error}");
}

#[cfg(not(feature = "postgres-tls"))]
#[test]
fn without_tls_a_url_that_asks_for_it_is_refused() {
    for mode in ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full", "ssl=true", "%73slmode=require"] {
        let error = refusal(&["--store", &format!("postgres://ann:hunter2@db/x?application_name=a&{mode}")]);
        assert!(error.contains("build it with `--features postgres-tls`") && !error.contains("hunter2"), "{error}");
    }
    for mode in ["sslmode=disable", "sslmode=prefer", "sslmode=allow"] {
        assert!(load(&["--store", &format!("postgres://db/x?{mode}")]).is_ok(), "{mode}");
    }
}

#[test]
fn what_the_portal_looks_like_is_checked() {
    let words = [
        "--portal-frame-origins",
        "https://app.example.com, https://app.example.com:443,http://localhost:3000",
        "--portal-name",
        " Acme Ads ",
        "--portal-accent-light",
        "#c0FFee",
    ];
    let portal = load(&words).unwrap().portal;
    assert_eq!(portal.frame_origins, ["https://app.example.com", "http://localhost:3000"]);
    assert_eq!((portal.name.as_deref(), portal.accent_light), (Some("Acme Ads"), Some([0xc0, 0xff, 0xee])));
    for (flag, value, told) in [
        (
            "--portal-frame-origins",
            "https://a.example,http://b.example",
            "has `http://b.example`: a page without https",
        ),
        ("--portal-frame-origins", "https://*.example.com", "every host is named"),
        ("--portal-accent-dark", "red", "must be a colour such as #0A5AB0"),
        ("--portal-accent-dark", "#12345g", "must be a colour such as #0A5AB0"),
        ("--portal-name", &"x".repeat(41), "must have at most 40 characters"),
    ] {
        let error = refusal(&[flag, value]);
        assert!(error.starts_with(&format!("`{}", flag[2..].replace('-', "_"))) && error.contains(told), "{error}");
    }
}

#[test]
fn what_is_advertised_is_an_origin() {
    let advertised =
        |words: &[&str], listens_on: &str| load(words).unwrap().cluster.advertised("http", listens_on.parse().unwrap());
    assert_eq!(advertised(&[], "10.0.0.7:8080").as_deref(), Some("http://10.0.0.7:8080"));
    assert_eq!(advertised(&[], "[::1]:8080").as_deref(), Some("http://[::1]:8080"));
    assert_eq!(advertised(&[], "0.0.0.0:8080"), None);
    assert_eq!(advertised(&[], "[::]:8080"), None);
    let by_tls = load(&[]).unwrap().cluster.advertised("https", "10.0.0.7:8443".parse().unwrap());
    assert_eq!(by_tls.as_deref(), Some("https://10.0.0.7:8443"));
    let given = advertised(&["--advertise", "http://node-1.internal:9000/"], "0.0.0.0:8080");
    assert_eq!(given.as_deref(), Some("http://node-1.internal:9000"));
    for wrong in ["node-1:9000", "ftp://node-1", "http://node-1/path", "http://ann:hunter2@node-1", "http://"] {
        let error = refusal(&["--advertise", wrong]);
        assert!(error.starts_with("`advertise` must be `http://`") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn tls_takes_a_certificate_and_a_key() {
    let error = refusal(&["--tls-certificate", "server.pem"]);
    assert!(error.starts_with("`tls_key` must name a file where `tls_certificate` does"), "{error}");
    let error = refusal(&["--tls-key", "server.key"]);
    assert!(error.starts_with("`tls_certificate` must name a file where `tls_key` does"), "{error}");
    let both = load(&["--tls-certificate", "server.pem", "--tls-key", "server.key"]).unwrap();
    let files = TlsFiles { certificate: "server.pem".into(), key: "server.key".into() };
    assert_eq!(both.inbound.tls, Some(files));
}

#[test]
fn nodes_share_a_token_that_is_not_shown() {
    let error = refusal(&["--cluster-token", "short"]);
    assert!(error.starts_with("`cluster_token` must have 8 to 256 visible") && !error.contains("short"), "{error}");
    let config = load(&["--cluster-token", "123456789012345678901234"]).unwrap();
    assert!(!format!("{config:?}").contains("123456789012345678901234"));
    assert!(config.cluster.token.is_some());
    assert!(refusal(&["--lease-term-ms", "1999"]).starts_with("`lease_term_ms` must be 2000 to 60000"));
    let off = |words: &[&str]| !load(words).unwrap().store.statement_cache;
    assert!(off(&["--statement-cache=off"]) && !off(&["--statement-cache"]));
}

#[test]
fn a_weak_operator_key_is_refused_without_being_shown() {
    for wrong in ["short", "with a space in it, and long enough", "tab\tbed-and-long-enough-too"] {
        let error = refusal(&["--operator-key", wrong]);
        assert!(error.starts_with("`operator_key` must have 8 to 256 visible") && !error.contains(wrong), "{error}");
    }
    let config = load(&["--operator-key", "123456789012345678901234"]).unwrap();
    assert!(!format!("{config:?}").contains("123456789012345678901234"));
    assert!(config.server.operator_key.is_some());
}

#[test]
fn allow_http_needs_no_value() {
    let allowed = |words: &[&str]| load(words).unwrap().addresses.allow_http;
    assert!(allowed(&["--allow-http"]) && allowed(&["--allow-http=true"]));
    assert!(!allowed(&["--allow-http=no"]) && !allowed(&[]));
}

#[test]
fn keys_that_seal_are_given_or_in_a_file() {
    let keys = |words: &[&str]| load(words).map(|config| config.store.keys);
    assert!(matches!(keys(&[]), Ok(KeySource::BesideTheStore)));
    let named = keys(&["--encryption-keys-file", "/etc/posthaste/keys"]);
    assert!(matches!(named, Ok(KeySource::File(path)) if path == Path::new("/etc/posthaste/keys")));
    let (key, other) = ("Z".repeat(42) + "A=", "c".repeat(42) + "A=");
    let both = format!("new:{key}, old:{other}");
    let Ok(KeySource::Given(keyring)) = keys(&["--encryption-keys", &both]) else { panic!("they are given") };
    let ids: Vec<&str> = keyring.ids().map(RingKeyId::as_str).collect();
    assert_eq!((keyring.current().map(RingKeyId::as_str), ids), (Some("new"), vec!["new", "old"]));
    let shown = format!("{:?}", load(&["--encryption-keys", &both]).unwrap());
    assert!(!shown.contains(&key[..20]) && !shown.contains(&other[..20]), "{shown}");

    let error = refusal(&["--encryption-keys", &both, "--encryption-keys-file", "keys"]);
    assert!(error.contains("both given") && error.contains("--encryption-keys-file"), "{error}");
    for (wrong, told) in [
        (key.clone(), "key 1 is not written as `id:key`"),
        (format!("new:{key},new:{other}"), "key 2: there are two keys with the id `new`"),
        (format!("new:{}", &key[..40]), "key 1: the key `new` has 30 bytes, and must have 32"),
        (format!("new:{key},old:*"), "key 2: the key `old` is not in base64"),
        (",".to_owned(), "there is no key in it"),
    ] {
        let error = refusal(&["--encryption-keys", &wrong]);
        assert!(error.starts_with("`encryption_keys` cannot be read") && error.contains(told), "{error}");
        assert!(!error.contains(&key[..20]), "{error}");
    }
}
