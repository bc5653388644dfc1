//! What all nodes say of themselves, for pages that are live: asked of the API in a
//! visitor's name, and not again before five seconds have passed, however many look at it.
//! This node's own figures are always those of the moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{List, NodeHealth};
use crate::domain::Monotonic;
use crate::routes::JustNow;

/// For so long what they said is good enough.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// What they said last. Only operators are shown it, and each of them is told the same.
#[derive(Default)]
pub struct Told(Mutex<Option<(Monotonic, Arc<Vec<NodeHealth>>)>>);

impl Told {
    /// What all nodes say, at most five seconds old.
    pub async fn now(&self, visitor: &Visitor) -> Result<Arc<Vec<NodeHealth>>, Trouble> {
        self.kept_or(visitor.api.clock.now().monotonic, async || {
            let found: List<NodeHealth> = visitor.get("/nodes/health", About::Nobody, &[]).await?;
            Ok(found.data)
        })
        .await
    }

    /// Whoever comes while they are asked waits for the same answer.
    async fn kept_or(
        &self,
        now: Monotonic,
        ask: impl AsyncFnOnce() -> Result<Vec<NodeHealth>, Trouble>,
    ) -> Result<Arc<Vec<NodeHealth>>, Trouble> {
        let mut kept = self.0.lock().await;
        if let Some((at, told)) = kept.as_ref()
            && now.since(*at) < GOOD_FOR
        {
            return Ok(Arc::clone(told));
        }
        let told = Arc::new(ask().await?);
        *kept = Some((now, Arc::clone(&told)));
        Ok(told)
    }
}

/// What all nodes do just now.
#[derive(Debug, Default)]
pub struct Together {
    pub now: JustNow,
    /// How many nodes there are.
    pub nodes: usize,
    /// Those that did not say what they do.
    pub silent: Vec<String>,
}

/// Adds up what they said, with what this node does at this moment.
pub fn together(told: &[NodeHealth], this: &str, own: &JustNow) -> Together {
    let others: Vec<&NodeHealth> = told.iter().filter(|node| node.id != this).collect();
    let silent = others.iter().filter(|node| node.just_now.is_none());
    Together {
        now: JustNow::together(others.iter().filter_map(|node| node.just_now.as_ref()).chain([own])),
        nodes: others.len() + 1,
        silent: silent.map(|node| node.id.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::Timestamp;

    fn node(id: &str, waiting: Option<u64>) -> NodeHealth {
        NodeHealth {
            id: id.to_owned(),
            reachable: waiting.is_some(),
            memory_bytes: None,
            commits: None,
            commit_p99_ms: None,
            moves: Vec::new(),
            just_now: waiting.map(|waiting| JustNow { waiting, ..JustNow::default() }),
        }
    }

    #[test]
    fn what_this_one_does_is_of_the_moment_and_who_is_silent_is_named() {
        let told = [node("one", Some(100)), node("two", Some(3)), node("three", None)];
        let own = JustNow { waiting: 4, ..JustNow::default() };
        let found = together(&told, "one", &own);
        assert_eq!((found.now.waiting, found.nodes, found.silent), (7, 3, vec!["three".to_owned()]));
        let alone = together(&[], "one", &own);
        assert_eq!((alone.now, alone.nodes, alone.silent), (own, 1, Vec::new()));
    }

    #[actix_rt::test]
    async fn nobody_is_asked_more_often_than_every_five_seconds() {
        let (told, clock, asked) = (Told::default(), Clock::manual(Timestamp::from_millis(0)), Cell::new(0));
        let look = async |is_well: bool| {
            let ask = async || {
                asked.set(asked.get() + 1);
                if is_well { Ok(vec![node("one", Some(asked.get()))]) } else { Err(Trouble::internal("no store")) }
            };
            let found = told.kept_or(clock.now().monotonic, ask).await;
            found.ok().and_then(|told| told.first().and_then(|node| node.just_now.clone())).map(|now| now.waiting)
        };
        assert_eq!((look(true).await, look(true).await), (Some(1), Some(1)));
        clock.advance(Duration::from_millis(4_999));
        assert_eq!(look(true).await, Some(1));
        clock.advance(Duration::from_millis(1));
        // What could not be had is asked for again.
        assert_eq!((look(false).await, look(true).await, look(true).await), (None, Some(3), Some(3)));
    }
}
