//! Links to the portal by the API: made, listed, revoked by operators, and of no use as keys.

use std::time::Duration;

use posthaste::clock::Clock;
use serde_json::{Value, json};

use crate::support::node::{SharedNode, Tenant, time};

static NODE: SharedNode = SharedNode::new();

fn path(tenant: &Tenant) -> String {
    format!("/partners/{}/portal-links", tenant.name)
}

fn noted(node: &crate::support::node::Node, subject: &Value) -> Vec<Value> {
    let subject = subject.as_str().unwrap();
    let found = node.operator().get(&format!("/audit?subject={subject}")).expect(200);
    found["data"].as_array().unwrap().clone()
}

#[test]
fn a_link_is_shown_once_and_is_no_key() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let operator = node.operator();
    let before = Clock::system().wall();
    let body = json!({ "environment": "sandbox", "description": "Ann", "expires_in_seconds": 3_600 });
    let answer = operator.post(&path(&tenant), body.to_string());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut made = answer.expect(201);
    let url = made.as_object_mut().unwrap().remove("url").unwrap().as_str().unwrap().to_owned();
    let (base, token) = url.rsplit_once('/').unwrap();
    assert_eq!(base, format!("http://{}/dashboard/portal", node.address));
    assert!(token.starts_with("phl_") && token.len() == 56, "{token}");
    let expected = json!({
        "id": made["id"], "partner": tenant.name, "environment": "sandbox", "description": "Ann", "single_use": true,
        "created_at": made["created_at"], "expires_at": made["expires_at"], "opened_at": null, "revoked_at": null,
    });
    assert_eq!(made, expected);
    let lasts = time(&made["expires_at"]).since(before);
    assert!(lasts >= Duration::from_secs(3_600) && lasts < Duration::from_secs(3_700), "{lasts:?}");

    // Nobody sees where it leads any more, and it is no key, nor listed as one.
    let listed = operator.get(&path(&tenant));
    assert!(!listed.body.contains("phl_"), "{}", listed.body);
    assert_eq!(listed.expect(200)["data"], json!([expected]));
    assert!(!node.log().contains(token));
    node.client(token).get("/webhook").problem(401, "unauthorized");
    let id = made["id"].as_str().unwrap();
    assert!(!operator.get("/keys?limit=250").body.contains(id));
    operator.get(&format!("/keys/{id}")).problem(404, "not-found");
    operator.delete(&format!("/keys/{id}")).problem(404, "not-found");
    let told = noted(&node, &made["id"]);
    assert_eq!(
        (told.len(), &told[0]["action"], &told[0]["partner"]),
        (1, &json!("portal_link.created"), &json!(tenant.name))
    );
    let detail = json!({ "description": "Ann", "expires_at": made["expires_at"], "single_use": true });
    assert_eq!(told[0]["detail"], detail);
}

#[test]
fn a_link_needs_nothing_and_is_for_production_then() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let before = Clock::system().wall();
    let made = node.operator().post_empty(&path(&tenant)).expect(201);
    assert_eq!((&made["environment"], &made["single_use"]), (&json!("production"), &json!(true)));
    let lasts = time(&made["expires_at"]).since(before);
    let week = Duration::from_secs(7 * 86_400);
    assert!(lasts >= week && lasts < week + Duration::from_secs(60), "{lasts:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    for (body, pointer) in [
        (json!({ "environment": "staging" }), "/environment"),
        (json!({ "expires_in_seconds": 59 }), "/expires_in_seconds"),
        (json!({ "expires_in_seconds": 2_592_001 }), "/expires_in_seconds"),
        (json!({ "expires_in_seconds": "3600" }), "/expires_in_seconds"),
        (json!({ "single_use": "no" }), "/single_use"),
        (json!({ "description": 7 }), "/description"),
        (json!({ "description": "a\u{0}b" }), "/description"),
        (json!({ "role": "operator" }), "/role"),
    ] {
        let refused = node.operator().post(&path(&tenant), body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
    for name in ["nobody", "No%20Name"] {
        node.operator().post_empty(&format!("/partners/{name}/portal-links")).problem(404, "not-found");
        node.operator().get(&format!("/partners/{name}/portal-links")).problem(404, "not-found");
    }
    node.operator().get(&format!("{}?environment=sandbox", path(&tenant))).problem(422, "invalid");
}

#[test]
fn links_come_in_pages_and_are_revoked_once() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("sandbox"), node.tenant("sandbox"));
    let operator = node.operator();
    let ids: Vec<String> =
        (0..5).map(|_| operator.post_empty(&path(&tenant)).expect(201)["id"].as_str().unwrap().to_owned()).collect();
    let first = operator.get(&format!("{}?limit=3", path(&tenant))).expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = operator.get(&format!("{}?limit=3&cursor={cursor}", path(&tenant))).expect(200);
    let walked: Vec<&str> = [&first, &rest]
        .iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|link| link["id"].as_str().unwrap())
        .collect();
    assert!(walked.iter().eq(ids.iter().rev()), "{walked:?}");
    assert!(rest["next_cursor"].is_null());

    // Under another's name it is not there.
    let id = &ids[0];
    operator.delete(&format!("{}/{id}", path(&other))).problem(404, "not-found");
    operator.delete(&format!("{}/{id}", path(&tenant))).expect(204);
    operator.delete(&format!("{}/{id}", path(&tenant))).problem(404, "not-found");
    let key = operator.get("/keys?limit=1").expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    operator.delete(&format!("{}/{key}", path(&other))).problem(404, "not-found");
    let told = noted(&node, &json!(id));
    let actions: Vec<&str> = told.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["portal_link.revoked", "portal_link.created"]);
    let listed = operator.get(&path(&tenant)).expect(200);
    let revoked: Vec<&Value> =
        listed["data"].as_array().unwrap().iter().filter(|link| link["revoked_at"].is_string()).collect();
    assert!(revoked.len() == 1 && revoked[0]["id"] == **id, "{listed}");
}
