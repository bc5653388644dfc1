//! Who may do what, walked whole: every operation of the document, with every kind of key
//! and with none, on the asker's own things, another partner's and the other
//! environment's. What is expected is reckoned from the one table of permissions.

use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::Role;
use posthaste::routes::openapi;
use serde_json::json;

use crate::routes::walk::{About, Owner, Row, fresh, row_of};
use crate::support::contract::{Contract, Operation};
use crate::support::http::Client;
use crate::support::node::{Node, SharedNode, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// Whoever asks.
struct Caller {
    name: &'static str,
    client: Client,
    /// `None` is somebody whose key opens nothing.
    role: Option<Role>,
    /// Whether the key is bound to one partner and one environment, or has to name them.
    names_partner: bool,
    names_environment: bool,
}

/// Whose thing is asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Whose {
    Own,
    OtherPartner,
    OtherEnvironment,
}

/// Keys of every kind, of this partner in production.
fn callers(node: &Node, partner: &str) -> Vec<Caller> {
    let made = |body: serde_json::Value| node.operator().post("/keys", body.to_string()).expect(201);
    let client = |made: &serde_json::Value| node.client(made["key"].as_str().unwrap());
    let bound = |role: &str| json!({ "role": role, "partner": partner });
    let revoked = made(bound("partner"));
    node.operator().delete(&format!("/keys/{}", revoked["id"].as_str().unwrap())).expect(204);
    let soon = Clock::system().wall() + Duration::from_millis(200);
    let expired = made(json!({ "role": "partner", "partner": partner, "expires_at": soon.to_string() }));
    eventually("a key expires", || (client(&expired).get("/webhook").status == 401).then_some(()));
    let nobody = |name, client| Caller { name, client, role: None, names_partner: false, names_environment: false };
    let caller = |name, client, role, names_partner, names_environment| Caller {
        name,
        client,
        role: Some(role),
        names_partner,
        names_environment,
    };
    vec![
        nobody("no key", node.nobody()),
        nobody("an unknown key", node.client("ph_unknown")),
        nobody("a revoked key", client(&revoked)),
        nobody("an expired key", client(&expired)),
        caller("a partner", client(&made(bound("partner"))), Role::Partner, false, false),
        caller("a partner's producer", client(&made(bound("producer"))), Role::Producer, false, false),
        caller("a producer for all", client(&made(json!({ "role": "producer" }))), Role::Producer, true, false),
        caller("an operator", node.operator(), Role::Operator, true, true),
    ]
}

/// The query that a caller sends: what its key does not say, and whom it means where
/// that is not itself.
fn query(caller: &Caller, about: About, whose: Whose, own: &Owner<'_>, meant: &Owner<'_>) -> String {
    // A thing is asked for as one's own; it is the thing that is somebody else's.
    let named = if about == About::Thing { own } else { meant };
    let mut parts = Vec::new();
    let always = about == About::Named;
    if always || (about != About::Whole && (caller.names_partner || (about == About::Scope && whose != Whose::Own))) {
        parts.push(format!("partner={}", named.partner));
    }
    let names = caller.names_environment || (about == About::Scope && whose == Whose::OtherEnvironment);
    if always || (about != About::Whole && names) {
        parts.push(format!("environment={}", named.environment));
    }
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// What the table of permissions, and whose thing it is, come to.
fn expected(caller: &Caller, operation: &Operation, row: &Row, whose: Whose) -> u16 {
    let id = operation.id.strip_suffix("_head").unwrap_or(&operation.id);
    let known = openapi::Operation::of(id).unwrap_or_else(|| panic!("`{id}` has no row in operations.rs"));
    let Some(permission) = known.permission else { return row.status };
    let Some(role) = caller.role else { return 401 };
    if !permission.is_given_to(role) {
        return 403;
    }
    let is_strange = match (row.about, whose) {
        (About::Whole | About::Named, _) | (_, Whose::Own) => false,
        (About::Thing, _) => true,
        // Whoever is bound cannot name another; whoever is not acts for whom it names.
        (About::Scope, Whose::OtherPartner) => !caller.names_partner,
        (About::Scope, Whose::OtherEnvironment) => !caller.names_environment,
    };
    if is_strange { 404 } else { row.status }
}

#[test]
fn every_operation_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let node = NODE.get();
    let contract = Contract::of(&node);
    let subscriber = Subscriber::start();
    let owner = |partner: &str, environment| Owner {
        node: &node,
        partner: partner.to_owned(),
        environment,
        subscriber: &subscriber,
    };
    let (name, other) = (fresh(), fresh());
    for partner in [&name, &other] {
        node.operator().post("/partners", json!({ "name": partner }).to_string()).expect(201);
    }
    let own = owner(&name, "production");
    let others =
        [(Whose::OtherPartner, owner(&other, "production")), (Whose::OtherEnvironment, owner(&name, "sandbox"))];
    let callers = callers(&node, &name);
    for operation in contract.operations() {
        let row = row_of(&operation);
        let is_about_one = operation.path.contains('{');
        // What nobody gets at is made once; a thing that is reached may be gone after it.
        let kept = |owner: &Owner<'_>| if is_about_one { owner.thing(&operation) } else { String::new() };
        let untouched = kept(&own);
        let everyones = [(Whose::Own, &own)].into_iter().chain(others.iter().map(|(whose, owner)| (*whose, owner)));
        for (whose, meant) in everyones {
            let theirs = if whose == Whose::Own { untouched.clone() } else { kept(meant) };
            for caller in &callers {
                let status = expected(caller, &operation, row, whose);
                let told = format!("{} on {whose:?} by {}", operation.id, caller.name);
                let thing = if status == row.status { kept(meant) } else { theirs.clone() };
                if status == row.status {
                    meant.prepare(&operation);
                }
                let query = query(caller, row.about, whose, &own, meant);
                let answer = meant.send(&caller.client, &operation, &thing, &query);
                assert_eq!(answer.status, status, "{told}: {}", answer.body);
                contract.check(&operation, &answer);
                match status {
                    401 => assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{told}"),
                    403 => {
                        let role = format!("yours is `{}`", caller.role.unwrap());
                        assert!(answer.body.contains(&role), "{told}: {}", answer.body);
                    }
                    _ => {}
                }
                if status == row.status {
                    meant.restore(&operation);
                }
            }
            // Whoever was refused has changed nothing: its owner still finds it as it was.
            if row.about == About::Thing {
                meant.prepare(&operation);
                let query = format!("?{}", meant.query());
                let answer = meant.send(&node.operator(), &operation, &theirs, &query);
                assert_eq!(answer.status, row.status, "{} on {whose:?}, afterwards: {}", operation.id, answer.body);
            }
        }
    }
}

#[test]
fn what_is_about_no_partner_takes_none() {
    let node = NODE.get();
    let operator = node.operator();
    // Passed over, either would seem to narrow what is shown.
    for path in ["/keys", "/partners", "/partners/default", "/keys/none", "/nodes", "/brakes"] {
        for parameter in ["partner=default", "environment=sandbox"] {
            let problem = operator.get(&format!("{path}?{parameter}")).problem(422, "invalid");
            let named = format!("`{}`", parameter.split('=').next().unwrap());
            assert!(problem["detail"].as_str().unwrap().contains(&named), "{path}?{parameter}: {problem}");
        }
    }
    // Where it changes nothing, a partner is still one that the key may name.
    let tenant = node.tenant("sandbox");
    tenant.partner.get(&format!("/event-types?partner={}", tenant.name)).expect(200);
    tenant.partner.get("/event-types?partner=default").problem(404, "not-found");
    tenant.producer.get("/event-types/campaign.updated?partner=default").problem(404, "not-found");
}

#[test]
fn some_routes_ask_for_no_key() {
    let node = NODE.get();
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"] {
        for client in [node.nobody(), node.client("ph_unknown"), node.operator()] {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
    }
    node.nobody().get("/nowhere").problem(404, "not-found");
    node.nobody().delete("/webhook").problem(405, "method-not-allowed");
}
