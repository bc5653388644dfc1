//! What all nodes say of themselves, for pages that are live: asked of the API in a
//! visitor's name, and not again before five seconds have passed, however many look at it.
//! This node's own figures are always those of the moment. And what waits in the store, of
//! which nodes have only a part in memory, asked for and kept in the same way.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join3;
use tokio::sync::Mutex;

use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Brake, Endpoint, List, NodeHealth, PartnerStanding};
use crate::domain::{Monotonic, Timestamp};
use crate::routes::JustNow;

/// For so long what they said is good enough.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// Partners whose backlogs add up: the newest.
const PARTNERS: usize = 100;
/// Endpoints that are looked at, the most harmed of all.
const ENDPOINTS: usize = 25;

/// An answer, and when it was had.
type Kept<T> = Mutex<Option<(Monotonic, Arc<T>)>>;

/// What they said last. Only operators are shown it, and each of them is told the same.
#[derive(Default)]
pub struct Told {
    nodes: Kept<Vec<NodeHealth>>,
    waits: Kept<Waits>,
}

/// What waits in production, of all partners, in memory or not.
#[derive(Debug, Default)]
pub struct Waits {
    /// How many deliveries, each partner's counted up to a bound.
    pub backlog: u64,
    /// There are more than were counted.
    pub has_more: bool,
    /// Those of them that are known to wait behind open breakers, pauses and what else lets
    /// nothing through.
    pub stuck: u64,
    /// A brake holds some of it, or all.
    pub is_braked: bool,
    /// When the oldest was made that waits for one of the most harmed endpoints.
    pub oldest: Option<Timestamp>,
}

impl Told {
    /// What all nodes say, at most five seconds old.
    pub async fn now(&self, visitor: &Visitor) -> Result<Arc<Vec<NodeHealth>>, Trouble> {
        kept_or(&self.nodes, visitor.api.clock.now().monotonic, async || {
            let found: List<NodeHealth> = visitor.get("/nodes/health", About::Nobody, &[]).await?;
            Ok(found.data)
        })
        .await
    }

    /// What waits, at most five seconds old. To be asked by who looks at production.
    pub async fn waits(&self, visitor: &Visitor) -> Result<Arc<Waits>, Trouble> {
        kept_or(&self.waits, visitor.api.clock.now().monotonic, async || {
            let (partners, endpoints) = (PARTNERS.to_string(), ENDPOINTS.to_string());
            let (partners, endpoints, brakes) = join3(
                visitor.get::<List<PartnerStanding>>("/partner-health", About::Partner("*"), &[("limit", &partners)]),
                visitor.get::<List<Endpoint>>("/webhook-health", About::Partner("*"), &[("limit", &endpoints)]),
                visitor.get::<List<Brake>>("/brakes", About::Nobody, &[]),
            )
            .await;
            Ok(waits(&partners?, &endpoints?.data, &brakes?.data, visitor.environment()))
        })
        .await
    }
}

fn waits(partners: &List<PartnerStanding>, endpoints: &[Endpoint], brakes: &[Brake], environment: &str) -> Waits {
    let is_stuck = |endpoint: &&Endpoint| {
        let is_open = endpoint.health.as_ref().is_some_and(|health| health.breaker == "open");
        is_open || endpoint.status != "active" || endpoint.braked_at.is_some()
    };
    let healths = |endpoint: &Endpoint| endpoint.health.clone();
    let oldest = endpoints.iter().filter_map(healths).filter_map(|health| health.oldest_waiting);
    // Endpoints that hear of all partners are in no partner's count.
    let of_all: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.partner == "*").filter_map(healths).collect();
    let of_partners = partners.data.iter().map(|partner| partner.backlog).sum::<u64>();
    Waits {
        backlog: of_partners + of_all.iter().map(|health| health.backlog).sum::<u64>(),
        has_more: partners.next_cursor.is_some()
            || partners.data.iter().any(|partner| partner.backlog_has_more)
            || of_all.iter().any(|health| health.backlog_has_more),
        stuck: endpoints.iter().filter(is_stuck).filter_map(healths).map(|health| health.backlog).sum(),
        is_braked: brakes.iter().any(|brake| brake.environment == environment),
        oldest: oldest.map(|waiting| waiting.created_at.0).min(),
    }
}

/// Whoever comes while it is asked for waits for the same answer.
async fn kept_or<T>(
    kept: &Kept<T>,
    now: Monotonic,
    ask: impl AsyncFnOnce() -> Result<T, Trouble>,
) -> Result<Arc<T>, Trouble> {
    let mut kept = kept.lock().await;
    if let Some((at, told)) = kept.as_ref()
        && now.since(*at) < GOOD_FOR
    {
        return Ok(Arc::clone(told));
    }
    let told = Arc::new(ask().await?);
    *kept = Some((now, Arc::clone(&told)));
    Ok(told)
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
    use crate::dashboard::wire::At;

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

    #[test]
    fn backlogs_of_partners_add_up() {
        let partner = |backlog, backlog_has_more| PartnerStanding {
            name: "acme".to_owned(),
            erasing: None,
            endpoints: 1,
            endpoints_has_more: false,
            backlog,
            backlog_has_more,
            exhausted: 0,
            exhausted_has_more: false,
            last_event: None,
        };
        let of = |data, cursor: Option<&str>, brakes: &[Brake]| {
            let found = waits(&List { data, next_cursor: cursor.map(str::to_owned) }, &[], brakes, "production");
            (found.backlog, found.has_more, found.is_braked)
        };
        let brake = |environment: &str| Brake {
            environment: environment.to_owned(),
            partner: "*".to_owned(),
            since: At(Timestamp::from_millis(0)),
            reason: None,
        };
        assert_eq!(of(vec![partner(3, false), partner(4, false)], None, &[brake("sandbox")]), (7, false, false));
        assert_eq!(of(vec![partner(1_000, true)], None, &[brake("production")]), (1_000, true, true));
        assert_eq!(of(vec![partner(0, false)], Some("acme"), &[]), (0, true, false));
    }

    #[actix_rt::test]
    async fn nobody_is_asked_more_often_than_every_five_seconds() {
        let (told, clock, asked) = (Told::default(), Clock::manual(Timestamp::from_millis(0)), Cell::new(0));
        let look = async |is_well: bool| {
            let ask = async || {
                asked.set(asked.get() + 1);
                if is_well { Ok(vec![node("one", Some(asked.get()))]) } else { Err(Trouble::internal("no store")) }
            };
            let found = kept_or(&told.nodes, clock.now().monotonic, ask).await;
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
