//! Signing in: by whom, from where, for how long, and back to where one was.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::dashboard::reader::Reader;
use crate::support::folder::Folder;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode};
use crate::support::postgres::Postgres;

static NODE: SharedNode = SharedNode::with(&[("FAILED_AUTHENTICATIONS_PER_MINUTE", "0")]);

const SESSION: &str = "__Host-posthaste";

#[test]
fn a_key_is_asked_for_and_then_one_is_back_where_one_was() {
    let node = NODE.get();
    let reader = Reader::nobody(&node);
    let away = reader.get("/dashboard/deliveries?env=sandbox&status=held");
    assert_eq!(away.status, 303);
    let login = away.header("location").unwrap().to_owned();
    assert_eq!(login, "/dashboard/login?next=%2Fdashboard%2Fdeliveries%3Fenv%3Dsandbox%26status%3Dheld");
    let page = reader.get(&login);
    assert_eq!(page.status, 200);
    assert!(page.body.contains(r#"name="next" value="/dashboard/deliveries?env=sandbox&amp;status=held""#));
    let answer = reader.sign_in(OPERATOR_KEY, "/dashboard/deliveries?env=sandbox&status=held");
    assert_eq!(answer.status, 303);
    let back = reader.follow(answer.header("location").unwrap());
    assert!(back.body.contains("<h1>Deliveries</h1>"), "{}", back.body);
    assert!(back.body.contains("class=\"sandbox\""));
    // A path that is not ours leads to the first page.
    let answer = reader.sign_in(OPERATOR_KEY, "https://evil.example/");
    assert_eq!(answer.header("location"), Some("/dashboard/arrived?next=%2Fdashboard"));
}

#[test]
fn the_cookie_is_kept_to_this_host_and_from_scripts() {
    let node = NODE.get();
    let answer = Reader::nobody(&node).sign_in(OPERATOR_KEY, "/dashboard");
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=43200"] {
        assert!(cookie.contains(&format!("; {attribute}")), "{cookie}");
    }
    assert!(cookie.starts_with("__Host-posthaste=") && !cookie.contains("Domain"));
    assert!(!cookie.contains(OPERATOR_KEY));
}

#[test]
fn a_wrong_key_is_told_so_and_other_sites_cannot_sign_anybody_in() {
    let node = NODE.get();
    let reader = Reader::nobody(&node);
    let refused = reader.sign_in("ph_wrong", "/dashboard");
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("The key is unknown, revoked or expired"), "{}", refused.body);
    assert_eq!(reader.kept(SESSION), None);
    assert_eq!(reader.sign_in("", "/dashboard").status, 422);
    let fields = [("key", OPERATOR_KEY), ("next", "/dashboard")];
    for headers in [[("sec-fetch-site", "cross-site")], [("origin", "https://evil.example")]] {
        let refused = reader.post_with("/dashboard/login", &fields, &headers);
        assert_eq!(refused.status, 403, "{headers:?}");
        assert_eq!(reader.kept(SESSION), None);
    }
}

#[test]
fn plain_http_from_elsewhere_is_told_why_it_cannot_be() {
    let node = NODE.get();
    let reader = Reader::nobody(&node);
    let body = format!("key={OPERATOR_KEY}&next=%2Fdashboard");
    let request = format!(
        "POST /dashboard/login HTTP/1.1\r\nhost: hooks.example\r\norigin: http://hooks.example\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = crate::support::http::exchange(node.address, request.as_bytes());
    let answer = crate::support::http::Response::parse(&answer).unwrap();
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("Open this page over https"), "{}", answer.body);
    // The same without a cookie where one was to come back with it.
    let lost = reader.get("/dashboard/arrived?next=%2Fdashboard");
    assert_eq!(lost.status, 401);
    assert!(lost.body.contains("did not keep the session"), "{}", lost.body);
}

#[test]
fn guesses_count_with_all_others() {
    let node = Node::start(&[("FAILED_AUTHENTICATIONS_PER_MINUTE", "2")]);
    let reader = Reader::nobody(&node);
    assert_eq!(reader.sign_in("a", "/dashboard").status, 401);
    assert_eq!(node.client("b").get("/webhook").status, 401);
    let refused = reader.sign_in("c", "/dashboard");
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("failed_authentications_per_minute"));
}

#[test]
fn a_session_outlives_a_restart_and_ends_with_its_key() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let made = node.operator().post("/keys", json!({ "role": "operator" }).to_string()).expect(201);
    let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    let by_option = Reader::signed_in(&node, OPERATOR_KEY).kept(SESSION).unwrap();
    let by_key = Reader::signed_in(&node, &key).kept(SESSION).unwrap();
    assert!(node.stop().success());

    let node = Node::on(&folder, &[]);
    let with = |cookie: &str| {
        let reader = Reader::nobody(&node);
        reader.keep(SESSION, cookie);
        reader.get("/dashboard/keys").status
    };
    assert_eq!((with(&by_option), with(&by_key)), (200, 200));
    assert_eq!(node.operator().delete(&format!("/keys/{id}")).status, 204);
    assert_eq!((with(&by_option), with(&by_key)), (200, 303), "a revoked key's session is over");
    assert!(node.stop().success());

    // Another key by option ends what began with the one before.
    let node = Node::on(&folder, &[("OPERATOR_KEY", "another-one")]);
    let reader = Reader::nobody(&node);
    reader.keep(SESSION, &by_option);
    assert_eq!(reader.get("/dashboard/keys").status, 303);
}

#[test]
fn no_cookie_but_ours_is_one() {
    let node = NODE.get();
    let good = Reader::signed_in(&node, OPERATOR_KEY).kept(SESSION).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let long = "A".repeat(5_000);
    for cookie in
        ["", "x", "djEuY29uZmlndXJlZC0w", &long, &flipped(0), &flipped(good.len() / 2), &flipped(good.len() - 3)]
    {
        let reader = Reader::nobody(&node);
        reader.keep(SESSION, cookie);
        assert_eq!(reader.get("/dashboard").status, 303, "{cookie}");
    }
    // Another store's node does not take it either.
    let other = Node::start(&[]);
    let reader = Reader::nobody(&other);
    reader.keep(SESSION, &good);
    assert_eq!(reader.get("/dashboard").status, 303);
}

#[test]
fn without_a_key_ring_a_session_holds_too() {
    let folder = Folder::new();
    let options = [("ENCRYPTION_KEYS", "clear")];
    let node = Node::on(&folder, &options);
    let cookie = Reader::signed_in(&node, OPERATOR_KEY).kept(SESSION).unwrap();
    assert!(node.stop().success());
    let node = Node::on(&folder, &options);
    let reader = Reader::nobody(&node);
    reader.keep(SESSION, &cookie);
    assert_eq!(reader.get("/dashboard").status, 200);
}

#[test]
fn a_session_holds_on_every_node_of_a_store_and_ends_on_all() {
    let keys = format!("k1:{}", BASE64_STANDARD.encode([7; 32]));
    for keys in ["", &keys] {
        let database = Postgres::database();
        let url = database.url();
        let options: Vec<(&str, &str)> = [("STORE", url.as_str())]
            .into_iter()
            .chain((!keys.is_empty()).then_some(("ENCRYPTION_KEYS", keys)))
            .collect();
        let (one, other) = (Node::start(&options), Node::start(&options));
        let made = one.operator().post("/keys", json!({ "role": "operator" }).to_string()).expect(201);
        let at_one = Reader::signed_in(&one, made["key"].as_str().unwrap());
        let at_other = Reader::nobody(&other);
        at_other.keep(SESSION, &at_one.kept(SESSION).unwrap());
        assert_eq!(at_other.get("/dashboard/keys").status, 200, "with keys `{keys}`");
        // What is done there is believed there: forms of one node are those of all.
        let said = at_other.post_and_follow("/dashboard/partners", &[("name", "acme")]);
        assert!(said.body.contains("Partner acme is made"), "{}", said.body);
        let id = made["id"].as_str().unwrap();
        at_other.post(&format!("/dashboard/keys/{id}/revoke"), &[]);
        assert_eq!((at_one.get("/dashboard").status, at_other.get("/dashboard").status), (303, 303));
    }
}

#[test]
fn signing_out_and_the_theme_are_forms() {
    let node = NODE.get();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    // One comes back to the very list, and to the page that a form was on.
    let list = reader.get("/dashboard/deliveries?status=delivered&limit=5").body;
    assert!(list.contains("name=\"back\" value=\"/dashboard/deliveries?status=delivered&amp;limit=5\""), "{list}");
    for (form, page) in [
        ("/dashboard/audit/verify?env=sandbox", "/dashboard/audit?env=sandbox"),
        ("/dashboard/endpoints/ep_1/test", "/dashboard/endpoints/ep_1"),
        ("/dashboard/keys/key_1/revoke", "/dashboard/keys"),
        ("/dashboard/deliveries/retry?status=held", "/dashboard/deliveries?status=held"),
        ("/dashboard/overview/retry-now", "/dashboard"),
    ] {
        assert_eq!(reader.get(form).header("location"), Some(page), "{form}");
    }
    let dark = reader.post_and_follow("/dashboard/theme", &[("theme", "dark"), ("back", "/dashboard/events")]);
    assert!(dark.body.contains("<html lang=\"en\" data-theme=\"dark\">"));
    assert!(dark.body.contains("<h1>Events</h1>"));
    let system = reader.post_and_follow("/dashboard/theme", &[("theme", "system"), ("back", "//evil.example")]);
    assert!(system.body.contains("<html lang=\"en\">") && system.body.contains("<h1>Overview</h1>"));
    assert_eq!(reader.post("/dashboard/logout", &[]).header("location"), Some("/dashboard/login"));
    assert_eq!(reader.kept(SESSION), None);
    assert_eq!(reader.get("/dashboard").status, 303);
}

#[test]
fn whoever_asks_for_the_root_is_told_by_what_they_are() {
    let node = NODE.get();
    let asked = |accept: &str| node.nobody().send("GET", "/", &[("accept", accept)], b"");
    assert_eq!(asked("text/html,application/xhtml+xml").header("location"), Some("/dashboard"));
    asked("application/json").problem(404, "not-found");
    node.nobody().get("/").problem(404, "not-found");
}
