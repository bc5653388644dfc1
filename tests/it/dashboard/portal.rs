//! The partner portal: what a partner sees and does there, and the code that it is given.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::portal_links::{link, open, opened_at};
use crate::dashboard::reader::{Reader, links};
use crate::support::folder::Folder;
use crate::support::node::{LATER_MS, Node, OPERATOR_KEY, SharedNode, campaign, command, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

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
    let reader = Reader::signed_in(&node, tenant.key());
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
    let reader = Reader::signed_in(&node, tenant.key());
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
    let reader = Reader::signed_in(&node, tenant.key());
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
    let partner = Reader::signed_in(&node, tenant.key());
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
    browser.sign_in(&node.base(), tenant.key());
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
    let base = node.base();
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
