//! A node of a cluster that is started held: the others go on as if it were not
//! there, though it takes events, and it has its share once it is released.

use awc::http::Method;
use posthaste::domain::PARTITIONS;
use serde_json::{Value, json};

use super::super::eventually;
use super::super::node::Node;
use super::super::subscriber::Subscriber;
use super::lanes::{body, define};
use super::nodes::{Cluster, TOKEN};
use crate::support::postgres::Postgres;

/// What one node says of another: its id, whether it is held, how much it owns.
async fn shown(by: &Node, of: &Node) -> Option<(String, bool, usize)> {
    let listed = by.api().get("/nodes").await;
    let found = listed["data"].as_array()?.iter().find(|node| node["address"] == of.api().url())?.clone();
    Some((found["id"].as_str()?.to_owned(), found["held"].as_bool()?, found["partitions"].as_u64()? as usize))
}

#[actix_rt::test]
async fn a_held_node_owns_nothing_while_others_deliver_what_it_accepts() {
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 1).await;
    let settings = [("STORE", server.url()), ("CLUSTER_TOKEN", TOKEN.to_owned()), ("HOLD", "true".to_owned())];
    let held = Node::start_with(&[], &settings).await;
    let (id, is_held, partitions) =
        eventually("it says that it lives", async || shown(cluster.node(0), &held).await).await;
    assert_eq!((is_held, partitions), (true, 0));
    let subscriber = Subscriber::start(Default::default());
    define(cluster.api(0), "lane.number_0").await;
    for number in 0..8 {
        let url = format!("{}/{number}", subscriber.url());
        held.api().subscribe(&url, &["lane.number_0"], Value::Null).await;
    }
    let deliver = async || {
        held.api().expect(Method::POST, "/events", body(0), 202).await;
        eventually("it is delivered", async || held.api().nothing_waits_anywhere().await.then_some(())).await;
    };
    deliver().await;
    subscriber.catch_up().await;
    assert_eq!(subscriber.received().len(), 8);
    assert_eq!(cluster.shares(0).await, Some(vec![PARTITIONS]));
    assert_eq!(held.api().counted("posthaste_partitions_owned").await, 0);

    let release = format!("/nodes/{id}/release");
    let refused = cluster.api(0).expect(Method::POST, &release, Value::Null, 409).await;
    assert!(refused["detail"].as_str().expect("a problem has one").contains(held.api().url()), "{refused}");
    let released = held.api().expect(Method::POST, &release, Value::Null, 200).await;
    assert_eq!(released, json!({ "id": id, "held": false }));
    eventually("it has its share", async || {
        (shown(cluster.node(0), &held).await? == (id.clone(), false, PARTITIONS / 2)).then_some(())
    })
    .await;
    deliver().await;
    subscriber.catch_up().await;
    assert_eq!(subscriber.received().len(), 16);
}
