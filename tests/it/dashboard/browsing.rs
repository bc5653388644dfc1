//! What people do, in a real browser: from an empty dashboard to a delivered event, a
//! partner's first endpoint, figures that move, keys.

use serde_json::json;

use crate::dashboard::browser::Browser;
use crate::support::node::{Node, OPERATOR_KEY, campaign, eventually};
use crate::support::receiver::Subscriber;

/// What a console may say: nothing at all.
#[track_caller]
fn nothing_is_wrong(browser: &Browser) {
    // That a form was answered with 422 is no fault: the page says what is wrong.
    let said: Vec<String> = browser.console().into_iter().filter(|line| !line.contains("status of 422")).collect();
    assert_eq!(said, Vec::<String>::new(), "at {}", browser.url());
}

#[test]
fn from_nothing_to_a_delivered_event() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.wait_for_text("#first h2", "Deliver a first event");
    browser.click("#first a.primary");
    browser.write("#url", &subscriber.url("/in"));
    browser.click("input[value='campaign.updated']");
    browser.click("form.panel button.primary");
    browser.wait_for_text("h1", "The endpoint is made");
    assert!(browser.text(".secret").starts_with("whsec_"));
    browser.click(".brand");
    browser.wait("#first li.done");
    browser.click("#first button");
    subscriber.next();
    // Nothing is reloaded: the page hears of it.
    browser.wait_for_text("#first h2", "It arrived");
    browser.wait_for_text("#first li:nth-child(3)", "delivered");
    browser.wait_for_text("#figures", "Backlog");
    nothing_is_wrong(&browser);
    browser.click("#first li:nth-child(3) a");
    browser.wait_for_text("h1", "Delivery");
    browser.wait_for_text("#state", "Attempt 1 got 200");
    nothing_is_wrong(&browser);
}

#[test]
fn a_partner_makes_tests_fails_and_retries() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let browser = Browser::start();
    browser.sign_in(&node.base(), tenant.key());
    browser.click("#first a.primary");
    browser.write("#url", "not a url");
    browser.click("input[value='campaign.created']");
    browser.click("form.panel button.primary");
    browser.wait("#url-wrong");
    browser.write("#url", &subscriber.url("/in"));
    assert_eq!(
        browser.run("return document.querySelector(\"input[value='campaign.created']\").checked"),
        true,
        "it stays ticked"
    );
    browser.click("form.panel button.primary");
    browser.wait_for_text("h1", "The endpoint is made");
    browser.click("main .actions button");
    browser.wait_for_text("main", "It took the example");
    subscriber.next();

    subscriber.fail();
    let accepted = tenant.event(campaign("campaign.created", "fails"));
    let waiting = tenant.settled(&accepted, "retrying");
    subscriber.next();
    subscriber.succeed();
    browser.go(&format!("{}/dashboard/deliveries/{}", node.base(), waiting["id"].as_str().unwrap()));
    browser.wait_for_text("#state", "retrying");
    browser.click("#state .actions button");
    // The page is the delivery's again, and hears how it ended.
    browser.wait_for_text("#state", "delivered");
    subscriber.next();
    nothing_is_wrong(&browser);
}

#[test]
fn the_overview_moves_and_lists_do_not() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let first = tenant.event(campaign("campaign.created", "first"));
    tenant.settled(&first, "delivered");
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.wait("#figures");
    browser.wait_for_text("#headline", "All well");
    browser.wait_for_text("#totals", "of 1 in 5 min");
    for number in 0..30 {
        tenant.event(campaign("campaign.created", &format!("more {number}")));
    }
    browser.wait_for_text("#totals", "of 31 in 5 min");
    assert_eq!(browser.text("#live"), "live");

    // A list says that there is news, and stays as it is.
    browser.go(&format!("{}/dashboard/deliveries", node.base()));
    let rows = "return document.querySelectorAll('tbody tr').length + document.querySelector('tbody tr').id";
    let before = browser.run(rows);
    tenant.event(campaign("campaign.created", "news"));
    browser.wait_for_text("#news", "1 new");
    assert_eq!(browser.run(rows), before);
    browser.click("#news a");
    eventually("the list is a new one", || (browser.run(rows) != before).then_some(()));

    // `p` pauses everything, on the next page too.
    browser.press("p");
    browser.wait_for_text("#live", "paused");
    browser.go(&format!("{}/dashboard", node.base()));
    browser.wait_for_text("#live", "paused");
    browser.press("p");
    browser.wait_for_text("#live", "live");
    nothing_is_wrong(&browser);
}

#[test]
fn keys_lead_where_they_say() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    for number in 0..3 {
        let accepted = tenant.event(campaign("campaign.created", &number.to_string()));
        tenant.settled(&accepted, "delivered");
    }
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.press("gd");
    browser.wait_for_text("h1", "Deliveries");
    browser.press("jj");
    assert_eq!(
        browser.run("return [...document.querySelectorAll('tbody tr')].findIndex(row => row.classList.contains('at'))"),
        1
    );
    browser.press("k\u{e007}");
    browser.wait_for_text("h1", "Delivery ");
    browser.press("/");
    assert_eq!(browser.run("return document.activeElement.id"), "search");
    browser.press("g");
    browser.press("\u{e00c}");
    browser.press("?");
    browser.wait_for_text("h1", "Shortcuts");
    browser.click("[data-keys]");
    browser.press("ge");
    assert_eq!(browser.text("h1"), "Shortcuts", "they are off");
    nothing_is_wrong(&browser);
}

#[test]
fn live_pages_do_not_keep_a_node_from_stopping() {
    let node = Node::start(&[]);
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    browser.wait_for_text("#live", "live");
    let clock = posthaste::clock::Clock::system();
    let begun = clock.now().monotonic;
    assert!(node.stop().success());
    // Open answers have five seconds: a stream that is not told takes all of them.
    let took = clock.now().monotonic.since(begun);
    assert!(took < std::time::Duration::from_secs(4), "{took:?}");
    browser.wait_for_text("#live", "as of");
}
