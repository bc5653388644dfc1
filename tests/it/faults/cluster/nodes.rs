//! The nodes of a cluster, as they come and go, and who owns how much.

use std::cell::RefCell;
use std::process::ExitStatus;
use std::rc::Rc;

use awc::http::Method;
use posthaste::domain::PARTITIONS;

use super::super::api::Api;
use super::super::eventually;
use super::super::node::Node;

/// What nodes of a cluster know each other by.
pub const TOKEN: &str = "a-token-of-the-fault-tests";

/// Nodes that share a store. Killed when this is dropped.
pub struct Cluster {
    store: String,
    settings: Vec<(&'static str, String)>,
    nodes: Vec<Node>,
    entrances: Entrances,
}

/// Where upstream posts: what a load balancer knows of the nodes that run.
pub type Entrances = Rc<RefCell<Vec<Api>>>;

impl Cluster {
    /// So many nodes on the database at this URL, that know each other.
    pub async fn start(store: &str, count: usize) -> Self {
        Self::start_with(store, count, &[("CLUSTER_TOKEN", TOKEN)]).await
    }

    /// The same with nothing but these settings, named without `POSTHASTE_`.
    pub async fn start_with(store: &str, count: usize, settings: &[(&'static str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut cluster = Self { store: store.to_owned(), settings, nodes: Vec::new(), entrances: Rc::default() };
        for _ in 0..count {
            cluster.join().await;
        }
        cluster.settle().await;
        cluster
    }

    /// Starts one more.
    pub async fn join(&mut self) {
        let store = self.store.clone();
        self.join_by(&store).await;
    }

    /// The same, with its own way to the database.
    pub async fn join_by(&mut self, store: &str) {
        self.join_with(store, &[]).await;
    }

    /// One more that is told something beside what all are told.
    pub async fn join_saying(&mut self, settings: &[(&'static str, &str)]) {
        let store = self.store.clone();
        self.join_with(&store, settings).await;
    }

    async fn join_with(&mut self, store: &str, settings: &[(&'static str, &str)]) {
        let mut variables = self.settings.clone();
        variables.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables.push(("STORE", store.to_owned()));
        let node = Node::start_with(&[], &variables).await;
        self.entrances.borrow_mut().push(node.api().clone());
        self.nodes.push(node);
    }

    /// Takes one out without a word to it: the rest counts as it counted before.
    pub fn take_out(&mut self, index: usize) -> Node {
        self.entrances.borrow_mut().remove(index);
        self.nodes.remove(index)
    }

    /// Stops one and waits for its end, while upstream goes on posting to it.
    pub async fn stop(&mut self, index: usize) -> ExitStatus {
        let ended = self.nodes[index].stop().await;
        drop(self.take_out(index));
        ended
    }

    pub fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    pub fn api(&self, index: usize) -> &Api {
        self.nodes[index].api()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn entrances(&self) -> Entrances {
        Rc::clone(&self.entrances)
    }

    /// How many partitions each has, as one of them sees it, if it answers.
    pub async fn shares(&self, seen_by: usize) -> Option<Vec<usize>> {
        let answer = self.api(seen_by).send(Method::GET, "/nodes", String::new(), None).await.ok()?;
        if answer.status != 200 {
            return None;
        }
        let listed = answer.json["data"].as_array().expect("a list has data");
        let share = |node: &Node| {
            let known = listed.iter().find(|known| known["address"] == node.api().url());
            known.map_or(0, |known| known["partitions"].as_u64().expect("a count is a number") as usize)
        };
        Some(self.nodes.iter().map(share).collect())
    }

    /// Waits until these have everything between them, however it is shared.
    pub async fn own_everything(&self, indexes: &[usize]) {
        eventually("everything has an owner that runs", async || {
            let shares = self.shares(indexes[0]).await?;
            (indexes.iter().map(|index| shares[*index]).sum::<usize>() == PARTITIONS).then_some(())
        })
        .await;
    }

    /// Waits until everything is shared evenly, and answers how.
    pub async fn settle(&self) -> Vec<usize> {
        eventually("the nodes share evenly", async || {
            let shares = self.shares(0).await?;
            is_even(&shares).then_some(shares)
        })
        .await
    }

    /// All of them by their places.
    pub fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }
}

fn is_even(shares: &[usize]) -> bool {
    let (least, most) = (shares.iter().min(), shares.iter().max());
    shares.iter().sum::<usize>() == PARTITIONS && least.zip(most).is_some_and(|(least, most)| most - least <= 1)
}
