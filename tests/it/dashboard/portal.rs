//! The partner portal: a link that is opened once, what a partner sees and does there, and
//! the code that it is given.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::{Reader, links};
use crate::support::folder::Folder;
use crate::support::http::Response;
use crate::support::node::{LATER_MS, Node, OPERATOR_KEY, SharedNode, Tenant, campaign, command, eventually};
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
fn open(reader: &Reader, path: &str) -> Response {
    let page = reader.get(path);
    assert_eq!(page.status, 200);
    let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    reader.post_as_it_is(path, &[("tried", &tried)])
}

fn opened_at(node: &Node, tenant: &Tenant) -> Value {
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
    let ours = format!("http://{}", node.address);
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

/// A page as it is read: without its tags.
fn words_of(body: &str) -> String {
    let main = body.split("<main").nth(1).unwrap_or(body);
    main.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| format!("{text} ")).collect()
}

#[test]
fn partners_read_no_words_of_the_inside() {
    let (node, subscriber) = (Node::start(&[("BREAKER_OPENS_AFTER", "1")]), Subscriber::start());
    let tenant = node.tenant("production");
    let retry = json!({ "schedule_ms": [LATER_MS] });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/in"), "events": ["*"], "retry": retry }));
    let off =
        tenant.webhook(&json!({ "url": subscriber.url("/off"), "events": ["campaign.failed"], "enabled": false }));
    subscriber.fail();
    // It takes failures of two deliveries.
    for name in ["fails", "fails, too"] {
        tenant.settled(&tenant.event(campaign("campaign.created", name)), "retrying");
    }
    eventually("it is left in peace", || (tenant.health(&made)["breaker"] == "open").then_some(()));
    let behind = tenant.event(campaign("campaign.created", "behind"));
    let delivery = tenant.delivery_of(&behind);
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let reader = Reader::nobody(&node);
    let (_, path) = link(&node, &tenant, "production", &json!({}));
    assert_eq!(open(&reader, &path).status, 303);
    for (page, said) in [
        ("".to_owned(), "failing"),
        ("/endpoints".to_owned(), "failing"),
        (format!("/endpoints/{}", id(&made)), "Failing for"),
        (format!("/endpoints/{}", id(&off)), "Disabled by its settings, which were last saved"),
        (format!("/events/{}", id(&behind)), "its endpoint fails and is tried now and then"),
        (format!("/deliveries/{}", id(&delivery)), "its endpoint fails and is tried now and then"),
        ("/figures".to_owned(), "failing"),
    ] {
        let read = words_of(&reader.get(&format!("/dashboard{page}")).body);
        assert!(read.contains(said), "{page}: {said}: {read}");
        let read = read.to_lowercase();
        for inner in ["breaker", "probe", "actor", "window", "partition", "node"] {
            assert!(!read.contains(inner), "{page}: {inner}: {read}");
        }
    }
    // Operators read what it is.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let read = words_of(&operator.get(&format!("/dashboard/events/{}", id(&behind))).body);
    assert!(read.contains("the breaker of its endpoint is open"), "{read}");
    assert!(words_of(&operator.get("/dashboard/endpoints").body).contains("breaker open"));
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
fn a_brake_is_told_as_what_it_is() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/in"), "events": ["*"] }));
    let brake = format!("/brakes?environment=production&partner={}", tenant.name);
    node.operator().post(&brake, r#"{"reason": "between us"}"#).expect(200);
    let reader = Reader::nobody(&node);
    let (_, path) = link(&node, &tenant, "production", &json!({}));
    assert_eq!(open(&reader, &path).status, 303);
    let home = reader.get("/dashboard").body;
    assert!(home.contains("On hold") && home.contains("whoever runs this service holds 1 endpoint"), "{home}");
    assert!(home.contains("</svg>held</span>") && !home.contains("All well") && !home.contains(">paused<"), "{home}");
    let page = reader.get(&format!("/dashboard/endpoints/{}", made["id"].as_str().unwrap())).body;
    assert!(page.contains("Whoever runs this service holds it since"), "{page}");
    // What was done is told with as much of who it was as is theirs to know.
    let audit = words_of(&reader.get("/dashboard/audit").body);
    assert!(audit.contains("the service") && audit.contains("partner link"), "{audit}");
    assert!(!audit.contains("operator") && !audit.contains("between us"), "{audit}");
}

#[test]
fn what_was_given_up_at_a_paused_endpoint_begins_with_resuming_it() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let url = subscriber.url(&format!("/{}", "x".repeat(1_500)));
    let made = tenant.webhook(&json!({ "url": url, "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    let lost = tenant.settled(&tenant.event(campaign("campaign.created", "lost")), "retries_exhausted");
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let reader = Reader::signed_in(&node, tenant.partner.key.as_deref().unwrap());
    let home = reader.get("/dashboard").body;
    assert!(home.contains("Send again") && !home.contains("Resume the endpoint"), "{home}");
    let needs = home.split("id=\"needs\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(needs.contains("…</a>") && !words_of(needs).contains(&"x".repeat(100)), "its URL is cut: {needs}");
    let endpoint = format!("/dashboard/endpoints/{}", id(&made));
    let page = reader.get(&endpoint).body;
    assert!(page.contains(&format!("{}…</h1>", &url[..160])), "{page}");
    reader.post_and_follow(&format!("{endpoint}/pause"), &[]);
    for path in ["/dashboard".to_owned(), format!("/dashboard/deliveries/{}", id(&lost))] {
        let page = reader.get(&path).body;
        assert!(page.contains("Resume the endpoint"), "{path}: {page}");
        assert!(!page.contains("Send again") && !page.contains("Retry now"), "{path}: {page}");
    }
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
    let other = Reader::signed_in(&node, tenant.partner.key.as_deref().unwrap());
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

/// A program's text on the page, in this language.
fn program(page: &str, at: usize) -> String {
    let (_, rest) = page.split_once(&format!("id=\"code-{at}\"")).unwrap();
    let text = rest.split_once('>').unwrap().1.split("</pre>").next().unwrap();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// What a receiver answers to whoever has no secret, in whichever version of HTTP.
fn status_of(port: u16, path: &str) -> u16 {
    let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    let answer = crate::support::http::exchange(([127, 0, 0, 1], port).into(), request.as_bytes());
    let answer = String::from_utf8(answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer}")).parse().unwrap()
}

/// A receiver that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_code_that_is_copied_receives() {
    let node = NODE.get();
    let tenant = node.tenant("sandbox");
    let reader = Reader::signed_in(&node, tenant.partner.key.as_deref().unwrap());
    for (at, file, words) in [
        (0, "server.js", ["node"]),
        (1, "server.py", ["python3"]),
        (2, "server.go", ["go"]),
        (3, "server.php", ["php"]),
        (4, "Server.java", ["java"]),
    ] {
        let has_it = Command::new(words[0]).arg(if words[0] == "go" { "version" } else { "--version" }).output();
        if !has_it.is_ok_and(|output| output.status.success()) {
            println!("NOT TESTED: the receiver in {}: it is not on this machine", words[0]);
            continue;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/hooks/{}?tenant='7'", words[0]);
        reader.get("/dashboard/endpoints/new");
        let made = reader.post("/dashboard/endpoints", &[("url", &url), ("events", "campaign.updated")]);
        assert_eq!(made.status, 201, "{}", made.body);
        let secret = made.body.split("name=\"secret\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let folder = Folder::new();
        let path = folder.file(file);
        std::fs::File::create(&path).unwrap().write_all(program(&made.body, at).as_bytes()).unwrap();
        let mut start = Command::new(words[0]);
        match words[0] {
            "go" => start.arg("run").arg(&path),
            "php" => start.arg("-S").arg(format!("127.0.0.1:{port}")).arg(&path),
            _ => start.arg(&path),
        };
        let _running = Running(start.env("PORT", port.to_string()).stdout(Stdio::null()).spawn().unwrap());
        eventually("the receiver listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let id =
            made.body.split("/dashboard/endpoints/ep_").nth(1).unwrap().split(['"', '/']).next().unwrap().to_owned();
        let test = format!("/dashboard/endpoints/ep_{id}/created");
        let tested = reader.post(&test, &[("secret", &secret)]);
        assert!(tested.body.contains("It took the example") && tested.body.contains("got 204"), "{}", tested.body);
        assert!(tested.body.contains(&secret) && tested.body.contains("Send it again"), "the page is the same");
        // What nobody signed, and what is for another path, is not taken.
        let unsigned = status_of(port, &format!("/hooks/{}?tenant=%277%27", words[0]));
        assert_eq!((unsigned, status_of(port, "/elsewhere")), (400, 404), "{}", words[0]);
    }
}

#[test]
fn a_test_is_shown_on_the_page_whatever_comes_of_it() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let reader = Reader::signed_in(&node, tenant.partner.key.as_deref().unwrap());
    reader.get("/dashboard/endpoints/new");
    let made = reader.post("/dashboard/endpoints", &[("url", &subscriber.url("/in")), ("events", "campaign.updated")]);
    let id = made.body.split("/dashboard/endpoints/ep_").nth(1).unwrap().split(['"', '/']).next().unwrap().to_owned();
    let test = format!("/dashboard/endpoints/ep_{id}/created");
    subscriber.fail();
    let failed = reader.post(&test, &[("secret", "Call +1 555 now")]);
    assert!(failed.body.contains("It did not take the example") && failed.body.contains("got 503"), "{}", failed.body);
    assert!(!failed.body.contains("555") && failed.body.contains("Ask for it again"), "no text but a secret is shown");
    let none = reader.post("/dashboard/endpoints/ep_01h455vb4pex5vsknk084sn02q/created", &[]);
    assert_eq!(none.status, 404);
    assert_eq!(reader.post_as_it_is(&test, &[]).status, 403);
}

#[test]
fn what_is_shown_to_partners_says_nothing_of_nodes() {
    let (node, subscriber) = (Node::start(&[("BREAKER_OPENS_AFTER", "1")]), Subscriber::start());
    let tenant = node.tenant("production");
    let made =
        tenant.webhook(&json!({ "url": subscriber.url("/in"), "events": ["*"], "retry": { "schedule_ms": [] } }));
    subscriber.fail();
    for number in 0..3 {
        let accepted = tenant.event(campaign("campaign.created", &format!("fails {number}")));
        if number == 0 {
            tenant.settled(&accepted, "retries_exhausted");
        }
    }
    node.operator()
        .post(&format!("/brakes?environment=production&partner={}", tenant.name), r#"{"reason": "between us"}"#)
        .expect(200);
    let reader = Reader::nobody(&node);
    let (_, path) = link(&node, &tenant, "production", &json!({}));
    assert_eq!(open(&reader, &path).status, 303);
    let home = reader.get("/dashboard");
    assert!(home.body.contains("given up") && home.body.contains("Replay…"), "{}", home.body);
    let replay =
        format!("/dashboard/endpoints/{}/replay?status=retries_exhausted&within=all", made["id"].as_str().unwrap());
    assert!(links(&home).contains(&replay), "{:?}", links(&home));
    for inner in ["node_", "Actor", "In flight", "between us", "breaker open", "partition"] {
        assert!(!home.body.contains(inner), "{inner}: {}", home.body);
    }
}

#[test]
fn the_portal_looks_as_configured_and_operators_pages_do_not() {
    let folder = Folder::new();
    let logo = r#"<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><script>window.hit=1</script><circle r="9"/></svg>"#;
    std::fs::write(folder.file("logo.svg"), logo).unwrap();
    let path = folder.file("logo.svg").to_str().unwrap().to_owned();
    let node = Node::start(&[
        ("PORTAL_NAME", "Acme Ads <3"),
        ("PORTAL_LOGO", &path),
        ("PORTAL_ACCENT_LIGHT", "#FFD400"),
        ("PORTAL_ACCENT_DARK", "#402060"),
    ]);
    let tenant = node.tenant("sandbox");
    let (_, link) = link(&node, &tenant, "sandbox", &json!({}));
    let partner = Reader::signed_in(&node, tenant.partner.key.as_deref().unwrap());
    for page in [partner.get("/dashboard"), partner.get("/dashboard/endpoints"), Reader::nobody(&node).get(&link)] {
        assert!(page.body.contains("Acme Ads &lt;3") && page.body.contains("/static/portal."), "{}", page.body);
        assert!(page.body.contains("class=\"logo\""), "{}", page.body);
    }
    let refused = partner.get("/dashboard/events?tab=refused").body;
    assert!(refused.contains("Acme Ads &lt;3 remembers the last"), "{refused}");
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let page = operator.get("/dashboard");
    assert!(!page.body.contains("Acme Ads") && !page.body.contains("/static/portal."), "operators see Posthaste's own");
    let home = partner.get("/dashboard");
    let address = |stem: &str| {
        let (_, rest) = home.body.split_once(&format!("/dashboard/static/{stem}.")).unwrap();
        format!("/dashboard/static/{stem}.{}", rest.split('"').next().unwrap())
    };
    let picture = node.nobody().get(&address("logo"));
    assert_eq!((picture.status, picture.body.as_str()), (200, logo));
    assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
    let policy = picture.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("sandbox") && !policy.contains("script"),
        "{policy}"
    );
    assert_eq!(picture.header("x-content-type-options"), Some("nosniff"));
    let style = node.nobody().get(&address("portal"));
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert!(
        style.body.starts_with(":root{--primary:light-dark(#") && !style.body.contains("#FFD400"),
        "{}",
        style.body
    );

    let browser = Browser::start();
    browser.sign_in(&format!("http://{}", node.address), tenant.partner.key.as_deref().unwrap());
    let colour = "return getComputedStyle(document.querySelector('main a')).color";
    browser.scheme("light");
    let light = browser.run(colour);
    browser.picture("portal-themed-light");
    browser.scheme("dark");
    assert_ne!(browser.run(colour), light);
    browser.picture("portal-themed-dark");
    // The picture by itself runs nothing either.
    browser.go(&format!("http://{}{}", node.address, address("logo")));
    assert_eq!(browser.run("return window.hit === undefined"), true);
}

#[test]
fn a_logo_that_is_none_ends_the_start() {
    let folder = Folder::new();
    std::fs::write(folder.file("logo.gif"), "GIF89a").unwrap();
    for (file, told) in [("logo.gif", "neither SVG nor PNG"), ("none.svg", "No such file")] {
        let output = command(&folder).env("POSTHASTE_PORTAL_LOGO", file).stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("`portal_logo`") && said.contains(told), "{said}");
    }
}

#[test]
fn a_partner_comes_by_a_link_makes_an_endpoint_and_mends_what_failed() {
    let (node, subscriber) = (Node::start(&[("PORTAL_NAME", "Acme Ads")]), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let (id, path) = link(&node, &tenant, "sandbox", &json!({}));
    let base = format!("http://{}", node.address);
    let browser = Browser::start();
    let pictures = |name: &str| {
        for (width, scheme) in [(1280, "light"), (380, "light"), (1280, "dark"), (380, "dark")] {
            browser.width(width);
            browser.scheme(scheme);
            let needed = browser.run("return document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(needed <= u64::from(width), "{name} needs {needed} px at {width}");
            browser.picture(&format!("{name}-{width}-{scheme}"));
        }
        browser.width(1280);
    };
    browser.go(&format!("{base}{path}"));
    browser.wait_for_text("button.primary", "Open the portal");
    pictures("portal-link");
    assert!(opened_at(&node, &tenant).is_null(), "a browser that looks spends nothing");
    browser.click("button.primary");
    browser.wait_for_text("#first h2", "Receive your first event");
    assert_eq!(browser.url(), format!("{base}/dashboard"));
    pictures("portal-first");
    browser.click("#first a.primary");
    browser.write("#url", &subscriber.url("/hooks/campaigns"));
    browser.click("input[value='campaign.updated']");
    browser.click(".types .type summary");
    browser.wait_for_text(".types", "\"event\"");
    pictures("portal-new");
    browser.click("form.panel > button.primary");
    browser.wait_for_text("h1", "The endpoint is made");
    let secret = browser.text(".secret");
    assert!(secret.starts_with("whsec_"));
    assert!(browser.text("#code-0").contains(&secret) && browser.text("#code-0").contains("/hooks/campaigns"));
    pictures("portal-created");
    browser.click("#test button");
    browser.wait_for_text("#test", "It took the example of campaign.updated");
    subscriber.next();
    assert_eq!(browser.text(".secret"), secret, "it is the same page");
    pictures("portal-tested");

    subscriber.fail();
    let made = tenant.partner.get("/webhook").expect(200)["data"][0].clone();
    let endpoint = made["id"].as_str().unwrap();
    tenant.partner.patch(&format!("/webhook/{endpoint}"), r#"{"retry": {"schedule_ms": []}}"#).expect(200);
    let accepted = tenant.event(campaign("campaign.updated", "fails"));
    tenant.settled(&accepted, "retries_exhausted");
    subscriber.next();
    subscriber.succeed();
    browser.click(".brand");
    browser.wait_for_text("#needs", "1 delivery was given up");
    browser.wait_for_text("#needs", "got 503");
    pictures("portal-home");
    browser.click("tbody td form button");
    browser.wait_for_text("#state", "delivered");
    subscriber.next();
    let said: Vec<String> = browser.console();
    assert_eq!(said, Vec::<String>::new());
    browser.click(".brand");
    browser.wait_for_text("#headline", "All well");
    pictures("portal-well");

    // Revoked: the next look is the last.
    node.operator().delete(&format!("/partners/{}/portal-links/{id}", tenant.name)).expect(204);
    browser.go(&format!("{base}/dashboard"));
    browser.wait_for_text("h1", "Your session has ended");
    pictures("portal-ended");
    browser.go(&format!("{base}{path}"));
    browser.click("button.primary");
    browser.wait_for_text("h1", "This link opens nothing");
    pictures("portal-refused");
}
