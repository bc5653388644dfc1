//! Seed system A: campaign events, from the partner's call that registers a
//! webhook to the request that its subscriber verifies.

use posthaste::clock::Clock;
use serde_json::{Value, json};

use crate::support::node::{Node, SharedNode, campaign};
use crate::support::receiver::{Subscriber, header, verifies};

static NODE: SharedNode = SharedNode::new();

const TYPES: [&str; 5] =
    ["campaign.created", "campaign.updated", "campaign.failed", "campaign.processing", "campaign.completed"];

/// Nothing in it survives being parsed and printed again: spacing, the order
/// of keys, numbers that no double holds, escapes, a line's end.
const ODD_BODY: &str = concat!(
    "{ \"status\" :\t\"ACTIVE\",\n  \"metadata\": {\"z\": 1, \"a\": 123456789012345678901234567890, ",
    "\"rate\": 3.1400000000000000001, \"big\": 1E+2, \"name\": \"caf\\u00e9 \\ud83d\\ude00 \\/ é\"},\r\n",
    " \"type\":\"link_clicks\" , \"provider\": \"facebook\", \"id\": 9007199254740993, ",
    "\"reason\":\"end_date_changed\",\"event\":\"campaign.updated\"  }\r\n"
);

#[test]
fn a_partner_gets_its_campaigns_updates_in_either_environment() {
    let node = NODE.get();
    for environment in ["sandbox", "production"] {
        let tenant = node.tenant(environment);
        let subscriber = Subscriber::start();
        let url = subscriber.url("/hooks?from=us");
        let made = tenant.webhook(&json!({ "url": url, "events": ["campaign.updated"] }));
        assert_eq!((&made["url"], &made["events"]), (&json!(url), &json!(["campaign.updated"])));
        assert_eq!((&made["partner"], &made["environment"]), (&json!(tenant.name), &json!(environment)));
        let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
        assert!(id.starts_with("ep_") && secret.starts_with("whsec_"), "{made}");

        let accepted = tenant.event(ODD_BODY);
        assert_eq!((&accepted["event"], &accepted["deliveries"]), (&json!("campaign.updated"), &json!(1)));
        assert_eq!(accepted.as_object().unwrap().len(), 3, "{accepted}");

        let received = subscriber.next();
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hooks?from=us"));
        assert_eq!(received.body, ODD_BODY, "the very bytes that were posted");
        assert_eq!(header(&received, "content-type"), "application/json");
        assert_eq!(header(&received, "user-agent"), concat!("Posthaste/", env!("CARGO_PKG_VERSION")));
        assert_eq!(header(&received, "webhook-id"), accepted["id"]);
        assert_eq!(header(&received, "posthaste-attempt"), "1");
        assert!(verifies(&received, secret));
        let signed_at: i64 = header(&received, "webhook-timestamp").parse().unwrap();
        assert!((0..5).contains(&(Clock::system().wall().as_seconds() - signed_at)), "{signed_at}");

        let delivery = tenant.settled(&accepted, "delivered");
        assert_eq!(delivery["id"], header(&received, "posthaste-delivery"));
        assert_eq!((&delivery["endpoint"], &delivery["event"]), (&json!(id), &accepted["id"]));
        assert_eq!((&delivery["attempt_count"], &delivery["event_type"]), (&json!(1), &json!("campaign.updated")));
        assert!(delivery["next_attempt_at"].is_null() && delivery["finished_at"].is_string(), "{delivery}");
        let attempt = &delivery["attempts"][0];
        assert_eq!((&attempt["number"], &attempt["status_code"]), (&json!(1), &json!(200)));
        assert!(attempt["error"].is_null() && attempt["started_at"].is_string() && attempt["duration_ms"].is_u64());

        // The payload is shown as it was posted, too.
        let shown = tenant.producer.get(&format!("/events/{}", accepted["id"].as_str().unwrap()));
        assert!(shown.body.contains("123456789012345678901234567890") && shown.body.contains("1E+2"), "{}", shown.body);
        let shown = shown.expect(200);
        assert_eq!((&shown["endpoints"][0]["outcome"], &shown["deliveries"]), (&json!("delivered"), &json!(1)));
    }
}

#[test]
fn the_environments_share_nothing() {
    let node = NODE.get();
    let production = node.tenant("production");
    let sandbox = node.tenant_named(&production.name, "sandbox");
    let (live, trial) = (Subscriber::start(), Subscriber::start());
    production.webhook(&json!({ "url": live.url("/"), "events": ["*"] }));
    // The same URL is another endpoint in the other environment.
    sandbox.webhook(&json!({ "url": live.url("/"), "events": ["campaign.failed"] }));
    sandbox.webhook(&json!({ "url": trial.url("/"), "events": ["campaign.created"] }));

    assert_eq!(sandbox.event(campaign("campaign.created", "a"))["deliveries"], 1);
    assert_eq!(trial.next().event_type.as_deref(), Some("campaign.created"));
    assert_eq!(production.event(campaign("campaign.updated", "b"))["deliveries"], 1);
    assert_eq!(live.next().event_type.as_deref(), Some("campaign.updated"));
    assert!(trial.already().is_none() && live.already().is_none());
}

#[test]
fn types_go_to_one_webhook_or_are_spread_over_several() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let webhooks = [
        ("/all", json!(TYPES)),
        ("/pattern", json!(["campaign.*"])),
        ("/any", json!(["*"])),
        ("/news", json!(["campaign.created", "campaign.updated"])),
        ("/ends", json!(["campaign.completed", "campaign.failed", "campaign.failed"])),
        ("/other", json!(["screenshot_set.approved"])),
    ];
    for (path, events) in &webhooks {
        tenant.webhook(&json!({ "url": subscriber.url(path), "events": events }));
    }
    for event_type in TYPES {
        let mut expected = vec!["/all", "/any", "/pattern"];
        match event_type {
            "campaign.created" | "campaign.updated" => expected.push("/news"),
            "campaign.completed" | "campaign.failed" => expected.push("/ends"),
            _ => {}
        }
        expected.sort_unstable();
        let accepted = tenant.event(campaign(event_type, "c-1"));
        assert_eq!(accepted["deliveries"], expected.len(), "{event_type}");
        let received: Vec<_> = expected.iter().map(|_| subscriber.next()).collect();
        let mut paths: Vec<&str> = received.iter().map(|request| request.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, expected, "{event_type}");
        for request in &received {
            assert_eq!(header(request, "webhook-id"), accepted["id"], "one event has one id everywhere");
        }
        let outcomes = tenant.producer.get(&format!("/events/{}", accepted["id"].as_str().unwrap())).expect(200);
        let outcomes = outcomes["endpoints"].as_array().unwrap();
        let missed = outcomes.iter().filter(|endpoint| endpoint["outcome"] == "not_subscribed").count();
        assert_eq!((outcomes.len(), missed), (6, 6 - expected.len()), "{event_type}");
    }
    assert!(subscriber.already().is_none());
}

#[test]
fn an_event_without_a_taker_is_accepted_and_says_so() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    assert_eq!(tenant.event(campaign("campaign.created", "a"))["deliveries"], 0);
    let elsewhere = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["campaign.failed"] }));
    let accepted = tenant.event(campaign("campaign.created", "b"));
    assert_eq!(accepted["deliveries"], 0);
    let shown = tenant.partner.get(&format!("/events/{}", accepted["id"].as_str().unwrap())).expect(200);
    let [outcome] = shown["endpoints"].as_array().unwrap().as_slice() else { panic!("not one: {shown}") };
    assert_eq!((&outcome["endpoint"], &outcome["outcome"]), (&elsewhere["id"], &json!("not_subscribed")));
    assert_eq!((&outcome["delivery"], &outcome["last_attempt"]), (&Value::Null, &Value::Null));
}

#[test]
fn every_shipped_example_is_accepted_and_a_webhook_gets_it_unchanged() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let catalog = tenant.partner.get("/event-types").expect(200);
    let types = catalog["data"].as_array().unwrap();
    assert_eq!(types.len(), 6);
    for event_type in types {
        let example = event_type["example"].to_string();
        assert_eq!(tenant.event(&example)["event"], event_type["name"]);
        assert_eq!(subscriber.next().body, example);
    }
}

#[test]
fn what_breaks_the_rules_of_a_campaign_is_refused_with_its_field() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let good = json!({
        "event": "campaign.updated", "provider": "symphony", "type": "get_playlisted", "id": 7, "status": "TO_RETRY",
        "reason": "end_date_changed", "metadata": {}, "beyond": [{ "any": "thing" }],
    });
    tenant.event(good.to_string());
    let cases: [(&str, Value, &str); 12] = [
        ("type", json!("link_clicks"), "get_playlisted"),
        ("type", json!("boost_instagram"), "increase_video_views"),
        ("type", json!(7), "get_playlisted"),
        ("provider", json!("tiktok"), "facebook"),
        ("provider", json!("facebook"), "record_streams"),
        ("status", json!("active"), "ACTIVE"),
        ("status", json!(null), "IN_REVIEW"),
        ("id", json!(""), "1"),
        ("id", json!(1.5), "integer"),
        ("id", json!(["x"]), "string"),
        ("metadata", json!("none"), "object"),
        ("reason", json!(3), "string"),
    ];
    for (field, wrong, expected) in cases {
        let mut body = good.clone();
        body[field] = wrong.clone();
        let refused = tenant.producer.post("/events", body.to_string());
        let problem = refused.problem(422, "invalid-event");
        // The provider decides which types there are: either may be mended.
        let blamed = if field == "provider" && wrong == "facebook" { "type" } else { field };
        let error = problem["errors"].as_array().unwrap().iter().find(|error| error["pointer"] == format!("/{blamed}"));
        let detail = error.unwrap_or_else(|| panic!("{field}: {problem}"))["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{field} {wrong}: {detail}");
    }
    for required in ["provider", "type", "id", "status"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(required);
        let refused = tenant.producer.post("/events", body.to_string());
        assert!(refused.problem(422, "invalid-event")["detail"].as_str().unwrap().contains(required), "{required}");
        assert_eq!(refused.pointers(), [format!("/{required}")]);
    }
    assert_eq!(tenant.partner.get("/events").expect(200)["data"].as_array().unwrap().len(), 1, "none was kept");
}

#[test]
fn one_event_over_all_partners_shows_each_only_its_own_part() {
    // Over all partners of the node: this test has one of its own.
    let node = Node::start(&[]);
    let (one, other) = (node.tenant("production"), node.tenant("production"));
    let (stranger, elsewhere) = (node.tenant("production"), node.tenant_named(&one.name, "sandbox"));
    let subscriber = Subscriber::start();
    for (tenant, path) in [(&one, "/one"), (&one, "/two"), (&other, "/other"), (&elsewhere, "/sandbox")] {
        tenant.webhook(&json!({ "url": subscriber.url(path), "events": ["campaign.*"] }));
    }
    let key = json!({ "role": "producer", "environment": "production" });
    let key = node.operator().post("/keys", key.to_string()).expect(201);
    let everywhere = node.client(key["key"].as_str().unwrap());

    let body = campaign("campaign.completed", "for all");
    let accepted = everywhere.post("/events?partner=*", &body).expect(202);
    assert_eq!(accepted["deliveries"], 3);
    let id = accepted["id"].as_str().unwrap();
    let mut paths: Vec<String> = (0..3).map(|_| subscriber.next().path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/one", "/other", "/two"]);

    for (tenant, own) in [(&one, 2), (&other, 1), (&stranger, 0)] {
        let event = tenant.partner.get(&format!("/events/{id}")).expect(200);
        assert_eq!((&event["partner"], &event["deliveries"]), (&json!("*"), &json!(own)));
        assert_eq!(event["endpoints"].as_array().unwrap().len(), own);
        let deliveries = tenant.partner.get(&format!("/deliveries?event={id}")).expect(200);
        assert_eq!(deliveries["data"].as_array().unwrap().len(), own);
        assert_eq!(tenant.partner.get("/events").expect(200)["data"][0]["id"], id);
    }
    elsewhere.partner.get(&format!("/events/{id}")).problem(404, "not-found");
    let all = node.operator().get(&format!("/events/{id}?partner=*")).expect(200);
    assert_eq!((&all["deliveries"], all["endpoints"].as_array().unwrap().len()), (&json!(3), 3));

    // Who serves all must say whom; who serves one serves no other.
    let unnamed = everywhere.post("/events", &body).problem(422, "invalid");
    assert!(unnamed["detail"].as_str().unwrap().contains("`partner`"), "{unnamed}");
    assert_eq!(everywhere.post(&format!("/events?partner={}", other.name), &body).expect(202)["deliveries"], 1);
    everywhere.post("/events?partner=nobody", &body).problem(404, "not-found");
    for foreign in ["*", other.name.as_str()] {
        one.producer.post(&format!("/events?partner={foreign}"), &body).problem(404, "not-found");
    }
    one.producer.post("/events?environment=sandbox", &body).problem(404, "not-found");
    one.producer.post(&format!("/events?partner={}&environment=production", one.name), &body).expect(202);
}
