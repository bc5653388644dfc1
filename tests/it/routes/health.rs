//! `/healthz`, `/readyz` and `/metrics`, as the machines that watch read them.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use crate::support::node::{Node, campaign};
use crate::support::receiver::Subscriber;

#[test]
fn a_node_that_listens_is_alive_and_ready() {
    let node = Node::start(&[]);
    assert_eq!(node.nobody().get("/healthz").expect(200), json!({ "status": "ok" }));
    assert_eq!(node.nobody().get("/readyz").expect(200), json!({ "status": "ready" }));
    for path in ["/healthz", "/readyz"] {
        let head = node.nobody().send("HEAD", path, &[], b"");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
}

/// The samples of an exposition, by name and labels, each checked against
/// what OpenMetrics says of its kind.
fn samples(text: &str) -> HashMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("an exposition says where it ends");
    let mut kinds: HashMap<&str, &str> = HashMap::new();
    let mut explained: HashSet<&str> = HashSet::new();
    let mut samples = HashMap::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').unwrap();
            let (name, said) = rest.split_once(' ').unwrap();
            assert!(!said.is_empty() && name.starts_with("posthaste_"), "{line}");
            match keyword {
                "TYPE" => assert!(kinds.insert(name, said).is_none(), "{name} is there twice"),
                "HELP" => assert!(explained.insert(name), "{name} is there twice"),
                "UNIT" => assert!(name.ends_with(said), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let labels = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}')).expect("braces");
            for label in labels.split(',') {
                let (_, value) = label.split_once('=').unwrap();
                assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
            }
        }
        let suffixes: [(&str, &str); 5] = [
            ("counter", "_total"),
            ("gauge", ""),
            ("histogram", "_bucket"),
            ("histogram", "_sum"),
            ("histogram", "_count"),
        ];
        let is_declared = suffixes.iter().any(|(kind, suffix)| {
            name.strip_suffix(suffix)
                .is_some_and(|family| kinds.get(family) == Some(kind) && explained.contains(family))
        });
        assert!(is_declared, "{line} is of no family declared before it");
        assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} is there twice");
    }
    samples
}

#[test]
fn metrics_read_as_openmetrics_and_count() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [10] } }));
    let read = || {
        let answer = node.nobody().get("/metrics");
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        samples(&answer.body)
    };
    let before = read();
    let accepted = tenant.event(campaign("campaign.created", "1"));
    tenant.settled(&accepted, "delivered");
    tenant.producer.post("/events", "{").problem(400, "invalid-json");
    let lines = [campaign("campaign.created", "2"), "{".to_owned(), campaign("campaign.created", "3")].join("\n");
    let batch = tenant.producer.post("/events/batch", lines).expect(202);
    for line in [0, 2] {
        tenant.settled(&batch["data"][line], "delivered");
    }
    let after = read();
    let grown = |series: &str| after.get(series).unwrap_or(&0.0) - before.get(series).unwrap_or(&0.0);
    for (series, by) in [
        (r#"posthaste_events_total{outcome="accepted"}"#, 3.0),
        (r#"posthaste_events_total{outcome="refused"}"#, 2.0),
        ("posthaste_deliveries_created_total", 3.0),
        (r#"posthaste_attempts_total{outcome="delivered"}"#, 3.0),
        (r#"posthaste_attempts_total{outcome="http_status"}"#, 1.0),
        ("posthaste_attempt_seconds_count", 4.0),
        ("posthaste_delivery_seconds_count", 3.0),
        ("posthaste_deliveries_exhausted_total", 0.0),
        ("posthaste_journal_rollbacks_total", 0.0),
        ("posthaste_endpoint_actor_panics_total", 0.0),
    ] {
        assert_eq!(grown(series), by, "{series}");
    }
    assert!(grown("posthaste_journal_commit_seconds_count") >= 3.0);
    for gauge in ["in_flight", "waiting", "in_trouble"] {
        assert_eq!(after[format!("posthaste_attempts_{gauge}").as_str()], 0.0, "{gauge}");
    }
}
