//! What is done by forms, without a script: what a form says, what is answered, and
//! which forms are not believed.

use serde_json::{Value, json};

use crate::dashboard::reader::Reader;
use crate::support::node::{OPERATOR_KEY, SharedNode, Tenant, campaign, eventually};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// How often something of a kind was done to this, by the audit log.
fn noted(tenant: &Tenant, action: &str, subject: &str) -> usize {
    let found = tenant.partner.get(&format!("/audit?action={action}&subject={subject}")).expect(200);
    found["data"].as_array().unwrap().len()
}

#[test]
fn a_partner_makes_an_endpoint_tests_it_and_changes_it() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let reader = Reader::signed_in(&node, tenant.key());
    let form = reader.get("/dashboard/endpoints/new");
    assert!(form.body.contains(r#"value="campaign.updated""#) && !form.body.contains("id=\"partner\""));

    // What is wrong stands beside its field, and what was typed stays.
    let wrong = [
        ("url", "ftp://nowhere"),
        ("events", "campaign.updated"),
        ("description", "kept <b>"),
        ("timeout_ms", "7"),
        ("rate_limit", "fast"),
        ("retry", "{"),
        ("filter", "none"),
        ("headers", "none"),
    ];
    let answer = reader.post("/dashboard/endpoints", &wrong);
    assert_eq!(answer.status, 422);
    // What the API finds, and what the form itself cannot read, in one answer.
    for place in ["url", "timeout_ms", "rate_limit", "retry", "filter", "headers"] {
        assert_eq!(answer.body.matches(&format!("id=\"{place}-wrong\"")).count(), 1, "{place}: {}", answer.body);
    }
    assert_eq!(tenant.partner.get("/webhook").expect(200)["data"], json!([]), "nothing was made");
    assert!(form.body.contains("One <code>name: value</code> a line"), "{}", form.body);
    // Whoever chose other colours here would lose what they typed.
    let theme = "action=\"/dashboard/theme\"";
    assert!(form.body.contains(theme) && !answer.body.contains(theme), "{}", answer.body);
    for kept in ["value=\"ftp://nowhere\"", "value=\"kept &lt;b&gt;\"", "value=\"campaign.updated\" checked"] {
        assert!(answer.body.contains(kept), "{kept}: {}", answer.body);
    }

    let good = [
        ("url", subscriber.url("/in")),
        ("events", "campaign.updated".to_owned()),
        ("patterns", "campaign.c*".to_owned()),
    ];
    let good: Vec<(&str, &str)> = good.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let made = reader.post("/dashboard/endpoints", &good);
    assert_eq!(made.status, 422, "`campaign.c*` is no pattern: {}", made.body);
    let url = subscriber.url("/in");
    let good = [("url", url.as_str()), ("events", "campaign.updated"), ("patterns", "campaign.*")];
    let made = reader.post("/dashboard/endpoints", &good);
    assert_eq!(made.status, 201, "{}", made.body);
    let listed = tenant.partner.get("/webhook").expect(200);
    let endpoint = &listed["data"][0];
    let id = endpoint["id"].as_str().unwrap();
    assert_eq!(endpoint["events"], json!(["campaign.updated", "campaign.*"]));
    let secret = tenant.partner.get(&format!("/webhook/{id}/secret")).expect(200)["secret"].clone();
    assert!(made.body.contains(secret.as_str().unwrap()), "its secret is shown this once");
    assert_eq!(made.header("cache-control"), Some("no-store"));

    let tested = reader.post(&format!("/dashboard/endpoints/{id}/test"), &[]);
    assert_eq!(tested.status, 200);
    assert!(tested.body.contains("It took the example"), "{}", tested.body);
    subscriber.next();
    subscriber.fail();
    let tested = reader.post(&format!("/dashboard/endpoints/{id}/test"), &[]);
    assert!(tested.body.contains("It did not take the example") && tested.body.contains("got 5"), "{}", tested.body);
    subscriber.next();

    let settings = format!("/dashboard/endpoints/{id}/settings");
    let changed =
        [("url", url.as_str()), ("patterns", "*"), ("rate_limit", "5"), ("ordering", "by"), ("ordering_by", "/id")];
    let said = reader.post_and_follow(&settings, &changed);
    assert!(said.body.contains("Saved: these are its settings number 2."), "{}", said.body);
    let now = tenant.partner.get(&format!("/webhook/{id}")).expect(200);
    assert_eq!((&now["rate_limit"], &now["ordering"]), (&json!({ "per_second": 5 }), &json!({ "by": "/id" })));
    assert!(said.body.contains("value=\"/id\"") && said.body.contains("value=\"5\""));
    let wrong = reader.post(&settings, &[("url", url.as_str()), ("patterns", "*"), ("retry", "{")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("id=\"retry-wrong\"") && wrong.body.contains("this is not JSON"));
    assert_eq!(noted(&tenant, "endpoint.changed", id), 1);
}

#[test]
fn what_an_endpoint_does_is_held_let_go_and_ended() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("production");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let id = made["id"].as_str().unwrap();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let at = |verb: &str| format!("/dashboard/endpoints/{id}/{verb}");
    let status = || tenant.partner.get(&format!("/webhook/{id}")).expect(200)["status"].clone();
    for (verb, said, after) in [
        ("pause", "Paused: nothing is lost", "paused"),
        ("resume", "Resumed: what was held goes out", "active"),
        ("disable", "Disabled: its events are kept", "disabled"),
        ("enable", "Enabled: what was held goes out", "active"),
    ] {
        let page = reader.post_and_follow(&at(verb), &[]);
        assert!(page.body.contains(said), "{verb}: {}", page.body);
        assert_eq!(status(), after);
        // It is said once.
        assert!(!reader.get(&format!("/dashboard/endpoints/{id}")).body.contains(said));
    }
    assert_eq!(noted(&tenant, "endpoint.paused", id), 1);

    let before = noted(&tenant, "secret.read", id);
    assert_eq!(reader.get(&format!("/dashboard/endpoints/{id}?tab=secrets")).status, 200);
    assert_eq!(noted(&tenant, "secret.read", id), before, "looking at the tab shows none");
    let shown = reader.post(&at("secret"), &[]);
    assert!(shown.body.contains(made["secret"].as_str().unwrap()), "{}", shown.body);
    assert_eq!(noted(&tenant, "secret.read", id), before + 1);
    let rotated = reader.post(&at("rotate"), &[("hours", "2")]);
    assert_eq!(rotated.status, 200);
    assert!(rotated.body.contains(made["secret"].as_str().unwrap()) && rotated.body.contains("for 2 h more"));
    let wrong = reader.post_and_follow(&at("rotate"), &[("hours", "soon")]);
    assert!(wrong.body.contains("`soon` is not a whole number of hours"));

    let gone = reader.post_and_follow(&at("delete"), &[]);
    assert!(gone.body.contains("gets nothing any more"));
    assert_eq!(tenant.partner.get(&format!("/webhook/{id}")).status, 404);
    assert_eq!(reader.get(&format!("/dashboard/endpoints/{id}")).status, 404);
}

#[test]
fn a_delivery_is_retried_and_skipped() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let (_, _, waiting) = tenant.with_a_retry_far_off(&subscriber);
    let id = waiting["id"].as_str().unwrap();
    let reader = Reader::signed_in(&node, tenant.key());
    let page = reader.get(&format!("/dashboard/deliveries/{id}"));
    assert!(page.body.contains("Retry now") && page.body.contains("got 5"), "{}", page.body);
    let said = reader.post_and_follow(&format!("/dashboard/deliveries/{id}/retry"), &[]);
    assert!(said.body.contains("One more attempt is on its way"));
    subscriber.next();
    eventually("it is delivered", || Some(tenant.delivery(id)).filter(|delivery| delivery["status"] == "delivered"));
    let page = reader.get(&format!("/dashboard/deliveries/{id}"));
    assert!(page.body.contains("Send it once more") && !page.body.contains("Skip 1 delivery"));
    // What cannot be is said where one was.
    let late = reader.post_and_follow(&format!("/dashboard/deliveries/{id}/skip"), &[]);
    assert!(late.body.contains("the delivery has ended before"), "{}", late.body);

    let (_, _, waiting) = node.tenant_named(&tenant.name, "production").with_a_retry_far_off(&subscriber);
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let id = waiting["id"].as_str().unwrap();
    let skipped = operator.post_and_follow(&format!("/dashboard/deliveries/{id}/skip"), &[]);
    assert!(skipped.body.contains("Skipped: it is not tried again") && skipped.body.contains("Given up: skipped"));
}

#[test]
fn keys_partners_and_brakes_are_the_operators() {
    let node = NODE.get();
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let made = operator.post_and_follow("/dashboard/partners", &[("name", "made-by-form")]);
    assert!(made.body.contains("Partner made-by-form is made"));
    let twice = operator.post("/dashboard/partners", &[("name", "made-by-form")]);
    assert_eq!(twice.status, 422);
    assert!(twice.body.contains("value=\"made-by-form\""));
    let wanted = [("role", "partner"), ("for", "made-by-form"), ("environment", "sandbox"), ("description", "<i>")];
    let made = operator.post("/dashboard/keys", &wanted);
    assert_eq!(made.status, 201);
    let key = made
        .body
        .split("ph_")
        .nth(1)
        .and_then(|rest| rest.split(['<', '"']).next())
        .map(|rest| format!("ph_{rest}"))
        .unwrap();
    assert_eq!(node.client(&key).get("/webhook").status, 200);
    let listed = operator.get("/dashboard/keys");
    assert!(!listed.body.contains(&key) && listed.body.contains("&lt;i&gt;"));
    let wrong = operator.post("/dashboard/keys", &[("role", "partner")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("`partner` is required"));
    let keys = node.operator().get("/keys?limit=250").expect(200);
    let its = |found: &&Value| found["prefix"].as_str().is_some_and(|prefix| key.starts_with(prefix));
    let id = keys["data"].as_array().unwrap().iter().find(its).unwrap()["id"].as_str().unwrap().to_owned();
    operator.post_and_follow(&format!("/dashboard/keys/{id}/revoke"), &[]);
    assert_eq!(node.client(&key).get("/webhook").status, 401);

    let braked = operator.post_and_follow("/dashboard/partners/made-by-form/brake", &[("reason", "a <move>")]);
    assert!(braked.body.contains("Braked: made-by-form") && braked.body.contains("a &lt;move&gt;"), "{}", braked.body);
    assert!(
        operator.get("/dashboard").body.contains("need you") || operator.get("/dashboard").body.contains("needs you")
    );
    let released = operator.post_and_follow("/dashboard/partners/made-by-form/release", &[]);
    assert!(released.body.contains("Deliveries in production flow."));

    // A partner has no such pages, and no such forms.
    let partner = Reader::signed_in(&node, node.tenant("sandbox").key());
    for path in ["/dashboard/keys", "/dashboard/partners", "/dashboard/nodes"] {
        assert_eq!(partner.get(path).status, 403, "{path}");
    }
    assert_eq!(partner.post("/dashboard/keys", &[("role", "operator")]).status, 403);
    assert_eq!(node.operator().get("/keys?limit=1").expect(200)["data"][0]["role"], "producer", "none was made");
    assert!(!partner.get("/dashboard").body.contains("/dashboard/keys"));
}

#[test]
fn an_example_is_sent_and_what_became_of_it_is_shown() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = reader.post_and_follow("/dashboard/catalog/campaign.updated/send?env=sandbox", &[("to", &tenant.name)]);
    assert!(page.body.contains("Accepted, for 1 endpoint") && page.body.contains("Payload"), "{}", page.body);
    subscriber.next();
    let wrong =
        reader.post_and_follow("/dashboard/catalog/campaign.updated/send?env=sandbox", &[("to", "nobody-here")]);
    assert!(wrong.body.contains("There is no such thing"), "{}", wrong.body);
}

#[test]
fn forms_without_the_sessions_token_do_nothing() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let id = made["id"].as_str().unwrap();
    let reader = Reader::signed_in(&node, tenant.key());
    let another = Reader::signed_in(&node, tenant.key());
    let path = format!("/dashboard/endpoints/{id}/pause");
    let others = another
        .get("/dashboard")
        .body
        .split("name=\"token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    for fields in [vec![], vec![("token", "")], vec![("token", "guess")], vec![("token", others.as_str())]] {
        let refused = reader.post_as_it_is(&path, &fields);
        assert_eq!(refused.status, 403, "{fields:?}");
        assert!(refused.body.contains("This form is not from here"));
    }
    // The right token from another site is no better.
    let own = reader
        .get("/dashboard")
        .body
        .split("name=\"token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    for headers in
        [[("sec-fetch-site", "cross-site")], [("sec-fetch-site", "same-site")], [("origin", "http://evil.example")]]
    {
        assert_eq!(reader.post_with(&path, &[("token", &own)], &headers).status, 403, "{headers:?}");
    }
    assert_eq!(tenant.partner.get(&format!("/webhook/{id}")).expect(200)["status"], "active");
    assert_eq!(reader.post_with(&path, &[("token", &own)], &[("sec-fetch-site", "same-origin")]).status, 303);
    assert_eq!(tenant.partner.get(&format!("/webhook/{id}")).expect(200)["status"], "paused");
}

#[test]
fn whoever_does_it_is_named_with_their_address() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let id = made["id"].as_str().unwrap();
    Reader::signed_in(&node, tenant.key()).post_and_follow(&format!("/dashboard/endpoints/{id}/pause"), &[]);
    let entry = &node.operator().get(&format!("/audit?action=endpoint.paused&subject={id}")).expect(200)["data"][0];
    assert_eq!((&entry["actor"], &entry["address"]), (&json!("partner"), &json!("127.0.0.1")));
    assert_ne!(entry["key"], Value::Null);
    // Operators read of a key what it is listed by.
    let keys = node.operator().get("/keys?limit=250").expect(200);
    let key = keys["data"].as_array().unwrap().iter().find(|key| key["id"] == entry["key"]).unwrap();
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let page = operator.get(&format!("/dashboard/audit?action=endpoint.paused&subject={id}")).body;
    assert!(page.contains(&format!(">{}…</span>", key["prefix"].as_str().unwrap())), "{page}");
    // What there is a page of is a link.
    let made = operator.get("/dashboard/audit?action=partner.created").body;
    assert!(made.contains(&format!("href=\"/dashboard/partners/{}\"", tenant.name)), "{made}");
}

#[test]
fn a_time_that_is_none_is_told_beside_its_filter() {
    let node = NODE.get();
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    for list in ["audit", "events", "deliveries"] {
        let page = operator.get(&format!("/dashboard/{list}?since=banana&until=24h"));
        assert_eq!(page.status, 200, "{list}");
        for said in [
            "id=\"since-wrong\"",
            "<code>banana</code> is no time: write 24h",
            "Nothing was looked for",
            "value=\"banana\"",
        ] {
            assert!(page.body.contains(said), "{list}: {said}: {}", page.body);
        }
        assert!(!page.body.contains("until-wrong") && !page.body.contains("3339"), "{list}: {}", page.body);
    }
}

#[test]
fn signing_in_says_where_a_key_comes_from() {
    let page = Reader::nobody(&NODE.get()).get("/dashboard/login").body;
    for said in ["operator_key", "the first start printed", "POST /keys", "stop the node", "with the same store"] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[test]
fn another_partners_things_are_not_there() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let (one, other) = (node.tenant("sandbox"), node.tenant("sandbox"));
    let made = one.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let accepted = one.event(campaign("campaign.created", "theirs"));
    let delivery = one.settled(&accepted, "delivered");
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let reader = Reader::signed_in(&node, other.key());
    for path in [
        format!("/dashboard/endpoints/{}", id(&made)),
        format!("/dashboard/events/{}", id(&accepted)),
        format!("/dashboard/events/{}/payload", id(&accepted)),
        format!("/dashboard/deliveries/{}", id(&delivery)),
    ] {
        assert_eq!(reader.get(&path).status, 404, "{path}");
        assert_eq!(Reader::signed_in(&node, one.key()).get(&path).status, 200, "{path}");
    }
    for verb in ["pause", "delete", "secret", "rotate", "test"] {
        assert_eq!(reader.post(&format!("/dashboard/endpoints/{}/{verb}", id(&made)), &[]).status, 404, "{verb}");
    }
    let named = reader.get(&format!("/dashboard/endpoints?partner={}", one.name));
    assert!(!named.body.contains(&id(&made)));
}
