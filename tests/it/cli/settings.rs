//! `posthaste apply` and `posthaste export` against real nodes: what is shown before, what
//! is done and told, what stays as it is, and what never shows.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::node::{Node, webhook_path};

const KEY: &str = "the-operator-of-these-tests";

/// What one run came to.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    errors: String,
}

impl Run {
    #[track_caller]
    fn ended(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.out + &self.errors
    }
}

/// Runs a command with this node's key and nothing else of our own environment.
fn run(node: &Node, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let url = format!("http://{}", node.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_posthaste"));
    command.args(arguments).env_clear().envs([("POSTHASTE_URL", url.as_str()), ("POSTHASTE_OPERATOR_KEY", KEY)]);
    let output = command.envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), errors: text(output.stderr) }
}

fn apply(node: &Node, file: &Path, more: &[&str]) -> Run {
    let mut arguments = vec!["apply", file.to_str().unwrap()];
    arguments.extend(more);
    run(node, &arguments, &[])
}

/// A file of settings in the production environment.
fn written(folder: &Folder, text: &str) -> std::path::PathBuf {
    let path = folder.file("settings.toml");
    std::fs::write(&path, format!("environment = \"production\"\n{text}")).unwrap();
    path
}

const ACME: &str = "
[[partner]]
name = \"acme\"
";

fn endpoint(path: &str, more: &str) -> String {
    format!("\n[[endpoint]]\npartner = \"acme\"\nurl = \"https://EXAMPLE.com/{path}\"\nevents = [\"*\"]\n{more}")
}

/// A node with something of everything in production.
fn furnished() -> Node {
    let node = Node::start(&[]);
    let operator = node.operator();
    for name in ["acme", "zoe"] {
        operator.post("/partners", json!({ "name": name }).to_string()).expect(201);
    }
    let schema = json!({
        "type": "object", "properties": { "state": { "enum": [null, "it's ''' quoted", "\u{7f}"] } },
        "required": ["event"],
    });
    let order = json!({
        "description": "an order\nof \"two\" lines", "schema": schema, "example": { "event": "order.paid" },
        "retry": { "schedule_ms": [1000, 2000] }, "indexed": ["/order/id", "/a~1b"],
    });
    operator.put("/event-types/order.paid", order.to_string()).expect(201);
    operator.delete("/event-types/campaign.failed").expect(204);
    for (query, settings) in [
        ("?partner=acme", json!({ "url": "https://example.com/plain", "events": ["*"] })),
        (
            "?partner=acme",
            json!({
                "url": "https://example.com/all?of=it", "events": ["order.paid", "campaign.*"],
                "description": "tabs\tand \\ and \"quotes\"", "enabled": false, "ordering": { "by": "/a~1b" },
                "rate_limit": { "per_second": 7 }, "max_concurrency": 3, "timeout_ms": 2_500, "signing": "v1a",
                "retry": { "retries": 2, "base_ms": 10, "factor": 1.5, "jitter": 0.25 }, "disable_on_gone": true,
                "filter": { "properties": { "state": { "const": null } } },
            }),
        ),
        ("?partner=zoe", json!({ "url": "https://example.com/plain", "events": ["order.paid"], "ordering": "fifo" })),
        ("", json!({ "url": "https://example.com/ops", "events": ["posthaste.*"], "partners": "*" })),
    ] {
        operator.post(&format!("/webhook{query}"), settings.to_string()).expect(201);
    }
    node
}

#[test]
fn what_is_exported_makes_another_node_the_same() {
    let (node, folder) = (furnished(), Folder::new());
    for name in ["settings.toml", "settings.json"] {
        let file = folder.file(name);
        let file = file.to_str().unwrap();
        let told = run(&node, &["export", file], &[]).ended(0);
        assert!(told.contains("3 partners, 4 endpoints"), "{told}");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains("whsec_") && !text.contains("ep_"), "{text}");
        let check = apply(&node, Path::new(file), &["--check", "--prune"]).ended(0);
        assert!(
            check.contains("0 to create, 0 to change, 0 to delete") && check.contains(" 0 not in the file"),
            "{check}"
        );

        let other = Node::start(&[]);
        let plan = apply(&other, Path::new(file), &["--check", "--prune"]).ended(2);
        assert!(plan.contains("- delete event type campaign.failed"), "{plan}");
        let done = apply(&other, Path::new(file), &["--yes", "--prune"]).ended(0);
        assert!(done.contains("8 of 8 are done"), "{done}");
        apply(&other, Path::new(file), &["--check", "--prune"]).ended(0);
        let again = folder.file(&format!("again-{name}"));
        run(&other, &["export", again.to_str().unwrap()], &[]).ended(0);
        assert_eq!(std::fs::read_to_string(again).unwrap(), text);
    }
    let printed = run(&node, &["export"], &[]);
    assert_eq!(printed.out, std::fs::read_to_string(folder.file("settings.toml")).unwrap());
    let file = folder.file("settings.toml");
    let there = run(&node, &["export", file.to_str().unwrap()], &[]).ended(1);
    assert!(there.contains("is there already"), "{there}");
    run(&node, &["export", file.to_str().unwrap(), "--force", "--environment", "sandbox"], &[]).ended(0);
    assert!(!std::fs::read_to_string(file).unwrap().contains("[[endpoint]]"), "the sandbox has none");
}

/// All that a list shows, by what people know each thing by, without what is another on each
/// node.
fn listed(node: &Node, path: &str, known_by: &[&str]) -> BTreeMap<String, Value> {
    let page = node.operator().get(path).expect(200);
    assert_eq!(page["next_cursor"], Value::Null, "one page is all");
    let known = |item: &Value| known_by.iter().map(|field| item[*field].to_string()).collect::<String>();
    let mut items: BTreeMap<String, Value> =
        page["data"].as_array().unwrap().iter().map(|item| (known(item), item.clone())).collect();
    for item in items.values_mut() {
        let fields = item.as_object_mut().unwrap();
        fields.retain(|field, _| !["id", "version", "created_at", "updated_at"].contains(&field.as_str()));
    }
    items
}

/// That for each field that is shown, but for these, something has another value than what
/// is plain: a field that `export` does not know is missed then.
#[track_caller]
fn shows_all(items: &BTreeMap<String, Value>, plain: &str, but: &[&str]) {
    let plain = &items[plain];
    for field in plain.as_object().unwrap().keys().filter(|field| !but.contains(&field.as_str())) {
        assert!(items.values().any(|item| item[field] != plain[field]), "furnish something with `{field}`");
    }
}

#[test]
fn every_field_that_is_shown_is_carried_over() {
    let (node, other, folder) = (furnished(), Node::start(&[]), Folder::new());
    let operator = node.operator();
    let headed = json!({ "url": "https://example.com/headed", "events": ["*"], "headers": { "x-a": "1" } });
    operator.post("/webhook?partner=acme", headed.to_string()).expect(201);
    let bare = json!({ "schema": {}, "example": { "event": "bare.type" } });
    operator.put("/event-types/bare.type", bare.to_string()).expect(201);
    // One that the other node has as well, and that is changed there.
    let mut changed = operator.get("/event-types/campaign.updated").expect(200);
    changed["description"] = json!("ours");
    operator.put("/event-types/campaign.updated", changed.to_string()).expect(200);

    let file = folder.file("settings.toml");
    run(&node, &["export", file.to_str().unwrap()], &[]).ended(0);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"(redacted)\"", "\"2\"")).unwrap();
    apply(&other, &file, &["--yes", "--prune"]).ended(0);

    let types = |node: &Node| listed(node, "/event-types", &["name"]);
    let (ours, theirs) = (types(&node), types(&other));
    let new_ones = ours.iter().filter(|(name, _)| ["\"bare.type\"", "\"order.paid\""].contains(&name.as_str()));
    shows_all(&new_ones.map(|(name, item)| (name.clone(), item.clone())).collect(), "\"bare.type\"", &["built_in"]);
    assert_eq!(theirs, ours);
    let endpoints = |node: &Node| listed(node, "/webhook?partner=*", &["partner", "url"]);
    let (ours, theirs) = (endpoints(&node), endpoints(&other));
    let not_settings = ["environment", "status", "paused_at", "paused_by", "braked_at"];
    // There is one format, and a certificate cannot be made anew without its key.
    let but = [&not_settings[..], &["format", "client_certificate"]].concat();
    shows_all(&ours, "\"acme\"\"https://example.com/plain\"", &but);
    assert_eq!(theirs, ours);
}

#[test]
fn a_plan_comes_first_and_nothing_happens_without_a_yes() {
    let (node, folder) = (Node::start(&[]), Folder::new());
    let file = written(&folder, &format!("{ACME}{}", endpoint("a", "")));
    let nobody = apply(&node, &file, &[]).ended(1);
    assert!(nobody.contains("+ create partner acme\n+ create endpoint https://example.com/a of acme\n"), "{nobody}");
    assert!(nobody.contains("nobody is there to say yes"), "{nobody}");
    apply(&node, &file, &["--check"]).ended(2);
    node.operator().get("/partners/acme").problem(404, "not-found");

    // The secret is written where it was asked for, for its owner alone.
    let secrets = folder.file("secrets");
    let done = apply(&node, &file, &["--yes", "--secrets-file", secrets.to_str().unwrap()]).ended(0);
    assert!(done.contains("2 of 2 are done") && !done.contains("whsec_"), "{done}");
    assert_eq!(std::fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: Value = serde_json::from_str(std::fs::read_to_string(&secrets).unwrap().trim()).unwrap();
    let path = webhook_path(&kept);
    let secret = node.operator().get(&format!("{path}/secret?partner=acme")).expect(200);
    assert!(secret.to_string().contains(kept["secret"].as_str().unwrap()), "{secret}");
    assert_eq!((&kept["partner"], &kept["environment"]), (&json!("acme"), &json!("production")));

    // Done once, it is done: whoever does it again changes nothing.
    let version = || node.operator().get(&format!("{path}?partner=acme")).expect(200)["version"].clone();
    let before = version();
    let again = apply(&node, &file, &["--yes"]).ended(0);
    assert!(again.contains("0 to create, 0 to change, 0 to delete; 2 unchanged"), "{again}");
    assert_eq!(version(), before);

    // What somebody changed by hand is drift, and goes back.
    node.operator()
        .patch(&format!("{path}?partner=acme"), r#"{"timeout_ms": 2000, "description": "mine"}"#)
        .expect(200);
    let drift = apply(&node, &file, &["--check"]).ended(2);
    assert!(drift.contains("    /timeout_ms: 2000 → 15000\n"), "{drift}");
    assert!(drift.contains("    /description: \"mine\" → null\n"), "{drift}");
    apply(&node, &file, &["--yes"]).ended(0);
    let shown = node.operator().get(&format!("{path}?partner=acme")).expect(200);
    assert_eq!((&shown["timeout_ms"], &shown["description"]), (&json!(15_000), &Value::Null));

    // What the file does not have stays, unless it is to go.
    let file = written(&folder, ACME);
    let left = apply(&node, &file, &["--check"]).ended(0);
    assert!(left.contains("? endpoint https://example.com/a of acme"), "{left}");
    let pruned = apply(&node, &file, &["--yes", "--prune"]).ended(0);
    assert!(pruned.contains("- delete endpoint https://example.com/a of acme"), "{pruned}");
    node.operator().get(&format!("{path}?partner=acme")).problem(404, "not-found");
    assert_eq!(node.operator().get("/event-types").expect(200)["data"], json!([]), "nor are shipped types in the file");

    // Each of it is in the audit log, as if it had been asked for by hand.
    let log = node.operator().get("/audit?partner=acme").expect(200).to_string();
    for action in ["partner_created", "endpoint_created", "endpoint_changed", "endpoint_deleted"] {
        assert!(log.contains(&action.replace('_', ".")) || log.contains(action), "{action}: {log}");
    }
}

#[test]
fn a_failure_ends_it_and_another_run_goes_on() {
    let (node, folder) = (Node::start(&[]), Folder::new());
    let wrong = endpoint("b", "timeout_ms = 5\n");
    let file = written(&folder, &format!("{ACME}{}{wrong}{}", endpoint("a", ""), endpoint("c", "")));
    let failed = apply(&node, &file, &["--yes"]).ended(1);
    for said in [
        "the node refuses + create endpoint https://example.com/b of acme",
        "/timeout_ms: expected a whole number from 1000",
        "2 of 4 are done; run it again to go on",
        "\n  + create endpoint https://example.com/c of acme",
    ] {
        assert!(failed.contains(said), "{said}: {failed}");
    }
    let file = written(&folder, &format!("{ACME}{}{}{}", endpoint("a", ""), endpoint("b", ""), endpoint("c", "")));
    let done = apply(&node, &file, &["--yes"]).ended(0);
    assert!(done.contains("2 to create, 0 to change, 0 to delete; 2 unchanged"), "{done}");
    assert_eq!(node.operator().get("/webhook?partner=acme").expect(200)["data"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_secret_is_sent_and_never_shown() {
    let (node, folder) = (Node::start(&[]), Folder::new());
    let headers = "headers = { Authorization = { env = \"TOKEN\" }, x-plain = \"visible-secret\" }\n";
    let file = written(&folder, &format!("{ACME}{}", endpoint("a", headers)));
    let apply = |more: &[&str], variables: &[(&str, &str)]| {
        let mut arguments = vec!["apply", file.to_str().unwrap()];
        arguments.extend(more);
        let run = run(&node, &arguments, variables);
        assert!(!format!("{run:?}").contains("secret-of-the-variable"), "{run:?}");
        assert!(!format!("{run:?}").contains("visible-secret"), "{run:?}");
        run
    };
    let unset = apply(&["--yes"], &[]).ended(1);
    assert!(unset.contains("/endpoint/0/headers/Authorization: the environment has no variable `TOKEN`"), "{unset}");
    node.operator().get("/partners/acme").problem(404, "not-found");
    let variable = [("TOKEN", "secret-of-the-variable")];
    let done = apply(&["--yes"], &variable).ended(0);
    assert!(done.contains("whsec_"), "without a file it is printed: {done}");
    // Names are compared, values are not: nobody can read them.
    apply(&["--check"], &[]).ended(0);
    let shown = || node.operator().get("/webhook?partner=acme").expect(200)["data"][0].clone();
    let before = shown();
    assert_eq!(before["headers"], json!({ "authorization": "(redacted)", "x-plain": "(redacted)" }));
    let variable = [("TOKEN", "another-secret-of-the-variable")];
    apply(&["--yes"], &variable).ended(0);
    assert_eq!(shown()["version"], before["version"], "it looks the same");
    let set = apply(&["--yes", "--set-secrets"], &variable).ended(0);
    assert!(set.contains("/headers: nothing → \"header values as the file gives them\""), "{set}");
    assert_ne!(shown()["version"], before["version"]);
    // What was exported keeps them, and cannot make them.
    let exported = folder.file("exported.toml");
    run(&node, &["export", exported.to_str().unwrap()], &[]).ended(0);
    let arguments = ["apply", exported.to_str().unwrap(), "--check"];
    run(&node, &arguments, &[]).ended(0);
    let other = Node::start(&[]);
    let unknown = run(&other, &["apply", exported.to_str().unwrap(), "--yes"], &[]).ended(1);
    assert!(unknown.contains("`(redacted)` stands for a value that only the node knows"), "{unknown}");
}

#[test]
fn a_node_that_cannot_be_asked_is_told_apart() {
    let (node, folder) = (Node::start(&[]), Folder::new());
    let file = written(&folder, ACME);
    let arguments = ["apply", file.to_str().unwrap(), "--check"];
    let wrong = run(&node, &arguments, &[("POSTHASTE_OPERATOR_KEY", "not-the-operator-of-them")]).ended(1);
    assert!(wrong.contains("the node refuses GET /event-types: the key is unknown"), "{wrong}");
    let none = run(&node, &arguments, &[("POSTHASTE_OPERATOR_KEY", "")]).ended(1);
    assert!(none.contains("`--key-file`"), "{none}");
    let key = folder.file("key");
    std::fs::write(&key, format!("{KEY}\n")).unwrap();
    let by_file = ["apply", file.to_str().unwrap(), "--check", "--key-file", key.to_str().unwrap()];
    run(&node, &by_file, &[("POSTHASTE_OPERATOR_KEY", "")]).ended(2);
    let nowhere = run(&node, &arguments, &[("POSTHASTE_URL", "http://127.0.0.1:1")]).ended(1);
    assert!(nowhere.contains("http://127.0.0.1:1 does not answer GET /event-types"), "{nowhere}");
    let file = folder.file("settings.yaml");
    std::fs::write(&file, "").unwrap();
    let yaml = run(&node, &["apply", file.to_str().unwrap()], &[]).ended(1);
    assert!(yaml.contains("the name must end in `.toml` or `.json`"), "{yaml}");
}
