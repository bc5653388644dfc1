//! Secrets and keys that are known, driven through everything that may go wrong, and then
//! looked for wherever they must not be: in the store's files, in the log at its most
//! talkative, in the metrics and in every answer that has no business with them.

mod canaries;
mod echo;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use serde_json::{Value, json};

use canaries::Canaries;
use echo::echo;

use crate::support::folder::Folder;
use crate::support::http::{Client, Response};
use crate::support::node::{Node, Tenant, campaign, command, eventually, webhook_path};
use crate::support::postgres::{Database, Postgres};

const OPERATOR: &str = "canary-operator-key-5d41402abc4b2a76";
const KEY: &str = "canary:Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmE=";
const TOKEN: &str = "Bearer canary-token-7d793037a0760186";
const NEXT_TOKEN: &str = "Bearer canary-next-token-574fa95f84";
const COOKIE: &str = "canary-cookie=6512bd43d9caa6e02c990b0a";
const OWN_SECRET: &str = "whsec_Y2FuYXJ5LXNlY3JldC1vZi1hLXBhcnRuZXItb25l";
const NEXT_SECRET: &str = "whsec_Y2FuYXJ5LXNlY3JldC1vZi1hLXBhcnRuZXItdHdv";
const PASSWORD: &str = "canary-password-c20ad4d76fe97759";

/// Everything that was shown, by where.
#[derive(Default)]
struct Shown(BTreeMap<&'static str, Vec<u8>>);

impl Shown {
    fn add(&mut self, place: &'static str, bytes: impl AsRef<[u8]>) {
        self.0.entry(place).or_default().extend_from_slice(bytes.as_ref());
    }

    fn answer(&mut self, place: &'static str, answer: &Response) {
        self.add(place, format!("{:?}\n{}\n", answer.headers, answer.body));
    }

    #[track_caller]
    fn contains(&self, place: &str, text: &str) {
        let bytes = &self.0[place];
        let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(is_there, "looking through {place} would not find anything: `{text}` is not there");
    }
}

/// Where the store is, and what there is to be looked through.
enum Place {
    Files,
    Database(Database),
}

struct Story {
    folder: Folder,
    place: Place,
    canaries: Canaries,
    shown: Shown,
}

impl Story {
    fn new(place: Place) -> Self {
        let mut canaries = Canaries::default();
        for (name, text) in [
            ("operator key", OPERATOR),
            ("encryption key", KEY),
            ("header", TOKEN),
            ("next header", NEXT_TOKEN),
            ("cookie", COOKIE),
            ("signing secret", OWN_SECRET),
            ("next signing secret", NEXT_SECRET),
            ("password in a URL", PASSWORD),
        ] {
            canaries.add(name, text);
        }
        Self { folder: Folder::new(), place, canaries, shown: Shown::default() }
    }

    /// A node that says all it can.
    fn start(&self, keys: &[(&str, &str)]) -> Node {
        Node::spawn(self.command(keys))
    }

    fn command(&self, keys: &[(&str, &str)]) -> Command {
        let mut command = command(&self.folder);
        command.env("POSTHASTE_OPERATOR_KEY", OPERATOR).env("RUST_LOG", "debug");
        command.envs(keys.iter().map(|(name, value)| (format!("POSTHASTE_{name}"), value)));
        if let Place::Database(database) = &self.place {
            command.env("POSTHASTE_STORE", database.url());
        }
        command
    }

    /// What is stored, and where it may still be although it is stored no more.
    fn look_at_the_store(&mut self) {
        match &self.place {
            Place::Files => {
                for entry in fs::read_dir(self.folder.path()).unwrap() {
                    let path = entry.unwrap().path();
                    let name = path.file_name().unwrap().to_str().unwrap();
                    // The one place where the key is to be.
                    if name.starts_with("posthaste.db") && !name.ends_with(".keys") {
                        self.shown.add("the store", fs::read(&path).unwrap());
                    }
                }
            }
            Place::Database(database) => {
                let dump = Command::new("pg_dump").args(["--dbname", &database.url()]).output().unwrap();
                assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
                self.shown.add("the store", dump.stdout);
            }
        }
    }

    /// An answer that is an error.
    #[track_caller]
    fn error(&mut self, answer: &Response) {
        assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.body);
        self.shown.answer("the errors", answer);
    }

    /// All that happens.
    fn happens(&mut self, node: &Node) {
        let operator = node.client(OPERATOR);
        let tenant = self.tenant(node, &operator);
        let base = echo();
        let mut made = Vec::new();
        for path in ["/echo", "/redirect", "/garbage", "/status", "/limited"] {
            made.push(tenant.webhook(&json!({
                "url": format!("{base}{path}"), "events": ["*"], "secret": OWN_SECRET,
                "headers": { "authorization": TOKEN, "cookie": COOKIE }, "retry": { "schedule_ms": [1] },
            })));
        }
        let accepted = tenant.event(campaign("campaign.updated", "c-1"));
        let event = accepted["id"].as_str().unwrap();
        let listed = format!("/deliveries?event={event}");
        let deliveries = eventually("every receiver has failed", || {
            let page = tenant.partner.get(&listed).expect(200);
            let data = page["data"].as_array().unwrap().clone();
            (data.len() == made.len() && data.iter().all(|one| one["status"] == "retries_exhausted")).then_some(data)
        });
        for delivery in &deliveries {
            let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
            let shown = tenant.partner.get(&path);
            self.shown.answer("what is shown", &shown);
        }
        for made in &made {
            let tested = tenant.partner.post_empty(&format!("{}/test", webhook_path(made)));
            self.shown.answer("what is shown", &tested);
        }
        self.rotates(&tenant, &made);
        self.fails(node, &tenant, &made[0]);
        tenant.partner.delete(&webhook_path(&made[1])).expect(204);
        for path in ["/webhook", &webhook_path(&made[0]), &format!("/events/{event}"), &listed] {
            self.shown.answer("what is shown", &tenant.partner.get(path));
        }
        for path in ["/encryption", "/keys", "/nodes", "/partners"] {
            self.shown.answer("what is shown", &operator.get(path));
        }
        operator.post_empty("/encryption/reencrypt").expect(200);
        self.shown.answer("the metrics", &node.nobody().get("/metrics"));
    }

    /// A partner, whose keys are looked for as well.
    fn tenant(&mut self, node: &Node, operator: &Client) -> Tenant {
        let mut key = |name, role: &str| {
            let wanted = json!({ "role": role, "partner": "default", "environment": "production" });
            let made = operator.post("/keys", wanted.to_string()).expect(201);
            let key = made["key"].as_str().unwrap();
            self.canaries.add(name, key);
            node.client(key)
        };
        let (partner, producer) = (key("a partner's key", "partner"), key("a producer's key", "producer"));
        Tenant { name: "default".to_owned(), partner, producer }
    }

    /// New secrets, brought and drawn, and another header.
    fn rotates(&mut self, tenant: &Tenant, made: &[Value]) {
        let rotate = |made: &Value, body: &str| {
            tenant.partner.post(&format!("{}/secret/rotate", webhook_path(made)), body).expect(200)
        };
        rotate(&made[0], &json!({ "secret": NEXT_SECRET }).to_string());
        for made in made {
            let drawn = rotate(made, "{}");
            self.canaries.add("a drawn signing secret", drawn["secret"].as_str().unwrap());
        }
        let headers = json!({ "headers": { "authorization": NEXT_TOKEN, "cookie": COOKIE } });
        let changed = tenant.partner.patch(&webhook_path(&made[0]), headers.to_string());
        changed.expect(200);
        self.shown.answer("what is shown", &changed);
    }

    /// Everything that can be said wrongly, with a secret in it.
    fn fails(&mut self, node: &Node, tenant: &Tenant, made: &Value) {
        let partner = &tenant.partner;
        let key = partner.key.clone().unwrap();
        for wrong in [&OPERATOR[1..], &key[..key.len() - 1], &format!("{key}x"), OWN_SECRET, KEY] {
            self.error(&node.client(wrong).get("/webhook"));
        }
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")));
        self.error(&node.nobody().send("GET", "/webhook", &[("authorization", &basic)], b""));
        self.error(&node.nobody().send("GET", "/webhook", &[("authorization", &key)], b""));
        self.error(&node.nobody().send("GET", "/webhook", &[("x-api-key", &key)], b""));
        self.error(&partner.get(&format!("/webhook?key={key}")));
        self.error(&node.client(OPERATOR).get(&format!("/encryption?key={KEY}")));
        let other = json!({ "url": "https://example.com/", "events": ["*"] });
        let with = |name: &str, value: Value| {
            let mut body = other.clone();
            body[name] = value;
            body.to_string()
        };
        let bodies = [
            with("secret", json!(format!("{OWN_SECRET}!"))),
            with("secret", json!(OWN_SECRET.replace("whsec_", "secret_"))),
            with("secret", json!(OWN_SECRET.repeat(9))),
            with("secret", json!({ "key": OWN_SECRET })),
            with("secret", json!([OWN_SECRET])),
            with("headers", json!({ "authorization": format!("{TOKEN}\r\n{COOKIE}") })),
            with("headers", json!({ "authorization": TOKEN.repeat(200) })),
            with("headers", json!({ "host": TOKEN, "cookie": COOKIE })),
            with("headers", json!({ "webhook-signature": OWN_SECRET })),
            with("headers", json!({ "authorization": { "token": TOKEN } })),
            with("headers", json!([["authorization", TOKEN]])),
            with("headers", json!(TOKEN)),
            with("url", json!(format!("https://me:{PASSWORD}@example.com/"))),
            with("url", json!(format!("ftp://me:{PASSWORD}@example.com/"))),
            // No JSON, and with the secret where it ends to be.
            format!(r#"{{"secret": "{OWN_SECRET}", "headers": {{"authorization": "{TOKEN}" "#),
            format!(r#"{{"secret": {OWN_SECRET}}}"#),
            format!(r#"{{"secret": "{OWN_SECRET}", "secret": "{OWN_SECRET}"}}"#),
        ];
        for body in &bodies {
            self.error(&partner.post("/webhook", body));
            self.error(&partner.patch(&webhook_path(made), body));
            self.error(&partner.post(&format!("{}/secret/rotate", webhook_path(made)), body));
        }
        self.error(&partner.send("POST", "/webhook", &[("content-type", "text/plain")], bodies[0].as_bytes()));
        self.error(&tenant.producer.post("/webhook", &bodies[0]));
        self.error(&partner.send("BREW", &webhook_path(made), &[], OWN_SECRET.as_bytes()));
    }

    /// Where which of them were found.
    fn found(&self) -> BTreeMap<&'static str, Vec<&'static str>> {
        // What could not find anything proves nothing.
        self.shown.contains("the store", "/echo");
        let found = self.shown.0.iter().map(|(place, bytes)| (*place, self.canaries.found_in(bytes)));
        found.filter(|(_, names)| !names.is_empty()).collect()
    }
}

/// Lives the story through.
fn lived(place: Place, keys: impl FnOnce(&Folder) -> Vec<(&'static str, String)>) -> Story {
    let mut story = Story::new(place);
    let keys = keys(&story.folder);
    let keys: Vec<(&str, &str)> = keys.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let node = story.start(&keys);
    story.happens(&node);
    // While it runs, its log and all.
    story.look_at_the_store();
    let log = node.log();
    story.shown.add("the log", &log);
    assert!(node.stop().success());
    story.look_at_the_store();
    if let Ok(key) = fs::read_to_string(story.folder.file("posthaste.db.keys")) {
        let written = key.lines().find(|line| !line.starts_with('#')).expect("it has a key");
        story.canaries.add("encryption key", written);
    }
    story.shown.contains("the log", "DEBUG");
    story.shown.contains("the log", "listens on http://");
    story.shown.contains("the errors", "urn:posthaste:problem:unauthorized");
    story.shown.contains("the metrics", "posthaste_attempts_total");
    story.shown.contains("what is shown", "authorization");
    story.shown.contains("what is shown", "POST /echo HTTP/1.1");
    story
}

fn in_file(folder: &Folder) -> Vec<(&'static str, String)> {
    let file = folder.file("keys");
    fs::write(&file, KEY).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    vec![("ENCRYPTION_KEYS_FILE", file.to_str().unwrap().to_owned())]
}

#[test]
fn on_sqlite_no_secret_and_no_key_is_found_anywhere() {
    assert_eq!(lived(Place::Files, |_| Vec::new()).found(), BTreeMap::new());
}

#[test]
fn on_postgresql_no_secret_and_no_key_is_found_anywhere() {
    assert_eq!(lived(Place::Database(Postgres::database()), in_file).found(), BTreeMap::new());
}

/// What is not sealed is found, and is not any more once it is.
#[track_caller]
fn is_found_until_it_is_sealed(place: Place, keys: &[(&'static str, &str)], tidied_up: impl FnOnce(&Folder)) {
    let keys = keys.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let mut story = lived(place, |_| keys);
    let secrets =
        ["a drawn signing secret", "cookie", "header", "next header", "next signing secret", "signing secret"];
    assert_eq!(story.found(), BTreeMap::from([("the store", secrets.to_vec())]));

    let mut reencrypt = story.command(&[("ENCRYPTION_KEYS", KEY)]);
    assert!(reencrypt.args(["secrets", "reencrypt"]).status().unwrap().success());
    tidied_up(&story.folder);
    story.shown.0.remove("the store");
    story.look_at_the_store();
    assert_eq!(story.found(), BTreeMap::new());
    // What became of them is what they were.
    let node = Node::spawn(story.command(&[("ENCRYPTION_KEYS", KEY)]));
    let page = node.client(OPERATOR).get("/webhook?partner=default").expect(200);
    let path = format!("{}/secret?partner=default", webhook_path(&page["data"][3]));
    let shown = node.client(OPERATOR).get(&path).expect(200);
    assert_eq!(shown["previous"].as_array().unwrap().last().unwrap()["secret"], OWN_SECRET, "{shown}");
}

#[test]
fn on_sqlite_what_is_not_sealed_is_found_until_it_is() {
    is_found_until_it_is_sealed(Place::Files, &[("ENCRYPTION_KEYS", "clear")], |folder| {
        // What was deleted before lies in pages that are free.
        let file = folder.file("posthaste.db");
        let mut file = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        file.batch_execute("VACUUM").unwrap();
    });
}

#[test]
fn on_postgresql_what_is_not_sealed_is_found_until_it_is() {
    is_found_until_it_is_sealed(Place::Database(Postgres::database()), &[], |_| ());
}
