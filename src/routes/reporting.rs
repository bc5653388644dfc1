//! What each node says of itself to whoever looks at all of them: how it is, and what it is
//! configured with. Decides what one node asks another (`POST /cluster/node`), and what
//! becomes of one that does not answer: it is said not to be reachable.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cluster::{NODE_PATH, Neighbour};
use crate::domain::{Environment, Timestamp};
use crate::metrics::resident_bytes;
use crate::routes::configuration::Configured;
use crate::routes::figures::JustNow;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, cluster, extract, no_such_route, nodes, not_the_method};
use crate::store::NodeRecord;

/// The largest question that is taken.
const QUESTION_BYTES_MAX: usize = 256;
/// Characters of a value that one node tells another whole: all of them together must fit
/// into an answer.
const VALUE_CHARS: usize = 40;

/// What a node is asked by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum About {
    /// How it is.
    Health,
    /// What it is configured with.
    Settings,
    /// How many posts it refused in one environment.
    Refusals(Within),
}

/// An environment, as nodes name it to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Within {
    Sandbox,
    Production,
}

impl From<Environment> for Within {
    fn from(environment: Environment) -> Self {
        match environment {
            Environment::Sandbox => Self::Sandbox,
            Environment::Production => Self::Production,
        }
    }
}

impl From<Within> for Environment {
    fn from(within: Within) -> Self {
        match within {
            Within::Sandbox => Self::Sandbox,
            Within::Production => Self::Production,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Question {
    about: About,
}

/// What it answers. A newer release may say more, and an older one less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    /// Which one it is: an address may have gone to another.
    node: String,
    /// Memory that it takes, where its system says so.
    pub memory_bytes: Option<u64>,
    /// How many of its commits are known of.
    pub commits: usize,
    /// What 99 % of them took at most.
    pub commit_p99_ms: Option<f64>,
    /// Partitions that came and went, newest first.
    pub moves: Vec<Moved>,
    /// What it does just now.
    pub just_now: Option<JustNow>,
    /// How many posts of which type it refused; of no known type under an empty name.
    pub refusals: Option<BTreeMap<String, u64>>,
    /// Its options' values, as far as they may be seen; a long one cut, and with a hash.
    pub settings: BTreeMap<String, String>,
}

/// Partitions that came or went together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moved {
    pub at: String,
    pub what: String,
    pub partitions: usize,
}

/// Every node that lives, and what it says; `None` where it did not.
pub(super) async fn of_all(api: &Api, about: About) -> Result<Vec<(NodeRecord, Option<Said>)>, Problem> {
    let nodes = nodes::all(api).await?;
    let said = join_all(nodes.iter().map(|node| of_one(api, node, about))).await;
    Ok(nodes.into_iter().zip(said).collect())
}

async fn of_one(api: &Api, node: &NodeRecord, about: About) -> Option<Said> {
    if node.id == api.node.id {
        return Some(here(api, about));
    }
    let neighbour = Neighbour { node: node.id, address: node.address.as_deref().map(Into::into) };
    let question = serde_json::to_vec(&Question { about }).expect("a word can be written as JSON");
    let answer = api.neighbours.as_ref()?.ask(&neighbour, NODE_PATH, question.into()).await;
    match answer.map_err(|error| error.to_string()).and_then(|said| read(&said)) {
        Ok(said) if said.node == node.id.to_string() => Some(said),
        Ok(_) => None,
        Err(why) => {
            log::debug!("{} does not say how it is: {why}", node.id);
            None
        }
    }
}

fn read(said: &Bytes) -> Result<Said, String> {
    serde_json::from_slice(said).map_err(|error| format!("its answer is not to be understood: {error}"))
}

/// What this node says.
fn here(api: &Api, about: About) -> Said {
    let node = api.node.id.to_string();
    match about {
        About::Settings => return Said { node, settings: told(&api.configured), ..Said::default() },
        About::Refusals(within) => {
            let counted = api.refusals.counted(within.into(), api.clock.wall());
            return Said { node, refusals: Some(counted), ..Said::default() };
        }
        About::Health => {}
    }
    let lately = &api.metrics.lately;
    let commits = lately.commits();
    let moves = lately.moves().into_iter().map(|moved| Moved {
        at: Timestamp::from_millis(moved.at_millis).to_string(),
        what: moved.what.to_owned(),
        partitions: moved.partitions,
    });
    Said {
        node,
        memory_bytes: resident_bytes(),
        commits: commits.map_or(0, |(count, _)| count),
        commit_p99_ms: commits.map(|(_, p99)| (p99.as_secs_f64() * 1e6).round() / 1e3),
        moves: moves.collect(),
        just_now: Some(api.watch.figures().now),
        ..Said::default()
    }
}

/// Values as they are compared between nodes.
fn told(configured: &[Configured]) -> BTreeMap<String, String> {
    configured.iter().map(|option| (option.name.to_owned(), compared(&option.value))).collect()
}

/// A value as one node tells it another: a long one by its beginning and its hash.
pub(super) fn compared(value: &str) -> String {
    if value.chars().count() <= VALUE_CHARS {
        return value.to_owned();
    }
    let begins: String = value.chars().take(VALUE_CHARS).collect();
    let hash: String = Sha256::digest(value.as_bytes())[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{begins}… (sha256 {hash}…)")
}

/// `POST /cluster/node`: what this node says to another, for every method.
pub(super) async fn answer(api: web::Data<Api>, request: HttpRequest, mut payload: web::Payload) -> Answer {
    let Some(others) = api.hints.as_ref() else { return Err(no_such_route(&request)) };
    if request.method() != Method::POST {
        return Err(not_the_method(&request, "POST"));
    }
    cluster::authorize(others, &request)?;
    let limit = QUESTION_BYTES_MAX;
    let body = extract::body(&request, &mut payload, &["application/json"], "cluster_question_bytes", limit).await?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| Problem::new(Kind::InvalidJson, error.to_string()))?;
    Ok(HttpResponse::Ok().json(here(&api, question.about)))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_long_value_is_told_apart_by_its_hash() {
        let (one, other) = ("x".repeat(100), "x".repeat(101));
        assert_eq!(compared("127.0.0.0/8"), "127.0.0.0/8");
        assert_eq!(compared(&one), compared(&one));
        assert_ne!(compared(&one), compared(&other));
    }

    #[test]
    fn questions_are_as_older_releases_ask_them() {
        let text = |about| serde_json::to_string(&Question { about }).expect("it is plain");
        assert_eq!(text(About::Health), r#"{"about":"health"}"#);
        assert_eq!(text(About::Settings), r#"{"about":"settings"}"#);
        let asked = text(About::Refusals(Environment::Sandbox.into()));
        assert_eq!(asked, r#"{"about":{"refusals":"sandbox"}}"#);
        let read: Question = serde_json::from_str(&asked).expect("it reads back");
        assert_eq!(read.about, About::Refusals(Within::Sandbox));
        // An older one answers without what it does not know of.
        let said = read_said(r#"{"node": "x", "commits": 3, "news": 1}"#);
        assert_eq!((said.commits, said.just_now, said.refusals), (3, None, None));
    }

    fn read_said(text: &str) -> Said {
        read(&Bytes::copy_from_slice(text.as_bytes())).expect("it is understood")
    }

    #[test]
    fn all_options_fit_into_an_answer() {
        // More of them than there are, with names as long as the longest.
        let values = (0..100)
            .map(|number| (format!("an_option_with_a_long_name_of_its_{number}"), compared(&"ä".repeat(5_000))));
        let said = Said { node: "n".repeat(31), settings: values.collect(), ..Said::default() };
        // Far less than `cluster::asking` reads of an answer.
        assert!(serde_json::to_vec(&said).expect("it is plain").len() < 16 * 1_024);
    }
}
