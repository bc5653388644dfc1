//! Finding things by what somebody has in hand: `GET /search`, and the lists' filters.

use serde_json::{Value, json};

use crate::support::http::Client;
use crate::support::node::{SharedNode, Tenant, campaign};

static NODE: SharedNode = SharedNode::new();

fn posted_with(tenant: &Tenant, key: &str, body: &str) -> Value {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    tenant.producer.send("POST", "/events", &headers, body.as_bytes()).expect(202)["id"].clone()
}

#[track_caller]
fn listed(client: &Client, path: &str) -> Vec<Value> {
    let page = client.get(path).expect(200);
    page["data"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
}

/// What is found, as kind, id and why.
#[track_caller]
fn found(client: &Client, query: &str) -> Vec<(String, String, String)> {
    let answer = client.get(&format!("/search?{query}")).expect(200);
    assert_eq!(answer["searched"]["complete"], json!(true), "{answer}");
    assert_eq!(answer["searched"]["since"], Value::Null, "{answer}");
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    let data = answer["data"].as_array().unwrap();
    data.iter().map(|item| (text(item, "kind"), text(item, "id"), text(item, "why"))).collect()
}

fn one(kind: &str, id: &Value, why: &str) -> Vec<(String, String, String)> {
    vec![(kind.to_owned(), id.as_str().unwrap().to_owned(), why.to_owned())]
}

#[test]
fn events_are_found_by_every_filter() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let first = posted_with(&tenant, "order 1", &campaign("campaign.created", "cmp:1"));
    let second = tenant.event(campaign("campaign.updated", "7"))["id"].clone();
    let number = json!({
        "event": "campaign.failed", "provider": "facebook", "type": "link_clicks", "id": 7, "status": "FAILED",
    });
    let third = tenant.event(number.to_string())["id"].clone();
    other.event(campaign("campaign.updated", "7"));
    let accepted_at = |id: &Value| {
        let shown = tenant.partner.get(&format!("/events/{}", id.as_str().unwrap())).expect(200);
        shown["accepted_at"].as_str().unwrap().to_owned()
    };
    for (query, expected) in [
        ("type=campaign.updated".to_owned(), vec![&second]),
        ("type=campaign.*".to_owned(), vec![&third, &second, &first]),
        ("type=*".to_owned(), vec![&third, &second, &first]),
        ("type=order.*".to_owned(), vec![]),
        ("idempotency_key=order+1".to_owned(), vec![&first]),
        ("idempotency_key=order".to_owned(), vec![]),
        ("field=/id:7".to_owned(), vec![&third, &second]),
        ("field=/id:cmp:1".to_owned(), vec![&first]),
        ("field=/id:7&type=campaign.failed".to_owned(), vec![&third]),
        ("field=/id:".to_owned(), vec![]),
        (format!("since={}", accepted_at(&first)), vec![&third, &second, &first]),
        (format!("until={}", accepted_at(&first)), vec![]),
    ] {
        let expected: Vec<Value> = expected.into_iter().cloned().collect();
        assert_eq!(listed(&tenant.partner, &format!("/events?{query}")), expected, "{query}");
        assert_eq!(listed(&tenant.producer, &format!("/events?{query}")), expected, "{query}");
    }
    let shown = tenant.partner.get("/events?idempotency_key=order+1").expect(200);
    assert_eq!(shown["data"][0]["idempotency_key"], "order 1");
    for (wrong, part) in [
        ("type=Campaign", "`type`"),
        ("since=yesterday", "`since`"),
        ("idempotency_key=", "`idempotency_key`"),
        ("idempotency_key=%C3%A9", "1 to 255 visible ASCII characters"),
        ("field=/status:ACTIVE", "there is `/id`"),
        ("field=/id", "`POINTER:VALUE`"),
        ("field=id:7", "`field`"),
    ] {
        let problem = tenant.partner.get(&format!("/events?{wrong}")).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{wrong}: {problem}");
    }
}

#[test]
fn whatever_is_in_hand_leads_to_what_goes_by_it() {
    let node = NODE.get();
    let (tenant, other) = (node.tenant("production"), node.tenant("production"));
    let hook = json!({ "url": "https://EXAMPLE.com:443/Hook", "events": ["*"], "enabled": false });
    let made = tenant.webhook(&hook);
    let theirs = other.webhook(&hook);
    let event = posted_with(&tenant, "order-77", &campaign("campaign.created", "cmp_77"));
    let delivery = tenant.delivery_of(&json!({ "id": event }))["id"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    assert_eq!(found(&tenant.partner, &format!("q={}", text(&event))), one("event", &event, "id"));
    assert_eq!(found(&tenant.producer, &format!("q={}", text(&delivery))), one("delivery", &delivery, "id"));
    assert_eq!(found(&tenant.partner, &format!("q={}", text(&made["id"]))), one("webhook", &made["id"], "id"));
    for spelling in ["https://example.com/Hook", "https://EXAMPLE.com:443/Hook"] {
        assert_eq!(found(&tenant.partner, &format!("q={spelling}")), one("webhook", &made["id"], "url"));
        assert_eq!(listed(&tenant.partner, &format!("/webhook?url={spelling}")), std::slice::from_ref(&made["id"]));
    }
    assert_eq!(found(&tenant.partner, "q=order-77"), one("event", &event, "idempotency_key"));
    assert_eq!(found(&tenant.partner, "q=cmp_77"), one("event", &event, "field"));
    let of_type = found(&tenant.partner, "q=campaign.created");
    assert_eq!(of_type[0], ("event_type".to_owned(), "campaign.created".to_owned(), "name".to_owned()));
    assert_eq!(of_type[1..], one("event", &event, "event_type"));
    assert_eq!(found(&tenant.partner, "q=nothing"), []);
    assert_eq!(found(&tenant.partner, "q=cmp_77&until=2020-01-01T00:00:00Z"), []);

    // Another partner's things are not there, and some are not everybody's to see.
    for thing in [&event, &delivery, &made["id"]] {
        assert_eq!(found(&other.partner, &format!("q={}", text(thing))), []);
    }
    assert_eq!(found(&other.partner, "q=cmp_77"), []);
    assert_eq!(found(&tenant.producer, &format!("q={}", text(&made["id"]))), []);
    let operator = node.operator();
    let key = operator.post("/keys", r#"{"role": "operator"}"#).expect(201)["id"].clone();
    assert_eq!(found(&operator, &format!("q={}", text(&key))), one("key", &key, "id"));
    assert_eq!(found(&tenant.partner, &format!("q={}", text(&key))), []);
    let over_all = operator.get("/search?q=cmp_77&partner=*").expect(200);
    assert_eq!(
        (&over_all["data"][0]["partner"], &over_all["data"][0]["pointer"]),
        (&json!(tenant.name), &json!("/id"))
    );

    for wrong in ["", "q=", "q=%00"] {
        let problem = tenant.partner.get(&format!("/search?{wrong}")).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("`q`"), "{wrong}: {problem}");
    }
    let problem = tenant.partner.get("/webhook?url=nowhere").problem(422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("`url`"), "{problem}");

    // Several by their ids: what is somebody else's is left out.
    let named = format!("{},{},{0}", text(&made["id"]), text(&theirs["id"]));
    assert_eq!(listed(&tenant.partner, &format!("/webhook?endpoints={named}")), std::slice::from_ref(&made["id"]));
    assert_eq!(listed(&operator, &format!("/webhook?partner=*&endpoints={named}")).len(), 2);
    for wrong in ["nonsense".to_owned(), String::new(), format!("{named}&limit=1"), format!("{named}&url=https://a.b/")]
    {
        let problem = tenant.partner.get(&format!("/webhook?endpoints={wrong}")).problem(422, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("`endpoints`"), "{wrong}: {problem}");
    }
}

#[test]
fn a_search_says_how_far_it_went() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    let events: Vec<Value> =
        (0..3).map(|_| tenant.event(campaign("campaign.created", "often"))["id"].clone()).collect();
    let answer = tenant.partner.get("/search?q=often&limit=2").expect(200);
    let ids: Vec<&Value> = answer["data"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, [&events[2], &events[1]]);
    assert_eq!(answer["searched"]["complete"], json!(false));
    assert_eq!(answer["searched"]["since"], answer["data"][1]["at"]);
}

#[test]
fn deliveries_are_found_by_their_events_type() {
    let node = NODE.get();
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    tenant.event(campaign("campaign.created", "1"));
    let updated = tenant.event(campaign("campaign.updated", "2"))["id"].clone();
    for query in ["type=campaign.updated", "type=campaign.updated&status=held"] {
        let page = tenant.partner.get(&format!("/deliveries?{query}")).expect(200);
        let events: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|item| &item["event"]).collect();
        assert_eq!(events, [&updated], "{query}");
    }
    assert_eq!(listed(&tenant.partner, "/deliveries?type=campaign.updated&status=delivered"), [Value::Null; 0]);
    tenant.partner.get("/deliveries?type=x*").problem(422, "invalid");
}

#[test]
fn a_type_says_what_its_events_are_found_by() {
    let node = NODE.get();
    let (tenant, operator) = (node.tenant("sandbox"), node.operator());
    let shipped = operator.get("/event-types/campaign.created?environment=sandbox").expect(200);
    assert_eq!(shipped["indexed"], json!(["/id"]));
    let path = "/event-types/parcel.sent?environment=sandbox";
    let definition = |indexed: Value| {
        let example = json!({ "event": "parcel.sent", "to": { "city": "Lyon" }, "fragile": true });
        json!({ "schema": {}, "example": example, "indexed": indexed }).to_string()
    };
    for (wrong, pointer) in [
        (json!("/id"), "/indexed"),
        (json!(["/id", 7]), "/indexed/1"),
        (json!(["id"]), "/indexed/0"),
        (json!(["/to"]), "/indexed"),
        (json!(["/id", "/id"]), "/indexed"),
        (json!((0..9).map(|number| format!("/{number}")).collect::<Vec<_>>()), "/indexed"),
    ] {
        let problem = operator.put(path, definition(wrong.clone())).problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{wrong}: {problem}");
    }
    let made = operator.put(path, definition(json!(["/to/city", "/fragile"]))).expect(201);
    assert_eq!(made["indexed"], json!(["/to/city", "/fragile"]));
    let sent = json!({ "event": "parcel.sent", "to": { "city": "Lyon" }, "fragile": true });
    let sent = tenant.event(sent.to_string())["id"].clone();
    for field in ["/to/city:Lyon", "/fragile:true"] {
        assert_eq!(listed(&tenant.partner, &format!("/events?field={field}")), std::slice::from_ref(&sent), "{field}");
    }
    // One may be put back as it was read, and left out is none.
    operator.put(path, made.to_string()).expect(200);
    let bare = json!({ "schema": {}, "example": { "event": "parcel.sent" } });
    assert_eq!(operator.put(path, bare.to_string()).expect(200)["indexed"], json!([]));
    tenant.partner.get("/events?field=/fragile:true").problem(422, "invalid");
    operator.delete(path).expect(204);
}
