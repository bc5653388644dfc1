//! The column "who" of product.md's table of routes, walked whole: every
//! route with every role, with a key that opens nothing, and with none.

use serde_json::json;

use crate::support::node::{SharedNode, campaign};

static NODE: SharedNode = SharedNode::new();

#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// The partner's own things; an operator acts for it.
    Partner,
    Producer,
    Operator,
    All,
}

/// What one route answers to those who may use it.
struct Row {
    who: Who,
    method: &'static str,
    path: &'static str,
    status: u16,
}

const fn row(who: Who, method: &'static str, path: &'static str, status: u16) -> Row {
    Row { who, method, path, status }
}

/// `{…}` are things that exist and are the asker's; `ep_…` and the like that
/// are written out do not exist. A body is `{}`, which most routes refuse only
/// after having looked at the role.
const ROWS: &[Row] = &[
    row(Who::Partner, "POST", "/webhook", 422),
    row(Who::Partner, "GET", "/webhook", 200),
    row(Who::Partner, "GET", "/webhook/{endpoint}", 200),
    row(Who::Partner, "PATCH", "/webhook/{endpoint}", 200),
    row(Who::Partner, "DELETE", "/webhook/ep_01h455vb4pex5vsknk084sn02q", 404),
    row(Who::Partner, "GET", "/webhook/{endpoint}/secret", 200),
    row(Who::Partner, "POST", "/webhook/{endpoint}/secret/rotate", 200),
    row(Who::Partner, "POST", "/webhook/ep_01h455vb4pex5vsknk084sn02q/test", 404),
    row(Who::Partner, "POST", "/webhook/{endpoint}/pause", 200),
    row(Who::Partner, "POST", "/webhook/{endpoint}/resume", 200),
    row(Who::Producer, "POST", "/events", 422),
    row(Who::Producer, "POST", "/events/batch", 202),
    row(Who::All, "GET", "/events", 200),
    row(Who::All, "GET", "/events/{event}", 200),
    row(Who::All, "GET", "/deliveries", 200),
    row(Who::All, "GET", "/deliveries/{delivery}", 200),
    row(Who::Partner, "POST", "/deliveries/{delivery}/retry", 409),
    row(Who::Partner, "POST", "/deliveries/{delivery}/skip", 200),
    row(Who::All, "GET", "/event-types", 200),
    row(Who::All, "GET", "/event-types/campaign.updated", 200),
    row(Who::Operator, "PUT", "/event-types/permissions.test", 422),
    row(Who::Operator, "DELETE", "/event-types/permissions.test", 404),
    row(Who::Operator, "POST", "/partners", 422),
    row(Who::Operator, "GET", "/partners", 200),
    row(Who::Operator, "GET", "/partners/{partner}", 200),
    row(Who::Operator, "POST", "/keys", 422),
    row(Who::Operator, "GET", "/keys", 200),
    row(Who::Operator, "GET", "/keys/{key}", 200),
    row(Who::Operator, "DELETE", "/keys/key_01h455vb4pex5vsknk084sn02q", 404),
    row(Who::Operator, "GET", "/nodes", 200),
    row(Who::Operator, "POST", "/nodes/node_01h455vb4pex5vsknk084sn02q/release", 404),
    row(Who::Operator, "POST", "/brakes", 422),
    row(Who::Operator, "GET", "/brakes", 200),
    row(Who::Operator, "DELETE", "/brakes", 422),
    row(Who::Partner, "GET", "/audit", 200),
    row(Who::Operator, "GET", "/audit/verify", 200),
    // Misspelt ids are nobody's.
    row(Who::Partner, "GET", "/webhook/evt_01h455vb4pex5vsknk084sn02q", 404),
    row(Who::All, "GET", "/events/none", 404),
    row(Who::All, "GET", "/deliveries/none", 404),
    row(Who::Operator, "GET", "/keys/none", 404),
];

#[test]
fn every_route_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let accepted = tenant.event(campaign("campaign.created", "c-1"));
    let delivery = tenant.delivery_of(&accepted);
    let keys = node.operator().get("/keys").expect(200);
    let things = [
        ("{endpoint}", &made["id"]),
        ("{event}", &accepted["id"]),
        ("{delivery}", &delivery["id"]),
        ("{partner}", &json!(tenant.name)),
        ("{key}", &keys["data"][0]["id"]),
    ];
    for &Row { who, method, path, status } in ROWS {
        let mut path = path.to_owned();
        for (name, value) in things {
            path = path.replace(name, value.as_str().unwrap());
        }
        let of_operator = match who {
            Who::Operator => path.clone(),
            _ => format!("{path}?partner={}", tenant.name),
        };
        let callers = [
            ("partner", &tenant.partner, &path, matches!(who, Who::Partner | Who::All)),
            ("producer", &tenant.producer, &path, matches!(who, Who::Producer | Who::All)),
            ("operator", &node.operator(), &of_operator, true),
        ];
        for (role, client, path, permitted) in callers {
            let answer = client.send(method, path, &[("content-type", "application/json")], b"{}");
            let told = format!("{method} {path} as {role}: {} {}", answer.status, answer.body);
            if permitted {
                assert_eq!(answer.status, status, "{told}");
            } else {
                let problem = answer.problem(403, "forbidden");
                assert!(problem["detail"].as_str().unwrap().contains(&format!("yours is `{role}`")), "{told}");
            }
        }
        for client in [node.nobody(), node.client("ph_unknown")] {
            let answer = client.send(method, &path, &[("content-type", "application/json")], b"{}");
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
        }
    }
}

#[test]
fn some_routes_ask_for_no_key() {
    let node = NODE.get();
    for path in ["/healthz", "/readyz", "/metrics"] {
        for client in [node.nobody(), node.client("ph_unknown"), node.operator()] {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
    }
    node.nobody().get("/nowhere").problem(404, "not-found");
    node.nobody().delete("/webhook").problem(405, "method-not-allowed");
}
