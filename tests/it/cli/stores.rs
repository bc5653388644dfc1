//! The commands for a store as a whole, beside real nodes and without: what is verified,
//! copied and restored, and moved while it is killed.

use std::process::{Command, Output, Stdio};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::Client;
use crate::support::node::{Node, Tenant, campaign, command, eventually};
use crate::support::postgres::{Database, Postgres};
use crate::support::receiver::Subscriber;

/// Tests post as fast as they can.
const UNLIMITED: [(&str, &str); 2] = [("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0")];

/// Runs a command with the store of this folder.
fn run(folder: &Folder, words: &[&str], options: &[(&str, &str)]) -> Output {
    started(folder, words, options).output().unwrap()
}

fn started(folder: &Folder, words: &[&str], options: &[(&str, &str)]) -> Command {
    let mut command = command(folder);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(options.iter().map(|(name, value)| (format!("POSTHASTE_{name}"), value)));
    command
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    if code == 0 { out.into_owned() } else { format!("{out}{err}") }
}

/// Past the store, beside whoever has it open.
fn harm(folder: &Folder, sql: &str) {
    let file = folder.file("posthaste.db");
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
    connection.batch_execute(sql).unwrap();
}

fn moved_to(tenant: &Tenant, node: &Node) -> Tenant {
    let at = |client: &Client| node.client(client.key.as_deref().unwrap());
    Tenant { partner: at(&tenant.partner), producer: at(&tenant.producer), name: tenant.name.clone() }
}

#[test]
fn a_store_is_verified_beside_its_node() {
    let folder = Folder::new();
    assert!(said(&run(&folder, &["verify-store"], &[]), 2).contains("there is no store at posthaste.db"));
    let node = Node::on(&folder, &UNLIMITED);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::failing(1);
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [1] } }));
    let accepted = tenant.event(campaign("campaign.created", "one"));
    tenant.settled(&accepted, "delivered");
    let told = said(&run(&folder, &["verify-store", "--full"], &[]), 0);
    assert!(told.contains("ok     attempts: ") && told.ends_with("the store is as it should be\n"), "{told}");
    let told: Value = serde_json::from_str(&said(&run(&folder, &["verify-store", "--json"], &[]), 0)).unwrap();
    assert_eq!(told["whole"], true);

    harm(&folder, "DELETE FROM attempts WHERE number = 1");
    let told = said(&run(&folder, &["verify-store", "--json"], &[]), 1);
    let told: Value = serde_json::from_str(&told).unwrap();
    let broken = |check: &&Value| check["found"] != 0;
    let found: Vec<&Value> = told["checks"].as_array().unwrap().iter().filter(broken).collect();
    assert_eq!((found.len(), &found[0]["check"], &found[0]["found"]), (1, &json!("attempts"), &json!(1)), "{told}");
    let told = said(&run(&folder, &["verify-store"], &[]), 1);
    let delivery = tenant.partner.get("/deliveries").expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    assert!(told.contains(&format!("    {delivery}: its attempts are not those from 1 to 2")), "{told}");
    let later = run(&folder, &["verify-store", "--since", "2999-01-01T00:00:00Z"], &[]);
    assert!(said(&later, 0).contains("(0 looked at)"));

    // The node has noticed nothing, and a file that was left alone is verified as well.
    let accepted = tenant.event(campaign("campaign.created", "two"));
    tenant.settled(&accepted, "delivered");
    assert!(node.stop().success());
    said(&run(&folder, &["verify-store"], &[]), 1);
}

#[test]
fn a_store_that_nodes_share_is_verified() {
    let (folder, database) = (Folder::new(), Postgres::database());
    let store = [("STORE", database.url())];
    let store: Vec<(&str, &str)> = store.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(said(&run(&folder, &["verify-store"], &store), 2).contains("no node of this release"));
    let node = Node::on(&folder, &store);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "one"));
    tenant.settled(&accepted, "delivered");
    let told = said(&run(&folder, &["verify-store", "--full"], &store), 0);
    assert!(told.contains("ok     owners: ") && told.contains("(256 looked at)"), "{told}");
    database.sql("UPDATE finished SET endpoint = 12345");
    assert!(said(&run(&folder, &["verify-store"], &store), 1).contains("BROKEN delivery-endpoints: "));
    let refused = said(&run(&folder, &["backup", "copy.db"], &store), 2);
    assert!(refused.contains("pg_dump"), "{refused}");
}

/// Posts until it is told to stop; answers with what was acknowledged before each look.
fn post_meanwhile<T>(tenant: &Tenant, done: impl FnOnce(&[Value]) -> T + Send) -> (T, usize)
where
    T: Send,
{
    let before: Vec<Value> =
        (0..40).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))).collect();
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ended = &ended;
        let poster = scope.spawn(move || {
            let mut posted = 0;
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                tenant.event(campaign("campaign.created", &format!("meanwhile {posted}")));
                posted += 1;
            }
            posted
        });
        let result = done(&before);
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
        (result, poster.join().unwrap())
    })
}

#[test]
fn a_copy_of_a_busy_store_is_restored_without_a_storm() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let options = [&UNLIMITED[..], &[("BREAKER_OPENS_AFTER", "0")]].concat();
    let node = Node::on(&folder, &options);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    // What fails waits, and what comes after the copy is sent by the old node.
    subscriber.fail();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [1, 3_600_000] } }));
    let copy = elsewhere.file("posthaste.db");
    let (before, posted) = post_meanwhile(&tenant, |before| {
        let told = said(&run(&folder, &["backup", copy.to_str().unwrap()], &[]), 0);
        assert!(
            told.contains("posthaste.db.keys, without which it cannot be used") && told.contains("is held"),
            "{told}"
        );
        before.to_vec()
    });
    assert!(posted > 0, "it was posted meanwhile");
    assert!(node.stop().success());
    let again = said(&run(&folder, &["backup", copy.to_str().unwrap()], &[]), 1);
    assert!(again.contains("--force"), "{again}");
    // Without its keys it is of no use.
    let refused = said(&run(&elsewhere, &["serve"], &[]), 1);
    assert!(refused.contains("posthaste.db.keys is missing"), "{refused}");
    std::fs::copy(folder.file("posthaste.db.keys"), elsewhere.file("posthaste.db.keys")).unwrap();
    said(&run(&elsewhere, &["verify-store", "--full"], &[]), 0);

    subscriber.succeed();
    // However often it is started.
    let mut counts = Vec::new();
    for _ in 0..2 {
        let node = Node::on(&elsewhere, &options);
        assert_eq!(node.operator().get("/nodes").expect(200)["data"][0]["held"], true);
        eventually("the log says what is due", || {
            node.log().contains(" endpoints have deliveries waiting").then_some(())
        });
        assert!(node.log().contains("this store was restored from a copy taken at "), "{}", node.log());
        let tenant = moved_to(&tenant, &node);
        let attempts = before.iter().map(|accepted| {
            let delivery = tenant.delivery_of(accepted);
            assert!(["pending", "retrying"].contains(&delivery["status"].as_str().unwrap()), "{delivery}");
            delivery["attempt_count"].clone()
        });
        counts.push(attempts.collect::<Vec<Value>>());
        assert!(node.stop().success());
    }
    assert_eq!(counts[0], counts[1], "nothing is sent");
    let node = Node::on(&elsewhere, &options);
    let id = node.operator().get("/nodes").expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    node.operator().post_empty(&format!("/nodes/{id}/release")).expect(200);
    assert!(node.stop().success());
    // It is a store like any other now.
    let node = Node::on(&elsewhere, &options);
    assert_eq!(node.operator().get("/nodes").expect(200)["data"][0]["held"], false);
    let tenant = moved_to(&tenant, &node);
    let accepted = tenant.event(campaign("campaign.created", "after"));
    tenant.settled(&accepted, "delivered");
}

#[test]
fn a_restored_copy_is_released_by_a_flag() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let node = Node::on(&folder, &[("HOLD", "true")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "one"));
    let copy = elsewhere.file("posthaste.db");
    said(&run(&folder, &["backup", copy.to_str().unwrap()], &[]), 0);
    drop(node);
    std::fs::copy(folder.file("posthaste.db.keys"), elsewhere.file("posthaste.db.keys")).unwrap();
    let mut serve = command(&elsewhere);
    serve.args(["serve", "--release"]).env("POSTHASTE_OPERATOR_KEY", "the-operator-of-these-tests");
    let node = Node::spawn(serve);
    assert_eq!(node.operator().get("/nodes").expect(200)["data"][0]["held"], false);
    moved_to(&tenant, &node).settled(&accepted, "delivered");
    let log = node.operator().get("/audit?action=node.released").expect(200);
    assert_eq!(log["data"][0]["actor"], "cli", "{log}");
}

/// What a move is told, from the folder's store to this database.
fn words<'a>(to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["move", "--from", "sqlite://posthaste.db", "--to", to], more].concat()
}

fn progress_of(database: &Database) -> String {
    let is_there = database.value("SELECT to_regclass('meta') IS NOT NULL");
    if is_there != "true" {
        return String::new();
    }
    database.value("SELECT coalesce((SELECT convert_from(value, 'UTF8') FROM meta WHERE name = 'moving'), '')")
}

#[test]
fn a_move_that_is_killed_goes_on_and_everything_is_delivered_there() {
    let (folder, database) = (Folder::new(), Postgres::database());
    let node = Node::on(&folder, &UNLIMITED);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let delivered = tenant.event(campaign("campaign.created", "delivered"));
    tenant.settled(&delivered, "delivered");
    let webhook = format!("/webhook/{}", made["id"].as_str().unwrap());
    tenant.partner.post_empty(&format!("{webhook}/pause")).expect(200);
    let lines: Vec<String> = (0..900).map(|number| campaign("campaign.created", &number.to_string())).collect();
    let batch = tenant.producer.send(
        "POST",
        "/events/batch",
        &[("content-type", "application/x-ndjson")],
        lines.join("\n").as_bytes(),
    );
    let waiting = batch.expect(202)["data"].as_array().unwrap().clone();
    let url = database.url();
    let refused = said(&run(&folder, &words(&url, &[]), &[]), 1);
    assert!(refused.contains("another posthaste has"), "{refused}");
    assert!(node.stop().success());

    let mut moving = started(&folder, &words(&url, &["--rows", "1"]), &[]).spawn().unwrap();
    eventually("the move is among the events", || progress_of(&database).contains("\"events\"").then_some(()));
    moving.kill().unwrap();
    assert_eq!(moving.wait().unwrap().code(), None, "it was killed before its end");
    let refused = said(&run(&folder, &["serve"], &[]), 1);
    assert!(refused.contains("is being moved to postgres://posthaste@"), "{refused}");
    let there = Folder::new();
    let refused = said(&run(&there, &["serve"], &[("STORE", &url)]), 1);
    assert!(refused.contains("half of a store"), "{refused}");

    let told = said(&run(&folder, &words(&url, &[]), &[]), 0);
    assert!(told.contains("the same on both sides") && told.contains("give every node the key"), "{told}");
    let refused = said(&run(&folder, &["serve"], &[]), 1);
    assert!(refused.contains("was moved to postgres://posthaste@"), "{refused}");
    let keys = folder.file("posthaste.db.keys");
    let refused = said(&run(&there, &["serve"], &[("STORE", &url)]), 1);
    assert!(refused.contains("the key ring has no such key"), "{refused}");

    let options = [("STORE", url.as_str()), ("ENCRYPTION_KEYS_FILE", keys.to_str().unwrap())];
    let node = Node::on(&there, &[&options[..], &UNLIMITED].concat());
    let tenant = moved_to(&tenant, &node);
    assert_eq!(tenant.delivery_of(&delivered)["status"], "delivered");
    assert_eq!(tenant.delivery_of(&waiting[0])["status"], "held");
    tenant.partner.post_empty(&format!("{webhook}/resume")).expect(200);
    let secret = tenant.partner.get(&format!("{webhook}/secret")).expect(200);
    assert!(secret.to_string().contains("whsec_"), "what is sealed opens: {secret}");
    for accepted in &waiting {
        tenant.settled(accepted, "delivered");
    }
    said(&run(&there, &["verify-store", "--full"], &[("STORE", &url)]), 0);
}

#[test]
fn what_cannot_be_moved_is_refused_clearly() {
    let folder = Folder::new();
    let refused = |words: &[&str], code: i32| said(&run(&folder, words, &[]), code);
    let there = refused(&["move", "--from", "postgres://x/y", "--to", "sqlite://z.db"], 1);
    assert!(there.contains("--from must be an SQLite store"), "{there}");
    let there = refused(&["move", "--from", "sqlite://a.db", "--to", "sqlite://z.db"], 1);
    assert!(there.contains("`posthaste backup`"), "{there}");
    assert!(refused(&["move", "--from", "sqlite://a.db"], 2).contains("--to"));
    let there = refused(&["move", "--from", "sqlite://a.db", "--to", "postgres://x/y"], 1);
    assert!(there.contains("there is no store at a.db"), "{there}");
    assert!(!folder.file("a.db").exists() && !folder.file("a.db.lock").exists(), "nothing is made");
}
