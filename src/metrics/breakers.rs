//! Which endpoints have an open breaker, for `/metrics` to name: so many at most,
//! those that have been open longest. All others are counted and not named, so that
//! a scrape and the memory for it follow configuration, not the number of endpoints.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// When a breaker opened, in milliseconds since 1970, and whose it is.
type Opened = (i64, Arc<str>);

const UNPOISONED: &str = "no holder of this lock can panic";

/// See the module. A clone is the same list.
#[derive(Debug, Clone)]
pub struct OpenBreakers {
    most: usize,
    named: Arc<Mutex<BTreeSet<Opened>>>,
}

impl OpenBreakers {
    /// Names no more than so many.
    pub(super) fn naming(most: usize) -> Self {
        Self { most, named: Arc::default() }
    }

    /// This breaker is open since then. Said again now and then: one that found no
    /// room takes the place that another has left.
    pub fn open(&self, opened_at_millis: i64, endpoint: &Arc<str>) {
        if self.most == 0 {
            return;
        }
        let mut named = self.named.lock().expect(UNPOISONED);
        let entry = (opened_at_millis, Arc::clone(endpoint));
        if named.len() >= self.most && named.last().is_some_and(|last| entry > *last) {
            return;
        }
        named.insert(entry);
        if named.len() > self.most {
            named.pop_last();
        }
    }

    /// It is not open any more.
    pub fn closed(&self, opened_at_millis: i64, endpoint: &Arc<str>) {
        self.named.lock().expect(UNPOISONED).remove(&(opened_at_millis, Arc::clone(endpoint)));
    }
}

impl Collector for OpenBreakers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "endpoint_breaker_opened_timestamp",
            "When the breaker opened, of the endpoints whose breaker has been open longest",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        let named: Vec<_> = self.named.lock().expect(UNPOISONED).iter().cloned().collect();
        for (opened_at_millis, endpoint) in named {
            let labels = [("endpoint", endpoint.as_ref())];
            family.encode_family(&labels)?.encode_gauge(&(opened_at_millis as f64 / 1e3))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(breakers: &OpenBreakers) -> Vec<String> {
        breakers.named.lock().expect(UNPOISONED).iter().map(|(_, name)| name.to_string()).collect()
    }

    #[test]
    fn those_open_longest_are_named_and_no_more_than_asked_for() {
        let breakers = OpenBreakers::naming(2);
        let [early, middle, late] = ["early", "middle", "late"].map(Arc::<str>::from);
        breakers.open(30, &late);
        breakers.open(20, &middle);
        breakers.open(20, &middle);
        assert_eq!(names(&breakers), ["middle", "late"]);
        breakers.open(10, &early);
        assert_eq!(names(&breakers), ["early", "middle"], "the latest made room");
        breakers.open(30, &late);
        assert_eq!(names(&breakers), ["early", "middle"], "there is none for it");
        breakers.closed(30, &late);
        breakers.closed(10, &early);
        breakers.open(30, &late);
        assert_eq!(names(&breakers), ["middle", "late"], "it has the place that was left");
    }

    #[test]
    fn nobody_is_named_where_none_are_to_be() {
        let breakers = OpenBreakers::naming(0);
        breakers.open(1, &"one".into());
        assert!(names(&breakers).is_empty());
    }
}
