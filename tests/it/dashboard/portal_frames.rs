//! The portal in a frame of somebody else's page, in a real browser: of whose pages, by which
//! cookies, and what can never be framed.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;

use crate::dashboard::browser::Browser;
use crate::dashboard::portal_links::link;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY, eventually};
use crate::support::receiver::Subscriber;

/// Somebody's page with a frame, at `/?` and what is to be in it. It is another site than
/// the node's by the name that it is called by: `localhost`.
struct Embedder {
    port: u16,
}

impl Embedder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut buffer = [0; 16_384];
                let read = stream.read(&mut buffer).unwrap_or(0);
                let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let target = head.split(' ').nth(1).unwrap_or_default();
                let framed = target.split_once('?').map_or("about:blank", |(_, framed)| framed);
                let body = format!(
                    "<!doctype html><title>an app</title><h1>An app</h1>\
                     <iframe src=\"{framed}\" width=900 height=700 allow=\"clipboard-write\"></iframe>"
                );
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            }
        });
        Self { port }
    }

    fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }

    /// Its page, with this in the frame.
    fn page(&self, host: &str, framed: &str) -> String {
        format!("{}/?{framed}", self.origin(host))
    }
}

/// The page in the frame was not shown, and the browser says by which rule.
#[track_caller]
fn is_refused(browser: &Browser) {
    let mut said = Vec::new();
    eventually("the browser refuses the frame", || {
        said.extend(browser.console());
        said.iter().any(|line| line.contains("frame-ancestors") || line.contains("X-Frame-Options")).then_some(())
    });
    browser.frame("iframe");
    assert_eq!(browser.run("return document.querySelector('main') === null"), true);
    browser.top();
}

#[test]
fn the_portal_works_in_a_frame_of_another_site() {
    let (embedder, subscriber) = (Embedder::start(), Subscriber::start());
    let node = Node::start(&[("PORTAL_FRAME_ORIGINS", &embedder.origin("localhost"))]);
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/in"), "events": ["*"] }));
    let (id, path) = link(&node, &tenant, "sandbox", &json!({}));
    let base = node.base();
    let browser = Browser::start();
    browser.go(&embedder.page("localhost", &format!("{base}{path}")));
    browser.frame("iframe");
    browser.click("button.primary");
    browser.wait_for_text("h1", "Webhooks");
    // A form in the frame is the portal's own, and what it did is said there.
    browser.click("td a");
    browser.wait_for_text("h1", "/in");
    browser.click("form[action$='/pause'] button");
    browser.wait_for_text("main", "Paused: nothing is lost");
    let status =
        || tenant.partner.get(&format!("/webhook/{}", made["id"].as_str().unwrap())).expect(200)["status"].clone();
    assert_eq!(status(), "paused");
    browser.click(".account summary");
    browser.click(".account button[value='dark']");
    eventually("it is dark", || (browser.run("return document.documentElement.dataset.theme") == "dark").then_some(()));
    browser.top();
    browser.picture("portal-framed");
    let said = browser.console();
    assert!(said.iter().all(|line| !line.contains("Security Policy")), "{said:?}");

    // In a tab of its own nobody is signed in: the frame's session is the frame's.
    browser.go(&format!("{base}/dashboard"));
    browser.wait("#key");
    // Revoked: the frame says so, instead of nothing.
    node.operator().delete(&format!("/partners/{}/portal-links/{id}", tenant.name)).expect(204);
    browser.go(&embedder.page("localhost", &format!("{base}/dashboard")));
    browser.frame("iframe");
    browser.wait_for_text("h1", "Your session has ended");
}

#[test]
fn pages_of_others_frame_nothing() {
    let (allowed, other) = (Embedder::start(), Embedder::start());
    let node = Node::start(&[("PORTAL_FRAME_ORIGINS", &allowed.origin("localhost"))]);
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let base = node.base();
    let browser = Browser::start();
    // The same host at another port, and the allowed port under another name.
    for page in [other.page("localhost", &format!("{base}{path}")), allowed.page("127.0.0.1", &format!("{base}{path}"))]
    {
        browser.go(&page);
        is_refused(&browser);
    }
}

#[test]
fn without_the_option_nothing_is_framed() {
    let embedder = Embedder::start();
    let node = Node::start(&[]);
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let browser = Browser::start();
    browser.go(&embedder.page("localhost", &format!("http://{}{path}", node.address)));
    is_refused(&browser);
}

#[test]
fn what_a_key_opens_is_never_framed() {
    let embedder = Embedder::start();
    // The embedding page is of the same site as the node, so that cookies of both kinds go along.
    let node = Node::start(&[("PORTAL_FRAME_ORIGINS", &embedder.origin("127.0.0.1"))]);
    let tenant = node.tenant("sandbox");
    let base = node.base();
    let browser = Browser::start();
    for key in [OPERATOR_KEY, tenant.key()] {
        browser.sign_in(&base, key);
        browser.go(&embedder.page("127.0.0.1", &format!("{base}/dashboard")));
        browser.frame("iframe");
        browser.wait_for_text("h1", "Your session has ended");
        browser.top();
        browser.go(&embedder.page("127.0.0.1", &format!("{base}/dashboard/login")));
        is_refused(&browser);
    }
}

#[test]
fn headers_say_who_may_frame_what() {
    let origins = "https://app.example.com, https://other.example:8443";
    let node = Node::start(&[("PORTAL_FRAME_ORIGINS", origins)]);
    let tenant = node.tenant("sandbox");
    let (_, path) = link(&node, &tenant, "sandbox", &json!({}));
    let reader = Reader::nobody(&node);
    let page = reader.get(&path);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with("; frame-ancestors https://app.example.com https://other.example:8443"), "{policy}");
    assert!(policy.contains("script-src 'self'") && policy.contains("base-uri 'none'"), "{policy}");
    assert_eq!(page.header("x-frame-options"), None);
    assert!(page.header("set-cookie").unwrap().contains("; HttpOnly; Secure; SameSite=None; Partitioned"));
    let tried = page.body.split("name=\"tried\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let opened = reader.post_as_it_is(&path, &[("tried", &tried)]);
    assert!(opened.header("set-cookie").unwrap().contains("; HttpOnly; Secure; SameSite=None; Partitioned"));
    for path in ["/dashboard", "/dashboard/endpoints", "/dashboard/nowhere"] {
        let page = reader.get(path);
        assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors https://app"), "{path}");
        assert_eq!(page.header("x-frame-options"), None, "{path}");
    }
    // Whoever has a key, or nothing, and whatever is nobody's page.
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let partner = Reader::signed_in(&node, tenant.key());
    let nobody = Reader::nobody(&node);
    let unframed = [
        operator.get("/dashboard"),
        operator.get("/dashboard/partners"),
        partner.get("/dashboard"),
        nobody.get("/dashboard"),
        nobody.get("/dashboard/login"),
        nobody.get("/dashboard/nowhere"),
    ];
    for page in unframed {
        assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert!(page.header("set-cookie").is_none_or(|cookie| !cookie.contains("None")));
    }
    let answer = operator.post("/dashboard/theme", &[("theme", "dark")]);
    assert!(answer.header("set-cookie").unwrap().contains("SameSite=Lax"));
}
