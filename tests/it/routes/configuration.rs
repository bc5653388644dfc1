//! `/settings`: what a node is configured with, who said so, and that nothing in it opens
//! anything.

use posthaste::config::Options;
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, OPERATOR_KEY};

fn option<'a>(settings: &'a Value, name: &str) -> &'a Value {
    let found = settings["data"].as_array().unwrap().iter().find(|option| option["name"] == name);
    found.unwrap_or_else(|| panic!("`{name}` is not told"))
}

#[test]
fn every_option_is_told_with_its_source() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("posthaste.toml"), "# mine\nwindow = 64\npage = 7\n").unwrap();
    let node = Node::on(&folder, &[("PAGE", "9")]);
    let settings = node.operator().get("/settings").expect(200);
    let names: Vec<&str> =
        settings["data"].as_array().unwrap().iter().map(|option| option["name"].as_str().unwrap()).collect();
    assert_eq!(names, Options::NAMES);
    let window = option(&settings, "window");
    assert_eq!(
        (&window["value"], &window["default"], &window["heading"]),
        (&json!("64"), &json!("128"), &json!("Engine"))
    );
    assert_eq!(window["source"], json!({ "kind": "file", "at": "posthaste.toml:2" }));
    let page = option(&settings, "page");
    assert_eq!(page["value"], "9", "the environment wins over the file");
    assert_eq!(page["source"], json!({ "kind": "environment", "at": "POSTHASTE_PAGE" }));
    let readers = option(&settings, "readers");
    assert_eq!(
        (&readers["value"], &readers["source"]),
        (&readers["default"], &json!({ "kind": "default", "at": null }))
    );
    assert!(readers["meaning"].as_str().unwrap().starts_with("Connections that read the store"), "{readers}");
    let id = node.operator().get("/nodes").expect(200)["data"][0]["id"].clone();
    assert_eq!(settings["node"], id);
    assert_eq!(settings["nodes"], json!([{ "id": id, "reachable": true }]));
}

#[test]
fn nothing_in_it_opens_anything() {
    const PASSWORD: &str = "a-password-of-the-proxy";
    const KEY: &str = "czNjcmV0LXMzY3JldC1zM2NyZXQtczNjcmV0LTY3ODk=";
    let node = Node::start(&[
        ("PROXY", &format!("http://me:{PASSWORD}@127.0.0.1:9")),
        ("ENCRYPTION_KEYS", &format!("a:{KEY}")),
        ("CLUSTER_TOKEN", "a-token-of-the-cluster"),
    ]);
    let answer = node.operator().get("/settings");
    let settings = answer.expect(200);
    for secret in [OPERATOR_KEY, PASSWORD, KEY, "a-token-of-the-cluster"] {
        assert!(!answer.body.contains(secret), "{}", answer.body);
    }
    for name in ["operator_key", "proxy", "encryption_keys", "cluster_token"] {
        let told = option(&settings, name);
        assert_eq!((&told["masked"], &told["value"]), (&json!(true), &json!("••••••")), "{name}");
        assert_eq!(told["source"]["kind"], "environment", "{name}");
    }
    let tenant = node.tenant("production");
    tenant.partner.get("/settings").problem(403, "forbidden");
    node.nobody().get("/settings").problem(401, "unauthorized");
    node.operator().get("/settings?partner=default").problem(422, "invalid");
}
