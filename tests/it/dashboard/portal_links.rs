//! Links to the partner portal: what opens by them, for whom, how often, and until when.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::dashboard::reader::Reader;
use crate::support::http::Response;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode, Tenant};
use crate::support::postgres::Postgres;
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

const SESSION: &str = "__Host-posthaste-portal";

/// A new link: its id, and its path.
pub fn link(node: &Node, tenant: &Tenant, environment: &str, more: &Value) -> (String, String) {
    let mut wanted = json!({ "environment": environment });
    for (name, value) in more.as_object().unwrap() {
        wanted[name] = value.clone();
    }
    let made = node.operator().post(&format!("/partners/{}/portal-links", tenant.name), wanted.to_string()).expect(201);
    let url = made["url"].as_str().unwrap();
    let path = url.split_once("/dashboard/").map(|(_, rest)| format!("/dashboard/{rest}")).unwrap();
    (made["id"].as_str().unwrap().to_owned(), path)
}

/// Looks at a link, and presses its button.
pub fn open(reader: &Reader, path: &str) -> Response {
    let page = reader.get(path);
    assert_eq!(page.status, 200);
    let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    reader.post_as_it_is(path, &[("tried", &tried)])
}

/// When the newest of a partner's links was opened.
pub fn opened_at(node: &Node, tenant: &Tenant) -> Value {
    node.operator().get(&format!("/partners/{}/portal-links", tenant.name)).expect(200)["data"][0]["opened_at"].clone()
}

#[test]
fn a_link_is_spent_by_its_button_and_not_by_looking() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let (id, path) = link(&node, &tenant, "sandbox", &json!({ "description": "a difficult customer" }));
    for _ in 0..3 {
        let seen = Reader::nobody(&node).get(&path);
        assert_eq!(seen.status, 200);
        assert!(seen.body.contains("Open the portal") && !seen.body.contains(&tenant.name), "{}", seen.body);
        for (name, value) in
            [("referrer-policy", "strict-origin"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
        {
            assert_eq!(seen.header(name), Some(value));
        }
    }
    assert!(opened_at(&node, &tenant).is_null());

    let reader = Reader::nobody(&node);
    let opened = open(&reader, &path);
    assert_eq!((opened.status, opened.header("location")), (303, Some("/dashboard")), "{}", opened.body);
    let cookie = opened.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-posthaste-portal=") && cookie.contains("; SameSite=Lax"), "{cookie}");
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; Secure") && !cookie.contains("phl_"), "{cookie}");
    let home = reader.get("/dashboard");
    assert!(home.body.contains("<h1>Webhooks</h1>") && home.body.contains("by link"), "{}", home.body);
    assert!(opened_at(&node, &tenant).is_string());

    // Whoever comes second, and whoever guesses, is told the same, and what to do.
    let second = Reader::nobody(&node);
    let refused = open(&second, &path);
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("Ask whoever sent it to you for another one"), "{}", refused.body);
    assert_eq!(second.kept(SESSION), None);
    let unknown = open(&second, "/dashboard/portal/phl_nobodyhaseverseenthislink");
    assert_eq!((unknown.status, &unknown.body), (401, &refused.body), "nobody is told which links there were");
    // It is told who came in.
    let told = node.operator().get(&format!("/audit?subject={id}&action=portal_link.opened")).expect(200);
    let entry = &told["data"][0];
    assert_eq!(
        (&entry["actor"], &entry["key"], &entry["address"]),
        (&json!("partner"), &json!(id), &json!("127.0.0.1"))
    );
    assert_eq!(entry["detail"]["description"], Value::Null, "they read this entry, and the note is not for them");
    assert!(!reader.get("/dashboard/audit").body.contains("difficult"));

    // Revoked is out, at once.
    node.operator().delete(&format!("/partners/{}/portal-links/{id}", tenant.name)).expect(204);
    let out = reader.get("/dashboard");
    assert_eq!(out.status, 401);
    assert!(out.body.contains("Your session has ended") && out.body.contains("another one"), "{}", out.body);
    assert_eq!(reader.get("/dashboard/endpoints").status, 401);

    // Whoever signs in with a key sees what the key may, whatever was opened before.
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    assert_eq!(open(&reader, &path).status, 303);
    assert_eq!(reader.get("/dashboard/settings").status, 403);
    reader.sign_in(OPERATOR_KEY, "/dashboard/settings");
    assert_eq!((reader.kept(SESSION), reader.get("/dashboard/settings").status), (None, 200));
}

#[test]
fn a_browser_without_cookies_and_another_site_spend_nothing() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let reader = Reader::nobody(&node);
    let without = reader.post_as_it_is(&path, &[("tried", "x")]);
    assert_eq!(without.status, 422);
    assert!(without.body.contains("The link is not spent"), "{}", without.body);
    assert_eq!(reader.post_as_it_is(&path, &[]).status, 422);
    let page = reader.get(&path);
    let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for headers in
        [[("sec-fetch-site", "cross-site")], [("sec-fetch-site", "same-site")], [("origin", "https://evil.example")]]
    {
        assert_eq!(reader.post_with(&path, &[("tried", &tried)], &headers).status, 403, "{headers:?}");
    }
    assert!(opened_at(&node, &tenant).is_null());
    // Pages that tell nobody where they are say so of forms, too.
    let page = reader.get(&path);
    let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let headers = [("sec-fetch-site", "same-origin"), ("origin", "null")];
    assert_eq!(reader.post_with(&path, &[("tried", &tried)], &headers).status, 303);
}

/// Browsers of a few years ago, and some web views, say of a form only which origin it is from.
#[test]
fn a_link_opens_where_no_browser_says_the_site() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let reader = Reader::nobody(&node);
    let press = |headers: &[(&str, &str)]| {
        let page = reader.get(&path);
        // Told nothing of where they are, such a browser would say `null`.
        assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
        let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        reader.post_with(&path, &[("tried", &tried)], headers).status
    };
    let ours = node.base();
    for headers in [
        vec![("origin", "null")],
        vec![("origin", "http://127.0.0.1:1")],
        // Where the browser says it, an origin that looks like ours helps nobody.
        vec![("sec-fetch-site", "cross-site"), ("origin", ours.as_str())],
    ] {
        assert_eq!(press(&headers), 403, "{headers:?}");
    }
    assert!(opened_at(&node, &tenant).is_null());
    assert_eq!(press(&[("origin", ours.as_str())]), 303);
    // Nor do their forms need it, and those of others carry no token.
    reader.get("/dashboard");
    let theme = |more: &[(&str, &str)]| {
        let body = reader.get("/dashboard").body;
        let token = body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        reader.post_with("/dashboard/theme", &[("theme", "dark"), ("token", &token)], more).status
    };
    assert_eq!((theme(&[("origin", ours.as_str())]), theme(&[("origin", "null")])), (303, 403));
    let without = reader.post_with("/dashboard/theme", &[("theme", "dark")], &[("origin", ours.as_str())]);
    assert_eq!(without.status, 403);
}

#[test]
fn signing_out_ends_a_link_that_opened_once() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let copied = |reader: &Reader| {
        let copy = Reader::nobody(&node);
        copy.keep(SESSION, &reader.kept(SESSION).unwrap());
        assert_eq!(copy.get("/dashboard").status, 200);
        copy
    };
    let (id, path) = link(&node, &tenant, "sandbox", &json!({ "description": "a difficult customer" }));
    let reader = Reader::nobody(&node);
    assert_eq!(open(&reader, &path).status, 303);
    reader.get("/dashboard");
    let copy = copied(&reader);
    // Without its token a form ends nothing.
    assert_eq!(reader.post_as_it_is("/dashboard/logout", &[]).status, 403);
    assert_eq!(copy.get("/dashboard").status, 200);
    let out = reader.post("/dashboard/logout", &[]).body;
    assert!(out.contains("Your session has ended") && out.contains("opens nothing any more"), "{out}");
    assert_eq!(
        (reader.kept(SESSION), copy.get("/dashboard").status),
        (None, 401),
        "a copy of the session is over, too"
    );
    let told = node.operator().get(&format!("/audit?subject={id}&action=portal_link.revoked")).expect(200);
    let [entry] = told["data"].as_array().unwrap().as_slice() else { panic!("not one entry: {told}") };
    assert_eq!((&entry["actor"], &entry["key"]), (&json!("partner"), &json!(id)));
    assert_eq!(entry["detail"]["description"], Value::Null, "they read this entry, and the note is not for them");

    // One that opens again is still there for everybody else.
    let (_, path) = link(&node, &tenant, "sandbox", &json!({ "single_use": false }));
    let reader = Reader::nobody(&node);
    assert_eq!(open(&reader, &path).status, 303);
    reader.get("/dashboard");
    let copy = copied(&reader);
    let out = reader.post("/dashboard/logout", &[]).body;
    assert!(out.contains("Your session has ended") && out.contains("opens again, until it ends"), "{out}");
    assert_eq!(copy.get("/dashboard").status, 200);
    assert_eq!(open(&Reader::nobody(&node), &path).status, 303);
}

#[test]
fn guessed_links_count_with_all_others() {
    let node = Node::start(&[("FAILED_AUTHENTICATIONS_PER_MINUTE", "2")]);
    let reader = Reader::nobody(&node);
    assert_eq!(open(&reader, "/dashboard/portal/phl_one").status, 401);
    assert_eq!(open(&reader, "/dashboard/portal/phl_two").status, 401);
    let refused = open(&reader, "/dashboard/portal/phl_three");
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("failed_authentications_per_minute"), "{}", refused.body);
}

#[test]
fn of_all_who_come_at_once_one_is_let_in() {
    let database = Postgres::database();
    let url = database.url();
    let shared = [("STORE", url.as_str()), ("FAILED_AUTHENTICATIONS_PER_MINUTE", "0")];
    let sets: [Vec<Node>; 2] = [vec![Node::start(&[])], vec![Node::start(&shared), Node::start(&shared)]];
    for nodes in &sets {
        let tenant = nodes[0].tenant("sandbox");
        for _ in 0..5 {
            let (_, path) = link(&nodes[0], &tenant, "sandbox", &json!({}));
            let together = Barrier::new(8);
            let statuses: Vec<u16> = std::thread::scope(|scope| {
                let all: Vec<_> = (0..8)
                    .map(|at| {
                        let (node, path, together) = (&nodes[at % nodes.len()], &path, &together);
                        scope.spawn(move || {
                            let reader = Reader::nobody(node);
                            let page = reader.get(path);
                            let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap();
                            let tried = tried.split('"').next().unwrap().to_owned();
                            together.wait();
                            reader.post_as_it_is(path, &[("tried", &tried)]).status
                        })
                    })
                    .collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let let_in = statuses.iter().filter(|status| **status == 303).count();
            assert_eq!(let_in, 1, "{statuses:?}");
            assert!(statuses.iter().all(|status| matches!(status, 303 | 401)), "{statuses:?}");
        }
    }
}

#[test]
fn a_session_of_a_link_holds_on_every_node_and_ends_on_all() {
    let database = Postgres::database();
    let url = database.url();
    let options = [("STORE", url.as_str())];
    let (one, other) = (Node::start(&options), Node::start(&options));
    let tenant = one.tenant("sandbox");
    let (id, path) = link(&one, &tenant, "sandbox", &json!({}));
    let at_one = Reader::nobody(&one);
    assert_eq!(open(&at_one, &path).status, 303);
    let at_other = Reader::nobody(&other);
    at_other.keep(SESSION, &at_one.kept(SESSION).unwrap());
    assert_eq!(at_other.get("/dashboard").status, 200);
    one.operator().delete(&format!("/partners/{}/portal-links/{id}", tenant.name)).expect(204);
    assert_eq!((at_one.get("/dashboard").status, at_other.get("/dashboard").status), (401, 401));
}

#[test]
fn a_link_opens_what_is_the_partners_there_and_nothing_else() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("sandbox"), node.tenant("sandbox"));
    let subscriber = Subscriber::start();
    let theirs = other.webhook(&json!({ "url": subscriber.url("/theirs"), "events": ["*"] }));
    let production = node.tenant_named(&tenant.name, "production");
    let there = production.webhook(&json!({ "url": subscriber.url("/there"), "events": ["*"] }));
    let own = tenant.webhook(&json!({ "url": subscriber.url("/own"), "events": ["*"] }));
    let (_, path) = link(&node, &tenant, "sandbox", &json!({ "single_use": false }));
    let reader = Reader::nobody(&node);
    assert_eq!(open(&reader, &path).status, 303);
    let at = |made: &Value| format!("/dashboard/endpoints/{}", made["id"].as_str().unwrap());
    assert_eq!(reader.get(&at(&own)).status, 200);
    for strange in [&theirs, &there] {
        assert_eq!(reader.get(&at(strange)).status, 404);
        assert_eq!(reader.post(&format!("{}/pause", at(strange)), &[]).status, 404);
    }
    for operators in ["/dashboard/keys", "/dashboard/partners", "/dashboard/nodes"] {
        let refused = reader.get(operators);
        assert_eq!(refused.status, 403, "{operators}");
        assert!(refused.body.contains("This is not part of the portal"), "{}", refused.body);
        assert!(
            refused.body.contains("To your webhooks") && !refused.body.contains("role operator"),
            "{}",
            refused.body
        );
    }
    // Nor is there a key that leads there.
    let keys = reader.get("/dashboard/shortcuts").body;
    for (name, is_there) in
        [("Webhooks", true), ("Endpoints", true), ("Nodes", false), ("Keys", false), ("Partners", false)]
    {
        assert_eq!(keys.contains(&format!("<td>{name}</td>")), is_there, "{name}: {keys}");
    }
    let refused = reader.post(&format!("/dashboard/partners/{}/portal-links", tenant.name), &[]);
    assert_eq!(refused.status, 403, "whoever came by a link makes none");
    let home = reader.get("/dashboard");
    assert!(!home.body.contains("Authorization: Bearer"), "there is no key to ask with");
    // It opens often: the first session does not end for the next.
    let second = Reader::nobody(&node);
    assert_eq!(open(&second, &path).status, 303);
    assert_eq!((reader.get("/dashboard").status, second.get("/dashboard").status), (200, 200));
}

#[test]
fn whoever_comes_back_after_the_end_is_told_so_and_asked_for_no_key() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({ "expires_in_seconds": 3_600 }));
    let reader = Reader::nobody(&node);
    let opened = open(&reader, &path);
    let cookie = opened.header("set-cookie").unwrap();
    let age: u64 = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((86_400 + 3_000..=86_400 + 3_600).contains(&age), "a day longer than the link: {cookie}");
    assert_eq!(reader.get("/dashboard?via=link").status, 200);
    // What the cookie holds when the link is over opens nothing, and says whose it was.
    let late = Reader::nobody(&node);
    late.keep(SESSION, "of-yesterday");
    let told = late.get("/dashboard/endpoints");
    assert_eq!(told.status, 401);
    assert!(told.body.contains("Your session has ended") && told.body.contains("another one"), "{}", told.body);
    assert!(told.body.contains("/dashboard/login?next=%2Fdashboard%2Fendpoints\""), "who has a key comes back here");
    // Nor does the way on from a spent link lead to where a key is asked for.
    let second = Reader::nobody(&node);
    let refused = open(&second, &path);
    assert!(refused.body.contains("href=\"/dashboard?via=link\""), "{}", refused.body);
    let told = second.get("/dashboard?via=link");
    assert_eq!(told.status, 401);
    assert!(told.body.contains("Your session has ended"), "{}", told.body);
    assert!(told.body.contains("href=\"/dashboard/login\""), "{}", told.body);
}

#[test]
fn a_link_takes_nobodys_place_who_has_a_key() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    assert!(reader.get("/dashboard").body.contains("<h1>Overview</h1>"));
    assert_eq!(open(&reader, &path).status, 303);
    assert!(reader.get("/dashboard").body.contains("<h1>Webhooks</h1>"), "the portal comes first");
    let back = reader.post("/dashboard/logout", &[]);
    assert_eq!((back.status, back.header("location")), (303, Some("/dashboard")));
    assert!(reader.get("/dashboard").body.contains("<h1>Overview</h1>"), "the operator still is one");
    // What a frame of a link's asks for is not answered by a key.
    assert_eq!(reader.get("/dashboard/live/overview?via=link").status, 401);
    let frame = [("sec-fetch-dest", "iframe"), ("sec-fetch-site", "same-site")];
    assert_eq!(reader.get_with("/dashboard", &frame).status, 401);
    // Alone, signing out says where another way in comes from.
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let alone = Reader::nobody(&node);
    assert_eq!(open(&alone, &path).status, 303);
    alone.get("/dashboard");
    let out = alone.post("/dashboard/logout", &[]);
    assert!(out.body.contains("Your session has ended"), "{}", out.body);
    assert_eq!(alone.kept(SESSION), None);
    // A key's session in the portal's cookie, and the other way round, is none.
    let mixed = Reader::nobody(&node);
    mixed.keep(SESSION, &reader.kept("__Host-posthaste").unwrap());
    assert_eq!(mixed.get("/dashboard").status, 401);
}

#[test]
fn forms_of_a_link_carry_its_token() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let pause = format!("/dashboard/endpoints/{}/pause", made["id"].as_str().unwrap());
    let reader = Reader::nobody(&node);
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    assert_eq!(open(&reader, &path).status, 303);
    assert_eq!(reader.post_as_it_is(&pause, &[]).status, 403);
    let other = Reader::signed_in(&node, tenant.key());
    let page = other.get("/dashboard");
    let others = page.body.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(reader.post_as_it_is(&pause, &[("token", others)]).status, 403);
    reader.get("/dashboard");
    assert!(reader.post_and_follow(&pause, &[]).body.contains("Paused: nothing is lost"));
}

#[test]
fn operators_make_and_revoke_links_on_the_partners_page() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let page = format!("/dashboard/partners/{}?env=sandbox", tenant.name);
    assert!(operator.get(&page).body.contains("Links to their portal"));
    let to = format!("/dashboard/partners/{}/portal-links?env=sandbox", tenant.name);
    let made = operator.post(&to, &[("description", "Ann <b>"), ("lasts", "3600")]);
    assert_eq!(made.status, 201, "{}", made.body);
    let shown = made.body.split("class=\"secret\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(shown.starts_with(&format!("http://{}/dashboard/portal/phl_", node.address)), "{shown}");
    let path = shown.split_once("/dashboard/").map(|(_, rest)| format!("/dashboard/{rest}")).unwrap();
    let wrong = operator.post(&to, &[("lasts", "5")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("a whole number from 60"), "{}", wrong.body);
    let listed = operator.get(&page);
    assert!(listed.body.contains("Ann &lt;b&gt;") && listed.body.contains("unopened") && !listed.body.contains("phl_"));
    let reader = Reader::nobody(&node);
    assert_eq!(open(&reader, &path).status, 303);
    assert!(operator.get(&page).body.contains("in use"));
    let id =
        node.operator().get(&format!("/partners/{}/portal-links", tenant.name)).expect(200)["data"][0]["id"].clone();
    let revoke = format!("/dashboard/partners/{}/portal-links/{}/revoke", tenant.name, id.as_str().unwrap());
    assert!(operator.post_and_follow(&revoke, &[]).body.contains("whoever came by it is out"));
    assert_eq!(reader.get("/dashboard").status, 401);
}
