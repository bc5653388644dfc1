//! SIGTERM: ends with code 0 in the time it was given, loses nothing, and the
//! next start goes on where this one was.

use std::io::Write;
use std::time::Duration;

use posthaste::cli::receiver::Behaviour;
use posthaste::clock::Clock;
use posthaste::domain::Timestamp;
use serde_json::{Value, json};

use crate::support::folder::Folder;
use crate::support::http::{Response, connect, read_answer};
use crate::support::node::{Node, Tenant, campaign, eventually};
use crate::support::receiver::{Subscriber, header, verifies};

/// The same keys on the same store, at its new address.
fn moved(tenant: Tenant, node: &Node) -> Tenant {
    let at = |client: &crate::support::http::Client| node.client(client.key.as_deref().unwrap());
    Tenant { partner: at(&tenant.partner), producer: at(&tenant.producer), ..tenant }
}

/// A delivery or an attempt without what is computed when it is shown: what it waits for now, and
/// the sentences about that.
fn stored(shown: &Value) -> Value {
    match shown {
        Value::Object(fields) => {
            let is_stored = |name: &str| !["explanation", "waits_for"].contains(&name);
            let kept = fields.iter().filter(|(name, _)| is_stored(name));
            Value::Object(kept.map(|(name, value)| (name.clone(), stored(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(stored).collect()),
        plain => plain.clone(),
    }
}

#[test]
fn a_stop_leaves_hanging_attempts_for_the_next_start() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[("DRAIN_TIMEOUT_MS", "300")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::behaving(Behaviour { hang: true, ..Behaviour::default() });
    let made = tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"], "max_concurrency": 2 }));
    let accepted: Vec<Value> =
        (0..5).map(|number| tenant.event(campaign("campaign.created", &number.to_string()))).collect();
    let hanging = [subscriber.next(), subscriber.next()];
    assert!(hanging.iter().all(|request| request.attempt.as_deref() == Some("1")));

    let clock = Clock::system();
    let asked = clock.now().monotonic;
    assert!(node.stop().success());
    let took = clock.now().monotonic.since(asked);
    assert!(took < Duration::from_secs(3), "{took:?} for a drain of 300 ms");

    subscriber.succeed();
    let node = Node::on(&folder, &[]);
    let tenant = moved(tenant, &node);
    let mut arrived: Vec<String> = (0..5)
        .map(|_| subscriber.next())
        .map(|request| {
            assert_eq!(header(&request, "posthaste-attempt"), "1", "its outcome was not known, so its number repeats");
            assert!(verifies(&request, made["secret"].as_str().unwrap()));
            request.webhook_id.unwrap()
        })
        .collect();
    arrived.sort_unstable();
    let mut expected: Vec<&str> = accepted.iter().map(|event| event["id"].as_str().unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
    for event in &accepted {
        assert_eq!(tenant.settled(event, "delivered")["attempt_count"], 1);
    }
}

#[test]
fn a_stop_waits_for_an_attempt_that_ends_in_time() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::behaving(Behaviour { delay: Duration::from_millis(300), ..Behaviour::default() });
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "slow"));
    subscriber.next();
    assert!(node.stop_by("-INT").success(), "Ctrl-C is a clean stop, too");
    let node = Node::on(&folder, &[]);
    let delivery = moved(tenant, &node).delivery_of(&accepted);
    assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!("delivered"), &json!(1)));
    assert!(subscriber.already().is_none(), "it was sent once");
}

#[test]
fn a_retry_goes_on_after_a_restart_with_its_number_and_its_time() {
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    subscriber.fail();
    let webhook = |path: &str, event: &str, waits: Value| {
        tenant.webhook(&json!({ "url": subscriber.url(path), "events": [event], "retry": { "schedule_ms": waits } }));
    };
    webhook("/soon", "campaign.created", json!([50, 1_200]));
    webhook("/later", "campaign.failed", json!([3_600_000]));
    let (soon, later) =
        (tenant.event(campaign("campaign.created", "s")), tenant.event(campaign("campaign.failed", "l")));
    let before = eventually("two attempts have failed", || {
        Some(tenant.delivery_of(&soon)).filter(|delivery| delivery["attempt_count"] == 2)
    });
    let later_before = tenant.settled(&later, "retrying");
    assert!(node.stop().success());
    for _ in 0..3 {
        subscriber.next();
    }
    subscriber.succeed();

    let node = Node::on(&folder, &[]);
    let tenant = moved(tenant, &node);
    let request = subscriber.next();
    assert_eq!((request.path.as_str(), header(&request, "posthaste-attempt")), ("/soon", "3"));
    assert_eq!(header(&request, "posthaste-delivery"), before["id"]);
    let due: Timestamp = before["next_attempt_at"].as_str().unwrap().parse().unwrap();
    assert!(request.at >= due, "{} is before {due}", request.at);
    let delivered = tenant.settled(&soon, "delivered");
    assert_eq!(delivered["attempt_count"], 3);
    for index in [0, 1] {
        assert_eq!(stored(&delivered["attempts"][index]), stored(&before["attempts"][index]));
    }
    assert_eq!(stored(&tenant.delivery_of(&later)), stored(&later_before), "a restart resets nothing");
}

#[test]
fn what_is_posted_while_it_stops_is_refused_or_kept() {
    const SENDERS: usize = 4;
    let folder = Folder::new();
    let node = Node::on(&folder, &[]);
    let tenant = node.tenant("production");
    tenant.webhook(&json!({ "url": "https://example.com/", "events": ["*"], "enabled": false }));
    let accepted: Vec<String> = std::thread::scope(|scope| {
        let (sent, first) = std::sync::mpsc::channel();
        let tenant = &tenant;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let sent = sent.clone();
                scope.spawn(move || {
                    let key = tenant.producer.key.as_deref().unwrap();
                    let mut accepted = Vec::new();
                    for number in 0.. {
                        let body = campaign("campaign.created", &format!("{sender}-{number}"));
                        let head = format!(
                            "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
                             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                            body.len()
                        );
                        // The end is a refused connection, or one that closes without an answer.
                        let Ok(mut stream) = std::net::TcpStream::connect(tenant.producer.address) else { break };
                        let _ = stream.write_all((head + &body).as_bytes());
                        let Some(answer) = Response::parse(&read_answer(&mut stream)) else { break };
                        if answer.status == 202 {
                            accepted.push(answer.json()["id"].as_str().unwrap().to_owned());
                        } else {
                            answer.problem(503, "store-unavailable");
                        }
                        let _ = sent.send(());
                    }
                    accepted
                })
            })
            .collect();
        for _ in 0..50 {
            first.recv().unwrap();
        }
        assert!(node.stop().success());
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    assert!(accepted.len() >= 40, "{}", accepted.len());
    let node = Node::on(&folder, &[]);
    let tenant = moved(tenant, &node);
    for id in &accepted {
        assert_eq!(tenant.partner.get(&format!("/events/{id}")).expect(200)["deliveries"], 1);
    }
}

#[test]
fn a_client_that_sends_no_more_does_not_hold_up_a_stop() {
    let node = Node::start(&[("DRAIN_TIMEOUT_MS", "100")]);
    let tenant = node.tenant("production");
    // Connected and silent, and in the middle of a body.
    let _silent = connect(node.address);
    let mut stuck = connect(node.address);
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        tenant.producer.key.as_deref().unwrap()
    );
    stuck.write_all(head.as_bytes()).unwrap();
    node.nobody().get("/readyz").expect(200);
    let clock = Clock::system();
    let asked = clock.now().monotonic;
    assert!(node.stop().success());
    let took = clock.now().monotonic.since(asked);
    assert!(took < Duration::from_secs(8), "{took:?}");
}
