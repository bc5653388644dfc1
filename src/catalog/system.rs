//! Posthaste's own events: what they are called, which every catalog knows beside what
//! is stored, and what they say. Their descriptions, schemas and examples are in
//! `catalogs/system.json`. When there is one is decided in `policy`, whom it is for by
//! the store.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use url::Url;

use crate::catalog::TypeDefinition;
use crate::catalog::shipped::definitions;
use crate::domain::{
    DeliveryId, DisabledReason, EndpointId, Environment, EventId, EventType, PartnerName, Setback, Timestamp,
};

const FILE: &str = include_str!("../../catalogs/system.json");

const FAILING: &str = "posthaste.endpoint.failing";
const RECOVERED: &str = "posthaste.endpoint.recovered";
const DISABLED: &str = "posthaste.endpoint.disabled";
const EXHAUSTED: &str = "posthaste.delivery.exhausted";

/// Their names.
pub const NAMES: [&str; 4] = [FAILING, RECOVERED, DISABLED, EXHAUSTED];

/// Whether a type is one of them, and not only called so by somebody else.
pub fn is_built_in(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Their definitions.
pub(super) fn system() -> Vec<TypeDefinition> {
    definitions(FILE)
}

/// The endpoint that an event is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which.
    pub endpoint: EndpointId,
    /// Whose.
    pub partner: &'a PartnerName,
    /// Where.
    pub environment: Environment,
    /// Its whole URL, of which no more is said than who is called.
    pub url: &'a str,
    /// When it came to that.
    pub occurred_at: Timestamp,
}

/// An event of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemEvent {
    /// The endpoint keeps failing.
    Failing {
        /// Since then.
        since: Timestamp,
        /// It was told before.
        is_warning: bool,
        /// It is disabled then; `None` is never.
        disables_at: Option<Timestamp>,
        /// What it failed at last.
        last: Setback,
    },
    /// It does not any more.
    Recovered {
        /// Since when it did, where that is known.
        failing_since: Option<Timestamp>,
    },
    /// It was disabled.
    Disabled {
        /// Why.
        reason: DisabledReason,
        /// Since when it had failed, where it had for long.
        failing_since: Option<Timestamp>,
        /// What it failed at last.
        last: Setback,
    },
    /// A delivery's schedule is at its end.
    Exhausted {
        /// Which.
        delivery: DeliveryId,
        /// What it carries.
        event: EventId,
        /// Of which type.
        event_type: EventType,
        /// Attempts that were made.
        attempt_count: u32,
        /// What the last one came to; how many failed in a row is not said.
        last: Setback,
    },
}

impl SystemEvent {
    fn name(&self) -> &'static str {
        match self {
            Self::Failing { .. } => FAILING,
            Self::Recovered { .. } => RECOVERED,
            Self::Disabled { .. } => DISABLED,
            Self::Exhausted { .. } => EXHAUSTED,
        }
    }

    /// Its type.
    pub fn event_type(&self) -> EventType {
        self.name().parse().expect("tests parse the names that are compiled in")
    }

    /// The bytes that are signed and sent.
    pub fn body(&self, subject: &Subject<'_>) -> Bytes {
        let endpoint = subject.endpoint.to_string();
        let id = match self {
            Self::Exhausted { delivery, .. } => delivery.to_string(),
            _ => endpoint.clone(),
        };
        let mut fields = Map::new();
        let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        say("event", json!(self.name()));
        say("id", json!(id));
        say("partner", json!(subject.partner.as_str()));
        say("environment", json!(subject.environment.as_str()));
        say("endpoint", json!(endpoint));
        say("url", json!(called(subject.url)));
        say("occurred_at", time(subject.occurred_at));
        match self {
            Self::Failing { since, is_warning, disables_at, last } => {
                say("failing_since", time(*since));
                say("consecutive_failures", json!(last.failures));
                say("last_error", last_error(last));
                say("is_warning", json!(is_warning));
                say("disables_at", maybe_time(*disables_at));
            }
            Self::Recovered { failing_since } => {
                say("failing_since", maybe_time(*failing_since));
            }
            Self::Disabled { reason, failing_since, last } => {
                say("disabled_reason", json!(reason.as_str()));
                say("failing_since", maybe_time(*failing_since));
                say("consecutive_failures", json!(last.failures));
                say("last_error", last_error(last));
            }
            Self::Exhausted { event, event_type, attempt_count, last, .. } => {
                say("event_id", json!(event.to_string()));
                say("event_type", json!(event_type.as_str()));
                say("attempt_count", json!(attempt_count));
                say("last_error", last_error(last));
            }
        }
        Bytes::from(Value::Object(fields).to_string())
    }
}

/// Who is called by a URL: scheme, host and port. Many receivers know their senders by
/// what stands in the path.
fn called(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

fn last_error(last: &Setback) -> Value {
    let error = last.error.as_ref().map(|error| json!({ "class": error.class.as_str(), "message": error.message }));
    json!({ "status_code": last.status_code, "error": error })
}

fn time(time: Timestamp) -> Value {
    Value::String(time.to_string())
}

fn maybe_time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::catalog::{Catalog, CatalogLimits};
    use crate::domain::{AttemptError, ErrorClass, Outcome};

    fn setbacks() -> Vec<Setback> {
        let classes = ErrorClass::ALL.into_iter().map(|class| Outcome::failed(class, "what went wrong"));
        let answers = [302, 410, 503].map(|status| Outcome::answered(status, Bytes::new()));
        let mut all: Vec<Setback> = classes.chain(answers).map(|outcome| Setback::new(7, &outcome)).collect();
        let message = "\u{0}\"\n".to_owned();
        all.push(Setback {
            failures: u32::MAX,
            status_code: None,
            error: Some(AttemptError { class: ErrorClass::Dns, message }),
        });
        all
    }

    fn all() -> Vec<SystemEvent> {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let mut all = Vec::new();
        for time in [Some(at), None] {
            all.push(SystemEvent::Recovered { failing_since: time });
            for last in setbacks() {
                let is_warning = time.is_some();
                all.push(SystemEvent::Failing { since: at, is_warning, disables_at: time, last: last.clone() });
                for reason in DisabledReason::ALL {
                    all.push(SystemEvent::Disabled { reason, failing_since: time, last: last.clone() });
                }
                all.push(SystemEvent::Exhausted {
                    delivery: DeliveryId::from_uuid(Uuid::from_u128(2)),
                    event: EventId::from_uuid(Uuid::from_u128(1)),
                    event_type: "order.paid".parse().expect("a name"),
                    attempt_count: 15,
                    last,
                });
            }
        }
        all
    }

    fn body(event: &SystemEvent, url: &str) -> Value {
        let partner: PartnerName = "acme".parse().expect("a name");
        let subject = Subject {
            endpoint: EndpointId::from_uuid(Uuid::from_u128(3)),
            partner: &partner,
            environment: Environment::Sandbox,
            url,
            occurred_at: Timestamp::from_millis(1_700_000_060_000),
        };
        serde_json::from_slice(&event.body(&subject)).expect("it is JSON")
    }

    #[test]
    fn each_is_defined_as_it_is_called_and_keeps_the_bounds() {
        let names: Vec<String> = system().iter().map(|definition| definition.name.to_string()).collect();
        assert_eq!(names, NAMES);
        let limits = CatalogLimits::default();
        for definition in system() {
            assert_eq!(definition.keeps(&limits), Ok(()), "{}", definition.name);
            let validator = definition.validator().expect("its schema compiles");
            assert_eq!(definition.example_errors(&validator), [], "{}", definition.name);
        }
    }

    #[test]
    fn whatever_is_said_is_said_in_its_schema() {
        for event in all() {
            let name = event.event_type();
            let definition = system().into_iter().find(|known| known.name == name).expect("each is defined");
            let validator = definition.validator().expect("its schema compiles");
            let said = body(&event, "https://example.com/hook");
            assert!(validator.is_valid(&said), "{said}");
            let declared = definition.schema["properties"].as_object().expect("an object");
            let example = definition.example.as_object().expect("an object");
            for field in said.as_object().expect("it is flat").keys() {
                assert!(declared.contains_key(field) && example.contains_key(field), "{name}: {field}");
            }
            assert_eq!(said.as_object().map(Map::len), Some(example.len()), "{name}: the example has all of it");
        }
    }

    #[test]
    fn no_secret_of_a_url_is_told() {
        for (url, told) in [
            ("https://me:pass@hooks.example.com/services/T0/s3cret?token=s3cret#s3cret", "https://hooks.example.com"),
            ("http://127.0.0.1:9000/s3cret", "http://127.0.0.1:9000"),
            ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
            ("no url: s3cret", ""),
        ] {
            for event in all() {
                assert_eq!(body(&event, url)["url"], told);
                assert!(!body(&event, url).to_string().contains("s3cret"));
            }
        }
    }

    #[test]
    fn every_catalog_knows_them_beside_its_own() {
        let json = |name: &str| json!({ "event": name });
        let stored = |name: &str| TypeDefinition {
            name: name.parse().expect("a name"),
            description: "stored".into(),
            schema: json!({ "type": "object" }),
            example: json(name),
            retry: None,
            indexed: Vec::new(),
        };
        // What only an edited store has: the built-in one counts, and another stays.
        let stored = vec![stored("order.paid"), stored(FAILING), stored("posthaste.older")];
        let catalog = Catalog::compile_whole(stored).expect("all of it");
        let names: Vec<&str> = catalog.iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(names, ["order.paid", EXHAUSTED, DISABLED, FAILING, RECOVERED, "posthaste.older"]);
        assert_ne!(
            catalog.get(&FAILING.parse().expect("a name")).map(|known| known.description.as_str()),
            Some("stored")
        );
        for pattern in ["posthaste.*", "posthaste.endpoint.*", "posthaste.delivery.exhausted"] {
            assert!(catalog.knows(&pattern.parse().expect("a pattern")), "{pattern}");
        }
        let post = |name: &str| catalog.validate(json(name).to_string().as_bytes());
        assert!(post("order.paid").is_ok() && post("posthaste.older").is_ok());
        for reserved in NAMES.into_iter().chain(["posthaste.newer"]) {
            let refusal = post(reserved).expect_err("it is ours");
            assert!(refusal.to_string().contains("`posthaste.`"), "{refusal}");
            assert_eq!(refusal.field_errors()[0].pointer, "/event");
        }
        let empty = Catalog::compile_whole(Vec::new()).expect("ours alone");
        assert!(!empty.knows(&"*".parse().expect("a pattern")), "a star leaves them out");
    }
}
