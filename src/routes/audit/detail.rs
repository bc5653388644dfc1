//! What the audit log says of a change beyond that it was made: which settings,
//! and from what to what. Never a secret: of headers only their names, of a URL no
//! credentials and nothing of its query, where tokens are put.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::domain::{AuditHash, Endpoint, EndpointSettings, Header};
use crate::routes::settings;
use crate::routes::show::{self, REDACTED};

/// The longest value of a setting that is written out, as JSON.
const MOST_BYTES: usize = 1_024;

/// Of a new endpoint: its URL, what it wants, and each setting that is not the default.
pub fn endpoint_made(endpoint: &Endpoint) -> Value {
    let default = Endpoint { settings: EndpointSettings::new("", Vec::new()), ..endpoint.clone() };
    let others = others(&default, endpoint);
    let mut settings: Map<String, Value> = others.into_iter().map(|(name, [_, now])| (name, now)).collect();
    if !endpoint.settings.headers.is_empty() {
        settings.insert("headers".to_owned(), json!(names(&endpoint.settings.headers)));
    }
    Value::Object(settings)
}

/// Of an endpoint's settings: those that are others than before.
pub fn endpoint_changed(before: &Endpoint, settings: &EndpointSettings) -> Value {
    let after = Endpoint { settings: settings.clone(), ..before.clone() };
    let mut changed: Map<String, Value> = others(before, &after)
        .into_iter()
        .map(|(name, [before, after])| (name, json!({ "from": before, "to": after })))
        .collect();
    let (before, after) = (&before.settings.headers, &settings.headers);
    if before != after {
        let set = after.iter().filter(|header| !before.contains(header));
        let removed = before.iter().filter(|header| after.iter().all(|other| other.name != header.name));
        changed.insert("headers".to_owned(), json!({ "set": names(set), "removed": names(removed) }));
    }
    json!({ "changed": changed })
}

/// The settings that differ, but for headers, as the API shows them.
fn others(before: &Endpoint, after: &Endpoint) -> Vec<(String, [Value; 2])> {
    let mut shown = [before, after].map(show::endpoint);
    // What is shown of a certificate may be the same where its chain is another.
    let certificates_differ = before.settings.client_certificate != after.settings.client_certificate;
    let urls_differ = before.settings.url != after.settings.url;
    for value in &mut shown {
        let url = value["url"].as_str().map(without_secrets);
        value["url"] = json!(url);
    }
    let [before, after] = shown;
    let names = settings::KNOWN.into_iter().filter(|name| *name != "headers");
    let differing = names.filter(|name| {
        before[*name] != after[*name]
            || (*name == "url" && urls_differ)
            || (*name == "client_certificate" && certificates_differ)
    });
    differing.map(|name| (name.to_owned(), [briefly(&before[name]), briefly(&after[name])])).collect()
}

/// A value as it is; of a long one only what tells it from others, since the log is for
/// ever, and a partner's to fill.
fn briefly(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= MOST_BYTES {
        return value.clone();
    }
    json!({ "bytes": text.len(), "sha256": AuditHash::from_bytes(Sha256::digest(text.as_bytes()).into()).to_string() })
}

fn names<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Vec<&'a str> {
    headers.into_iter().map(|header| header.name.as_str()).collect()
}

fn without_secrets(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    // It was read before it was stored; what cannot be read is not shown.
    let Ok(mut url) = Url::parse(url) else { return REDACTED.to_owned() };
    if url.query().is_some() {
        url.set_query(Some(REDACTED));
    }
    url.set_fragment(None);
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if has_credentials && (url.set_username("").is_err() || url.set_password(None).is_err()) {
        return REDACTED.to_owned();
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EndpointId, Environment, Timestamp, TypePattern};

    fn endpoint(url: &str) -> Endpoint {
        let at = Timestamp::from_millis(0);
        Endpoint {
            id: EndpointId::from_uuid(uuid::Uuid::nil()),
            partner: None,
            environment: Environment::Sandbox,
            version: 1,
            settings: EndpointSettings::new(url, vec![TypePattern::Any]),
            created_at: at,
            updated_at: at,
            paused_at: None,
            braked_at: None,
            deleted_at: None,
        }
    }

    fn header(name: &str, value: &str) -> Header {
        Header::new(name, value).expect("a plain header")
    }

    #[test]
    fn a_url_is_told_without_what_may_open_something() {
        for (url, told) in [
            ("https://example.com/hook", "https://example.com/hook"),
            ("https://example.com/hook?token=s3cret&b", "https://example.com/hook?(redacted)"),
            ("https://me:s3cret@example.com:8443/#s3cret", "https://example.com:8443/"),
            ("s3cret", "(redacted)"),
        ] {
            assert_eq!(without_secrets(url), told, "{url}");
        }
    }

    #[test]
    fn changed_settings_are_told_and_no_values_of_headers() {
        let before = {
            let mut endpoint = endpoint("https://example.com/?token=s3cret");
            endpoint.settings.headers =
                vec![header("x-gone", "s3cret"), header("x-other", "s3cret"), header("x-same", "s3cret")];
            endpoint
        };
        let told = endpoint_changed(&before, &before.settings);
        assert_eq!(told, json!({ "changed": {} }));
        let mut settings = before.settings.clone();
        settings.url = "https://example.com/?token=s3cret2".into();
        settings.rate_limit = Some(5);
        settings.headers = vec![header("x-new", "s3cret"), header("x-other", "s3cret2"), header("x-same", "s3cret")];
        let told = endpoint_changed(&before, &settings);
        let expected = json!({ "changed": {
            "url": { "from": "https://example.com/?(redacted)", "to": "https://example.com/?(redacted)" },
            "rate_limit": { "from": null, "to": { "per_second": 5 } },
            "headers": { "set": ["x-new", "x-other"], "removed": ["x-gone"] },
        }});
        assert_eq!(told, expected);
    }

    #[test]
    fn of_a_new_endpoint_is_told_what_is_not_the_default() {
        let mut endpoint = endpoint("https://example.com/?token=s3cret");
        let told = endpoint_made(&endpoint);
        assert_eq!(told, json!({ "url": "https://example.com/?(redacted)", "events": ["*"] }));
        endpoint.settings.enabled = false;
        endpoint.settings.headers = vec![header("authorization", "Bearer s3cret")];
        let told = endpoint_made(&endpoint);
        assert_eq!((&told["enabled"], &told["headers"]), (&json!(false), &json!(["authorization"])));
        assert!(!told.to_string().contains("s3cret"), "{told}");
    }
}
