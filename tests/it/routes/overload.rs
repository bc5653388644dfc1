//! Overload: 503 with `Retry-After` before anything is half done, and every
//! 202 among them kept.

use std::collections::HashSet;

use serde_json::json;

use crate::support::node::{Node, campaign, eventually};
use crate::support::receiver::Subscriber;

#[test]
fn a_full_journal_answers_503_and_forgets_no_202() {
    const SENDERS: usize = 12;
    const EACH: usize = 40;
    let node = Node::start(&[("JOURNAL_QUEUE", "1"), ("JOURNAL_BATCH", "1")]);
    let tenant = node.tenant("production");
    let subscriber = Subscriber::start();
    tenant.webhook(&json!({ "url": subscriber.url("/"), "events": ["*"] }));
    // Events one by one and, from every other sender, three in a batch.
    let answers: Vec<_> = std::thread::scope(|scope| {
        let send = |sender: usize| {
            let event = |number: usize| campaign("campaign.created", &format!("{sender}-{number}"));
            let post = |number| match sender % 2 {
                0 => (1, tenant.producer.post("/events", event(number))),
                _ => (3, tenant.producer.post("/events/batch", vec![event(number); 3].join("\n"))),
            };
            (0..EACH).map(post).collect::<Vec<_>>()
        };
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || send(sender))).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let mut accepted = HashSet::new();
    let (mut refused_requests, mut refused) = (0, 0);
    for (events, answer) in &answers {
        if answer.status == 202 {
            let answer = answer.json();
            let kept = answer["data"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
            assert_eq!(kept.len(), *events);
            accepted.extend(kept.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
            continue;
        }
        answer.problem(503, "overloaded");
        let seconds: u32 = answer.header("retry-after").expect("it says when to come again").parse().unwrap();
        assert!((1..=60).contains(&seconds));
        refused_requests += 1;
        refused += events;
    }
    assert_eq!(accepted.len() + refused, SENDERS / 2 * EACH * (1 + 3), "each id is there once");
    assert!(refused_requests > 0 && !accepted.is_empty(), "{refused} refused, {} accepted", accepted.len());

    let mut arrived = HashSet::new();
    while arrived.len() < accepted.len() {
        arrived.insert(subscriber.next().webhook_id.unwrap());
    }
    assert_eq!(arrived, accepted, "what was refused is not sent");
    let metrics = node.nobody().get("/metrics").body;
    assert!(metrics.contains(&format!("posthaste_events_total{{outcome=\"overloaded\"}} {refused}\n")), "{metrics}");
    assert!(metrics.contains(&format!("posthaste_events_total{{outcome=\"accepted\"}} {}\n", accepted.len())));
    // The outcomes written down, it takes events as before.
    let after = eventually("there is room again", || {
        Some(tenant.producer.post("/events", campaign("campaign.created", "after")))
            .filter(|answer| answer.status != 503)
    });
    assert_eq!(after.expect(202)["deliveries"], 1);
}
