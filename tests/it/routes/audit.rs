//! The audit log over real sockets: everything that changes something is told
//! once, with who did it and from where, and nothing that is secret; who may see
//! what of it; and that a log which was tampered with is found out.

use std::path::Path;
use std::process::Output;

use actix_web::http::StatusCode;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use posthaste::cli::receiver::Behaviour;
use posthaste::domain::AuditAction;
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::Client;
use crate::support::node::{Node, SharedNode, Tenant, campaign, command, eventually, webhook_path};
use crate::support::postgres::Postgres;
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

const OWN_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbYk2vcG4FQY=";

/// What a client is shown for a query, oldest first.
#[track_caller]
fn log(client: &Client, query: &str) -> Vec<Value> {
    let found = client.get(&format!("/audit?limit=250&{query}")).expect(200);
    assert_eq!(found["next_cursor"], Value::Null, "it fits one page");
    let mut entries = found["data"].as_array().unwrap().clone();
    entries.reverse();
    entries
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// What only entries about this subject say, but for what differs each time.
#[track_caller]
fn only(entries: &[Value], action: &str) -> Value {
    let found: Vec<&Value> = entries.iter().filter(|entry| entry["action"] == action).collect();
    let [only] = found.as_slice() else { panic!("not one {action}: {found:?}") };
    (*only).clone()
}

#[test]
fn whatever_a_partner_changes_is_told_once() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/hook?token=hunter2"), "events": ["campaign.*"], "secret": OWN_SECRET,
        "headers": { "x-token": "hunter2", "x-same": "hunter2" }, "retry": { "schedule_ms": [3_600_000] },
    }));
    let path = webhook_path(&made);
    let act = |method: &str, rest: &str, body: &str| {
        tenant.partner.send(method, &format!("{path}{rest}"), &[("content-type", "application/json")], body.as_bytes())
    };
    let changes = json!({
        "description": "new", "rate_limit": { "per_second": 7 },
        "headers": { "x-token": "hunter3", "x-same": "hunter2" },
    });
    act("PATCH", "", &changes.to_string()).expect(200);
    // What changes nothing, and what is refused, is not told.
    act("PATCH", "", &changes.to_string()).expect(200);
    act("PATCH", "", r#"{"timeout_ms": 1}"#).problem(422, "invalid");
    tenant
        .partner
        .post("/webhook", json!({ "url": made["url"], "events": ["*"] }).to_string())
        .problem(409, "duplicate-url");
    for verb in ["/pause", "/resume"] {
        act("POST", verb, "{}").expect(200);
        act("POST", verb, "{}").expect(200);
    }
    act("GET", "/secret", "").expect(200);
    let rotated = act("POST", "/secret/rotate", r#"{"overlap_seconds": 60}"#).expect(200);
    let accepted = tenant.event(campaign("campaign.created", "c-1"));
    let delivery = tenant.settled(&accepted, "retrying");
    let delivery = delivery["id"].as_str().unwrap();
    subscriber.next();
    tenant.partner.post_empty(&format!("/deliveries/{delivery}/skip")).expect(200);
    tenant.partner.post_empty(&format!("/deliveries/{delivery}/skip")).expect(200);
    subscriber.succeed();
    tenant.partner.post_empty(&format!("/deliveries/{delivery}/retry")).expect(202);
    subscriber.next();
    act("DELETE", "", "").expect(204);
    act("DELETE", "", "").problem(404, "not-found");

    let entries = log(&tenant.partner, "");
    let own: Vec<Value> = entries.iter().filter(|entry| entry["actor"] == "partner").cloned().collect();
    let expected = [
        "endpoint.created",
        "endpoint.changed",
        "endpoint.paused",
        "endpoint.resumed",
        "secret.read",
        "secret.rotated",
        "delivery.skipped",
        "delivery.retried",
        "endpoint.deleted",
    ];
    assert_eq!(actions(&own), expected);
    let keys = node.operator().get("/keys?limit=250").expect(200);
    for entry in &own {
        let key = keys["data"].as_array().unwrap().iter().find(|key| key["id"] == entry["key"]).unwrap();
        assert_eq!((&key["role"], &key["partner"]), (&json!("partner"), &json!(tenant.name)), "{entry}");
        assert_eq!(entry["address"], "127.0.0.1");
        assert_eq!((&entry["partner"], &entry["environment"]), (&json!(tenant.name), &json!("sandbox")));
        let is_of_delivery = entry["action"].as_str().unwrap().starts_with("delivery.");
        assert_eq!(entry["subject"], if is_of_delivery { json!(delivery) } else { made["id"].clone() });
    }
    assert_eq!(only(&own, "delivery.skipped")["detail"], json!({ "endpoint": made["id"] }));
    assert_eq!(
        only(&own, "endpoint.changed")["detail"],
        json!({ "changed": {
            "description": { "from": null, "to": "new" },
            "rate_limit": { "from": null, "to": { "per_second": 7 } },
            "headers": { "set": ["x-token"], "removed": [] },
        } })
    );
    // All that there is of it, for whoever may see the most.
    let whole = node.operator().get(&format!("/audit?limit=250&partner={}", tenant.name)).body;
    for secret in ["hunter", OWN_SECRET, rotated["secret"].as_str().unwrap(), "whsec_"] {
        assert!(!whole.contains(secret), "{secret} in {whole}");
    }
    for client in [&tenant.partner, &tenant.producer, &node.operator()] {
        assert!(!whole.contains(client.key.as_deref().unwrap()), "{whole}");
    }
}

#[test]
fn whatever_an_operator_changes_is_told_once() {
    let node = Node::start(&[("HOLD", "true")]);
    let operator = node.operator();
    let tenant = node.tenant("production");
    let producer = json!({ "role": "producer", "environment": "sandbox", "description": "for all" });
    let key = operator.post("/keys", producer.to_string()).expect(201);
    let key_path = format!("/keys/{}", key["id"].as_str().unwrap());
    operator.delete(&key_path).expect(204);
    operator.delete(&key_path).problem(404, "not-found");
    operator.post("/partners", json!({ "name": tenant.name }).to_string()).problem(409, "already-exists");
    let definition = json!({ "description": "one", "schema": {}, "example": { "event": "audit.test" } });
    let other = json!({ "description": "two", "schema": {}, "example": { "event": "audit.test" } });
    let path = "/event-types/audit.test?environment=sandbox";
    operator.put(path, definition.to_string()).expect(201);
    operator.put(path, definition.to_string()).expect(200);
    operator.put(path, other.to_string()).expect(200);
    operator.delete(path).expect(204);
    operator.delete(path).problem(404, "not-found");
    let brake = format!("/brakes?environment=production&partner={}", tenant.name);
    operator.post(&brake, r#"{"reason": "INC-1"}"#).expect(200);
    operator.post(&brake, r#"{"reason": "INC-1"}"#).expect(200);
    operator.post(&brake, r#"{"reason": "INC-2"}"#).expect(200);
    operator.delete(&brake).expect(200);
    operator.delete(&brake).problem(404, "not-found");
    operator.post_empty("/brakes?environment=*&partner=*").expect(200);
    operator.delete("/brakes?environment=*&partner=*").expect(200);
    let nodes = operator.get("/nodes").expect(200);
    let id = nodes["data"][0]["id"].as_str().unwrap();
    operator.post_empty(&format!("/nodes/{id}/release")).expect(200);
    operator.post_empty(&format!("/nodes/{id}/release")).expect(200);

    let entries = log(&operator, "");
    let expected = [
        "partner.created",
        "partner.created",
        "key.created",
        "key.created",
        "key.created",
        "key.revoked",
        "event_type.put",
        "event_type.put",
        "event_type.deleted",
        "brake.set",
        "brake.set",
        "brake.released",
        "brake.set",
        "brake.set",
        "brake.released",
        "brake.released",
        "node.released",
    ];
    assert_eq!(actions(&entries), expected);
    let (first, rest) = entries.split_first().unwrap();
    assert_eq!(
        (&first["actor"], &first["subject"], &first["address"]),
        (&json!("posthaste"), &json!("default"), &Value::Null)
    );
    assert!(rest.iter().all(|entry| entry["actor"] == "operator (configured)" && entry["key"].is_null()));
    assert!(rest.iter().all(|entry| entry["address"] == "127.0.0.1"));
    let revoked = only(&entries, "key.revoked");
    assert_eq!(
        (&revoked["subject"], &revoked["environment"], &revoked["partner"]),
        (&key["id"], &json!("sandbox"), &Value::Null)
    );
    let detail = json!({ "role": "producer", "prefix": key["prefix"], "description": "for all", "expires_at": null });
    assert_eq!(revoked["detail"], detail);
    assert_eq!(entries[6]["detail"], json!({ "is_new": true }));
    assert_eq!(entries[7]["detail"], json!({ "is_new": false, "changed": ["description"] }));
    assert_eq!((&entries[9]["subject"], &entries[9]["detail"]), (&json!(tenant.name), &json!({ "reason": "INC-1" })));
    let braked: Vec<(&Value, &Value)> =
        entries[12..14].iter().map(|entry| (&entry["environment"], &entry["subject"])).collect();
    assert_eq!(braked, [(&json!("sandbox"), &json!("*")), (&json!("production"), &json!("*"))]);
    assert_eq!((&entries[16]["subject"], &entries[16]["environment"]), (&json!(id), &Value::Null));
    // Numbers and hashes are a chain, as anybody can see.
    for (one, next) in entries.iter().zip(&entries[1..]) {
        assert_eq!(next["previous_hash"], one["hash"]);
        assert_eq!(next["number"].as_i64(), one["number"].as_i64().map(|number| number + 1));
    }
    // A key of an operator's is told by its id.
    let made = operator.post("/keys", r#"{"role": "operator"}"#).expect(201);
    node.client(made["key"].as_str().unwrap()).post("/partners", r#"{"name": "by-key"}"#).expect(201);
    let [entry] = <[Value; 1]>::try_from(log(&operator, "subject=by-key")).unwrap();
    assert_eq!((&entry["actor"], &entry["key"]), (&json!("operator"), &made["id"]));
}

#[test]
fn an_endpoint_that_posthaste_disables_is_told() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let subscriber =
        Subscriber::behaving(Behaviour { fail_rate: 1.0, failure: StatusCode::GONE, ..Behaviour::default() });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "disable_on_gone": true }));
    tenant.event(campaign("campaign.created", "c-1"));
    subscriber.next();
    let entry = eventually("it is disabled, and told so", || log(&tenant.partner, "action=endpoint.disabled").pop());
    assert_eq!((&entry["actor"], &entry["subject"]), (&json!("posthaste"), &made["id"]));
    assert_eq!(
        (&entry["key"], &entry["address"], &entry["detail"]),
        (&Value::Null, &Value::Null, &json!({ "reason": "gone" }))
    );
}

#[test]
fn a_partner_sees_its_own_part_and_nothing_of_an_operator() {
    let node = NODE.get();
    let operator = node.operator();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let in_sandbox = node.tenant_named(&tenant.name, "sandbox");
    let webhook = json!({ "url": "https://example.com/", "events": ["*"], "enabled": false });
    let made = tenant.webhook(&webhook);
    let theirs = other.webhook(&webhook);
    let in_the_sandbox = in_sandbox.webhook(&webhook);
    let of_tenant = format!("partner={}", tenant.name);
    operator.patch(&format!("{}?{of_tenant}", webhook_path(&made)), r#"{"description": "by us"}"#).expect(200);
    operator.post(&format!("/brakes?environment=production&{of_tenant}"), r#"{"reason": "INC-7"}"#).expect(200);
    operator.delete(&format!("/brakes?environment=production&{of_tenant}")).expect(200);

    let entries = log(&tenant.partner, "");
    let expected =
        ["key.created", "key.created", "endpoint.created", "endpoint.changed", "brake.set", "brake.released"];
    assert_eq!(actions(&entries), expected, "{entries:?}");
    for entry in &entries {
        assert_eq!((&entry["partner"], &entry["environment"]), (&json!(tenant.name), &json!("production")));
        if entry["action"] != "endpoint.created" {
            assert_eq!(
                (&entry["actor"], &entry["key"], &entry["address"]),
                (&json!("operator"), &Value::Null, &Value::Null),
                "{entry}"
            );
        }
    }
    assert_eq!(only(&entries, "endpoint.changed")["detail"]["changed"]["description"]["to"], "by us");
    assert_eq!(only(&entries, "brake.set")["detail"], json!({}), "operators' notes are for operators");
    // The operator sees the same, and who it was.
    let seen = log(&operator, &format!("{of_tenant}&environment=production"));
    assert_eq!(actions(&seen), expected);
    assert_eq!(only(&seen, "brake.set")["detail"], json!({ "reason": "INC-7" }));
    assert!(seen.iter().zip(&entries).all(|(one, other)| one["hash"] == other["hash"]));
    let both = log(&operator, &of_tenant);
    assert!(both.iter().any(|entry| entry["subject"] == in_the_sandbox["id"]));
    assert!(both.iter().any(|entry| entry["action"] == "partner.created"), "which is in no environment");
    assert!(both.iter().all(|entry| entry["partner"] == tenant.name));

    // Nobody finds another's by asking for it.
    for id in [&theirs["id"], &in_the_sandbox["id"]] {
        assert_eq!(log(&tenant.partner, &format!("subject={}", id.as_str().unwrap())), [Value::Null; 0]);
    }
    tenant.partner.get(&format!("/audit?partner={}", other.name)).problem(404, "not-found");
    tenant.partner.get("/audit?partner=*").problem(404, "not-found");
    tenant.partner.get("/audit?environment=sandbox").problem(404, "not-found");
    for path in ["/audit", "/audit/verify"] {
        tenant.producer.get(path).problem(403, "forbidden");
        node.nobody().get(path).problem(401, "unauthorized");
        operator.post(path, "{}").problem(405, "method-not-allowed");
    }
    tenant.partner.get("/audit/verify").problem(403, "forbidden");
}

#[test]
fn the_log_is_walked_and_searched() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let path = webhook_path(&made);
    for verb in ["pause", "resume", "pause", "resume"] {
        tenant.partner.post_empty(&format!("{path}/{verb}")).expect(200);
    }
    let all = log(&tenant.partner, "");
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = tenant.partner.get(&format!("/audit?limit=3{cursor}")).expect(200);
        walked.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    walked.reverse();
    assert_eq!(walked, all);
    assert_eq!(log(&tenant.partner, "action=endpoint.paused").len(), 2);
    assert_eq!(log(&tenant.partner, &format!("subject={}", made["id"].as_str().unwrap())).len(), 5);
    let at = |entry: &Value| entry["at"].as_str().unwrap().to_owned();
    let (first, last) = (at(&all[0]), at(all.last().unwrap()));
    assert_eq!(log(&tenant.partner, &format!("since={first}")), all);
    assert_eq!(log(&tenant.partner, &format!("until={first}")), [Value::Null; 0]);
    assert!(log(&tenant.partner, &format!("until={last}")).len() < all.len());
    assert_eq!(log(&tenant.partner, "since=2100-01-01T00:00:00Z"), [Value::Null; 0]);
    for (query, told) in [
        ("action=endpoint.made", "`endpoint.created`"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("limit=9999", "page_max"),
        ("cursor=ep_1", "cursor"),
        ("cursor=-1", "cursor"),
        ("subject=a%00b", "U+0000"),
        ("actor=me", "actor"),
    ] {
        let refused = tenant.partner.get(&format!("/audit?{query}")).problem(422, "invalid");
        assert!(refused["detail"].as_str().unwrap().contains(told), "{query}: {refused}");
    }
    node.operator().get("/audit?partner=nobody").problem(404, "not-found");
    assert!(log(&node.operator(), &format!("partner=*&subject={}", made["id"].as_str().unwrap())).len() == 5);
}

#[track_caller]
fn verify(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = command(folder);
    command.args(["audit", "verify"]).args(arguments).stdout(std::process::Stdio::piped());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Does what nobody but who has the file can do.
fn behind_its_back(file: &Path, statements: &str) {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let dropped = "DROP TRIGGER IF EXISTS audit_log_is_not_changed; DROP TRIGGER IF EXISTS audit_log_is_not_cut;";
    connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {dropped}{statements}")).unwrap();
}

#[test]
fn a_log_that_was_tampered_with_is_found_out() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let operator = node.operator();
    let tenant: Tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let noted = operator.get("/audit/verify").expect(200);
    let entries = noted["entries"].as_i64().unwrap();
    assert_eq!((&noted["intact"], entries), (&json!(true), 5), "{noted}");
    assert_eq!(noted["head"], log(&operator, "").last().unwrap()["hash"]);
    tenant.partner.delete(&webhook_path(&made)).expect(204);
    let head = noted["head"].as_str().unwrap();
    let as_noted = format!("/audit/verify?number={entries}&head={head}");
    let later = operator.get(&as_noted).expect(200);
    assert_eq!((&later["intact"], &later["entries"]), (&json!(true), &json!(6)));
    assert_eq!(later.get("broken_at"), None);
    // That this hash was another entry's is not true.
    let other = operator.get(&format!("/audit/verify?number=4&head={head}")).expect(200);
    assert_eq!((&other["intact"], &other["broken_at"]), (&json!(false), &json!(4)), "{other}");
    let beyond = operator.get(&format!("/audit/verify?number=7&head={head}")).expect(200);
    assert_eq!((&beyond["intact"], &beyond["broken_at"]), (&json!(false), &json!(7)), "{beyond}");
    for (query, told) in [
        ("number=4", "head"),
        (&*format!("head={head}"), "number"),
        ("number=4&head=abc", "64 hexadecimal digits"),
        (&*format!("number=-1&head={head}"), "number"),
        (&*format!("number=four&head={head}"), "number"),
        ("partner=default", "no single partner"),
        ("environment=sandbox", "no single partner"),
        ("limit=3", "limit"),
    ] {
        let refused = operator.get(&format!("/audit/verify?{query}")).problem(422, "invalid");
        assert!(refused["detail"].as_str().unwrap().contains(told), "{query}: {refused}");
    }

    // A command beside the node would read what it is writing.
    let refused = verify(&folder, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("GET /audit/verify"), "{}", text(&refused.stderr));

    behind_its_back(&folder.file("posthaste.db"), "UPDATE audit_log SET actor = 'somebody else' WHERE number = 3");
    let broken = operator.get("/audit/verify").expect(200);
    assert_eq!((&broken["intact"], &broken["broken_at"]), (&json!(false), &json!(3)), "{broken}");
    assert!(broken["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    eventually("the log says so", || node.log().contains("the audit log is broken at entry 3").then_some(()));
    assert!(node.stop().success());
    let broken = verify(&folder, &[]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("broken at entry 3"), "{}", text(&broken.stderr));
    assert!(broken.stdout.is_empty());
}

#[test]
fn two_nodes_write_one_chain_which_is_checked_beside_them() {
    const TURNS: usize = 12;
    let database = Postgres::database();
    let url = database.url();
    let nodes = [1, 2].map(|_| Node::start(&[("STORE", &*url)]));
    let tenant = nodes[0].tenant("production");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let path = webhook_path(&made);
    std::thread::scope(|scope| {
        for node in &nodes {
            let client = Client { address: node.address, ..tenant.partner.clone() };
            let path = &path;
            scope.spawn(move || {
                for _ in 0..TURNS {
                    client.get(&format!("{path}/secret")).expect(200);
                    // The other node may be faster; then this changes nothing.
                    client.post_empty(&format!("{path}/pause")).expect(200);
                    client.post_empty(&format!("{path}/resume")).expect(200);
                }
            });
        }
    });
    let entries = log(&nodes[1].operator(), "");
    let count = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!(count("secret.read"), 2 * TURNS, "each look is told, by whichever node");
    // A pause that changed something is followed by a resume that did, before the next.
    let held: Vec<&str> =
        actions(&entries).into_iter().filter(|action| action.starts_with("endpoint.")).skip(1).collect();
    assert!(held.chunks(2).all(|pair| pair == ["endpoint.paused", "endpoint.resumed"]), "{held:?}");
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry["number"], index + 1, "without gaps");
    }
    for node in &nodes {
        let checked = node.operator().get("/audit/verify").expect(200);
        assert_eq!((&checked["intact"], &checked["entries"]), (&json!(true), &json!(entries.len())));
    }
    let folder = Folder::new();
    let checked = |arguments: &[&str]| {
        let mut command = command(&folder);
        command.args(["audit", "verify"]).args(arguments).env("POSTHASTE_STORE", &url);
        command.stdout(std::process::Stdio::piped()).output().unwrap()
    };
    let intact = checked(&[]);
    assert!(
        text(&intact.stdout).starts_with(&format!("the audit log is intact: {} entries", entries.len())),
        "{intact:?}"
    );
    database
        .sql("ALTER TABLE audit_log DISABLE TRIGGER USER; UPDATE audit_log SET partner = 'nobody' WHERE number = 4");
    let broken = checked(&[]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("broken at entry 4"), "{broken:?}");
}

#[test]
fn the_command_checks_a_stopped_store_and_what_was_noted_of_it() {
    let folder = Folder::new();
    let missing = verify(&folder, &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there is no store at"), "{}", text(&missing.stderr));
    assert!(!folder.file("posthaste.db").exists(), "none is made");

    // What commands do is told as well.
    let run = |arguments: &[&str]| {
        let output = command(&folder).args(arguments).stdout(std::process::Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    run(&["keys", "create", "--role", "partner", "--partner", "default", "--description", "first"]);
    let listed = run(&["keys", "list"]);
    let id = listed.split_whitespace().next().unwrap();
    run(&["keys", "revoke", id]);
    let intact = run(&["audit", "verify"]);
    let head = intact.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert!(intact.starts_with("the audit log is intact: 3 entries, head "), "{intact}");
    assert!(head.len() == 64, "{intact}");

    let node = Node::on(&folder, &[]);
    let entries = log(&node.operator(), "");
    assert_eq!(actions(&entries), ["partner.created", "key.created", "key.revoked"]);
    assert!(entries.iter().all(|entry| entry["actor"] == "cli" && entry["address"].is_null()), "{entries:?}");
    assert_eq!((&entries[2]["subject"], &entries[2]["hash"]), (&json!(id), &json!(head)));
    node.tenant("sandbox");
    assert!(node.stop().success());

    let noted = run(&["audit", "verify", "--number", "3", "--head", &head]);
    assert!(noted.contains("intact: 6 entries") && noted.contains("entry 3 is still the one"), "{noted}");
    for (arguments, told) in [
        (&["--number", "2", "--head", &head][..], "broken at entry 2"),
        (&["--number", "9", "--head", &head], "broken at entry 9"),
        (&["--number", "3"], "--head"),
        (&["--head", &head], "--number"),
        (&["--number", "3", "--head", "abc"], "64 hexadecimal digits"),
        (&["--number", "-3", "--head", &head], "-3"),
    ] {
        let refused = verify(&folder, arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(text(&refused.stderr).contains(told), "{arguments:?}: {}", text(&refused.stderr));
    }
    // Cut off, and everything beside it put right: whoever noted the head finds out.
    behind_its_back(
        &folder.file("posthaste.db"),
        "DELETE FROM audit_log WHERE number > 2;
         UPDATE audit_head SET number = 2, hash = (SELECT hash FROM audit_log WHERE number = 2)",
    );
    assert!(verify(&folder, &[]).status.success(), "nothing in the store tells");
    let refused = verify(&folder, &["--number", "3", "--head", &head]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("broken at entry 3"), "{}", text(&refused.stderr));
}

#[test]
fn every_action_is_explained_to_operators() {
    let told = include_str!("../../../docs/operating.md");
    for action in AuditAction::ALL {
        assert!(told.contains(&format!("`{action}`")), "docs/operating.md does not name {action}");
    }
}

#[test]
fn operators_ask_by_who_it_was_and_nobody_else_does() {
    let node = Node::start(&[]);
    let operator = node.operator();
    let made = operator.post("/keys", r#"{"role": "operator", "description": "on call"}"#).expect(201);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    node.client(key).post("/partners", r#"{"name": "by-key"}"#).expect(201);
    let tenant = node.tenant("production");
    let actions = |query: &str| {
        let found = operator.get(&format!("/audit?{query}")).expect(200);
        let entries = found["data"].as_array().unwrap().iter();
        entries.map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry["key"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(actions(&format!("key={id}")), [("partner.created".to_owned(), json!(id))]);
    assert_eq!(actions("actor=operator"), [("partner.created".to_owned(), json!(id))]);
    let configured = actions("actor=operator+(configured)");
    assert!(configured.len() >= 4 && configured.iter().all(|(_, key)| key.is_null()), "{configured:?}");
    assert_eq!(actions("actor=posthaste&action=partner.created").len(), 1, "the first start made one");
    assert_eq!(actions(&format!("actor=posthaste&key={id}")), []);
    operator.get("/audit?actor=somebody").problem(422, "invalid");
    operator.get("/audit?key=somebody").problem(422, "invalid");
    // A partner is not to tell operators apart by asking.
    tenant.partner.get(&format!("/audit?key={id}")).problem(422, "invalid");
    tenant.partner.get("/audit?actor=operator").problem(422, "invalid");
}
