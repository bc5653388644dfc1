//! What was changed through one node holds for the next request of any other:
//! endpoints, keys, types of events. Nothing here waits for anything: whoever
//! looks only now and then is found out.

use awc::http::Method;
use posthaste::cli::receiver::Behaviour;
use posthaste::clock::Clock;
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::subscriber::Subscriber;
use super::super::{eventually, number_from};
use super::lanes::{Lanes, body, define};
use super::nodes::{Cluster, TOKEN};
use crate::support::postgres::Postgres;

/// How often each is tried, when `POSTHASTE_FAULT_ROUNDS` does not say: a cache
/// that is read again by time is right now and then.
const ROUNDS: u64 = 25;

#[actix_rt::test]
async fn an_endpoint_made_changed_or_deleted_through_one_node_is_so_for_events_of_another() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 2).await;
    let subscriber = Subscriber::start(Default::default());
    for name in ["lane.number_0", "lane.of_others"] {
        define(cluster.api(0), name).await;
    }
    for round in 0..rounds {
        let (one, other) = both(&cluster, round);
        assert_eq!(post(other).await["deliveries"], 0, "round {round}: nobody subscribes");
        let url = format!("{}/{round}", subscriber.url());
        let endpoint = one.subscribe(&url, &["lane.number_0"], Value::Null).await;
        let event = post(other).await;
        assert_eq!(event["deliveries"], 1, "round {round}: it was made before");
        arrives(&subscriber, &event).await;
        // Either way it wants no more of them.
        if round % 4 < 2 {
            one.expect(Method::DELETE, &format!("/webhook/{endpoint}"), Value::Null, 204).await;
        } else {
            one.change(&endpoint, json!({ "events": ["lane.of_others"] })).await;
        }
    }
}

const BRAKE: &str = "/brakes?environment=production&partner=default";
const WHOLE_BRAKE: &str = "/brakes?environment=production&partner=*";

/// The ways to have deliveries held.
#[derive(Debug, Clone, Copy)]
enum Hold {
    /// A setting.
    Disabled,
    /// A state beside them.
    Paused,
    /// By an operator, with all that its partner has.
    Braked,
    /// The same, with everybody in its environment.
    WhollyBraked,
}

impl Hold {
    async fn begin(self, api: &Api, endpoint: &str) {
        let path = match self {
            Self::Disabled => return api.change(endpoint, json!({ "enabled": false })).await,
            Self::Paused => format!("/webhook/{endpoint}/pause"),
            Self::Braked => BRAKE.to_owned(),
            Self::WhollyBraked => WHOLE_BRAKE.to_owned(),
        };
        api.expect(Method::POST, &path, Value::Null, 200).await;
    }

    async fn end(self, api: &Api, endpoint: &str) {
        let (method, path) = match self {
            Self::Disabled => return api.enable(endpoint).await,
            Self::Paused => (Method::POST, format!("/webhook/{endpoint}/resume")),
            Self::Braked => (Method::DELETE, BRAKE.to_owned()),
            Self::WhollyBraked => (Method::DELETE, WHOLE_BRAKE.to_owned()),
        };
        api.expect(method, &path, Value::Null, 200).await;
    }
}

#[actix_rt::test]
async fn an_endpoint_disabled_through_one_node_is_so_for_events_of_another() {
    holding(Hold::Disabled, &[("CLUSTER_TOKEN", TOKEN)]).await;
}

#[actix_rt::test]
async fn an_endpoint_paused_through_one_node_is_so_for_events_of_another() {
    holding(Hold::Paused, &[("CLUSTER_TOKEN", TOKEN)]).await;
}

#[actix_rt::test]
async fn a_partner_braked_through_one_node_is_so_for_events_of_another() {
    holding(Hold::Braked, &[("CLUSTER_TOKEN", TOKEN)]).await;
}

#[actix_rt::test]
async fn an_environment_braked_through_one_node_is_so_for_nodes_that_it_cannot_tell() {
    holding(Hold::WhollyBraked, &[]).await;
}

/// When no node can tell another: whoever owns the endpoint finds out by itself.
#[actix_rt::test]
async fn an_endpoint_disabled_through_one_node_is_so_for_nodes_that_it_cannot_tell() {
    holding(Hold::Disabled, &[]).await;
}

#[actix_rt::test]
async fn an_endpoint_paused_through_one_node_is_so_for_nodes_that_it_cannot_tell() {
    holding(Hold::Paused, &[]).await;
}

async fn holding(hold: Hold, settings: &[(&'static str, &str)]) {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let clock = Clock::system();
    let server = Postgres::start(&[]);
    let cluster = Cluster::start_with(&server.url(), 2, settings).await;
    let subscriber = Subscriber::start(Default::default());
    define(cluster.api(0), "lane.number_0").await;
    let endpoint = cluster.api(0).subscribe_to(&subscriber, &["lane.number_0"], Value::Null).await;
    let mut sent_while_held = Vec::new();
    for round in 0..rounds {
        // Each is the one that changes, and the one that accepts; one of them owns it.
        let (one, other) = both(&cluster, round);
        arrives(&subscriber, &post(other).await).await;
        hold.begin(one, &endpoint).await;
        let event = post(other).await;
        assert_eq!(event["deliveries"], 1, "round {round}");
        let id = event["id"].as_str().expect("an event has an id");
        let shown = other.get(&format!("/deliveries?event={id}")).await["data"][0].clone();
        let ended_at = clock.wall();
        hold.end(other, &endpoint).await;
        arrives(&subscriber, &event).await;
        let came_at = subscriber
            .received()
            .iter()
            .find(|receipt| receipt.webhook_id.as_deref() == Some(id))
            .map(|receipt| receipt.at);
        if shown["status"] != "held" || came_at < Some(ended_at) {
            sent_while_held.push((round, shown["status"].clone()));
        }
    }
    assert!(
        sent_while_held.is_empty(),
        "{} of {rounds} events were sent to an endpoint that was held ({hold:?}) before they were accepted: {sent_while_held:?}",
        sent_while_held.len()
    );
}

#[actix_rt::test]
async fn keys_and_types_changed_through_one_node_are_so_for_another() {
    let rounds = number_from("POSTHASTE_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 2).await;
    let lanes = Lanes::open(cluster.api(0)).await;
    for round in 0..rounds {
        let (one, other) = both(&cluster, round);
        let made = one.expect(Method::POST, "/keys", json!({ "role": "producer", "partner": "default" }), 201).await;
        let holder = other.with_key(made["key"].as_str().expect("a key is shown once"));
        holder.expect(Method::POST, "/events", body(round), 202).await;
        // Used on both, so that both remember it.
        one.with_key(made["key"].as_str().expect("it is text")).expect(Method::POST, "/events", body(round), 202).await;
        let path = format!("/keys/{}", made["id"].as_str().expect("it has an id"));
        one.expect(Method::DELETE, &path, Value::Null, 204).await;
        holder.expect(Method::POST, "/events", body(round), 401).await;
        holder.expect(Method::GET, "/event-types", Value::Null, 401).await;

        let (name, event) =
            (format!("new.of_round_{round}"), json!({ "event": format!("new.of_round_{round}"), "id": 1 }));
        other.expect(Method::POST, "/events", event.clone(), 422).await;
        define(one, &name).await;
        other.expect(Method::POST, "/events", event.clone(), 202).await;
        one.expect(Method::DELETE, &format!("/event-types/{name}"), Value::Null, 204).await;
        other.expect(Method::POST, "/events", event, 422).await;
    }
    let over = async || cluster.api(1).nothing_waits_anywhere().await.then_some(());
    eventually("every delivery ends", over).await;
    assert!(lanes.received().len() >= 2 * rounds as usize, "each was sent");
}

/// Whichever node accepts an event, and whichever sends it.
#[actix_rt::test]
async fn a_schedule_given_to_a_type_through_one_node_is_that_of_all() {
    let server = Postgres::start(&[]);
    // One delivery after the other fails here, and each by its own schedule.
    let settings = [("CLUSTER_TOKEN", TOKEN), ("BREAKER_OPENS_AFTER", "0")];
    let cluster = Cluster::start_with(&server.url(), 2, &settings).await;
    let subscriber = Subscriber::start(Behaviour { fail_rate: 1.0, ..Behaviour::default() });
    define(cluster.api(0), "lane.number_0").await;
    // So many that each node owns some of them.
    for number in 0..8 {
        let url = format!("{}/{number}", subscriber.url());
        cluster.api(0).subscribe(&url, &["lane.number_0"], Value::Null).await;
    }
    for round in 0..4 {
        let (one, other) = both(&cluster, round);
        let mut definition = one.get("/event-types/lane.number_0").await;
        definition["retry"] = json!({ "schedule_ms": vec![20; round as usize] });
        one.expect(Method::PUT, "/event-types/lane.number_0", definition.clone(), 200).await;
        assert_eq!(other.get("/event-types/lane.number_0").await, definition, "round {round}");
        for api in [one, other] {
            let event = post(api).await;
            let path = format!("/deliveries?event={}", event["id"].as_str().expect("an event has an id"));
            let ended = eventually("all of it is given up", async || {
                let listed = api.get(&path).await["data"].as_array().expect("a list has data").clone();
                listed.iter().all(|delivery| delivery["status"] == "retries_exhausted").then_some(listed)
            });
            for delivery in ended.await {
                assert_eq!(delivery["attempt_count"], round + 1, "{delivery}");
            }
        }
    }
}

/// The node that changes something and the one that has to know of it: they take
/// turns.
fn both(cluster: &Cluster, round: u64) -> (&Api, &Api) {
    let first = round as usize % 2;
    (cluster.api(first), cluster.api(1 - first))
}

async fn post(api: &Api) -> Value {
    api.expect(Method::POST, "/events", body(0), 202).await
}

async fn arrives(subscriber: &Subscriber, event: &Value) {
    eventually("it arrives", async || came(subscriber, event).then_some(())).await;
}

fn came(subscriber: &Subscriber, event: &Value) -> bool {
    subscriber.received().iter().any(|receipt| receipt.webhook_id.as_deref() == event["id"].as_str())
}
