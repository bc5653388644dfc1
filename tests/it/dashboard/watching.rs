//! The overview: what needs somebody and what is done about it, figures of all nodes and of
//! this one, and the chart: drawn in a real browser, read without one.

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode, campaign, eventually, id};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// Bytes of the first page, uncompressed.
const HTML_BYTES: usize = 25_000;
/// All of it, with what it loads.
const WHOLE_BYTES: usize = 150_000;

#[test]
fn the_chart_is_drawn_and_follows() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    tenant.settled(&tenant.event(campaign("campaign.created", "first")), "delivered");
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.wait("#plot canvas");
    let drawn = "const c = document.querySelector('#plot canvas'); \
                 return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter(v => v > 0).length";
    assert!(browser.run(drawn).as_u64().unwrap() > 1_000, "something is on it");
    assert_eq!(browser.run("return getComputedStyle(document.querySelector('#chart svg')).display"), "none");
    // Nothing is reloaded: the numbers come, and the canvas with them.
    let numbers = "return document.querySelector('#chart').dataset.chart";
    let before = browser.run(numbers);
    for number in 0..20 {
        tenant.event(campaign("campaign.created", &number.to_string()));
    }
    eventually("the chart has news", || {
        let now = browser.run(numbers);
        let sum: u64 = now.as_str()?.split('|').nth(1)?.split(',').map(|text| text.parse::<u64>().unwrap()).sum();
        (now != before && sum == 21).then_some(())
    });
    browser.wait_for_text("#totals", "of 21 in 5 min");
    // Another width, another theme: drawn anew.
    browser.width(500);
    eventually("it is narrower", || {
        let width = browser.run("return document.querySelector('#plot .uplot').getBoundingClientRect().width");
        (width.as_f64().unwrap() <= 500.0).then_some(())
    });
    let pixels = "const c = document.querySelector('#plot canvas'); return c.toDataURL()";
    browser.scheme("light");
    let light = browser.run(pixels);
    browser.scheme("dark");
    eventually("it is dark", || (browser.run(pixels) != light).then_some(()));
    browser.width(1_280);
    browser.click(".switch[aria-label='How far back'] a:nth-child(3)");
    browser.wait("#plot canvas");
    assert!(browser.url().ends_with("?span=7d"), "{}", browser.url());
    browser.click("#chart details summary");
    browser.wait("#chart table");
    // What nothing renews is grey, and says of when it is, until it is renewed again.
    let figures = "const f = document.querySelector('.figures'); return f.className + '|' + f.title";
    browser.wait("#live:not([hidden])");
    let lost = browser.run(&format!("stream.onerror(); {figures}"));
    assert!(lost.as_str().unwrap().starts_with("figures left|as of "), "{lost}");
    assert_eq!(browser.run(&format!("stream.onopen(); {figures}")), "figures|");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn the_chart_is_a_picture_and_a_table_without_a_script() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    tenant.settled(&tenant.event(campaign("campaign.created", "first")), "delivered");
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = eventually("it is counted", || {
        let page = reader.get("/dashboard");
        page.body.contains("<path class=\"up\" d=\"M").then_some(page)
    });
    assert!(page.body.contains("<caption>The newest first, 1 min a row."), "{}", page.body);
    let node_name = id(&node.operator().get("/nodes").expect(200)["data"][0]).to_owned();
    let tail = &node_name[node_name.len() - 6..];
    assert!(page.body.contains(&format!("{tail} started")), "a start is marked: {}", page.body);
    let table = page.body.split("<caption>The newest first, 1 min a row.").nth(1).unwrap();
    assert!(table.split("</table>").next().unwrap().contains(&format!("{tail} started")), "and in the table: {table}");
    let mut whole = 0;
    for span in ["", "?span=24h", "?span=7d", "?span=nonsense"] {
        let page = reader.get(&format!("/dashboard{span}"));
        assert_eq!(page.status, 200, "{span}");
        assert!(page.body.len() <= HTML_BYTES, "{span} is {} bytes", page.body.len());
        assert!(page.body.contains("All nodes, within 24 h") && page.body.contains("This node, just now"));
        whole = page.body.len();
    }
    let loaded: Vec<&str> =
        page.body.split("/dashboard/static/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(loaded.iter().any(|name| name.starts_with("uplot.")), "{loaded:?}");
    for part in loaded {
        whole += node.nobody().get(&format!("/dashboard/static/{part}")).body.len();
    }
    assert!(whole <= WHOLE_BYTES, "{whole} bytes in all");
    // It is loaded where it is used.
    assert!(!reader.get("/dashboard/events").body.contains("uplot"));
    let producer = Reader::signed_in(&node, tenant.producer.key.as_deref().unwrap());
    assert!(!producer.get("/dashboard").body.contains("uplot"), "a producer sees no statistics");
}

#[test]
fn a_partner_sees_its_own_figures() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let (one, other) = (node.tenant("production"), node.tenant("production"));
    one.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    for number in 0..3 {
        one.settled(&one.event(campaign("campaign.created", &number.to_string())), "delivered");
    }
    let told = |tenant: &crate::support::node::Tenant, wanted: &str| {
        let reader = Reader::signed_in(&node, tenant.key());
        eventually(wanted, || reader.get("/dashboard/figures").body.contains(wanted).then_some(()));
        assert!(!reader.get("/dashboard/figures").body.contains("This node"), "and none of the node's");
    };
    told(&one, "of 3 in 5 min");
    told(&other, "of 0 in 5 min");
}

#[test]
fn what_needs_somebody_has_its_remedy() {
    let (node, subscriber) = (Node::start(&[("BREAKER_OPENS_AFTER", "2")]), Subscriber::start());
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({
        "url": subscriber.url("/<b>in"), "events": ["campaign.created"], "retry": { "schedule_ms": [3_600_000] },
    }));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    assert!(reader.get("/dashboard").body.contains("All well"));
    subscriber.fail();
    let lost: Vec<Value> =
        (0..2).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))).collect();
    for _ in 0..2 {
        subscriber.next();
    }
    let page = eventually("its breaker is told of", || {
        let page = reader.get("/dashboard");
        let is_told = ["</svg>breaker open</span>", "1 thing needs you", "data-l=\"last error\">503</td>"];
        is_told.iter().all(|told| page.body.contains(told)).then_some(page)
    });
    for told in ["data-l=\"waiting\">2</td>", "<button>Test</button>"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    // Behind an open breaker nothing is hurried by that.
    assert!(!page.body.contains("Retry now") && !page.body.contains("<b>in"), "{}", page.body);
    // However many were made since: it is found, and told to whose it is.
    for number in 0..25 {
        let url = format!("https://example.com/{number}");
        tenant.webhook(&json!({ "url": url, "events": ["campaign.completed"] }));
    }
    let of_partner = reader.get(&format!("/dashboard?partner={}", tenant.name)).body;
    assert!(of_partner.contains("1 thing needs you"), "{of_partner}");
    let home = Reader::signed_in(&node, tenant.key()).get("/dashboard").body;
    assert!(home.contains("</svg>failing</span>") && !home.contains("All well"), "{home}");
    subscriber.succeed();
    let said = reader.post_and_follow("/dashboard/overview/retry-now", &[("endpoint", id(&made))]);
    assert!(said.body.contains("2 retries are due now"), "{}", said.body);
    for accepted in &lost {
        tenant.settled(accepted, "delivered");
    }
    let gone = reader.post_and_follow("/dashboard/overview/retry-now", &[("endpoint", "ep_unheard_of")]);
    assert!(gone.body.contains("There is no such thing"), "{}", gone.body);
    // Nobody else may.
    let other = node.tenant("production");
    let stranger = Reader::signed_in(&node, other.partner.key.as_deref().unwrap());
    let refused = stranger.post_and_follow("/dashboard/overview/retry-now", &[("endpoint", id(&made))]);
    assert!(refused.body.contains("There is no such thing"), "{}", refused.body);
    assert_eq!(reader.post_as_it_is("/dashboard/overview/retry-now", &[("endpoint", id(&made))]).status, 403);

    // What was given up today is told of until it is dealt with.
    subscriber.fail();
    tenant.webhook(
        &json!({ "url": subscriber.url("/once"), "events": ["campaign.failed"], "retry": { "schedule_ms": [] } }),
    );
    tenant.settled(&tenant.event(campaign("campaign.failed", "lost")), "retries_exhausted");
    let page = eventually("it is told of", || {
        let page = reader.get("/dashboard");
        page.body.contains("given up</span>").then_some(page)
    });
    assert!(
        page.body.contains("Most of them ended with 503.") && page.body.contains("Replay or dismiss"),
        "{}",
        page.body
    );
}

#[test]
fn a_brake_over_everybody_is_told_wherever_it_holds_something() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let why = json!({ "reason": "a <b>storm" }).to_string();
    node.operator().post("/brakes?environment=production&partner=*", why).expect(200);
    let held = tenant.event(campaign("campaign.created", "held"));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = eventually("it waits, in memory or not", || {
        let page = reader.get("/dashboard");
        page.body.contains("in production, where a brake holds").then_some(page)
    });
    for told in ["All partners in production", "a &lt;b&gt;storm", "<button>Release</button>"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert!(!page.body.contains("drains in"), "{}", page.body);
    let all = reader.get("/dashboard/partners").body;
    assert!(all.contains("</svg>braked</span>") && !all.contains("</svg>flows</span>"), "{all}");
    let one = reader.get(&format!("/dashboard/partners/{}", tenant.name)).body;
    assert!(one.contains("A brake over all partners holds everything in production"), "{one}");
    assert!(one.contains("Release it for all") && !one.contains("Deliveries in production flow."), "{one}");
    eventually("the event says what lets it go", || {
        reader.get(&format!("/dashboard/events/{}", id(&held))).body.contains("Release the brake").then_some(())
    });

    let said = reader.post_and_follow("/dashboard/overview/release", &[("partner", "*")]);
    assert!(said.body.contains("Released: what was held for all partners in production goes out."), "{}", said.body);
    assert!(said.body.contains("data-undo="), "{}", said.body);
    tenant.settled(&held, "delivered");
    // As it is undone, and as a partner's page releases it.
    let said = reader.post_and_follow("/dashboard/partners/%2A/brake", &[("reason", "again")]);
    assert!(said.body.contains("Braked: all partners are sent nothing in production."), "{}", said.body);
    let said = reader.post_and_follow("/dashboard/partners/%2A/release", &[]);
    assert!(said.body.contains("Released: what was held goes out."), "{}", said.body);
    assert_eq!(node.operator().get("/brakes").expect(200)["data"], json!([]));
}

#[test]
fn a_first_delivery_that_fails_says_why() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [3_600_000] },
    }));
    subscriber.fail();
    tenant.event(campaign("campaign.created", "first"));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = eventually("its answer is told", || {
        let page = reader.get("/dashboard");
        page.body.contains("The last attempt came to: <b>503</b>.").then_some(page)
    });
    assert!(page.body.contains("What was sent and answered") && page.body.contains(" The next <time"), "{}", page.body);
}

#[test]
fn what_waits_behind_a_breaker_says_what_the_receiver_answered() {
    let (node, subscriber) = (Node::start(&[("BREAKER_OPENS_AFTER", "2")]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({
        "url": subscriber.url("/"), "events": ["campaign.created"], "retry": { "schedule_ms": [3_600_000] },
    }));
    subscriber.fail();
    for number in 0..2 {
        tenant.event(campaign("campaign.created", &number.to_string()));
        subscriber.next();
    }
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    eventually("its breaker opens", || {
        reader.get("/dashboard").body.contains("</svg>breaker open</span>").then_some(())
    });
    let waiting = tenant.event(campaign("campaign.created", "behind it"));
    let told = "The receiver last answered 503.";
    let page = eventually("the event says so", || {
        let page = reader.get(&format!("/dashboard/events/{}", id(&waiting)));
        page.body.contains(told).then_some(page.body)
    });
    let rest = page.split("/dashboard/deliveries/dlv_").nth(1).unwrap();
    let delivery = rest.split(['"', '?']).next().unwrap();
    let body = reader.get(&format!("/dashboard/deliveries/dlv_{delivery}")).body;
    assert!(body.contains(told), "{body}");
    assert_eq!(body.matches("next probe").count(), 1, "{body}");
    let subscribers = reader.get("/dashboard/catalog/campaign.created").body;
    assert!(subscribers.contains("</svg>breaker open</span>"), "{subscribers}");
}

#[test]
fn what_was_done_is_undone_for_a_moment() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let brake = format!("/brakes?environment=production&partner={}", tenant.name);
    node.operator().post(&brake, json!({ "reason": "moves <i>house</i> & home" }).to_string()).expect(200);
    let braked = || {
        let all = node.operator().get("/brakes").expect(200);
        let found = all["data"].as_array().unwrap().iter().find(|one| one["partner"] == tenant.name.as_str()).cloned();
        found.map(|one| one["reason"].as_str().unwrap_or_default().to_owned())
    };
    let field = |body: &str, name: &str| {
        let rest = body.split(&format!("name=\"{name}\" value=\"")).nth(1).map(str::to_owned);
        rest.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    };
    let page = operator.post_and_follow("/dashboard/overview/release", &[("partner", &tenant.name)]);
    assert!(page.body.contains("Released: what was held for") && page.body.contains("data-undo="), "{}", page.body);
    assert_eq!(braked(), None);
    let undo = field(&page.body, "undo").expect("the button carries what it does");
    let reason = field(&page.body, "reason").expect("and its fields");
    assert_eq!(reason, "moves <i>house</i> & home");
    assert!(!operator.get("/dashboard").body.contains("data-undo="), "it is offered once");

    // Somebody else's session, and what was tampered with, undo nothing.
    let stranger = Reader::signed_in(&node, OPERATOR_KEY);
    assert_eq!(stranger.post("/dashboard/undo", &[("undo", &undo)]).status, 404);
    let tampered = undo.replace("brake", "erase");
    assert_ne!(tampered, undo);
    assert_eq!(operator.post("/dashboard/undo", &[("undo", &tampered)]).status, 404);
    assert_eq!(operator.post_as_it_is("/dashboard/undo", &[("undo", &undo)]).status, 403, "without the token");
    let later = undo.split_once('&').map(|(_, rest)| format!("until=99999999999999&{rest}")).unwrap();
    assert_eq!(operator.post("/dashboard/undo", &[("undo", &later)]).status, 404, "nor for longer");
    assert_eq!(braked(), None);

    let led = operator.post("/dashboard/undo", &[("undo", &undo), ("reason", &reason)]);
    assert_eq!(led.status, 307, "the browser posts the same to where it is done");
    let to = led.header("location").unwrap().to_owned();
    assert_eq!(to, format!("/dashboard/partners/{}/brake", tenant.name));
    operator.post_and_follow(&to, &[("undo", &undo), ("reason", &reason)]);
    assert_eq!(braked().as_deref(), Some("moves <i>house</i> & home"), "it is as it was");
}

#[test]
fn undoing_is_a_press_of_a_button() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    let brake = format!("/brakes?environment=production&partner={}", tenant.name);
    node.operator().post(&brake, json!({ "reason": "moves" }).to_string()).expect(200);
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.click("#attention td form button");
    browser.wait_for_text(".note", "Released");
    browser.click("form[data-undo] button");
    browser.wait_for_text(".note", "Braked:");
    assert_eq!(node.operator().get("/brakes").expect(200)["data"][0]["reason"], "moves");
    assert_eq!(browser.console(), Vec::<String>::new());
}
