//! What an endpoint adds to the node's gauges: its own share of each, which is taken
//! back when nobody holds this any more. An actor that rests leaves its trouble with
//! the supervisor, because an endpoint is no better for being asleep.

use std::sync::Arc;

use crate::domain::EndpointId;
use crate::engine::endpoint::state::Vitals;
use crate::metrics::Metrics;

/// See the module.
pub(in crate::engine) struct Shown {
    metrics: Arc<Metrics>,
    endpoint: EndpointId,
    /// The endpoint's name among the open breakers, made when it first has one.
    name: Option<Arc<str>>,
    /// What has been added for it.
    vitals: Vitals,
}

impl Shown {
    /// Nothing yet.
    pub(in crate::engine) fn new(metrics: Arc<Metrics>, endpoint: EndpointId) -> Self {
        Self { metrics, endpoint, name: None, vitals: Vitals::default() }
    }

    /// How it is from now on.
    pub(in crate::engine) fn show(&mut self, now: Vitals) {
        if now == self.vitals {
            return;
        }
        let before = std::mem::replace(&mut self.vitals, now);
        let metrics = &self.metrics;
        let share = |of: fn(&Vitals) -> usize| of(&now) as i64 - of(&before) as i64;
        metrics.breakers_open.inc_by(share(|vitals| usize::from(vitals.open_since.is_some())));
        metrics.endpoints_failing.inc_by(share(|vitals| usize::from(vitals.is_failing)));
        metrics.endpoints_paced.inc_by(share(|vitals| usize::from(vitals.is_paced)));
        metrics.deliveries_in_windows.inc_by(share(|vitals| vitals.window));
        metrics.concurrency_allowed.inc_by(share(|vitals| vitals.allowed));
        metrics.breaker_openings.inc_by(now.openings.saturating_sub(before.openings));
        metrics.breaker_probes.inc_by(now.probes.saturating_sub(before.probes));
        metrics.breaker_probes_failed.inc_by(now.failed_probes.saturating_sub(before.failed_probes));
        if before.open_since.is_none() && now.open_since.is_none() {
            return;
        }
        let name = self.name.get_or_insert_with(|| self.endpoint.to_string().into());
        if let Some(opened_at) = before.open_since.filter(|opened_at| now.open_since != Some(*opened_at)) {
            metrics.open_breakers.closed(opened_at.as_millis(), name);
        }
        if let Some(opened_at) = now.open_since {
            metrics.open_breakers.open(opened_at.as_millis(), name);
        }
    }

    /// What stays of it while the endpoint sleeps; `None` when it is well.
    pub(in crate::engine) fn asleep(mut self) -> Option<Self> {
        let Vitals { open_since, is_failing, .. } = self.vitals;
        // The next life counts from nothing.
        self.show(Vitals { open_since, is_failing, ..Vitals::default() });
        (open_since.is_some() || is_failing).then_some(self)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.show(Vitals::default());
    }
}
