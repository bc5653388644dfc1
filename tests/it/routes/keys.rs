//! Keys: made by the API and by `posthaste keys`, shown once, of use to whom
//! they were made for.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use posthaste::auth::{ApiKey, Authenticator};
use posthaste::clock::Clock;
use posthaste::domain::{Role, Timestamp};
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{NewKey, Store};
use serde_json::json;

use crate::support::folder::Folder;
use crate::support::node::{Node, SharedNode, command, time};

static NODE: SharedNode = SharedNode::new();

#[test]
fn a_key_is_shown_once() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let body = json!({
        "role": "producer", "partner": tenant.name, "environment": "sandbox", "description": "from our CRM",
        "expires_at": "2100-01-01T00:00:00Z",
    });
    let answer = node.operator().post("/keys", body.to_string());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut made = answer.expect(201);
    let key = made.as_object_mut().unwrap().remove("key").unwrap();
    let key = key.as_str().unwrap();
    assert!(key.starts_with("ph_") && key.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    let expected = json!({
        "id": made["id"], "prefix": made["prefix"], "role": "producer", "environment": "sandbox",
        "partner": tenant.name, "description": "from our CRM", "created_at": made["created_at"],
        "expires_at": "2100-01-01T00:00:00.000Z", "revoked_at": null,
        "last_used_at": null,
    });
    assert_eq!(made, expected);
    let path = format!("/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(node.operator().get(&path).expect(200), made);
    assert!(!node.operator().get("/keys").body.contains(key));
    assert!(!node.log().contains(key));
}

#[test]
fn a_key_that_makes_no_sense_is_422() {
    let node = NODE.get();
    let operator = node.operator();
    let cases = [
        (json!({}), "/role"),
        (json!({ "role": "admin" }), "/role"),
        (json!({ "role": "partner" }), "/partner"),
        (json!({ "role": "partner", "partner": "nobody" }), "/partner"),
        (json!({ "role": "producer", "partner": "*" }), "/partner"),
        (json!({ "role": "producer", "environment": "staging" }), "/environment"),
        (json!({ "role": "operator", "partner": "default" }), "/partner"),
        (json!({ "role": "operator", "environment": "sandbox" }), "/environment"),
        (json!({ "role": "operator", "expires_at": "2000-01-01T00:00:00Z" }), "/expires_at"),
        (json!({ "role": "operator", "expires_at": "soon" }), "/expires_at"),
        (json!({ "role": "operator", "description": 7 }), "/description"),
        (json!({ "role": "operator", "description": "a\u{0}b" }), "/description"),
        (json!({ "role": "operator", "key": "my-own-key" }), "/key"),
    ];
    for (body, pointer) in cases {
        let refused = operator.post("/keys", body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({ "name": "Acme" }), "/name"),
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "*" }), "/name"),
        (json!({ "name": "a/b" }), "/name"),
        (json!({ "name": "x".repeat(65) }), "/name"),
        (json!({ "name": 7 }), "/name"),
        (json!({ "name": "fine", "environment": "sandbox" }), "/environment"),
    ] {
        let refused = operator.post("/partners", body.to_string());
        refused.problem(422, "invalid");
        assert_eq!(refused.pointers(), [pointer], "{body}");
    }
}

#[test]
fn a_key_belongs_to_production_unless_it_says_otherwise() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let body = json!({ "role": "partner", "partner": tenant.name }).to_string();
    let made = node.operator().post("/keys", body).expect(201);
    assert_eq!(made["environment"], "production");
    let operator = node.operator().post("/keys", r#"{"role": "operator"}"#).expect(201);
    assert!(operator["environment"].is_null() && operator["partner"].is_null());
    node.client(operator["key"].as_str().unwrap()).get("/keys").expect(200);
}

#[track_caller]
fn keys(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command: Command = command(folder);
    command.arg("keys").args(arguments).stdout(std::process::Stdio::piped());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_command_makes_lists_and_revokes_keys_of_a_stopped_store() {
    let folder = Folder::new();
    // Also on a store that no node has ever had.
    let made = keys(&folder, &["create", "--role", "partner", "--partner", "default", "--description", "first"]);
    assert!(made.status.success(), "{made:?}");
    let key = text(&made.stdout);
    let key = key.trim_end();
    assert!(key.starts_with("ph_") && !key.contains(char::is_whitespace), "only the key, for a script: {key:?}");
    let operator = text(&keys(&folder, &["create", "--role", "operator"]).stdout).trim_end().to_owned();

    let node = Node::on(&folder, &[]);
    node.client(key).get("/webhook").expect(200);
    let known = node.client(&operator).get("/keys").expect(200);
    assert_eq!(known["data"].as_array().unwrap().len(), 2);
    let id = known["data"][1]["id"].as_str().unwrap().to_owned();
    assert_eq!((&known["data"][1]["role"], &known["data"][1]["description"]), (&json!("partner"), &json!("first")));

    // Beside a running node it refuses, and says what to do instead.
    for arguments in [&["list"][..], &["create", "--role", "operator"], &["revoke", &id]] {
        let refused = keys(&folder, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let told = text(&refused.stderr);
        assert!(told.contains("another posthaste has") && told.contains("`POST /keys`"), "{told}");
        assert!(refused.stdout.is_empty());
    }
    node.client(key).get("/webhook").expect(200);
    assert!(node.stop().success());

    let listed = keys(&folder, &["list"]);
    let lines = text(&listed.stdout);
    assert!(listed.status.success() && lines.lines().count() == 2, "{lines}");
    assert!(
        lines
            .lines()
            .nth(1)
            .is_some_and(|line| line.contains(&id) && line.contains("partner") && line.contains("live"))
    );
    assert!(!lines.contains(key), "{lines}");
    assert!(keys(&folder, &["revoke", &id]).status.success());
    assert!(text(&keys(&folder, &["list"]).stdout).contains("revoked"));
    assert_eq!(keys(&folder, &["revoke", &id]).status.code(), Some(1), "twice is once too often");
    let node = Node::on(&folder, &[]);
    node.client(key).get("/webhook").problem(401, "unauthorized");
    node.client(&operator).get("/keys").expect(200);
}

#[test]
fn the_command_refuses_what_makes_no_sense() {
    let folder = Folder::new();
    for (arguments, told) in [
        (&["create"][..], "--role"),
        (&["create", "--role", "admin"], "role"),
        (&["create", "--role", "partner"], "--partner"),
        (&["create", "--role", "partner", "--partner", "nobody"], "nobody"),
        (&["create", "--role", "operator", "--environment", "sandbox"], "operator"),
        (&["create", "--role", "operator", "--expires-at", "2000-01-01T00:00:00Z"], "past"),
        (&["revoke", "key_01h455vb4pex5vsknk084sn02q"], "key_01h455vb4pex5vsknk084sn02q"),
        (&["revoke", "mine"], "mine"),
    ] {
        let refused = keys(&folder, arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(text(&refused.stderr).contains(told), "{arguments:?}: {}", text(&refused.stderr));
        assert!(refused.stdout.is_empty());
    }
}

#[test]
fn a_keys_last_use_is_written_down_at_the_end_of_a_node() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("sandbox");
    let id_of = |node: &Node, role: &str| {
        let keys = node.operator().get("/keys").expect(200);
        let key = keys["data"].as_array().unwrap().iter().find(|key| key["role"] == role).unwrap().clone();
        (key["id"].as_str().unwrap().to_owned(), key)
    };
    let (partner, shown) = id_of(&node, "partner");
    assert!(shown["last_used_at"].is_null(), "{shown}");
    let made = tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    // Keys are read anew after one was revoked; what was noted of this one stays.
    let other = node.operator().post("/keys", r#"{"role": "operator"}"#).expect(201);
    node.operator().delete(&format!("/keys/{}", other["id"].as_str().unwrap())).expect(204);
    assert!(node.stop().success());

    let node = Node::on(&folder, &[]);
    let shown = node.operator().get(&format!("/keys/{partner}")).expect(200);
    assert!(time(&shown["last_used_at"]) >= time(&shown["created_at"]), "{shown}");
    assert!(time(&shown["last_used_at"]) <= time(&made["created_at"]), "before the endpoint was there: {shown}");
    assert!(id_of(&node, "producer").1["last_used_at"].is_null(), "nobody has used it");
    let listed = keys(&folder, &["list"]);
    assert!(!listed.status.success(), "the node has the store");
    assert!(node.stop().success());
    let lines = text(&keys(&folder, &["list"]).stdout);
    let line = |word: &str| lines.lines().find(|line| line.contains(word)).unwrap().to_owned();
    assert!(line("partner  ").contains("  used ") && line("producer").contains("never used"), "{lines}");
}

#[test]
fn a_key_ends_at_its_time_and_not_a_moment_later() {
    const MOMENT: Duration = Duration::from_millis(1);
    let folder = Folder::new();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.file("store.db"), 1).unwrap());
    let clock = Clock::manual(Timestamp::from_millis(1_900_000_000_000));
    let (key, life) = (ApiKey::generate().unwrap(), Duration::from_secs(3_600));
    let new = NewKey {
        hash: key.hash(),
        prefix: key.prefix().to_owned(),
        role: Role::Operator,
        environment: None,
        partner: None,
        description: None,
        expires_at: Some(clock.wall() + life),
    };
    let mut writer = store.writer().unwrap();
    writer.commit(clock.wall(), &mut |transaction| transaction.create_key(&new).map(drop)).unwrap();
    actix_rt::System::new().block_on(async {
        let authenticator = || Authenticator::new(Arc::clone(&store), clock.clone(), None);
        let knows_it = authenticator();
        let opens = async |auth: &Authenticator| auth.authenticate(key.reveal()).await.unwrap().is_some();
        assert!(opens(&knows_it).await);
        clock.advance(life - MOMENT);
        assert!(opens(&knows_it).await && opens(&authenticator()).await);
        clock.advance(MOMENT);
        assert!(!opens(&knows_it).await && !opens(&authenticator()).await);
    });
}
