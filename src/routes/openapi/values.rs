//! What single values look like: ids, names, times and whatever else has a bound of its
//! own. Each bound is the constant that the code checks by; where an operator may change
//! one, `bounds.rs` puts in what this node is configured with.

#![allow(dead_code, reason = "it says what JSON looks like, and nobody makes one")]

use serde_json::{Value, json};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::catalog::CatalogLimits;
use crate::domain;
use crate::domain::{
    AuditAction, DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_MS, Environment, MAX_CHAIN_BYTES, MAX_CONCURRENCY,
    MAX_DESCRIPTION_CHARS, MAX_HEADER_VALUE_BYTES, MAX_HEADERS, MAX_POINTER_BYTES, MAX_RATE, MAX_TIMEOUT_MS,
    MAX_URL_BYTES, MAX_WAIT_MS, MIN_TIMEOUT_MS, Signing,
};
use crate::policy::signature::{MAX_KEY_BYTES, MIN_KEY_BYTES};
use crate::routes::{brakes, harm, idempotency, portal_links, search, signing};

/// What every example id is made of: a UUIDv7 of 2026.
const EXAMPLE: Uuid = Uuid::from_u128(0x019c_2a5e_7400_7abc_8def_0123_4567_89ab);

macro_rules! values {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)*) => {$(
        $(#[doc = $doc])+
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let schema: ObjectBuilder = $schema;
                schema.description(Some(concat!($($doc),+).trim())).into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

values! {
    /// A time: RFC 3339, UTC, milliseconds.
    Timestamp = text(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-01-31T12:00:00.000Z"]);
    /// A time to be read: RFC 3339 with any offset.
    GivenTime = text_of_any().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-01-31T13:00:00+01:00"]);
    /// A time to come: RFC 3339 with any offset.
    ComingTime = text_of_any().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2099-01-31T12:00:00Z"]);
    /// An environment. The two share nothing but partners' names.
    EnvironmentName = one_of(&Environment::ALL.map(Environment::as_str));
    /// An environment, or `*` for both at once.
    EnvironmentOrAll = one_of(&["sandbox", "production", "*"]);
    /// A partner's name.
    PartnerName = text(r"^[a-z0-9][a-z0-9._-]{0,63}$").max_length(Some(64)).examples(["acme"]);
    /// A partner's name, or `*` for all partners of the environment.
    PartnerOrAll = text(r"^(\*|[a-z0-9][a-z0-9._-]{0,63})$").max_length(Some(64)).examples(["acme", "*"]);
    /// An endpoint's id.
    EndpointId = id(&domain::EndpointId::from_uuid(EXAMPLE).to_string());
    /// Endpoints' ids, with commas between them.
    EndpointIds = ids(&domain::EndpointId::from_uuid(EXAMPLE).to_string());
    /// An event's id, which is also the `webhook-id` of every attempt.
    EventId = id(&domain::EventId::from_uuid(EXAMPLE).to_string());
    /// A delivery's id.
    DeliveryId = id(&domain::DeliveryId::from_uuid(EXAMPLE).to_string());
    /// A replay's id.
    ReplayId = id(&domain::ReplayId::from_uuid(EXAMPLE).to_string());
    /// A key's id, which is not the key.
    KeyId = id(&domain::KeyId::from_uuid(EXAMPLE).to_string());
    /// The id of one run of a node.
    NodeId = id(&domain::NodeId::from_uuid(EXAMPLE).to_string());
    /// The name of an event type: words of `a-z 0-9 _ -` joined by dots.
    EventTypeName = text(r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$").max_length(Some(128))
        .examples(["campaign.updated", "screenshot_set.approved"]);
    /// An event type, or `*` for those that found no room to be counted by themselves.
    EventTypeOrOthers = text(r"^(\*|[a-z0-9_-]+(\.[a-z0-9_-]+)*)$").max_length(Some(128)).examples(["campaign.updated", "*"]);
    /// An event type, words ending in `.*` for all types below them, or `*` for all but Posthaste's own.
    EventPattern = text(r"^(\*|[a-z0-9_-]+(\.[a-z0-9_-]+)*(\.\*)?)$").max_length(Some(130))
        .examples(["campaign.updated", "campaign.*", "*"]);
    /// Where events go: `https`, or `http` where the environment allows it; no user info, no fragment.
    WebhookUrl = text_of_any().format(Some(SchemaFormat::Custom("uri".to_owned())))
        .min_length(Some(1)).max_length(Some(MAX_URL_BYTES)).examples(["https://example.com/hooks/posthaste"]);
    /// A note of your own, without the character U+0000.
    Description = text_of_any().max_length(Some(MAX_DESCRIPTION_CHARS)).examples(["campaigns to our CRM"]);
    /// A note on a key, without the character U+0000. The body's own limit is its bound.
    KeyDescription = text_of_any().examples(["from our CRM"]);
    /// Why a brake is set, for those who find it, without the character U+0000.
    BrakeReason = text_of_any().max_length(Some(brakes::MAX_REASON_CHARS)).examples(["their receiver is being moved"]);
    /// Requests in flight to the endpoint at once.
    MaxConcurrency = number(1, MAX_CONCURRENCY.into()).default(Some(json!(DEFAULT_CONCURRENCY)));
    /// Milliseconds that a whole attempt may take, from looking up the name to the last byte read.
    TimeoutMs = number(MIN_TIMEOUT_MS, MAX_TIMEOUT_MS).default(Some(json!(DEFAULT_TIMEOUT_MS)));
    /// Most requests in a second.
    RequestsPerSecond = number(1, MAX_RATE.into()).examples([10]);
    /// Milliseconds to wait before an attempt; at most 7 days.
    WaitMs = number(0, MAX_WAIT_MS).examples([5_000]);
    /// How many retries follow the first attempt. The most is the option `max_retries`.
    RetryCount = number(0, 30).examples([14]);
    /// What a signing secret looks like: `whsec_` and the base64 of 24 to 64 bytes.
    SigningSecret = text(r"^whsec_[A-Za-z0-9+/]+={0,2}$")
        .min_length(Some(secret_length(MIN_KEY_BYTES))).max_length(Some(secret_length(MAX_KEY_BYTES)))
        .examples(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbYk2vcG4FQY="]);
    /// A signing secret, `whsec_`, or a key pair, `whsk_`, where the endpoint signs by `v1a`.
    GivenSecret = text(r"^(whsec_[A-Za-z0-9+/]+={0,2}|whsk_[A-Za-z0-9+/]{86}==)$")
        .min_length(Some(secret_length(MIN_KEY_BYTES))).max_length(Some(secret_length(MAX_KEY_BYTES)))
        .examples(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbYk2vcG4FQY="]);
    /// The public half of a key pair: `whpk_` and the base64 of 32 bytes.
    PublicKey = text(r"^whpk_[A-Za-z0-9+/]{43}=$").examples(["whpk_VSiA4sptzEjTdDhHm2V5oEJfeQ+LuGzHmXZmIgkYZqE="]);
    /// How attempts are signed: `v1` by a shared secret (HMAC-SHA256), `v1a` by a key pair (ed25519).
    SigningWord = one_of(&Signing::BOTH.map(Signing::as_str)).default(Some(json!(Signing::default().as_str())));
    /// Certificates as PEM: the endpoint's own first.
    CertificateText = text_of_any().max_length(Some(MAX_CHAIN_BYTES))
        .examples(["-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"]);
    /// A private key as PEM.
    KeyText = text_of_any().max_length(Some(domain::MAX_KEY_BYTES))
        .examples(["-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n"]);
    /// An entry's number in the audit log, from 1.
    AuditNumber = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).examples([42]);
    /// Who did it: the role of a key, the operator's key of the configuration, a command at the machine, or Posthaste itself.
    ActorWord = one_of(&domain::Actor::ALL.map(domain::Actor::as_str));
    /// A hash of the audit log: 64 hexadecimal digits.
    AuditHash = text("^[0-9a-fA-F]{64}$").examples(["0f".repeat(32)]);
    /// What was done.
    AuditWord = one_of(&AuditAction::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>());
    /// More of it, each action's own. Never a secret.
    AuditDetail = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([json!({ "signing": "v1", "overlap_seconds": 86_400 })]);
    /// Seconds that the old secret signs beside the new one: 24 hours unless said, at most 7 days.
    OverlapSeconds = number(0, signing::MAX_OVERLAP_SECONDS)
        .default(Some(json!(signing::DEFAULT_OVERLAP.as_secs())));
    /// Headers sent with each attempt, by name. Those of the connection, of the body and of Posthaste (`host`, `content-type`, `webhook-…`) are refused.
    RequestHeaders = ObjectBuilder::new().schema_type(Type::Object).max_properties(Some(MAX_HEADERS))
        .additional_properties(Some(AdditionalProperties::RefOr(
            text(r"^[\t -~]+$").min_length(Some(1)).max_length(Some(MAX_HEADER_VALUE_BYTES)).into(),
        )))
        .examples([json!({ "x-token": "abc" })]);
    /// The names of the headers sent with each attempt. Their values may be secrets and are not shown.
    RedactedHeaders = ObjectBuilder::new().schema_type(Type::Object).max_properties(Some(MAX_HEADERS))
        .additional_properties(Some(AdditionalProperties::RefOr(one_of(&["(redacted)"]).into())))
        .examples([json!({ "x-token": "(redacted)" })]);
    /// A JSON Schema of events, at most 16 KiB: those that break it are not delivered. Its depth, its regular expressions and what its references multiply to are bounded, too.
    Filter = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([json!({ "properties": { "status": { "enum": ["FAILED", "TO_RETRY"] } }, "required": ["status"] })]);
    /// A JSON pointer (RFC 6901) to a field of the event, at least one step long.
    FieldPointer = text("^/([^~\\u0000]|~0|~1)*$").max_length(Some(MAX_POINTER_BYTES)).examples(["/id"]);
    /// An event as it is posted and delivered: `event` names its type, and the entity's fields stand beside it. The type's JSON Schema says which; `GET /event-types` shows it.
    EventBody = ObjectBuilder::new().schema_type(Type::Object)
        .property("event", utoipa::openapi::Ref::from_schema_name("EventTypeName")).required("event")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([campaign_updated(), screenshot_set_approved()]);
    /// Events, one JSON object on each line. Empty lines are passed over.
    EventLines = text_of_any().content_media_type("application/x-ndjson")
        .examples([format!("{}\n{}\n", campaign_updated(), screenshot_set_approved())]);
    /// A JSON Schema that events of the type must fit, as compact JSON at most 64 KiB; draft 2020-12 unless it says otherwise. Nothing that it refers to is fetched.
    EventSchema = ObjectBuilder::new().schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
        .examples([json!({ "type": "object", "required": ["event", "id"] })]);
    /// A whole event that the schema accepts, as compact JSON at most 64 KiB; sent when somebody tries an endpoint.
    EventExample = ObjectBuilder::new().schema_type(Type::Object)
        .property("event", utoipa::openapi::Ref::from_schema_name("EventTypeName")).required("event")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([campaign_updated()]);
    /// What has happened when an event of the type is posted, without the character U+0000.
    TypeDescription = text_of_any().max_length(Some(CatalogLimits::default().description_chars));
    /// An API key. Whoever has it can use it.
    ApiKey = text("^ph_[a-km-z2-9]{52}$").examples(["ph_2vq7m4c6d3f5g7h8j9k2m3n4p5q6r7s8t9u2v3w4x5y6z7a8b9c2"]);
    /// Seconds until a link to the portal ends, and the sessions that began with it: 7 days unless said, at most 30.
    LinkSeconds = number(*portal_links::SECONDS.start(), *portal_links::SECONDS.end())
        .default(Some(json!(portal_links::DEFAULT_SECONDS)));
    /// Where a browser opens the portal. Whoever has it can.
    PortalUrl = text("/dashboard/portal/phl_[a-km-z2-9]{52}$")
        .examples(["https://hooks.example.com/dashboard/portal/phl_2vq7m4c6d3f5g7h8j9k2m3n4p5q6r7s8t9u2v3w4x5y6z7a8b9c2"]);
    /// Entries of a page. The default and the most are the options `page` and `page_max`.
    PageLimit = number(1, 250).default(Some(json!(50)));
    /// A number that `posthaste-sequence` has said, or 0.
    SequenceNumber = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).examples([17]);
    /// `next_cursor` of the page before, unread.
    Cursor = text_of_any().min_length(Some(1)).max_length(Some(128));
    /// What makes a repeated request the same request, for 24 hours: as it is, or in quotes as a String of RFC 8941, which is the same key.
    IdempotencyKey = text(r#"^([!#-~][ -~]*|"([ !#-\[\]-~]|\\["\\])+")$"#)
        .min_length(Some(1)).max_length(Some(idempotency::MAX_KEY_BYTES))
        .examples(["order-4711", "\"order-4711\""]);
    /// A field that some type is indexed by, a colon, and a value.
    IndexedValue = text("^/").max_length(Some(search::MAX_TEXT_BYTES)).examples(["/id:cmp_1"]);
    /// Part of a URL, upper and lower case alike.
    UrlPart = text_of_any().min_length(Some(1)).max_length(Some(harm::MAX_PART_CHARS)).examples(["example.com"]);
    /// What is looked for.
    SearchText = text_of_any().min_length(Some(1)).max_length(Some(search::MAX_TEXT_BYTES)).examples(["cmp_1"]); /// Whole days. The most is the option `retention_days`.
    Days = number(1, 30).examples([7]);
    /// Whole seconds. The most is the option `retention_days`.
    ExpirySeconds = number(1, 30 * 24 * 3_600).examples([3_600]);
}

fn text_of_any() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn text(pattern: &str) -> ObjectBuilder {
    text_of_any().pattern(Some(pattern))
}

fn number(least: u64, most: u64) -> ObjectBuilder {
    // As it is kept in memory: no bound comes near what an `usize` holds.
    let bound = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(bound(least))).maximum(Some(bound(most)))
}

fn one_of(words: &[&str]) -> ObjectBuilder {
    text_of_any().enum_values(Some(words.iter().copied()))
}

/// An id like this one: a prefix, and a UUID in 26 characters of base 32.
fn id(example: &str) -> ObjectBuilder {
    let prefix = example.split('_').next().unwrap_or_default();
    text(&format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")).examples([example])
}

/// Several like this one.
fn ids(example: &str) -> ObjectBuilder {
    let prefix = example.split('_').next().unwrap_or_default();
    let one = format!("{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}");
    text(&format!("^{one}(,{one})*$")).examples([example])
}

fn secret_length(key_bytes: usize) -> usize {
    "whsec_".len() + key_bytes.div_ceil(3) * 4
}

/// The ads API's event, as the shipped catalog takes it.
pub fn campaign_updated() -> Value {
    json!({
        "event": "campaign.updated", "provider": "facebook", "type": "link_clicks", "id": "cmp_1",
        "status": "ACTIVE", "reason": "end_date_changed", "metadata": { "end_date": "2027-01-31" },
    })
}

/// The screenshots' event, as the shipped catalog takes it.
pub fn screenshot_set_approved() -> Value {
    json!({
        "event": "screenshot_set.approved", "id": "set_7", "ad": { "id": "ad_3", "status": "uploaded" },
        "screenshots": [
            { "id": "shot_1", "status": "uploaded" }, { "id": "shot_2", "status": "site_unreachable" },
        ],
    })
}

/// An object's schema, for whoever looks a bound up.
#[cfg(test)]
pub fn object<T: PartialSchema>() -> utoipa::openapi::Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => panic!("not a plain schema"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth;
    use crate::catalog::{Catalog, shipped};
    use crate::policy::signature;
    use domain::MAX_FILTER_BYTES;

    /// What the schema says of the text: whether it may be one.
    fn fits<T: PartialSchema>(text: &str) -> bool {
        let schema = serde_json::to_value(object::<T>()).expect("a schema is JSON");
        jsonschema::validator_for(&schema).expect("it compiles").is_valid(&json!(text))
    }

    #[test]
    fn texts_fit_as_they_are_read() {
        for text in ["acme", "0-9", "a.b_c-d", "", "*", "Acme", "-a", "a b", "é", &"x".repeat(64), &"x".repeat(65)] {
            assert_eq!(fits::<PartnerName>(text), text.parse::<domain::PartnerName>().is_ok(), "{text}");
        }
        for text in ["a", "a.b", "campaign.updated", "a..b", ".a", "a.", "A", "a b", "", "*", &"x".repeat(129)] {
            assert_eq!(fits::<EventTypeName>(text), text.parse::<domain::EventType>().is_ok(), "{text}");
        }
        for text in ["*", "a", "a.*", "a.b.*", "**", "*.a", "a*", ".*", "a.*.b", ""] {
            assert_eq!(fits::<EventPattern>(text), text.parse::<domain::TypePattern>().is_ok(), "{text}");
        }
        for text in ["/id", "/a/b~0~1", "/", "id", "", "/~", "/~2", "/a\0"] {
            assert_eq!(fits::<FieldPointer>(text), text.parse::<domain::FieldPointer>().is_ok(), "{text:?}");
        }
        let key = |bytes: usize| signature::SigningSecret::from_key(&vec![7; bytes]).map(|secret| secret.reveal());
        for bytes in [MIN_KEY_BYTES, MIN_KEY_BYTES + 1, MIN_KEY_BYTES + 2, MAX_KEY_BYTES] {
            assert!(fits::<SigningSecret>(&key(bytes).expect("a key of this length")), "{bytes}");
        }
        assert!(fits::<ApiKey>(auth::ApiKey::generate().expect("there is randomness").reveal()));
    }

    #[test]
    fn examples_are_what_the_shipped_catalogs_take() {
        let catalog = Catalog::compile(shipped()).expect("they compile");
        for example in [campaign_updated(), screenshot_set_approved()] {
            assert!(catalog.validate(example.to_string().as_bytes()).is_ok(), "{example}");
        }
        let text = |example: &Value| example.as_str().map(str::to_owned).unwrap_or_default();
        assert!(object::<EndpointId>().examples.iter().all(|id| fits::<EndpointId>(&text(id))));
        assert!(object::<ApiKey>().examples.iter().all(|key| fits::<ApiKey>(&text(key))));
        assert!(object::<SigningSecret>().examples.iter().all(|secret| fits::<SigningSecret>(&text(secret))));
        assert!(MAX_FILTER_BYTES == 16 * 1024 && CatalogLimits::default().schema_bytes == 64 * 1024, "as told above");
    }
}
