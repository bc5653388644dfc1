//! Which deliveries were settled lately. Where several nodes accept for one
//! endpoint, a look over what was lately born, or the news of one birth, can come
//! after the delivery has been read, sent and settled; this tells it from one that
//! is really new.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::domain::{DeliveryId, Timestamp};

/// Most that are remembered of an endpoint.
const MOST: usize = 1_024;
/// News of a birth does not come later than this; nor is a look longer. What was
/// made before is not remembered.
const NEWS_COMES_WITHIN: Duration = Duration::from_secs(15);
/// By how much the clocks of two nodes that follow the store's may differ, with
/// plenty to spare.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(1);

/// Deliveries that were settled, those that it may have forgotten excepted.
#[derive(Debug, Default)]
pub(super) struct Settled {
    in_order: VecDeque<DeliveryId>,
    ids: HashSet<DeliveryId>,
    /// The largest that was forgotten.
    forgotten: Option<DeliveryId>,
    /// What was made before then may have been settled by an earlier life.
    since: Option<Timestamp>,
}

impl Settled {
    /// Nothing is known of what an earlier life, here or on another node, settled.
    pub(super) fn began(&mut self, now: Timestamp) {
        self.since.get_or_insert(now + CLOCKS_DIFFER_BY);
    }

    /// Whatever was made by now may be settled.
    pub(super) fn begin_anew(&mut self, now: Timestamp) {
        self.since = self.since.max(Some(now + CLOCKS_DIFFER_BY));
    }

    pub(super) fn remember(&mut self, delivery: DeliveryId, now: Timestamp) {
        if self.ids.insert(delivery) {
            self.in_order.push_back(delivery);
        }
        while let Some(first) = self.in_order.front().copied() {
            if self.in_order.len() <= MOST && first.made_at() + NEWS_COMES_WITHIN >= now {
                break;
            }
            self.in_order.pop_front();
            self.ids.remove(&first);
            self.forgotten = self.forgotten.max(Some(first));
        }
    }

    pub(super) fn contains(&self, delivery: DeliveryId) -> bool {
        self.ids.contains(&delivery)
    }

    /// Whether it was certainly not settled.
    pub(super) fn excludes(&self, delivery: DeliveryId) -> bool {
        !self.contains(delivery)
            && self.forgotten.is_none_or(|forgotten| delivery > forgotten)
            && self.since.is_some_and(|since| delivery.made_at() > since)
    }
}
