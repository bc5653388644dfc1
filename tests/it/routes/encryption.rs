//! The keys that secrets are sealed with: made by the first start, given, replaced, and
//! missed when they are not there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, SharedNode, Tenant, command};
use crate::support::postgres::Postgres;

static NODE: SharedNode = SharedNode::new();

const ONE: &str = "one:MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";
const TWO: &str = "two:MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=";

/// A webhook with one header, and so with two values that are sealed.
fn webhook(tenant: &Tenant, word: &str) -> Value {
    tenant.webhook(&json!({
        "url": format!("https://example.com/{word}"), "events": ["*"], "enabled": false,
        "headers": { "authorization": "Bearer abcdefgh" },
    }))
}

fn path(made: &Value) -> String {
    format!("/webhook/{}/secret", made["id"].as_str().unwrap())
}

/// Runs the binary to its end with these variables.
fn run(folder: &Folder, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = command(folder);
    command.args(words).envs(variables.iter().map(|(name, value)| (format!("POSTHASTE_{name}"), value)));
    command.stdout(std::process::Stdio::piped()).output().unwrap()
}

#[track_caller]
fn refused(folder: &Folder, variables: &[(&str, &str)]) -> String {
    let output = run(folder, &["serve"], variables);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(!error.contains("panicked") && !error.contains("MTEx") && !error.contains("MjIy"), "{error}");
    error
}

#[track_caller]
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_operator_has_everything_sealed_with_a_new_key_and_takes_the_old_one_out() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[("ENCRYPTION_KEYS", "clear")]);
    let made = webhook(&node.tenant_named("default", "production"), "a");
    let shown = node.operator().get("/encryption").expect(200);
    assert_eq!(shown, json!({ "current": null, "keys": [], "clear_values": 2 }));
    assert!(node.stop().success());

    let node = Node::on(&folder, &[("ENCRYPTION_KEYS", ONE)]);
    let tenant = node.tenant_named("default", "production");
    webhook(&tenant, "b");
    let keys = |in_use, values| json!([{ "id": "one", "in_ring": true, "in_use": in_use, "values": values }]);
    let shown = node.operator().get("/encryption").expect(200);
    assert_eq!(shown, json!({ "current": "one", "keys": keys(true, 2), "clear_values": 2 }));
    let done = node.operator().post_empty("/encryption/reencrypt").expect(200);
    assert_eq!(done, json!({ "current": "one", "rows": 4, "values": 2, "unreadable": 0, "released": [] }));
    let shown = node.operator().get("/encryption").expect(200);
    assert_eq!(shown, json!({ "current": "one", "keys": keys(true, 4), "clear_values": 0 }));
    assert!(node.stop().success());

    let both = format!("{TWO},{ONE}");
    let node = Node::on(&folder, &[("ENCRYPTION_KEYS", &both)]);
    let done = node.operator().post("/encryption/reencrypt", "{}").expect(200);
    assert_eq!(done, json!({ "current": "two", "rows": 4, "values": 4, "unreadable": 0, "released": ["one"] }));
    let told = node.operator().get("/audit?action=secrets.reencrypted&limit=2").expect(200);
    let done = json!({ "state": "done", "values": 4, "unreadable": 0, "released": ["one"] });
    assert_eq!((&told["data"][0]["detail"], &told["data"][0]["subject"]), (&done, &json!("two")));
    assert_eq!(told["data"][1]["detail"], json!({ "state": "begun" }));
    let shown = node.operator().get("/encryption").expect(200);
    let keys = json!([
        { "id": "two", "in_ring": true, "in_use": true, "values": 4 },
        { "id": "one", "in_ring": true, "in_use": false, "values": 0 },
    ]);
    assert_eq!(shown, json!({ "current": "two", "keys": keys, "clear_values": 0 }));
    assert!(node.stop().success());

    let node = Node::on(&folder, &[("ENCRYPTION_KEYS", TWO)]);
    let tenant = node.tenant_named("default", "production");
    assert_eq!(tenant.partner.get(&path(&made)).expect(200)["secret"], made["secret"]);
    assert!(node.stop().success());
    let told = refused(&folder, &[("ENCRYPTION_KEYS", ONE)]);
    assert!(told.contains("sealed with key `two`"), "{told}");
}

#[test]
fn the_first_start_makes_a_key_file_and_no_later_one_goes_without() {
    let folder = Folder::new();
    let file = folder.file("posthaste.db.keys");
    let node = Node::on(&folder, &[]);
    assert!(node.log().contains("posthaste.db.keys"), "whoever starts it is told");
    let made = webhook(&node.tenant_named("default", "production"), "a");
    assert!(node.stop().success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();

    let node = Node::on(&folder, &[]);
    let tenant = node.tenant_named("default", "production");
    assert_eq!(tenant.partner.get(&path(&made)).expect(200)["secret"], made["secret"]);
    let shown = node.operator().get("/encryption").expect(200);
    assert!(key.contains(&format!("{}:", shown["current"].as_str().unwrap())), "{shown}");
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
    assert!(node.stop().success());

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused(&folder, &[]).contains("chmod 600"));
    fs::remove_file(&file).unwrap();
    let told = refused(&folder, &[]);
    assert!(told.contains("posthaste.db.keys is missing") && told.contains("backup"), "{told}");
    assert!(!file.exists(), "no other takes its place");
    assert!(refused(&folder, &[("ENCRYPTION_KEYS", ONE)]).contains("the key ring has no such key"));

    // From elsewhere it is as good.
    let elsewhere = folder.file("elsewhere");
    fs::write(&elsewhere, key).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    let node = Node::on(&folder, &[("ENCRYPTION_KEYS_FILE", elsewhere.to_str().unwrap())]);
    let tenant = node.tenant_named("default", "production");
    assert_eq!(tenant.partner.get(&path(&made)).expect(200)["secret"], made["secret"]);
}

#[test]
fn a_command_seals_a_store_that_no_node_has_open() {
    let folder = Folder::new();
    // Keys are made in a store of which this is the first start.
    printed(run(&folder, &["keys", "create", "--role", "operator"], &[("ENCRYPTION_KEYS", ONE)]));
    let node = Node::on(&folder, &[("ENCRYPTION_KEYS", ONE)]);
    webhook(&node.tenant_named("default", "production"), "a");
    let both = format!("{TWO},{ONE}");
    let beside = run(&folder, &["secrets", "reencrypt"], &[("ENCRYPTION_KEYS", &both)]);
    assert_eq!(beside.status.code(), Some(1));
    assert!(String::from_utf8(beside.stderr).unwrap().contains("POST /encryption/reencrypt"));
    assert!(node.stop().success());

    let told = printed(run(&folder, &["secrets", "reencrypt"], &[("ENCRYPTION_KEYS", &both)]));
    assert!(told.starts_with("2 rows looked at, 2 values sealed anew with key `two`\n"), "{told}");
    assert!(told.contains("key `one` seals nothing any more"), "{told}");
    let told = printed(run(&folder, &["secrets", "reencrypt"], &[("ENCRYPTION_KEYS", TWO)]));
    assert_eq!(told, "2 rows looked at, 0 values sealed anew with key `two`\n");
    let told = printed(run(&folder, &["secrets", "reencrypt"], &[("ENCRYPTION_KEYS", &format!("clear,{TWO}"))]));
    assert!(told.starts_with("2 rows looked at, 2 values opened"), "{told}");
}

#[test]
fn nodes_that_share_a_database_are_given_their_keys() {
    let (folder, database) = (Folder::new(), Postgres::database());
    let url = database.url();
    let store = ("STORE", url.as_str());
    let node = Node::on(&folder, &[store]);
    assert_eq!(node.log().matches("secrets are stored as they are").count(), 1);
    let made = webhook(&node.tenant_named("default", "production"), "a");
    assert_eq!(node.operator().get("/encryption").expect(200)["clear_values"], 2);
    assert!(node.stop().success());

    let node = Node::on(&folder, &[store, ("ENCRYPTION_KEYS", ONE)]);
    assert!(!node.log().contains("secrets are stored as they are"));
    // Beside it.
    let told = printed(run(&folder, &["secrets", "reencrypt"], &[store, ("ENCRYPTION_KEYS", ONE)]));
    assert!(told.starts_with("2 rows looked at, 2 values sealed anew with key `one`"), "{told}");
    let tenant = node.tenant_named("default", "production");
    assert_eq!(tenant.partner.get(&path(&made)).expect(200)["secret"], made["secret"]);
    assert_eq!(node.operator().get("/encryption").expect(200)["keys"][0]["values"], 2);
    for variables in [&[store][..], &[store, ("ENCRYPTION_KEYS", TWO)]] {
        assert!(refused(&folder, variables).contains("sealed with key `one`"));
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_at_the_start() {
    let folder = Folder::new();
    let (file, missing) = (folder.file("keys"), folder.file("none"));
    fs::write(&file, "# nothing\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (file, missing) = (file.to_str().unwrap(), missing.to_str().unwrap());
    for (variables, told) in [
        (&[("ENCRYPTION_KEYS", ONE), ("ENCRYPTION_KEYS_FILE", file)][..], "both given"),
        (&[("ENCRYPTION_KEYS", "one:c2hvcnQ=")], "has 5 bytes, and must have 32"),
        (&[("ENCRYPTION_KEYS_FILE", file)], "there is no key in it"),
        (&[("ENCRYPTION_KEYS_FILE", missing)], "cannot read the key file"),
    ] {
        let error = refused(&folder, variables);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_request_to_seal_anew_says_nothing_else() {
    let node = NODE.get();
    let refused = node.operator().post("/encryption/reencrypt", r#"{"key": "one"}"#);
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/key"]);
    node.operator().get("/encryption?key=one").problem(422, "invalid");
}
