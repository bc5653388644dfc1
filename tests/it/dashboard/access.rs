//! WCAG 2.2 AA of a page, in a real browser: names, captions, headings, targets, the
//! focus, and the contrast of each text against what is behind it, light and dark. What is
//! looked for is in `access.js` and `focus.js`; `looks` has every page looked at.

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY};

const ACCESS: &str = include_str!("access.js");
const FOCUS: &str = include_str!("focus.js");

/// What a script found, behind the name of the page.
fn found(browser: &Browser, script: &str, page: &str) -> Vec<String> {
    let told = browser.run(script);
    let told = told.as_array().unwrap_or_else(|| panic!("{page}: {told}"));
    told.iter().map(|line| format!("{page}: {}", line.as_str().unwrap())).collect()
}

/// What of the page that is shown somebody could not see, name or hit. Whatever opens is
/// open afterwards.
pub fn wrong(browser: &Browser, page: &str) -> Vec<String> {
    found(browser, ACCESS, page)
}

/// What of it does not show that it has the focus.
pub fn unseen_focus(browser: &Browser, page: &str) -> Vec<String> {
    // A key, so that the browser shows where the focus is.
    browser.press("\u{e004}");
    found(browser, FOCUS, page)
}

/// The checks find what is wrong: else they could not fail.
#[test]
fn what_is_wrong_is_found() {
    let node = Node::start(&[]);
    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    let spoil = |change: &str, expected: &str| {
        browser.go(&format!("http://{}/dashboard/shortcuts", node.address));
        browser.wait("h1");
        assert_eq!(browser.run(ACCESS), json!([]));
        browser.run(change);
        let told = browser.run(ACCESS);
        let told: Vec<&str> = told.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert!(told.iter().any(|line| line.contains(expected)), "{change}: {told:?}");
    };
    let main = "const m = document.querySelector('main'); ";
    for (change, expected) in [
        ("m.querySelector('caption').remove()", "has no caption"),
        ("m.innerHTML += '<input type=text>'", "has no name"),
        ("m.innerHTML += '<button></button>'; m.lastChild.style.padding = '20px'", "has no name"),
        ("m.innerHTML += '<svg width=9 height=9></svg>'", "picture without a name"),
        ("m.innerHTML += '<h4>deep</h4>'", "comes behind an h1"),
        ("m.innerHTML += '<p id=main>again</p>'", "is there 2 times"),
        ("m.innerHTML += '<p aria-describedby=nowhere>x</p>'", "which is not there"),
        (
            "m.innerHTML += '<div><a id=a href=/>a</a><a id=b href=/>b</a></div>'; for (const e of [m.querySelector('#a'), m.querySelector('#b')]) e.style.display = 'inline-block'",
            "is next to it",
        ),
        (
            "m.querySelector('td').style.color = '#8a8a8a'; m.querySelector('td').style.background = '#fff'",
            "has a contrast of",
        ),
        ("m.querySelector('td').style.opacity = '0.4'", "has a contrast of"),
    ] {
        spoil(&format!("{main}{change}"), expected);
    }
    browser.press("\u{e004}");
    assert_eq!(browser.run(FOCUS), json!([]));
    browser.run("document.querySelector('.brand').style.outline = 'none'");
    assert_ne!(browser.run(FOCUS), json!([]));
}

#[test]
fn who_likes_less_motion_or_their_own_colours_gets_that() {
    let node = Node::start(&[]);
    let page = Reader::nobody(&node).get("/dashboard/login");
    let style = page.body.split("/dashboard/static/style.").nth(1).unwrap().split('"').next().unwrap();
    let css = node.nobody().get(&format!("/dashboard/static/style.{style}")).body;
    assert!(css.contains("@media (prefers-reduced-motion: reduce)") && css.contains("@media (forced-colors: active)"));

    let browser = Browser::start();
    browser.sign_in(&node.base(), OPERATOR_KEY);
    let like = |name: &str, value: &str| {
        let features = json!({ "features": [{ "name": name, "value": value }] });
        browser.chromium("Emulation.setEmulatedMedia", &features);
    };
    // Whatever a style sheet has to say of motion: nothing moves.
    let moving = "const e = document.createElement('div'); e.style.animation = 'x 9s'; e.style.transition = 'all 9s'; \
                  document.body.append(e); const s = getComputedStyle(e); return [s.animationName, s.transitionDuration]";
    like("prefers-reduced-motion", "no-preference");
    assert_eq!(browser.run(moving), json!(["x", "9s"]));
    like("prefers-reduced-motion", "reduce");
    let still = browser.run(moving);
    assert_eq!(still[0], "none", "{still}");
    // Tints go where colours are the reader's own: a border takes their place.
    let border = "const e = document.createElement('span'); e.className = 'st held'; document.body.append(e); \
                  return getComputedStyle(e).borderTopStyle";
    like("forced-colors", "none");
    assert_eq!(browser.run(border), Value::from("none"));
    like("forced-colors", "active");
    assert_eq!(browser.run(border), Value::from("solid"));
}
