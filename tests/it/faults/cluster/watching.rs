//! What a node shows of an endpoint that another one works for: what that one's actor
//! knows, or else that it cannot be reached.

use std::collections::BTreeSet;

use posthaste::cli::receiver::Behaviour;
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::eventually;
use super::super::subscriber::Subscriber;
use super::nodes::{Cluster, TOKEN};
use crate::support::postgres::Postgres;

/// So many that both nodes own some.
const ENDPOINTS: usize = 16;

async fn health(api: &Api, endpoint: &str) -> Value {
    api.get(&format!("/webhook/{endpoint}")).await["health"].take()
}

/// Which node is which place in the cluster.
async fn ids(cluster: &Cluster) -> Vec<String> {
    let listed = cluster.api(0).get("/nodes").await;
    let listed = listed["data"].as_array().expect("a list has data");
    let id = |index: &usize| {
        let url = cluster.api(*index).url();
        let node = listed.iter().find(|node| node["address"] == url).expect("it is listed");
        node["id"].as_str().expect("a node has an id").to_owned()
    };
    cluster.all().iter().map(id).collect()
}

/// Endpoints that are never answered, each with a request in flight, and the event that it
/// carries.
async fn busy(cluster: &Cluster, subscriber: &Subscriber) -> (Vec<String>, String) {
    let mut made = Vec::new();
    for number in 0..ENDPOINTS {
        let url = format!("{}/{number}", subscriber.url());
        made.push(cluster.api(0).subscribe(&url, &["campaign.created"], json!({})).await);
    }
    let event = json!({ "event": "campaign.created", "provider": "facebook", "type": "link_clicks", "id": 1,
                        "status": "DRAFT" });
    let accepted = cluster.api(0).expect(awc::http::Method::POST, "/events", event, 202).await;
    (made, accepted["id"].as_str().expect("an event has an id").to_owned())
}

#[actix_rt::test]
async fn every_node_shows_what_the_owners_actor_knows() {
    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 2).await;
    let subscriber = Subscriber::start(Behaviour { hang: true, ..Behaviour::default() });
    let (made, event) = busy(&cluster, &subscriber).await;
    let ids = ids(&cluster).await;
    let mut owners = BTreeSet::new();
    for endpoint in &made {
        let mut shown = Vec::new();
        for place in cluster.all() {
            let seen = eventually("its request is in flight", async || {
                Some(health(cluster.api(place), endpoint).await).filter(|health| health["in_flight"] == 1)
            })
            .await;
            assert_eq!((&seen["state"], &seen["actor"]["reachable"]), (&json!("active"), &json!(true)), "{seen}");
            shown.push(seen["actor"].clone());
        }
        assert_eq!(shown[0], shown[1], "whoever is asked says the same");
        owners.insert(shown[0]["node"].as_str().expect("somebody owns it").to_owned());
    }
    assert_eq!(owners, ids.iter().cloned().collect(), "both own some");
    let event = format!("/events/{event}");
    for place in cluster.all() {
        eventually("every node knows that the attempts are under way", async || {
            let shown = cluster.api(place).get(&event).await;
            let outcomes = shown["endpoints"].as_array().expect("an event has outcomes");
            assert_eq!(outcomes.len(), ENDPOINTS);
            outcomes.iter().all(|outcome| outcome["waits_for"]["kind"] == "attempt").then_some(())
        })
        .await;
    }

    // One that stands still cannot say what it does.
    cluster.node(1).pause();
    let mut unreachable = 0;
    for endpoint in &made {
        let seen = health(cluster.api(0), endpoint).await;
        if seen["actor"]["node"] == ids[0] {
            continue;
        }
        unreachable += 1;
        assert_eq!((&seen["actor"]["node"], &seen["actor"]["reachable"]), (&json!(ids[1]), &json!(false)), "{seen}");
        assert_eq!((&seen["in_flight"], &seen["state"]), (&Value::Null, &json!("unknown")), "{seen}");
        assert_eq!(seen["backlog"], 1, "what the store says is there all the same");
        break;
    }
    assert!(unreachable > 0, "it owned some");
    let shown = cluster.api(0).get(&event).await;
    let outcomes = shown["endpoints"].as_array().expect("an event has outcomes");
    let is_silent = |outcome: &&Value| outcome["waits_for"]["owner"] == "silent";
    let silent = outcomes.iter().find(is_silent).expect("it does not answer for its endpoints");
    assert_eq!((&silent["waits_for"]["kind"], &silent["waits_for"]["node"]), (&json!("owner_node"), &json!(ids[1])));
    assert!(silent["explanation"].as_str().is_some_and(|text| text.contains("has not said in time")), "{silent}");
    cluster.node(1).resume();
}

#[actix_rt::test]
async fn nodes_without_a_token_say_that_they_cannot_ask() {
    let server = Postgres::start(&[]);
    let cluster = Cluster::start_with(&server.url(), 2, &[]).await;
    let subscriber = Subscriber::start(Behaviour { hang: true, ..Behaviour::default() });
    let (made, _) = busy(&cluster, &subscriber).await;
    let ids = ids(&cluster).await;
    let mut owners = BTreeSet::new();
    for endpoint in &made {
        // A partition that has just moved is nobody's until its next renewal has said whose it is.
        let seen = eventually("the node knows who owns it", async || {
            Some(health(cluster.api(0), endpoint).await).filter(|health| health["actor"]["node"].is_string())
        })
        .await;
        let owner = seen["actor"]["node"].as_str().expect("somebody owns it").to_owned();
        assert_eq!(seen["actor"]["reachable"], owner == ids[0], "{seen}");
        owners.insert(owner);
    }
    assert_eq!(owners.len(), 2);
}

#[actix_rt::test]
async fn only_nodes_may_ask_what_an_actor_does() {
    use awc::http::Method;

    let server = Postgres::start(&[]);
    let cluster = Cluster::start(&server.url(), 1).await;
    let path = "/cluster/actors";
    let subscriber = Subscriber::start(Behaviour::default());
    let endpoint = cluster.api(0).subscribe_to(&subscriber, &["*"], json!({})).await;
    let question = json!({ "endpoint": endpoint });
    cluster.api(0).expect(Method::POST, path, question.clone(), 401).await;
    let node = cluster.api(0).with_key(TOKEN);
    let said = node.expect(Method::POST, path, question, 200).await;
    assert_eq!(said["is_here"], true, "{said}");
    node.expect(Method::GET, path, Value::Null, 405).await;
    node.expect(Method::POST, path, json!({ "endpoint": "nobody" }), 404).await;
    node.expect(Method::POST, path, json!({ "endpoint": endpoint, "delivery": "nobody" }), 404).await;
    node.expect(Method::POST, path, json!({}), 400).await;
}

/// What pages say of all nodes: rates and the like added up, starts and takeovers marked, and
/// what was refused. Whoever does not answer is named.
#[actix_rt::test]
async fn pages_tell_of_all_nodes() {
    use awc::http::Method;

    use super::super::api::OPERATOR_KEY;
    use crate::dashboard::reader::Reader;

    let server = Postgres::start(&[]);
    // One that says nothing is known of for as long as this looks.
    let cluster = Cluster::start_with(&server.url(), 2, &[("CLUSTER_TOKEN", TOKEN), ("LEASE_TERM_MS", "60000")]).await;
    let subscriber = Subscriber::start(Behaviour::default());
    let event = |status: &str| json!({ "event": "campaign.created", "provider": "facebook", "type": "link_clicks", "id": 1, "status": status });
    let url = |number: usize| format!("{}/{number}", subscriber.url());
    for number in 0..ENDPOINTS {
        cluster.api(0).subscribe(&url(number), &["campaign.created"], json!({})).await;
    }
    cluster.api(0).expect(Method::POST, "/events", event("DRAFT"), 202).await;
    for (place, wrong) in [(0, "a"), (1, "b"), (1, "c")] {
        cluster.api(place).expect(Method::POST, "/events", event(wrong), 422).await;
    }
    cluster.api(1).expect(Method::POST, "/events", json!({ "event": "no.such" }), 422).await;
    let ids = ids(&cluster).await;
    let tail = |id: &str| id[id.len() - 6..].to_owned();
    let readers: Vec<Reader> = cluster
        .all()
        .iter()
        .map(|place| {
            let address = cluster.api(*place).url().trim_start_matches("http://").parse().expect("an address");
            Reader::signed_in_at(address, OPERATOR_KEY)
        })
        .collect();
    let figures = |page: &str| {
        let rest = page.split("id=\"figures\"").nth(1).expect("the overview has figures");
        rest.split("id=\"totals\"").next().expect("it ends").to_owned()
    };
    for reader in &readers {
        let page = eventually("every attempt is in the figures", async || {
            let page = reader.get("/dashboard").body;
            page.contains(&format!("of {ENDPOINTS} in 5 min")).then_some(page)
        })
        .await;
        let told = figures(&page);
        assert!(told.contains("2 nodes, just now"), "{told}");
        for id in &ids {
            let took = format!("{} took ", tail(id));
            assert!(page.contains(&format!("{} started", tail(id))) && page.contains(&took), "{took}: {page}");
        }
        let catalog = reader.get("/dashboard/catalog").body;
        let row = catalog.split("<tr>").find(|row| row.contains("/catalog/campaign.created\"")).expect("a row");
        assert!(row.contains("tab=refused&amp;type=campaign.created\">3</a>"), "{row}");
        assert!(catalog.contains("2 of 2 nodes remember") && catalog.contains(">1 more</a>"), "{catalog}");
    }
    // Each has made some of the attempts, and says so.
    let health = cluster.api(0).get("/nodes/health").await;
    let said = health["data"].as_array().expect("a list has data");
    let attempts: Vec<u64> = said.iter().filter_map(|node| node["just_now"]["attempts"].as_u64()).collect();
    assert!(attempts.iter().all(|count| *count > 0), "{attempts:?}");
    assert_eq!(attempts.iter().sum::<u64>(), ENDPOINTS as u64);

    cluster.node(1).pause();
    let told = eventually("the silent one is named", async || {
        let told = figures(&readers[0].get("/dashboard").body);
        told.contains("1 of 2 nodes").then_some(told)
    })
    .await;
    assert!(told.contains("Without") && told.contains(&tail(&ids[1])), "{told}");
    let catalog = readers[0].get("/dashboard/catalog").body;
    assert!(catalog.contains("1 of 2 nodes remember") && catalog.contains("which did not answer"), "{catalog}");
    cluster.node(1).resume();
}

#[actix_rt::test]
async fn every_node_tells_how_all_of_them_are_and_where_they_differ() {
    use awc::http::Method;

    let server = Postgres::start(&[]);
    let mut cluster = Cluster::start(&server.url(), 1).await;
    // A second one, told otherwise in two ways: where it listens, and how much of a page is shown.
    cluster.join_saying(&[("PAGE", "20")]).await;
    cluster.settle().await;
    let ids = ids(&cluster).await;
    for place in cluster.all() {
        let health = cluster.api(place).get("/nodes/health").await;
        let health = health["data"].as_array().expect("a list has data");
        assert_eq!(health.len(), 2);
        for node in health {
            assert_eq!(node["reachable"], true, "{node}");
            assert!(node["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{node}");
            assert!(
                node["commit_p99_ms"].as_f64().is_some_and(|millis| millis > 0.0) || node["commits"] == 0,
                "{node}"
            );
        }
        // The first has taken everything, and handed some of it over; the second has taken that.
        let moves = |id: &str| {
            let node = health.iter().find(|node| node["id"] == id).expect("it is listed");
            let moves = node["moves"].as_array().expect("moves are listed").iter();
            moves.map(|moved| moved["what"].as_str().expect("a word").to_owned()).collect::<BTreeSet<_>>()
        };
        assert_eq!(moves(&ids[0]), BTreeSet::from(["handed_over".to_owned(), "taken".to_owned()]), "{health:?}");
        assert_eq!(moves(&ids[1]), BTreeSet::from(["taken".to_owned()]), "{health:?}");

        let owned = cluster.api(place).get("/nodes/partitions").await;
        let mut all: Vec<u64> = Vec::new();
        for node in owned["data"].as_array().expect("a list has data") {
            assert!(ids.contains(&node["node"].as_str().expect("an id").to_owned()), "{owned}");
            all.extend(node["partitions"].as_array().expect("numbers").iter().filter_map(Value::as_u64));
        }
        all.sort_unstable();
        assert_eq!((all, &owned["unowned"]), ((0..256).collect(), &json!([])));

        let settings = cluster.api(place).get("/settings").await;
        let of = |name: &str| {
            let all = settings["data"].as_array().expect("a list has data");
            all.iter().find(|option| option["name"] == name).expect("every option is told").clone()
        };
        let (own, other) = if place == 0 { ("50", "20") } else { ("20", "50") };
        let page = of("page");
        assert_eq!((&page["value"], &page["default"]), (&json!(own), &json!("50")));
        assert_eq!(page["elsewhere"], json!([{ "node": ids[1 - place], "value": other }]));
        assert_eq!(of("window")["elsewhere"], json!([]));
        // The URL of the store and the token are the same on both, and neither is told.
        assert_eq!((&of("cluster_token")["masked"], &of("cluster_token")["elsewhere"]), (&json!(true), &json!([])));
        assert!(!settings.to_string().contains(TOKEN), "{settings}");
    }

    let node = cluster.api(0).with_key(TOKEN);
    let path = "/cluster/node";
    cluster.api(0).expect(Method::POST, path, json!({ "about": "health" }), 401).await;
    node.expect(Method::POST, path, json!({ "about": "health" }), 200).await;
    node.expect(Method::GET, path, Value::Null, 405).await;
    node.expect(Method::POST, path, json!({ "about": "secrets" }), 400).await;

    // One that stands still is said not to answer, and nothing is made up for it.
    cluster.node(1).pause();
    let health = cluster.api(0).get("/nodes/health").await;
    let silent = health["data"].as_array().expect("a list has data").iter().find(|node| node["id"] == ids[1]);
    let silent = silent.expect("it lives for a while").clone();
    let expected = json!({ "id": ids[1], "reachable": false, "memory_bytes": null, "commits": null,
                           "commit_p99_ms": null, "moves": [], "just_now": null });
    assert_eq!(silent, expected);
    let settings = cluster.api(0).get("/settings").await;
    assert!(settings["nodes"].as_array().expect("a list").contains(&json!({ "id": ids[1], "reachable": false })));
    cluster.node(1).resume();
}
