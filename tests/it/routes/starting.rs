//! Starting: the first time, the second time, twice at once, and with
//! options that cannot be.

use std::io::Read;
use std::process::Stdio;

use serde_json::json;

use crate::support::folder::Folder;
use crate::support::node::{Node, campaign, command};

/// A node without a key in its configuration, and what it printed.
fn start(folder: &Folder) -> (Node, String) {
    let output = folder.file("stdout");
    let mut command = command(folder);
    command.stdout(Stdio::from(std::fs::File::create(&output).unwrap()));
    let node = Node::spawn(command);
    // The line in the log comes first; a stop makes sure that all is printed.
    (node, output.to_str().unwrap().to_owned())
}

fn printed(path: &str) -> String {
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_first_start_prints_a_key_that_works_and_the_second_prints_none() {
    let folder = Folder::new();
    let (node, output) = start(&folder);
    let first_address = node.address;
    assert!(node.stop().success());
    let welcome = printed(&output);
    let key = welcome.lines().map(str::trim).find(|line| line.starts_with("ph_")).expect("a key of its own line");
    let curl = welcome.lines().map(str::trim).find(|line| line.starts_with("curl ")).expect("something to try");
    let expected = format!("curl http://{first_address}/event-types -H 'Authorization: Bearer {key}'");
    assert_eq!(curl, expected);

    let (node, output) = start(&folder);
    let operator = node.client(key);
    assert_eq!(operator.get("/event-types").expect(200)["data"].as_array().unwrap().len(), 6);
    assert_eq!(operator.get("/partners").expect(200)["data"][0]["name"], "default");
    assert!(!node.log().contains(key));
    // One key is enough to try everything.
    let body = r#"{"url": "https://example.com/", "events": ["*"], "enabled": false}"#;
    operator.post("/webhook", body).expect(201);
    assert_eq!(operator.post("/events", campaign("campaign.created", "c-1")).expect(202)["deliveries"], 1);
    assert!(node.stop().success());
    assert_eq!(printed(&output), "", "the second start has nothing to show");
}

#[test]
fn a_key_of_the_configuration_is_the_only_one_made() {
    let folder = Folder::new();
    let mut command = command(&folder);
    let output = folder.file("stdout");
    command.env("POSTHASTE_OPERATOR_KEY", "brought-by-the-operator");
    command.stdout(Stdio::from(std::fs::File::create(&output).unwrap()));
    let node = Node::spawn(command);
    let listed = node.client("brought-by-the-operator").get("/keys").expect(200);
    assert_eq!(listed["data"], json!([]));
    assert!(node.stop().success());
    assert_eq!(printed(output.to_str().unwrap()), "");
}

#[test]
fn a_second_process_on_a_store_is_refused() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let refused = command(&folder).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("another posthaste has") && told.contains("posthaste.db"), "{told}");
    assert!(node.stop().success());
    // Killed rather than stopped, it leaves nothing behind that bars the next.
    drop(Node::on(&folder, &[]));
    assert!(Node::on(&folder, &[]).stop().success());
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = Folder::new();
    let node = Node::start(&[]);
    let taken = node.address.to_string();
    for (name, value, told) in [
        ("POSTHASTE_LISTEN", taken.as_str(), taken.as_str()),
        ("POSTHASTE_LISTEN", "everywhere", "listen"),
        ("POSTHASTE_STORE", "sqlite:///nowhere/at/all.db", "/nowhere/at/all.db"),
        ("POSTHASTE_STORE", "mysql://localhost", "store"),
        ("POSTHASTE_ALLOW_ADDRESSES", "localhost", "localhost"),
        ("POSTHASTE_OPERATOR_KEY", "short", "operator_key"),
        ("POSTHASTE_PAGE", "many", "page"),
    ] {
        let refused = command(&folder).env(name, value).output().unwrap();
        assert!(!refused.status.success(), "{name}={value}");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains(told), "{name}={value}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}
