//! What suffers, by the API: endpoints, the most harmed first, with what waits for them; what
//! their last attempts came to; how partners stand.

use serde_json::{Value, json};

use crate::support::node::{LATER_MS, Node, SharedNode, Tenant, campaign, eventually, time};
use crate::support::receiver::Subscriber;

static NODE: SharedNode = SharedNode::new();

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["data"].as_array().unwrap().iter().map(id).collect()
}

/// An endpoint that only fails, until its breaker is open.
fn opened(tenant: &Tenant, broken: &Subscriber) -> Value {
    let made = tenant.webhook(&json!({
        "url": broken.url("/broken"), "events": ["campaign.updated"], "retry": { "schedule_ms": [LATER_MS] },
    }));
    for number in 0..40 {
        tenant.event(campaign("campaign.updated", &number.to_string()));
    }
    eventually("its breaker is open", || (tenant.health(&made)["breaker"] == "open").then_some(()));
    made
}

#[test]
fn the_most_harmed_come_first_with_what_waits() {
    let node = Node::start(&[]);
    let (well, broken) = (Subscriber::start(), Subscriber::start());
    broken.fail();
    let tenant = node.tenant("production");
    let ill = opened(&tenant, &broken);
    let fine = tenant.webhook(&json!({ "url": well.url("/Fine"), "events": ["campaign.created"] }));
    let held = tenant.webhook(&json!({ "url": well.url("/held"), "events": ["campaign.created"] }));
    tenant.partner.post_empty(&format!("/webhook/{}/pause", id(&held))).expect(200);
    let accepted = tenant.event(campaign("campaign.created", "waits"));
    let listed = tenant.partner.get("/webhook-health").expect(200);
    assert_eq!(ids(&listed), [id(&ill), id(&held), id(&fine)]);
    let first = &listed["data"][0];
    let health = tenant.health(&ill);
    for field in ["breaker", "breaker_opened_at", "failing_since", "disabled_at", "backlog", "backlog_has_more"] {
        assert_eq!(first["health"][field], health[field], "{field}");
    }
    let waiting = &listed["data"][1]["health"];
    assert_eq!(waiting["backlog"], 1);
    let delivery = node
        .operator()
        .get(&format!("/deliveries?event={}&endpoint={}&partner={}", id(&accepted), id(&held), tenant.name))
        .expect(200);
    assert_eq!(waiting["oldest_waiting"]["delivery"], delivery["data"][0]["id"]);
    assert_eq!(waiting["oldest_waiting"]["created_at"], delivery["data"][0]["created_at"]);
    // Beside what it says more, it is the endpoint as it is listed.
    let plain = tenant.partner.get("/webhook").expect(200);
    for known in plain["data"].as_array().unwrap() {
        let mut found =
            listed["data"].as_array().unwrap().iter().find(|found| found["id"] == known["id"]).unwrap().clone();
        found.as_object_mut().unwrap().remove("health");
        assert_eq!(&found, known);
    }
    for (query, expected) in [
        ("health=open", vec![id(&ill)]),
        ("health=failing", vec![]),
        ("health=paused", vec![id(&held)]),
        ("health=disabled", vec![]),
        ("health=ok", vec![id(&fine)]),
        ("type=campaign.created", vec![id(&held), id(&fine)]),
        ("type=campaign.created&url_part=fine", vec![id(&fine)]),
        ("url_part=nowhere", vec![]),
    ] {
        assert_eq!(ids(&tenant.partner.get(&format!("/webhook-health?{query}")).expect(200)), expected, "{query}");
    }
    // Page by page, it is the same.
    let (mut found, mut path) = (Vec::new(), "/webhook-health?limit=1".to_owned());
    loop {
        let page = tenant.partner.get(&path).expect(200);
        found.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/webhook-health?limit=1&cursor={cursor}");
    }
    assert_eq!(found, [id(&ill), id(&held), id(&fine)]);
    for wrong in ["health=bad", "type=no%20type", "url_part=", "cursor=1-ep_1", "cursor=9", "colour=red"] {
        tenant.partner.get(&format!("/webhook-health?{wrong}")).problem(422, "invalid");
    }
    // A stranger sees nothing of it, and an operator all.
    assert_eq!(ids(&node.tenant("production").partner.get("/webhook-health").expect(200)), Vec::<&str>::new());
    let all = node.operator().get("/webhook-health?partner=*").expect(200);
    assert_eq!(ids(&all)[0], id(&ill));
    assert_eq!(
        ids(&node.operator().get("/webhook-health?partner=*&environment=sandbox").expect(200)),
        Vec::<&str>::new()
    );
}

#[test]
fn last_attempts_are_told() {
    let node = NODE.get();
    let subscriber = Subscriber::failing(1);
    let tenant = node.tenant("sandbox");
    let made =
        tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "retry": { "schedule_ms": [10] } }));
    let accepted = tenant.event(campaign("campaign.created", "1"));
    let delivery = tenant.settled(&accepted, "delivered");
    let path = format!("/webhook/{}/attempts", id(&made));
    let told = tenant.partner.get(&path).expect(200)["data"].clone();
    let shown: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|seen| (id_of(seen), seen["number"].as_u64(), seen["error_class"].as_str()))
        .collect();
    assert_eq!(shown, [(id(&delivery), Some(2), None), (id(&delivery), Some(1), Some("http_status"))]);
    let whole = tenant.delivery(id(&delivery));
    for (seen, number) in [(&told[0], 1), (&told[1], 0)] {
        for field in ["number", "started_at", "duration_ms", "status_code"] {
            assert_eq!(seen[field], whole["attempts"][number][field], "{field}");
        }
    }
    assert_eq!(tenant.partner.get(&format!("{path}?limit=1")).expect(200)["data"].as_array().unwrap().len(), 1);
    tenant.partner.get(&format!("{path}?cursor=1")).problem(422, "invalid");
    node.tenant("sandbox").partner.get(&path).problem(404, "not-found");
}

fn id_of(seen: &Value) -> &str {
    seen["delivery"].as_str().unwrap()
}

#[test]
fn partners_are_told_with_how_they_stand() {
    let node = NODE.get();
    let subscriber = Subscriber::start();
    subscriber.fail();
    let tenant = node.tenant("production");
    tenant
        .webhook(&json!({ "url": subscriber.url("/"), "events": ["campaign.failed"], "retry": { "schedule_ms": [] } }));
    let held =
        tenant.webhook(&json!({ "url": subscriber.url("/held"), "events": ["campaign.created"], "enabled": false }));
    let lost = tenant.event(campaign("campaign.failed", "1"));
    tenant.settled(&lost, "retries_exhausted");
    let last = tenant.event(campaign("campaign.created", "2"));
    let one = node.operator().get(&format!("/partner-health?partner={}", tenant.name)).expect(200);
    let [found] = one["data"].as_array().unwrap().as_slice() else { panic!("{one}") };
    let counts = ["endpoints", "backlog", "exhausted"].map(|field| found[field].as_u64().unwrap());
    assert_eq!((found["name"].as_str(), counts), (Some(tenant.name.as_str()), [2, 1, 1]));
    assert_eq!(found["last_event"]["event"], last["id"]);
    let accepted = tenant.partner.get(&format!("/events/{}", id(&last))).expect(200);
    assert_eq!(time(&found["last_event"]["accepted_at"]), time(&accepted["accepted_at"]));
    let there =
        node.operator().get(&format!("/partner-health?partner={}&environment=sandbox", tenant.name)).expect(200);
    assert_eq!((&there["data"][0]["endpoints"], &there["data"][0]["last_event"]), (&json!(0), &Value::Null));
    let all = node.operator().get("/partner-health?partner=*&limit=250").expect(200);
    assert!(all["data"].as_array().unwrap().contains(found), "{all}");
    let plain = node.operator().get("/partners?limit=250").expect(200);
    let names =
        |list: &Value| list["data"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&all), names(&plain), "in the order of `GET /partners`");
    tenant.partner.get("/partner-health").problem(403, "forbidden");
    tenant.partner.delete(&format!("/webhook/{}", id(&held))).expect(204);
}

#[test]
fn statistics_are_told_of_those_that_are_named_and_step_by_step() {
    let node = NODE.get();
    let subscriber = Subscriber::start();
    let tenant = node.tenant("production");
    let [one, two, three] = ["one", "two", "three"].map(|name| {
        tenant.webhook(&json!({ "url": subscriber.url(&format!("/{name}")), "events": ["campaign.created"] }))
    });
    tenant.event(campaign("campaign.created", "1"));
    let (one, two, three) = (id(&one), id(&two), id(&three));
    let path = format!("/stats?by=endpoint&endpoints={three},{one},{three}&histogram=true");
    let told = eventually("both are counted", || {
        let told = tenant.partner.get(&path).expect(200);
        told["data"].as_array().unwrap().iter().all(|series| series["totals"]["attempts"] == 1).then_some(told)
    });
    let series = told["data"].as_array().unwrap();
    assert_eq!(series.iter().map(|series| series["endpoint"].as_str().unwrap()).collect::<Vec<_>>(), [three, one]);
    assert_eq!(told["next_cursor"], Value::Null);
    for series in series {
        let [step] = series["histogram"].as_array().unwrap().as_slice() else { panic!("{series}") };
        assert_eq!((&step["at_most_ms"], &step["count"]), (&series["totals"]["attempt_ms"]["p50"], &json!(1)));
    }
    let plain = tenant.partner.get(&format!("/webhook/{two}/stats")).expect(200);
    assert!(plain["data"][0].get("histogram").is_none(), "only where it is asked for");
    eventually("it is counted", || {
        let asked = tenant.partner.get(&format!("/webhook/{two}/stats?histogram=true")).expect(200);
        (asked["data"][0]["histogram"].as_array().unwrap().len() == 1).then_some(())
    });
    // What is somebody else's is left out.
    let stranger = node.tenant("production");
    let nothing = stranger.partner.get(&path).expect(200);
    assert_eq!(nothing["data"], json!([]));
    for wrong in [
        format!("/stats?endpoints={one}"),
        format!("/stats?by=endpoint&endpoints={one}&cursor={two}"),
        format!("/stats?by=endpoint&endpoints={one},{two}&limit=1"),
        "/stats?by=endpoint&endpoints=".to_owned(),
        format!("/stats?by=endpoint&endpoints={one},nonsense"),
        "/stats?histogram=maybe".to_owned(),
    ] {
        tenant.partner.get(&wrong).problem(422, "invalid");
    }
}

#[test]
fn replays_are_listed_by_endpoint() {
    let node = NODE.get();
    let subscriber = Subscriber::start();
    let tenant = node.tenant("sandbox");
    let [one, two] = ["one", "two"]
        .map(|name| tenant.webhook(&json!({ "url": subscriber.url(&format!("/{name}")), "events": ["*"] })));
    let begin = |endpoint: &Value| {
        let answer = tenant.partner.post(&format!("/webhook/{}/replay", id(endpoint)), "{}").expect(202);
        id(&answer).to_owned()
    };
    let (first, second) = (begin(&one), begin(&two));
    let listed = |endpoint: &Value| tenant.partner.get(&format!("/replays?endpoint={}", id(endpoint))).expect(200);
    assert_eq!(ids(&listed(&one)), [first.as_str()]);
    assert_eq!(ids(&listed(&two)), [second.as_str()]);
    assert_eq!(
        ids(&node.tenant("sandbox").partner.get(&format!("/replays?endpoint={}", id(&one))).expect(200)),
        Vec::<&str>::new()
    );
    tenant.partner.get("/replays?endpoint=nonsense").problem(422, "invalid");
}
