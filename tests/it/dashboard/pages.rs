//! All pages as they are read without a browser: each is there, links lead somewhere,
//! headers forbid what they should, and none is larger than it may be.

use std::collections::BTreeSet;

use serde_json::json;

use crate::dashboard::reader::{Reader, links};
use crate::support::node::{OPERATOR_KEY, SharedNode, Tenant, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// Bytes of a page, uncompressed.
const HTML_BYTES: usize = 60_000;
/// More than the 20 kB and 8 kB that were meant for them beside htmx, which takes 44 kB and is not there.
const CSS_BYTES: usize = 20_000;
const SCRIPT_BYTES: usize = 10_000;
const WHOLE_BYTES: usize = 150_000;

/// A partner with something of everything.
fn furnished(tenant: &Tenant, subscriber: &Subscriber) {
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "filter": { "properties": { "id": { "not": { "const": "filtered" } } } } }));
    tenant.webhook(
        &json!({ "url": subscriber.url("/only"), "events": ["campaign.failed"], "description": "only failures" }),
    );
    for number in 0..60 {
        tenant.event(campaign("campaign.created", &format!("number {number}")));
    }
    tenant.event(campaign("campaign.created", "filtered"));
    let last = tenant.event(campaign("campaign.created", "the last"));
    tenant.settled(&last, "delivered");
}

#[test]
fn every_link_leads_to_a_page_within_its_size() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    furnished(&tenant, &subscriber);
    let partner = tenant.partner.key.clone().unwrap();
    for key in [OPERATOR_KEY, &partner, tenant.producer.key.as_deref().unwrap()] {
        let reader = Reader::signed_in(&node, key);
        let mut to_see: Vec<String> = vec!["/dashboard".to_owned()];
        let mut seen = BTreeSet::new();
        while let Some(path) = to_see.pop() {
            // One of each kind is enough: what differs is an id, or a cursor.
            let kind: String = path
                .split('?')
                .next()
                .unwrap()
                .split('/')
                .map(|part| if part.contains('_') { "*" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let query: Vec<String> = path.split_once('?').map_or(Vec::new(), |(_, query)| {
                query.split('&').map(|pair| pair.split('=').next().unwrap().to_owned()).collect()
            });
            if !seen.insert((kind, query)) {
                continue;
            }
            let page = reader.get(&path);
            assert_eq!(page.status, 200, "{path} for {key}: {}", page.body);
            if path.split('?').next().unwrap().ends_with("/payload") {
                assert_eq!(page.header("content-type"), Some("application/octet-stream"));
                assert!(page.header("content-disposition").unwrap().starts_with("attachment"));
                continue;
            }
            assert!(page.body.len() <= HTML_BYTES, "{path} is {} bytes", page.body.len());
            assert_eq!(page.body.matches("<h1").count(), 1, "{path} has one title");
            for table in page.body.split("<table").skip(1) {
                let (_, inside) = table.split_once('>').unwrap();
                assert!(inside.starts_with("<caption>"), "{path}");
            }
            assert!(!page.body.contains("style=\""), "{path}: the policy ignores it");
            assert!(!page.body.contains(" onclick"), "{path}");
            to_see.extend(links(&page));
        }
        assert!(seen.len() > 8, "{key} sees {seen:?}");
    }
}

#[test]
fn what_pages_are_made_of_is_small_and_kept_for_good() {
    let node = NODE.get();
    let page = Reader::nobody(&node).get("/dashboard/login");
    let mut whole = HTML_BYTES;
    let parts: Vec<&str> =
        page.body.split("/dashboard/static/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(parts.len(), 3);
    for part in parts {
        let file = node.nobody().get(&format!("/dashboard/static/{part}"));
        assert_eq!(file.status, 200);
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let most = if part.ends_with(".css") { CSS_BYTES } else { SCRIPT_BYTES };
        assert!(file.body.len() <= most, "{part} is {} bytes", file.body.len());
        assert!(!file.body.contains("eval(") && !file.body.contains("https://"), "{part}");
        whole += file.body.len();
    }
    assert!(whole <= WHOLE_BYTES);
    assert_eq!(node.nobody().get("/dashboard/static/style.000000000000.css").status, 404);
}

#[test]
fn headers_forbid_what_is_not_ours() {
    let node = NODE.get();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let static_file =
        reader.get("/dashboard").body.split("/dashboard/static/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for path in ["/dashboard", "/dashboard/login", "/dashboard/nowhere", &format!("/dashboard/static/{static_file}")] {
        let answer = reader.get(path);
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
    }
    assert_eq!(reader.get("/dashboard/events").header("cache-control"), Some("no-store"));
}

#[test]
fn what_is_not_there_keeps_the_frame() {
    let node = NODE.get();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    for path in [
        "/dashboard/nowhere",
        "/dashboard/events/evt_nothing",
        "/dashboard/events/bulk",
        "/dashboard/deliveries/bulk",
        "/dashboard/endpoints/ep_x%2F..%2Fkeys",
        "/dashboard/catalog/no.such",
    ] {
        let answer = reader.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer.body.contains("There is no such thing") && answer.body.contains("aria-label=\"Pages\""),
            "{path}"
        );
    }
    // As the API calls what a tab shows.
    let led = reader.get("/dashboard/events/refused");
    assert!(led.status == 303 && led.header("location").unwrap().ends_with("/events?tab=refused"), "{}", led.body);
    // A filter that cannot be: what was typed stays beside what is wrong.
    let answer = reader.get("/dashboard/deliveries?endpoint=nonsense");
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains("value=\"nonsense\"") && answer.body.contains("is not an endpoint id"),
        "{}",
        answer.body
    );
}

#[test]
fn whatever_is_in_hand_is_found() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let url = subscriber.url("/found");
    let made = tenant.webhook(&json!({ "url": url, "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "to be found"));
    let delivery = tenant.settled(&accepted, "delivered");
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let find = |wanted: &str| {
        reader.get(&format!(
            "/dashboard/find?q={}",
            url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect::<String>()
        ))
    };
    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    for (wanted, to) in [
        (id(&made), format!("/dashboard/endpoints/{}?env=sandbox", id(&made))),
        (id(&accepted), format!("/dashboard/events/{}?env=sandbox", id(&accepted))),
        (id(&delivery), format!("/dashboard/deliveries/{}?env=sandbox", id(&delivery))),
        (tenant.name.clone(), format!("/dashboard/partners/{}", tenant.name)),
        ("campaign.failed".to_owned(), "/dashboard/catalog/campaign.failed".to_owned()),
    ] {
        assert_eq!(find(&wanted).header("location"), Some(to.as_str()), "{wanted}");
    }
    let by_url = reader.get(&format!("/dashboard/find?env=sandbox&q={url}"));
    assert!(by_url.header("location").unwrap().contains(&id(&made)));
    let nothing = find("nothing <b>like</b> it");
    assert_eq!(nothing.status, 200);
    assert!(nothing.body.contains("nothing &lt;b&gt;like"), "{}", nothing.body);
}

#[test]
fn a_payload_is_shown_as_it_was_sent() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let sent = r#"{"status":"ACTIVE","event":"campaign.created","provider":"facebook","type":"link_clicks","id":12345678901234567890123,"z":1.50,"a":1e3}"#;
    let accepted = tenant.event(sent);
    let id = accepted["id"].as_str().unwrap();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let pretty = reader.get(&format!("/dashboard/events/{id}"));
    for kept in ["<u>12345678901234567890123</u>", "<u>1.50</u>", "<u>1e3</u>"] {
        assert!(pretty.body.contains(kept), "{kept}: {}", pretty.body);
    }
    assert!(pretty.body.find("&quot;status&quot;").unwrap() < pretty.body.find("&quot;event&quot;").unwrap());
    let raw = reader.get(&format!("/dashboard/events/{id}?view=raw"));
    assert!(raw.body.contains(&sent.replace('"', "&quot;")) && raw.body.contains("SHA-256"));
    assert_eq!(reader.get(&format!("/dashboard/events/{id}/payload")).body, sent);
}
