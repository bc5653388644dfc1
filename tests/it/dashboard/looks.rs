//! Every page at the width of a desk and of a phone, light and dark, over a store with
//! much in it: it is small, nothing is wider than the screen, the console is silent, and
//! everybody can see, name and hit what is there (`access`). Pictures of all of it are
//! written into `screenshots` of the target directory, for people. How long pages take is
//! for the benchmark `pages` to say.

use std::collections::BTreeSet;

use serde_json::json;

use crate::dashboard::access;
use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{LATER_MS, Node, OPERATOR_KEY, campaign, eventually};
use crate::support::receiver::Subscriber;

/// Endpoints that get all of a partner's events.
const WIDE: usize = 10;
const BATCHES: usize = 20;
const EVENTS_OF_A_BATCH: usize = 500;

pub struct Furnished {
    /// What each is called, and where it is: all pages are listed here, and tests that
    /// hold of all of them take them from here.
    pub pages: Vec<(&'static str, String)>,
    _subscribers: Vec<Subscriber>,
}

/// A hundred thousand deliveries, most of them held, and something of everything else.
pub fn furnished(node: &Node) -> Furnished {
    let (well, broken) = (Subscriber::start(), Subscriber::start());
    broken.fail();
    let operator = node.operator();
    for name in ["acme", "globex", "initech", "umbrella-media", "vandelay"] {
        operator.post("/partners", json!({ "name": name }).to_string()).expect(201);
    }
    let acme = node.tenant_named("acme", "production");
    let initech = node.tenant_named("initech", "production");
    let globex = node.tenant_named("globex", "production");

    for number in 0..WIDE {
        let made = initech.webhook(&json!({ "url": well.url(&format!("/archive/{number}")), "events": ["*"] }));
        initech.partner.post_empty(&format!("/webhook/{}/pause", made["id"].as_str().unwrap())).expect(200);
    }
    for batch in 0..BATCHES {
        let lines: Vec<String> = (0..EVENTS_OF_A_BATCH)
            .map(|number| {
                campaign(
                    ["campaign.created", "campaign.updated", "campaign.processing"][number % 3],
                    &format!("c-{batch}-{number}"),
                )
            })
            .collect();
        let answer = initech.producer.send(
            "POST",
            "/events/batch",
            &[("content-type", "application/x-ndjson")],
            lines.join("\n").as_bytes(),
        );
        answer.expect(202);
    }

    // Tried twice by itself, before its breaker has anything to say.
    let twice = globex.webhook(&json!({
        "url": broken.url("/twice"), "events": ["screenshot_set.approved"], "retry": { "schedule_ms": [1, LATER_MS] },
    }));
    let screenshots =
        json!({ "event": "screenshot_set.approved", "id": "set_1", "ad": { "status": "uploaded" }, "screenshots": [] });
    globex.event(screenshots.to_string());
    let tried = eventually("one was tried twice", || {
        let found = globex.partner.get(&format!("/deliveries?endpoint={}", twice["id"].as_str().unwrap())).expect(200);
        let first = found["data"].get(0).filter(|delivery| delivery["attempt_count"] == 2)?;
        Some(first["id"].as_str().unwrap().to_owned())
    });
    let made = acme.webhook(&json!({
        "url": well.url("/hooks/campaigns?source=posthaste"), "events": ["campaign.*"], "description": "Campaign dashboard, team Growth",
        "rate_limit": { "per_second": 200 },
    }));
    let failing = globex
        .webhook(&json!({ "url": broken.url("/in"), "events": ["*"], "retry": { "schedule_ms": [1, LATER_MS] } }));
    acme.webhook(
        &json!({ "url": broken.url("/no-retries"), "events": ["campaign.failed"], "retry": { "schedule_ms": [] } }),
    );
    let off =
        acme.webhook(&json!({ "url": well.url("/old"), "events": ["screenshot_set.approved"], "enabled": false }));
    for number in 0..120 {
        acme.event(campaign(
            ["campaign.updated", "campaign.created", "campaign.completed"][number % 3],
            &format!("{}", 23_848_210 + number),
        ));
    }
    let exhausted = acme.event(campaign("campaign.failed", "23848999"));
    let mut waiting = globex.event(campaign("campaign.updated", "23849000"));
    for number in 0..40 {
        waiting = globex.event(campaign("campaign.updated", &format!("g-{number}")));
    }
    globex.event(campaign("campaign.created", "23849001"));
    let changed = globex.event(campaign("campaign.updated", "23849001").replace("ACTIVE", "PAUSED"));
    let refused = campaign("campaign.created", "23849002").replace("facebook", "myspace");
    globex.producer.post("/events", refused).problem(422, "invalid-event");
    globex.producer.post("/events", r#"{"event": "campaign.create"}"#).problem(422, "unknown-event-type");
    acme.partner.post_empty(&format!("/webhook/{}/test", off["id"].as_str().unwrap()));
    let id = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    let find = |tenant: &crate::support::node::Tenant, accepted: &serde_json::Value, status: &str| {
        eventually(&format!("a delivery of {accepted} is {status}"), || {
            let found = tenant.partner.get(&format!("/deliveries?event={}&status={status}", id(accepted))).expect(200);
            found["data"].get(0).map(|delivery| delivery["id"].as_str().unwrap().to_owned())
        })
    };
    let gone = find(&acme, &exhausted, "retries_exhausted");
    operator
        .post(
            "/brakes?environment=production&partner=vandelay",
            json!({ "reason": "their receiver moves to another host" }).to_string(),
        )
        .expect(200);
    for (role, partner, note) in [
        ("producer", None, "upstream, EU"),
        ("partner", Some("umbrella-media"), "their staging"),
        ("operator", None, "on call"),
    ] {
        operator
            .post("/keys", json!({ "role": role, "partner": partner, "description": note }).to_string())
            .expect(201);
    }
    eventually("a breaker is open", || {
        let health = globex.health(&failing);
        (health["breaker"] == "open").then_some(())
    });
    let again = json!({ "status": "delivered", "rate_limit": { "per_second": 5 } }).to_string();
    let replay = acme.partner.post(&format!("/webhook/{}/replay", id(&made)), again).expect(202);
    let replay = id(&replay);
    let pages = vec![
        ("overview", "/dashboard".to_owned()),
        ("overview-day", "/dashboard?span=24h".to_owned()),
        ("overview-partner", "/dashboard?partner=globex".to_owned()),
        ("exhausted", "/dashboard/exhausted".to_owned()),
        ("exhausted-none", "/dashboard/exhausted?env=sandbox".to_owned()),
        ("exhausted-matching", "/dashboard/exhausted/matching".to_owned()),
        ("deliveries-matching", "/dashboard/deliveries/matching?partner=initech&status=held".to_owned()),
        ("endpoints-matching", "/dashboard/endpoints/matching?verb=pause&until=2100-01-01T00:00:00.000Z".to_owned()),
        ("replays", "/dashboard/replays".to_owned()),
        ("replay", format!("/dashboard/replays/{replay}")),
        ("replay-new", "/dashboard/replays/new".to_owned()),
        ("replay-endpoint", format!("/dashboard/endpoints/{}/replay", id(&made))),
        (
            "replay-look",
            format!("/dashboard/replays/look?endpoint={}&status=delivered&within=all&rate_limit=20", id(&made)),
        ),
        ("partners", "/dashboard/partners".to_owned()),
        ("partner", "/dashboard/partners/acme".to_owned()),
        ("endpoints", "/dashboard/endpoints".to_owned()),
        ("endpoint", format!("/dashboard/endpoints/{}", id(&made))),
        ("endpoint-failing", format!("/dashboard/endpoints/{}", id(&failing))),
        ("endpoints-narrowed", "/dashboard/endpoints?health=open&partner=globex&url_part=in".to_owned()),
        ("endpoints-sorted", "/dashboard/endpoints?sort=success".to_owned()),
        ("endpoint-attempts", format!("/dashboard/endpoints/{}?tab=attempts", id(&failing))),
        ("endpoint-replays", format!("/dashboard/endpoints/{}?tab=replays", id(&made))),
        ("endpoint-disabled", format!("/dashboard/endpoints/{}", id(&off))),
        ("endpoint-settings", format!("/dashboard/endpoints/{}?tab=settings", id(&made))),
        ("endpoint-secrets", format!("/dashboard/endpoints/{}?tab=secrets", id(&made))),
        ("endpoint-audit", format!("/dashboard/endpoints/{}?tab=audit", id(&made))),
        ("endpoint-new", "/dashboard/endpoints/new".to_owned()),
        ("events", "/dashboard/events".to_owned()),
        ("event", format!("/dashboard/events/{}", id(&exhausted))),
        ("event-raw", format!("/dashboard/events/{}?view=raw", id(&waiting))),
        ("event-changes", format!("/dashboard/events/{}?view=changes", id(&changed))),
        ("events-filtered", "/dashboard/events?type=campaign.*&at=/id&value=23849001".to_owned()),
        ("events-no-match", "/dashboard/events?type=campaign.created&value=nothing&since=24h".to_owned()),
        ("events-tail", "/dashboard/events?tab=tail".to_owned()),
        ("events-refused", "/dashboard/events?tab=refused".to_owned()),
        ("delivery-compared", format!("/dashboard/deliveries/{tried}?attempt=2&with=1")),
        ("found-several", "/dashboard/find?q=23849001".to_owned()),
        ("not-found-refused", "/dashboard/find?q=23849002".to_owned()),
        ("deliveries", "/dashboard/deliveries".to_owned()),
        ("deliveries-retrying", "/dashboard/deliveries?status=retrying".to_owned()),
        ("deliveries-none", "/dashboard/deliveries?status=pending&partner=umbrella-media".to_owned()),
        ("delivery", format!("/dashboard/deliveries/{tried}")),
        ("delivery-exhausted", format!("/dashboard/deliveries/{gone}")),
        ("catalog", "/dashboard/catalog".to_owned()),
        ("event-type", "/dashboard/catalog/campaign.updated".to_owned()),
        ("event-type-new", "/dashboard/catalog?new=1".to_owned()),
        ("event-type-change", "/dashboard/catalog/campaign.updated/change".to_owned()),
        ("nodes", "/dashboard/nodes".to_owned()),
        ("keys", "/dashboard/keys".to_owned()),
        ("audit", "/dashboard/audit".to_owned()),
        ("audit-filtered", "/dashboard/audit?action=key.created&actor=operator+(configured)".to_owned()),
        ("settings", "/dashboard/settings".to_owned()),
        ("shortcuts", "/dashboard/shortcuts".to_owned()),
        ("not-found", "/dashboard/find?q=evt_unheard_of".to_owned()),
        ("empty", "/dashboard?env=sandbox".to_owned()),
        ("login", "/dashboard/login".to_owned()),
    ];
    Furnished { pages, _subscribers: vec![well, broken] }
}

/// Nobody is told to come again later.
pub const UNLIMITED: [(&str, &str); 3] =
    [("KEY_REQUESTS_PER_SECOND", "0"), ("PARTNER_REQUESTS_PER_SECOND", "0"), ("TESTS_PER_MINUTE", "0")];

/// Bytes of a page, uncompressed: its HTML, and all of it.
const HTML_BYTES: usize = 60_000;
const WHOLE_BYTES: usize = 150_000;

/// What of a page is too much to send.
fn too_large(reader: &Reader, path: &str) -> Option<String> {
    // A look at what a replay would do is led to the same look until a fixed time.
    let page = reader.follow(path);
    let parts: BTreeSet<&str> =
        page.body.split("=\"/dashboard/static/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(parts.len() >= 3, "{path} has a style sheet, a script and an icon: {parts:?}");
    let of_part = |part: &&str| reader.get(&format!("/dashboard/static/{part}")).body.len();
    let (html, whole) = (page.body.len(), page.body.len() + parts.iter().map(of_part).sum::<usize>());
    println!("{path}: {html} bytes of {whole}");
    (html > HTML_BYTES || whole > WHOLE_BYTES).then(|| format!("it is {html} bytes, and {whole} in all"))
}

/// What of a page is beyond the edge of the screen, where something is.
fn too_wide(browser: &Browser) -> Option<String> {
    let beyond = browser.run(
        "const needed = document.documentElement.scrollWidth;
         if (needed <= innerWidth) return null;
         const beyond = [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
         const told = e => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`;
         return `it needs ${needed} px: ${beyond.slice(0, 5).map(told)}`",
    );
    beyond.as_str().map(str::to_owned)
}

#[test]
fn every_page_is_small_fits_is_silent_and_can_be_seen_named_and_hit() {
    let node = Node::start(&UNLIMITED);
    let furnished = furnished(&node);
    let base = node.base();
    let browser = Browser::start();
    browser.sign_in(&base, OPERATOR_KEY);
    let mut bad = Vec::new();
    let ways = [(1280, "light"), (380, "light"), (380, "dark"), (1280, "dark")];
    let show = |(width, scheme): (u32, &str)| {
        browser.width(width);
        browser.scheme(scheme);
    };
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    for (name, path) in &furnished.pages {
        bad.extend(too_large(&reader, path).map(|how| format!("{name}: {how}")));
        show(ways[0]);
        browser.go(&format!("{base}{path}"));
        browser.wait("h1");
        for way in ways {
            show(way);
            bad.extend(too_wide(&browser).map(|needs| format!("{name} at {}: {needs}", way.0)));
            browser.picture(&format!("{name}-{}-{}", way.0, way.1));
        }
        let said = browser.console();
        // A page that is not there says so by its status, which the console repeats.
        if *name != "not-found" {
            bad.extend(said.into_iter().map(|line| format!("{name} says to the console: {line}")));
        }
        // From here on all that opens is open.
        for way in ways {
            show(way);
            bad.extend(access::wrong(&browser, &format!("{name} at {}, {}", way.0, way.1)));
        }
        bad.extend(access::unseen_focus(&browser, name));
    }
    bad.dedup();
    assert!(bad.is_empty(), "{} things are wrong: {bad:#?}", bad.len());
}
