//! The catalogs that come with the binary: an ads API's campaign events and
//! ad screenshots. Their rules are in the schemas of `catalogs/*.json`; here
//! is only how such a file is read.
//!
//! A file names the places that all its types are `indexed` by. It may have a `shared_schema`, which each of its types' `schema` is
//! laid over, so that what differs stands alone. What comes out of here, and
//! is stored and shown, is whole: no schema depends on another.

use serde::Deserialize;
use serde_json::Value;

use crate::catalog::TypeDefinition;
use crate::domain::FieldPointer;

const FILES: [&str; 2] =
    [include_str!("../../catalogs/campaigns.json"), include_str!("../../catalogs/screenshots.json")];

/// The definitions that an empty catalog starts with.
pub fn shipped() -> Vec<TypeDefinition> {
    FILES.into_iter().flat_map(definitions).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    shared_schema: Option<Value>,
    /// What all its types are found by.
    #[serde(default)]
    indexed: Vec<String>,
    event_types: Vec<Definition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    name: String,
    description: String,
    schema: Value,
    example: Value,
}

pub(super) fn definitions(text: &str) -> Vec<TypeDefinition> {
    let file: File = serde_json::from_str(text).expect("tests read the files that are compiled in");
    let shared = file.shared_schema;
    let pointer = |text: &String| text.parse().expect("tests read the pointers that are compiled in");
    let indexed: Vec<FieldPointer> = file.indexed.iter().map(pointer).collect();
    let whole = |definition: Definition| TypeDefinition {
        name: definition.name.parse().expect("tests read the names that are compiled in"),
        description: definition.description,
        schema: match &shared {
            Some(shared) => laid_over(shared.clone(), definition.schema),
            None => definition.schema,
        },
        example: definition.example,
        retry: None,
        indexed: indexed.clone(),
    };
    file.event_types.into_iter().map(whole).collect()
}

/// Objects are merged field by field; anything else takes the place of what
/// was there.
fn laid_over(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(under) => laid_over(under, value),
                    None => value,
                };
                base.insert(key, merged);
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;
    use crate::catalog::{Catalog, CatalogLimits, Refusal};

    static SHIPPED: LazyLock<Catalog> =
        LazyLock::new(|| Catalog::compile(shipped()).expect("the shipped catalogs compile"));

    const CAMPAIGNS: [&str; 5] =
        ["campaign.created", "campaign.updated", "campaign.failed", "campaign.processing", "campaign.completed"];

    fn accepted(event: &Value) -> bool {
        verdict(event).is_empty()
    }

    /// The pointers and details of what is wrong; nothing for a good event.
    fn verdict(event: &Value) -> Vec<(String, String)> {
        match SHIPPED.validate(event.to_string().as_bytes()) {
            Ok(event_type) => {
                assert_eq!(event["event"], event_type.as_str());
                Vec::new()
            }
            Err(Refusal::Invalid { errors, .. }) => {
                errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
            }
            Err(other) => panic!("{event}: {other}"),
        }
    }

    #[track_caller]
    fn check(event: &Value, pointer: &str, detail: &str) {
        assert_eq!(verdict(event), [(pointer.to_owned(), detail.to_owned())], "{event}");
    }

    fn with(mut event: Value, field: &str, value: Value) -> Value {
        event[field] = value;
        event
    }

    fn without(mut event: Value, field: &str) -> Value {
        event.as_object_mut().and_then(|fields| fields.remove(field)).expect("the field is there");
        event
    }

    fn campaign() -> Value {
        json!({"event": "campaign.updated", "provider": "facebook", "type": "link_clicks", "id": 1, "status": "ACTIVE"})
    }

    fn set(ad: &str, screenshots: &[&str]) -> Value {
        let screenshots: Vec<_> = screenshots.iter().map(|status| json!({ "status": status })).collect();
        json!({"event": "screenshot_set.approved", "id": "s", "ad": {"status": ad}, "screenshots": screenshots})
    }

    #[test]
    fn what_is_shipped_is_whole_and_sound() {
        let definitions = shipped();
        let names: Vec<_> = definitions.iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(names, [&CAMPAIGNS[..], &["screenshot_set.approved"]].concat());
        for definition in definitions {
            assert_eq!(definition.schema["properties"]["event"]["const"], definition.name.as_str());
            assert!(!definition.description.is_empty() && definition.schema["title"].is_string());
            assert_eq!(definition.clone().checked(&CatalogLimits::default()), Ok(definition.clone()));
            assert!(accepted(&definition.example), "{}", definition.name);
            assert_eq!(definition.indexed.iter().map(FieldPointer::as_str).collect::<Vec<_>>(), ["/id"]);
        }
    }

    #[test]
    fn an_updated_end_date_is_the_example_of_its_type() {
        let definitions = shipped();
        let updated = definitions.iter().find(|definition| definition.name.as_str() == "campaign.updated");
        let example = &updated.expect("it is shipped").example;
        assert_eq!(example["reason"], "end_date_changed");
        assert!(example["metadata"].is_object());
    }

    #[test]
    fn each_provider_has_its_own_campaign_types() {
        let facebook = ["boost_instagram", "record_streams", "link_clicks"];
        let symphony = ["get_playlisted", "increase_video_views"];
        for event in CAMPAIGNS {
            for (provider, own, others) in
                [("facebook", &facebook[..], &symphony[..]), ("symphony", &symphony[..], &facebook[..])]
            {
                let of_type = |kind: &Value| {
                    let campaign = with(with(campaign(), "event", event.into()), "provider", provider.into());
                    with(campaign, "type", kind.clone())
                };
                for kind in own {
                    assert!(accepted(&of_type(&json!(kind))), "{provider} {kind}");
                }
                let wrong = others.iter().map(|kind| json!(kind)).chain([json!("LINK_CLICKS"), json!(""), json!(3)]);
                for kind in wrong.chain([Value::Null]) {
                    let detail = format!("expected one of {}; found {kind}", own.join(", "));
                    check(&of_type(&kind), "/type", &detail);
                }
            }
        }
    }

    #[test]
    fn providers_and_statuses_are_those_of_the_contract() {
        let statuses = [
            "DRAFT",
            "PROCESSING",
            "SUCCESS",
            "FAILED",
            "TO_RETRY",
            "PAUSED",
            "FINISHED",
            "ACTIVE",
            "ANTICIPATED_PAUSE",
            "IN_REVIEW",
        ];
        for status in statuses {
            for event in CAMPAIGNS {
                assert!(accepted(&with(with(campaign(), "event", event.into()), "status", status.into())), "{status}");
            }
        }
        for status in [json!("DONE"), json!("active"), json!(1), Value::Null] {
            let detail = format!("expected one of {}; found {status}", statuses.join(", "));
            check(&with(campaign(), "status", status), "/status", &detail);
        }
        for provider in [json!("tiktok"), json!("Facebook"), json!(false)] {
            let detail = format!("expected one of facebook, symphony; found {provider}");
            check(&with(campaign(), "provider", provider), "/provider", &detail);
        }
    }

    #[test]
    fn what_a_campaign_must_have_is_pointed_at() {
        for field in ["provider", "type", "id", "status"] {
            check(&without(campaign(), field), &format!("/{field}"), &format!("`{field}` is required"));
        }
        let bare = verdict(&json!({"event": "campaign.created"}));
        let pointers: Vec<_> = bare.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/provider", "/type", "/id", "/status"]);
        let both = with(with(campaign(), "status", "DONE".into()), "type", "get_playlisted".into());
        assert_eq!(verdict(&both).len(), 2, "all that is wrong is told at once");
    }

    #[test]
    fn ids_are_strings_or_integers() {
        for (event, base) in [("campaign.updated", campaign()), ("screenshot_set.approved", set("uploaded", &[]))] {
            for id in [json!("c1"), json!(0), json!(-5), json!(u64::MAX)] {
                assert!(accepted(&with(base.clone(), "id", id.clone())), "{event} {id}");
            }
            for id in [json!(1.5), json!(true), Value::Null] {
                let detail = format!("expected an integer or a string; found {id}");
                check(&with(base.clone(), "id", id), "/id", &detail);
            }
            check(&with(base.clone(), "id", json!({})), "/id", "expected an integer or a string; found an object");
            check(&with(base, "id", "".into()), "/id", "expected a string of at least 1 character; found \"\"");
        }
        // An integer that no machine word holds is an integer all the same.
        let body = campaign().to_string().replace("\"id\":1", "\"id\":18446744073709551616");
        assert!(body.contains("18446744073709551616"));
        assert!(SHIPPED.validate(body.as_bytes()).is_ok());
        let past_floats = body.replace("18446744073709551616", "1e400");
        assert!(matches!(SHIPPED.validate(past_floats.as_bytes()), Err(Refusal::NotJson { .. })));
    }

    #[test]
    fn reason_and_metadata_may_come_with_any_campaign_event() {
        for event in CAMPAIGNS {
            let base = with(campaign(), "event", event.into());
            let told = with(base.clone(), "reason", "end_date_changed".into());
            assert!(accepted(&with(told, "metadata", json!({"end_date": "2025-03-31", "deep": {"er": []}}))));
            check(&with(base.clone(), "reason", json!(3)), "/reason", "expected a string; found 3");
            check(&with(base, "metadata", json!([])), "/metadata", "expected an object; found an array");
        }
    }

    #[test]
    fn fields_beyond_the_contract_pass() {
        assert!(accepted(&with(campaign(), "budget", json!({"type": "get_playlisted", "status": "DONE"}))));
        let mut set = with(set("uploaded", &["uploaded"]), "approved_by", json!(7));
        set["ad"]["url"] = json!("https://files.example.com/a.png");
        set["screenshots"][0]["site"] = json!(null);
        assert!(accepted(&set));
    }

    #[test]
    fn ads_and_screenshots_have_their_statuses() {
        let ads = ["uploaded", "not_found", "net_read_timeout", "generic_error"];
        let screenshots = [
            "uploaded",
            "ad_not_captured",
            "net_read_timeout",
            "no_slots_found",
            "site_unreachable",
            "ssl_error",
            "generic_error",
        ];
        for ad in ads {
            for screenshot in screenshots {
                let contradictory = ad == "uploaded" && screenshot == "ad_not_captured";
                assert_eq!(accepted(&set(ad, &[screenshot])), !contradictory, "{ad} {screenshot}");
            }
        }
        let detail = format!("expected one of {}; found \"ssl_error\"", ads.join(", "));
        check(&set("ssl_error", &["uploaded"]), "/ad/status", &detail);
        let detail = format!("expected one of {}; found \"not_found\"", screenshots.join(", "));
        check(&set("uploaded", &["uploaded", "not_found"]), "/screenshots/1/status", &detail);
    }

    #[test]
    fn an_uploaded_ad_was_captured() {
        let detail = "\"ad_not_captured\" is not allowed here: it says that the ad was not captured, and the status \
                      of the ad is \"uploaded\"";
        check(&set("uploaded", &["uploaded", "ad_not_captured"]), "/screenshots/1/status", detail);
        let lone = without(set("uploaded", &[]), "screenshots");
        check(&with(lone, "screenshot", json!({"status": "ad_not_captured"})), "/screenshot/status", detail);
    }

    #[test]
    fn what_a_screenshot_set_must_have_is_pointed_at() {
        let good = set("uploaded", &["uploaded"]);
        for field in ["id", "ad", "screenshots"] {
            check(&without(good.clone(), field), &format!("/{field}"), &format!("`{field}` is required"));
        }
        check(&with(good.clone(), "ad", json!({})), "/ad/status", "`status` is required");
        check(&with(good.clone(), "ad", json!("uploaded")), "/ad", "expected an object; found \"uploaded\"");
        let bare = json!([{"status": "uploaded"}, {}]);
        check(&with(good.clone(), "screenshots", bare), "/screenshots/1/status", "`status` is required");
        check(&with(good.clone(), "screenshots", json!([7])), "/screenshots/0", "expected an object; found 7");
        let object = json!({"status": "uploaded"});
        check(&with(good, "screenshots", object), "/screenshots", "expected an array; found an object");
    }

    #[test]
    fn a_lone_screenshot_stands_in_for_the_array() {
        let lone = with(without(set("not_found", &[]), "screenshots"), "screenshot", json!({"status": "ssl_error"}));
        assert!(accepted(&lone));
        check(&with(lone.clone(), "screenshot", json!({})), "/screenshot/status", "`status` is required");
        check(&with(lone.clone(), "screenshot", json!([])), "/screenshot", "expected an object; found an array");
        // Both are odd but no contradiction, and each keeps the rules.
        assert!(accepted(&with(lone.clone(), "screenshots", json!([{"status": "uploaded"}]))));
        check(&with(lone, "screenshots", json!([{}])), "/screenshots/0/status", "`status` is required");
    }

    #[test]
    fn a_schema_is_laid_over_the_shared_one() {
        let base = json!({"a": {"b": 1, "c": [1]}, "d": 2});
        let over = json!({"a": {"c": [2], "e": null}, "d": {"f": 3}});
        assert_eq!(laid_over(base, over), json!({"a": {"b": 1, "c": [2], "e": null}, "d": {"f": 3}}));
    }
}
