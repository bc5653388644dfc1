//! What operators set up and run by pages: the catalog with its checks, nodes, settings,
//! the audit log; and that the ways of each role lead where they say.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::dashboard::browser::Browser;
use crate::dashboard::reader::Reader;
use crate::support::node::{Node, OPERATOR_KEY, SharedNode, campaign};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

/// The value of a hidden field.
fn hidden(body: &str, name: &str) -> Option<String> {
    let rest = body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    Some(rest.split('"').next().unwrap().to_owned())
}

/// The ways that a page shows.
fn ways(reader: &Reader) -> BTreeSet<String> {
    let page = reader.get("/dashboard").body;
    let nav = page.split("<nav class=\"side\"").nth(1).unwrap().split("</nav>").next().unwrap();
    let links = nav.split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    links.filter(|link| link.starts_with("/dashboard")).collect()
}

#[test]
fn every_way_leads_to_whom_it_is_shown_and_to_nobody_else() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let all = ways(&operator);
    for way in [
        "/dashboard",
        "/dashboard/catalog",
        "/dashboard/keys",
        "/dashboard/nodes",
        "/dashboard/audit",
        "/dashboard/settings",
    ] {
        assert!(all.contains(way), "{way} is none of {all:?}");
    }
    for key in [OPERATOR_KEY, tenant.key(), tenant.producer.key.as_deref().unwrap()] {
        let reader = Reader::signed_in(&node, key);
        let shown = ways(&reader);
        assert!(shown.is_subset(&all), "{shown:?}");
        for way in &all {
            let page = reader.get(way);
            let expected = if shown.contains(way) { 200 } else { 403 };
            assert_eq!(page.status, expected, "{way} for {key}: {}", page.body);
            if expected == 200 {
                assert!(page.body.contains("aria-current=\"page\""), "{way} says where one is");
            }
        }
    }
    assert!(!ways(&Reader::signed_in(&node, tenant.key())).contains("/dashboard/settings"));
}

#[test]
fn a_key_says_when_it_ends() {
    let node = NODE.get();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let made = reader.post("/dashboard/keys", &[("role", "operator"), ("expires_at", "30d")]);
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(made.body.contains("It expires <time"), "{}", made.body);
    let listed = reader.get("/dashboard/keys").body;
    assert!(listed.contains("in 30 d</time>"), "{listed}");
    let made = reader.post("/dashboard/keys", &[("role", "operator")]);
    assert!(made.body.contains("It does not expire."), "{}", made.body);
}

const SCHEMA: &str =
    r#"{"type": "object", "required": ["event", "total"], "properties": {"total": {"type": "number"}}}"#;

fn of_type<'a>(name: &'a str, schema: &'a str, example: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("name", name),
        ("description", "An order <b>."),
        ("schema", schema),
        ("example", example),
        ("indexed", "/id"),
        ("retry", ""),
    ]
}

#[test]
fn a_type_is_added_changed_and_taken_out() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let form = reader.get("/dashboard/catalog?new=1");
    assert!(form.body.contains("name=\"name\"") && form.body.contains("Check what would come of it"), "{}", form.body);
    assert!(!form.body.contains("value=\"save\""), "nothing is saved that was not checked");

    // What is wrong stands at its field, with its place, and what was typed stays.
    let example = r#"{"event": "order.formed", "total": 1}"#;
    for (field, fields, told) in [
        ("schema", of_type("order.formed", "{", example), "this is not JSON"),
        (
            "schema",
            of_type("order.formed", r#"{"properties": {"total": {"type": "money"}}}"#, example),
            "/properties/total/type: ",
        ),
        ("example", of_type("order.formed", SCHEMA, r#"{"event": "order.formed", "total": "many"}"#), "/total: "),
        ("name", of_type("", SCHEMA, example), "expected a name"),
        ("name", of_type("campaign.updated", r#"{}"#, r#"{"event": "campaign.updated"}"#), "already"),
    ] {
        let answer = reader.post("/dashboard/catalog", &fields);
        assert_eq!(answer.status, 422, "{fields:?}: {}", answer.body);
        let wrong = answer
            .body
            .split(&format!("id=\"{field}-wrong\""))
            .nth(1)
            .unwrap_or_else(|| panic!("{field}: {}", answer.body));
        assert!(wrong.split("</div>").next().unwrap().contains(told), "{field}: {}", answer.body);
        // It is said above the form, too, and who comes back is where it is.
        let banner =
            answer.body.split("id=\"not-checked\"").nth(1).unwrap_or_else(|| panic!("{field}: {}", answer.body));
        assert!(banner.split("</p>").next().unwrap().contains(&format!("href=\"#{field}\"")), "{field}: {banner}");
        let focused = answer.body.split(" autofocus").next().unwrap();
        assert!(focused.rsplit('<').next().unwrap().contains(&format!("id=\"{field}\"")), "{field}: {}", answer.body);
        assert!(answer.body.contains("value=\"An order &lt;b&gt;.\""));
    }

    let wanted = of_type("order.formed", SCHEMA, example);
    let checked = reader.post("/dashboard/catalog", &wanted);
    assert_eq!(checked.status, 200, "{}", checked.body);
    assert!(checked.body.contains("It is a new type") && checked.body.contains("no event of it to try it on"));
    node.operator().get("/event-types/order.formed").problem(404, "not-found");
    let digest = hidden(&checked.body, "checked").unwrap();
    let save = |path: &str, fields: &[(&str, &str)], digest: &str| {
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("do", "save"), ("checked", digest)]).collect();
        reader.post(path, &fields)
    };
    // What was checked is what is saved: something else is checked first.
    let other = of_type("order.formed", "{}", example);
    let again = save("/dashboard/catalog", &other, &digest);
    assert_eq!(again.status, 200);
    node.operator().get("/event-types/order.formed").problem(404, "not-found");
    let saved = save("/dashboard/catalog", &wanted, &digest);
    assert_eq!(saved.status, 303, "{}", saved.body);
    let page = reader.follow(saved.header("location").unwrap());
    assert!(
        page.body.contains("Added: events of order.formed are accepted") && page.body.contains("An order &lt;b&gt;.")
    );
    let stored = node.operator().get("/event-types/order.formed").expect(200);
    assert_eq!((&stored["indexed"], &stored["retry"]), (&json!(["/id"]), &Value::Null));
    assert_eq!(stored["schema"], serde_json::from_str::<Value>(SCHEMA).unwrap());

    for total in [1.0, 2.5] {
        tenant.event(json!({ "event": "order.formed", "total": total }).to_string());
    }
    let change = "/dashboard/catalog/order.formed/change";
    let form = reader.get(change);
    assert!(form.body.contains("&quot;number&quot;") && !form.body.contains("name=\"name\""), "{}", form.body);
    let narrower = SCHEMA.replace("number", "integer");
    let wanted = of_type("order.formed", &narrower, example);
    let checked = reader.post(change, &wanted);
    assert_eq!(checked.status, 200, "{}", checked.body);
    for told in [
        "/schema/properties/total/type",
        "may not be number any more",
        "producers",
        "though it would refuse 1 recent event",
        "/dashboard/events/evt_",
    ] {
        assert!(checked.body.contains(told), "{told}: {}", checked.body);
    }
    assert_eq!(node.operator().get("/event-types/order.formed").expect(200), stored, "nothing is done yet");
    let saved = save(change, &wanted, &hidden(&checked.body, "checked").unwrap());
    assert_eq!(saved.status, 303, "{}", saved.body);
    tenant
        .producer
        .post("/events", json!({ "event": "order.formed", "total": 2.5 }).to_string())
        .problem(422, "invalid-event");
    let same = reader.post(change, &wanted);
    assert!(same.body.contains("Nothing: it is as it was.") && !same.body.contains("value=\"save\""), "{}", same.body);

    let gone = reader.post_and_follow("/dashboard/catalog/order.formed/delete", &[]);
    assert!(gone.body.contains("Taken out: no event of order.formed is accepted any more."), "{}", gone.body);
    node.operator().get("/event-types/order.formed").problem(404, "not-found");

    // Whoever only reads the catalog has no such forms.
    let partner = Reader::signed_in(&node, tenant.key());
    assert!(!partner.get("/dashboard/catalog?new=1").body.contains("name=\"schema\""));
    assert_eq!(partner.get("/dashboard/catalog/campaign.updated/change").status, 403);
    assert!(!partner.get("/dashboard/catalog/campaign.updated").body.contains("/change"));
    for path in [
        "/dashboard/catalog",
        "/dashboard/catalog/campaign.updated/change",
        "/dashboard/catalog/campaign.updated/delete",
    ] {
        assert_eq!(
            partner.post(path, &of_type("campaign.updated", "{}", "{}")).status,
            if path.ends_with("delete") { 303 } else { 403 },
            "{path}"
        );
    }
    node.operator().get("/event-types/campaign.updated").expect(200);
    // Posthaste's own are nobody's to change.
    let built_in = reader.get("/dashboard/catalog/posthaste.endpoint.disabled/change");
    assert_eq!(built_in.status, 404, "{}", built_in.body);
}

#[test]
fn the_catalog_says_who_wants_what_and_how_much_there_was() {
    let (node, subscriber) = (Node::start(&[]), Subscriber::start());
    let (one, other) = (node.tenant("production"), node.tenant("production"));
    one.webhook(&json!({ "url": subscriber.url("/all"), "events": ["*"] }));
    one.webhook(&json!({ "url": subscriber.url("/pattern"), "events": ["campaign.*"] }));
    other.webhook(&json!({ "url": subscriber.url("/exactly"), "events": ["campaign.updated"] }));
    for number in 0..3 {
        one.event(campaign("campaign.updated", &number.to_string()));
    }
    let row = |reader: &Reader, name: &str| {
        let page = reader.get("/dashboard/catalog").body;
        let row = page
            .split("<tr>")
            .find(|row| row.contains(&format!("/catalog/{name}\"")))
            .unwrap_or_else(|| panic!("{name}: {page}"));
        let figure = |label: &str| {
            let cell = row.split(&format!("data-l=\"{label}\">")).nth(1)?;
            Some(cell.split('<').next().unwrap().to_owned())
        };
        (figure("subscribers"), figure("events 24 h"))
    };
    let figures = |subscribers: &str, events: &str| (Some(subscribers.to_owned()), Some(events.to_owned()));
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    // Counts are written down every few seconds.
    crate::support::node::eventually("the events are counted", || {
        (row(&operator, "campaign.updated") == figures("3", "3")).then_some(())
    });
    assert_eq!(row(&operator, "campaign.created"), figures("2", "0"));
    assert_eq!(row(&operator, "screenshot_set.approved"), figures("1", "0"));
    // A partner's are its own; a producer knows of neither.
    assert_eq!(row(&Reader::signed_in(&node, other.key()), "campaign.updated"), figures("1", "0"));
    let producer = Reader::signed_in(&node, one.producer.key.as_deref().unwrap());
    assert_eq!(row(&producer, "campaign.updated"), (None, None));

    let page = operator.get("/dashboard/catalog/campaign.updated").body;
    for path in ["/all", "/pattern", "/exactly"] {
        assert!(page.contains(&subscriber.url(path)), "{path}: {page}");
    }
    let page = operator.get("/dashboard/catalog/campaign.created").body;
    assert!(!page.contains(&subscriber.url("/exactly")) && page.contains(&subscriber.url("/pattern")));
}

#[test]
fn the_catalog_says_what_was_refused() {
    let node = Node::start(&[]);
    let (one, other) = (node.tenant("production"), node.tenant("production"));
    let wrong = json!({ "event": "campaign.created", "id": 1 }).to_string();
    for tenant in [&one, &one, &other] {
        tenant.producer.post("/events", &wrong).problem(422, "invalid-event");
    }
    one.producer.post("/events", r#"{"event": "made.up"}"#).problem(422, "unknown-event-type");
    let operator = Reader::signed_in(&node, OPERATOR_KEY);
    let page = operator.get("/dashboard/catalog").body;
    let row =
        |name: &str| page.split("<tr>").find(|row| row.contains(&format!("/catalog/{name}\""))).unwrap().to_owned();
    let link = "data-l=\"refused 24 h\"><a href=\"/dashboard/events?tab=refused&amp;type=campaign.created\">3</a>";
    assert!(row("campaign.created").contains(link), "{page}");
    assert!(row("campaign.updated").contains("data-l=\"refused 24 h\">0</td>"), "{page}");
    assert!(page.contains("this node remembers") && page.contains("were of no known type"), "{page}");
    // They are of all partners: nobody sees them who looks at one.
    for page in [
        operator.get(&format!("/dashboard/catalog?partner={}", one.name)),
        Reader::signed_in(&node, one.key()).get("/dashboard/catalog"),
        Reader::signed_in(&node, one.producer.key.as_deref().unwrap()).get("/dashboard/catalog"),
    ] {
        assert!(page.status == 200 && !page.body.contains("refused 24 h"), "{}", page.body);
    }
}

#[test]
fn an_example_is_sent_to_a_partner_that_there_is() {
    let node = Node::start(&[("PAGE", "2"), ("PAGE_MAX", "2")]);
    let operator = node.operator();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = |query: &str| reader.get(&format!("/dashboard/catalog/campaign.updated{query}")).body;
    let select = |page: &str| {
        let rest = page.split("<select name=\"to\">").nth(1)?;
        Some(rest.split("</select>").next().unwrap().to_owned())
    };
    let offered = select(&page("")).expect("the one that there is from the start");
    assert!(offered.contains(">default</option>") && offered.contains("value=\"*\""), "{offered}");
    // The partner that is looked at.
    operator.post("/partners", r#"{"name": "acme"}"#).expect(201);
    let looked_at = page("?partner=acme");
    assert!(looked_at.contains("name=\"to\" value=\"acme\"") && select(&looked_at).is_none(), "{looked_at}");
    assert!(select(&page("")).unwrap().contains(">acme</option>"));
    // Of more than are listed one is typed.
    operator.post("/partners", r#"{"name": "globex"}"#).expect(201);
    let many = page("");
    assert!(select(&many).is_none() && many.contains("<datalist id=\"partners\">"), "{many}");
    let sent = reader.post_and_follow("/dashboard/catalog/campaign.updated/send", &[("to", "acme")]);
    assert!(sent.body.contains("Accepted, for 0 endpoints"), "{}", sent.body);
    let unsaid = reader.post_and_follow("/dashboard/catalog/campaign.updated/send", &[("to", "")]);
    assert!(unsaid.body.contains("say whose endpoints are to get it"), "{}", unsaid.body);
    // Where none is, the page says what to do first.
    for name in ["default", "acme", "globex"] {
        operator.delete(&format!("/partners/{name}?confirm={name}")).expect(202);
    }
    let none = crate::support::node::eventually("all are being erased", || {
        let page = page("");
        page.contains("once there is a partner").then_some(page)
    });
    assert!(none.contains("href=\"/dashboard/partners\"") && !none.contains("name=\"to\""), "{none}");
}

#[test]
fn what_has_nothing_says_what_comes_next() {
    let node = Node::start(&[]);
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let keys = reader.get("/dashboard/keys").body;
    assert!(keys.contains("No key was made yet") && !keys.contains("<caption>Newest first"), "{keys}");
    let shown = |page: &str| page.contains("<div class=\"nothing\" id=\"tail-none\">");
    let tail = reader.get("/dashboard/events?tab=tail").body;
    assert!(shown(&tail) && tail.contains("Send an example from the catalog"), "{tail}");
    let tenant = node.tenant("production");
    tenant.event(campaign("campaign.updated", "1"));
    assert!(!shown(&reader.get("/dashboard/events?tab=tail").body));
    let other = reader.get("/dashboard/events?tab=tail&type=campaign.created").body;
    assert!(shown(&other) && other.contains("Follow all types"), "{other}");
    let partner = Reader::signed_in(&node, node.tenant("production").key());
    let own = partner.get("/dashboard/events?tab=tail").body;
    assert!(shown(&own) && !own.contains("Send an example"), "{own}");
    assert!(reader.get("/dashboard/keys").body.contains("<caption>Newest first"));
}

#[test]
fn a_keys_end_is_typed_as_people_write_it() {
    let node = NODE.get();
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    reader.get("/dashboard/keys");
    let make = |note: &str, expires: &str| {
        let fields = [("role", "producer"), ("for", ""), ("description", note), ("expires_at", expires)];
        reader.post("/dashboard/keys", &fields)
    };
    let wrong = make("typed-wrong", "next year");
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    let said = wrong.body.split("id=\"expires_at-wrong\"").nth(1).unwrap().split("</div>").next().unwrap();
    assert!(said.contains("`next year` is no time: write 30d, 2027-01-31"), "{said}");
    assert!(wrong.body.contains("value=\"next year\"") && wrong.body.contains("value=\"typed-wrong\""));
    assert!(make("typed-past", "2020-01-31").body.contains("is past"));
    assert_eq!(make("typed-never", "").status, 201);
    assert_eq!(make("typed-day", "2099-12-31 12:00").status, 201);
    assert_eq!(make("typed-span", "30d").status, 201);
    let keys = node.operator().get("/keys").expect(200)["data"].clone();
    let end = |note: &str| {
        let key = keys.as_array().unwrap().iter().find(|key| key["description"] == note).unwrap();
        key["expires_at"].as_str().map(str::to_owned)
    };
    assert_eq!((end("typed-never"), end("typed-day")), (None, Some("2099-12-31T12:00:00.000Z".to_owned())));
    let end: posthaste::domain::Timestamp = end("typed-span").unwrap().parse().unwrap();
    let days = end.since(posthaste::clock::Clock::system().wall()).as_secs_f64() / 86_400.0;
    assert!((29.9..=30.0).contains(&days), "{days}");
}

#[test]
fn nodes_are_shown_with_their_partitions_and_figures() {
    let node = NODE.get();
    node.tenant("production").event(campaign("campaign.created", "1"));
    let page = Reader::signed_in(&node, OPERATOR_KEY).get("/dashboard/nodes").body;
    let id = node.operator().get("/nodes").expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    assert!(page.contains(&format!("id=\"{id}\"")) && page.contains("(answers you)"));
    let row = "A".repeat(16);
    assert_eq!(page.matches(&format!(">{row}</text>")).count(), 16, "the map has sixteen rows of its letter");
    assert!(page.contains("0–255"), "and a table that says the same: {page}");
    for label in ["since", "partitions", "commit p99", "memory", "lease ends"] {
        let cell = page.split(&format!("data-l=\"{label}\"")).nth(1).unwrap().split("</td>").next().unwrap();
        assert!(!cell.contains('—'), "{label}: {cell}");
    }
    assert!(page.contains("nothing can change hands"));
}

#[test]
fn settings_are_shown_with_their_source_and_without_secrets() {
    let node = Node::start(&[("WINDOW", "77"), ("PROXY", "http://me:a-password-of-the-proxy@127.0.0.1:9")]);
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = reader.get("/dashboard/settings").body;
    for name in posthaste::config::Options::NAMES {
        assert!(page.contains(&format!("<tr id=\"{name}\">")), "{name}");
    }
    assert!(!page.contains(OPERATOR_KEY) && !page.contains("a-password-of-the-proxy"));
    let row = |page: &str, name: &str| {
        page.split(&format!("<tr id=\"{name}\">")).nth(1).map(|rest| rest.split("</tr>").next().unwrap().to_owned())
    };
    let window = row(&page, "window").unwrap();
    for told in ["<code>77</code>", "default 128", "environment", "POSTHASTE_WINDOW", "Deliveries"] {
        assert!(window.contains(told), "{told}: {window}");
    }
    assert!(row(&page, "proxy").unwrap().contains("kept back"));
    assert!(page.contains("<code>tls_key</code>"), "what stands between backticks is code");
    let set = reader.get("/dashboard/settings?show=set").body;
    assert!(row(&set, "window").is_some() && row(&set, "readers").is_none());
    let differ = reader.get("/dashboard/settings?show=differ").body;
    assert!(differ.contains("Nothing fits these filters."), "there is one node only");
}

#[test]
fn the_audit_log_is_narrowed_down_and_says_what_changed() {
    let (node, subscriber) = (NODE.get(), Subscriber::start());
    let tenant = node.tenant("sandbox");
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let id = made["id"].as_str().unwrap();
    let settings = json!({ "rate_limit": { "per_second": 5 }, "description": "a <b>", "headers": { "x-a": "1" } });
    tenant.partner.patch(&format!("/webhook/{id}"), settings.to_string()).expect(200);
    let reader = Reader::signed_in(&node, OPERATOR_KEY);
    let page = reader.get(&format!("/dashboard/audit?subject={id}&action=endpoint.changed&actor=partner")).body;
    assert_eq!(page.matches("<tr id=\"entry-").count(), 1, "{page}");
    for told in [
        "<code>rate_limit</code> <del>none</del> → <ins>{&quot;per_second&quot;:5}</ins>",
        "<code>description</code> <del>none</del> → <ins>a &lt;b&gt;</ins>",
        "<code>headers</code> <ins>set: x-a</ins>",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    // Each filter is taken out by itself.
    let without = |name: &str| {
        let chip = page.split(&format!("aria-label=\"Remove the filter {name}\"")).next().unwrap();
        chip.rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&amp;", "&")
    };
    assert_eq!(without("action"), format!("/dashboard/audit?actor=partner&subject={id}"));
    assert_eq!(without("subject"), "/dashboard/audit?actor=partner&action=endpoint.changed");
    assert!(reader.get(&without("action")).body.contains("endpoint.created"));
    // In words, beside the word that the API has.
    assert!(page.contains("<b>changed an endpoint</b>") && page.contains(">endpoint.changed</span>"), "{page}");
    assert!(page.contains("<option value=\"node.released\">released a held node</option>"), "{page}");
    // Times are typed as everywhere.
    let lately = reader.get(&format!("/dashboard/audit?subject={id}&since=1h")).body;
    assert!(lately.matches("<tr id=\"entry-").count() >= 2, "{lately}");
    assert!(!reader.get(&format!("/dashboard/audit?subject={id}&until=2026-01-31")).body.contains("<tr id=\"entry-"));
    // A partner is not asked who it was.
    let own = Reader::signed_in(&node, tenant.key()).get("/dashboard/audit").body;
    for (action, is_offered) in [
        ("endpoint.created", true),
        ("key.created", true),
        ("brake.set", true),
        ("event_type.put", false),
        ("node.released", false),
        ("partner.created", false),
        ("secrets.reencrypted", false),
    ] {
        assert_eq!(own.contains(&format!("<option value=\"{action}\"")), is_offered, "{action}: {own}");
    }
    assert!(!own.contains("name=\"actor\"") && !own.contains("name=\"key\"") && own.contains("endpoint.changed"));
}

#[test]
fn a_change_is_checked_and_saved_in_a_browser() {
    let node = Node::start(&[]);
    let tenant = node.tenant("production");
    for number in 0..20 {
        tenant.event(campaign("campaign.updated", &format!("c-{number}")));
    }
    let base = node.base();
    let browser = Browser::start();
    browser.sign_in(&base, OPERATOR_KEY);
    let spoil = "const s = document.querySelector('#schema'); const schema = JSON.parse(s.value); \
                 schema.properties.status.enum = ['ACTIVE', 'ARCHIVED']; schema.required.push('owner'); \
                 s.value = JSON.stringify(schema, null, 2); \
                 const e = document.querySelector('#example'); const example = JSON.parse(e.value); \
                 example.owner = 'x'; example.status = 'ACTIVE'; e.value = JSON.stringify(example, null, 2);";
    for (width, scheme) in [(1280, "light"), (380, "light"), (1280, "dark"), (380, "dark")] {
        browser.width(width);
        browser.scheme(scheme);
        browser.go(&format!("{base}/dashboard/catalog/campaign.updated"));
        browser.click(".head a.button");
        browser.wait("#schema");
        browser.run(spoil);
        browser.click("button[value=check]");
        browser.wait_for_text("#verdict", "20 would be refused");
        browser.wait_for_text("#verdict", "owner is required now");
        let needed = browser.run("return document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(needed <= u64::from(width), "it needs {needed} px at {width}");
        assert_eq!(browser.run(include_str!("access.js")), json!([]), "at {width}, {scheme}");
        browser.picture(&format!("event-type-checked-{width}-{scheme}"));
    }
    browser.click("button[value=save]");
    browser.wait_for_text("main", "Saved: events of campaign.updated are checked against this");
    let stored = node.operator().get("/event-types/campaign.updated").expect(200);
    assert_eq!(stored["schema"]["properties"]["status"]["enum"], json!(["ACTIVE", "ARCHIVED"]));
    assert_eq!(browser.console(), Vec::<String>::new());
}
