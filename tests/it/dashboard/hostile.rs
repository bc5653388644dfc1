//! What others send is shown, and never runs: payloads, names, answers, addresses.

use serde_json::json;

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode};

static NODE: SharedNode = SharedNode::with(&[("TESTS_PER_MINUTE", "0")]);

/// Each would set `window.hit` if it ran.
const CORPUS: [&str; 16] = [
    "<script>window.hit=1</script>",
    "</pre><script>window.hit=1</script>",
    "\"><img src=x onerror=\"window.hit=1\">",
    "'><svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    "javascript:window.hit=1",
    "<a href=\"javascript:window.hit=1\" autofocus onfocus=window.hit=1>x</a>",
    "</title></textarea><script>window.hit=1</script>",
    "<iframe srcdoc=\"<script>parent.hit=1</script>\"></iframe>",
    "<details open ontoggle=window.hit=1>",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "<math><mtext></mtext><script>window.hit=1</script></math>",
    "{{constructor.constructor('window.hit=1')()}}",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=\"0;url=//evil.example\">",
    "\u{2028}<style>@import 'http://evil.example'</style>\u{202e}",
];

/// A receiver that answers with the whole corpus.
fn receiver() -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 65_536];
            let _ = stream.read(&mut buffer);
            let body = CORPUS.join("\n");
            let head = format!(
                "HTTP/1.1 500 Bad\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
        }
    });
    address
}

/// Pages on which all of it stands.
fn furnished(node: &Node) -> Vec<String> {
    let tenant = node.tenant("production");
    let address = receiver();
    let made = tenant.webhook(&json!({
        "url": format!("http://{address}/?q=%3Cscript%3E'\"><script>window.hit=1</script>"), "events": ["*"],
        "description": CORPUS.join(" "), "headers": { "x-evil": CORPUS[0] }, "retry": { "schedule_ms": [3_600_000] },
        "filter": { "properties": { "never": { "const": CORPUS[2] } } },
    }));
    let mut body = json!({ "event": "campaign.created", "provider": "facebook", "type": "link_clicks", "id": CORPUS[0], "status": "ACTIVE" });
    for attack in CORPUS {
        body[attack] = json!(attack);
    }
    tenant.event(body.to_string());
    body["status"] = json!("PAUSED");
    let accepted = tenant.event(body.to_string());
    body["provider"] = json!(CORPUS[3]);
    let headers = [("content-type", "application/json"), ("idempotency-key", CORPUS[2])];
    tenant.producer.send("POST", "/events", &headers, body.to_string().as_bytes()).problem(422, "invalid-event");
    body["event"] = json!(CORPUS[1]);
    tenant.producer.post("/events", body.to_string()).problem(422, "unknown-event-type");
    let waiting = tenant.settled(&accepted, "retrying");
    node.operator()
        .post("/keys", json!({ "role": "operator", "description": CORPUS.join(" ") }).to_string())
        .expect(201);
    let name = "evil.type";
    let schema = json!({
        "description": CORPUS.join(" "),
        "schema": { "type": "object", "properties": { CORPUS[0]: { "type": "string", "description": CORPUS[2], "enum": CORPUS } } },
        "example": { "event": name, CORPUS[3]: CORPUS[1] },
    });
    node.operator().put(&format!("/event-types/{name}"), schema.to_string()).expect(201);
    node.operator()
        .post(
            &format!("/brakes?environment=production&partner={}", node.tenant("production").name),
            json!({ "reason": CORPUS[..6].join(" ") }).to_string(),
        )
        .expect(200);
    let braked = node.tenant("production").name;
    node.operator()
        .post(
            &format!("/brakes?environment=production&partner={braked}"),
            json!({ "reason": CORPUS[..6].join(" ") }).to_string(),
        )
        .expect(200);
    let path = format!("/webhook/{}", made["id"].as_str().unwrap());
    tenant.partner.patch(&path, json!({ "description": CORPUS[1..].join(" ") }).to_string()).expect(200);
    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    let attack: String = url::form_urlencoded::byte_serialize(CORPUS[2].as_bytes()).collect();
    let (endpoint, event, delivery) = (id(&made), id(&accepted), id(&waiting));
    vec![
        "/dashboard".to_owned(),
        "/dashboard/endpoints".to_owned(),
        format!("/dashboard/endpoints/{endpoint}"),
        format!("/dashboard/endpoints/{endpoint}?tab=settings"),
        format!("/dashboard/endpoints/{endpoint}?tab=audit"),
        format!("/dashboard/endpoints/{endpoint}?tab=settings&saved=2"),
        format!("/dashboard/endpoints/{endpoint}?tab=attempts&result={attack}&took={attack}"),
        format!("/dashboard/endpoints/{endpoint}?tab={attack}&range={attack}"),
        format!("/dashboard/endpoints?health={attack}&type={attack}&url_part={attack}"),
        format!("/dashboard/endpoints?url_part={attack}&partner={attack}&select={attack}"),
        "/dashboard/partners".to_owned(),
        format!("/dashboard/partners/{}", tenant.name),
        format!("/dashboard/partners/{braked}"),
        format!("/dashboard/events/{event}"),
        format!("/dashboard/events/{event}?view=raw"),
        format!("/dashboard/events/{event}?view=changes"),
        "/dashboard/events".to_owned(),
        "/dashboard/events?tab=tail".to_owned(),
        "/dashboard/events?tab=refused".to_owned(),
        format!("/dashboard/events?tab=refused&type={attack}&q={attack}"),
        format!(
            "/dashboard/events?type={attack}&at={attack}&value={attack}&since={attack}&until={attack}&idempotency_key={attack}"
        ),
        format!("/dashboard/events?tab=tail&type={attack}"),
        format!("/dashboard/deliveries/{delivery}"),
        format!("/dashboard/deliveries/{delivery}?attempt=1&with={attack}"),
        format!("/dashboard/deliveries/{delivery}?attempt=2&with=1"),
        format!("/dashboard/find?q={}", url::form_urlencoded::byte_serialize(CORPUS[0].as_bytes()).collect::<String>()),
        "/dashboard/keys".to_owned(),
        "/dashboard/audit".to_owned(),
        "/dashboard/catalog".to_owned(),
        format!("/dashboard/catalog/{name}"),
        format!("/dashboard/catalog/{name}?view=raw"),
        format!("/dashboard/find?q={attack}"),
        format!("/dashboard/deliveries?endpoint={attack}&status={attack}&partner={attack}"),
        format!("/dashboard/nowhere/{attack}"),
        format!("/dashboard/login?next={attack}"),
    ]
}

#[test]
fn nothing_of_it_runs() {
    let node = NODE.get();
    let pages = furnished(&node);
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    for page in &pages {
        let body = reader.get(page).body;
        for attack in CORPUS.iter().filter(|attack| attack.contains('<')) {
            assert!(!body.contains(attack), "{page} has `{attack}` as it is");
        }
    }
    let browser = Browser::start();
    let base = node.base();
    browser.sign_in(&base, OPERATOR_KEY);
    for page in &pages {
        browser.go(&format!("{base}{page}"));
        browser.wait("h1");
        assert_eq!(browser.run("return window.hit === undefined"), true, "{page}");
        assert!(browser.url().starts_with(&base), "{page} led to {}", browser.url());
        let foreign = browser.run("return document.querySelectorAll('script:not([src]),iframe,base,img,style,[onerror],[onload],[onfocus]').length");
        assert_eq!(foreign, 0, "{page}");
    }
}

#[test]
fn the_policy_holds_what_escaping_might_not() {
    let node = NODE.get();
    let browser = Browser::start();
    let base = node.base();
    browser.sign_in(&base, OPERATOR_KEY);
    browser.console();
    // As if an attack had come through: the page's own policy keeps it from running.
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'window.hit = 1'; document.body.append(script);\
         const image = document.createElement('div'); image.innerHTML = '<img src=x onerror=\"window.hit = 2\">'; document.body.append(image);\
         const link = document.createElement('a'); link.href = 'javascript:window.hit=3'; document.body.append(link); link.click();",
    );
    let told = crate::support::node::eventually("the policy says no three times", || {
        thread_local!(static TOLD: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) });
        TOLD.with_borrow_mut(|told| {
            told.extend(browser.console());
            (told.iter().filter(|line| line.contains("Content Security Policy")).count() >= 3).then(|| told.clone())
        })
    });
    assert_eq!(browser.run("return window.hit === undefined"), true, "{told:?}");
    // A form without a token is refused by a real browser's form, too.
    browser.run(
        "const form = document.createElement('form'); form.method = 'post'; form.action = '/dashboard/logout';\
         document.body.append(form); form.submit();",
    );
    browser.wait_for_text("h1", "This form is not from here");
    browser.go(&format!("{base}/dashboard"));
    browser.wait_for_text("h1", "Overview");
}
