//! What the node's gauges show of its endpoints: as much as their actors know, also of
//! those that sleep, and nothing of those that are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use posthaste::engine::EngineOptions;
use posthaste::metrics::Metrics;

use super::house::{Answer, Call, House, Life, options, schedule, within};

const HOUR_MS: u64 = 3_600_000;

/// The gauges of endpoints: open, failing, paced, windows, concurrency.
fn gauges(metrics: &Metrics) -> [i64; 5] {
    [
        metrics.breakers_open.get(),
        metrics.endpoints_failing.get(),
        metrics.endpoints_paced.get(),
        metrics.deliveries_in_windows.get(),
        metrics.concurrency_allowed.get(),
    ]
}

async fn until(life: &Life, is_so: impl Fn(&Metrics) -> bool) {
    within(async {
        while !is_so(&life.engine.metrics) {
            actix_rt::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_breaker_is_counted_and_named_until_it_closes() {
    let is_well = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_well);
    let answer = move |_: &Call| Answer::Status(if answers.load(Ordering::Acquire) { 200 } else { 500 });
    House::new().live(options(), answer, async |life: &mut Life| {
        let id = life.endpoint("a", |settings| settings.retry = schedule(&[HOUR_MS])).await;
        life.post(12).await;
        until(life, |metrics| metrics.breakers_open.get() == 1).await;
        let metrics = Arc::clone(&life.engine.metrics);
        assert_eq!((metrics.breaker_openings.get(), metrics.endpoints_failing.get()), (1, 1));
        let named = format!("posthaste_endpoint_breaker_opened_timestamp_seconds{{endpoint=\"{id}\"}} ");
        assert!(metrics.render().contains(&named), "{}", metrics.render());
        until(life, |metrics| metrics.breaker_probes_failed.get() > 0).await;
        is_well.store(true, Ordering::Release);
        until(life, |metrics| metrics.breakers_open.get() == 0).await;
        assert!(!metrics.render().contains(&named), "{}", metrics.render());
        assert!(metrics.breaker_probes.get() > metrics.breaker_probes_failed.get(), "the last one succeeded");
        assert_eq!((metrics.breaker_openings.get(), metrics.endpoints_failing.get()), (1, 0));
    });
}

#[test]
fn trouble_is_still_counted_while_its_endpoint_sleeps() {
    let brief = EngineOptions { passivate_after: Duration::from_millis(20), ..options() };
    House::new().live(
        brief,
        |_: &Call| Answer::Status(500),
        async |life: &mut Life| {
            let id = life.endpoint("a", |settings| settings.retry = schedule(&[HOUR_MS])).await;
            life.post(5).await;
            until(life, |metrics| metrics.breakers_open.get() == 1).await;
            until(life, |metrics| metrics.endpoint_actors.get() == 0).await;
            // Its actor has no memory any more; what it leaves is the supervisor's.
            until(life, |metrics| gauges(metrics) == [1, 1, 0, 0, 0]).await;
            life.delete_endpoint(id).await;
            until(life, |metrics| gauges(metrics) == [0; 5]).await;
        },
    );
}

#[test]
fn windows_and_concurrency_add_up_over_endpoints() {
    House::new().live(
        options(),
        |_: &Call| Answer::Later,
        async |life: &mut Life| {
            for path in ["a", "b"] {
                life.endpoint(path, |settings| settings.max_concurrency = 2).await;
            }
            let paced = life.endpoint("c", |settings| settings.rate_limit = Some(1)).await;
            life.post(6).await;
            // Two of each are in flight, and the paced one waits for its turn with all of them or all but one.
            until(life, |metrics| matches!(gauges(metrics), [0, 0, 1, 13 | 14, 12])).await;
            life.delete_endpoint(paced).await;
            until(life, |metrics| metrics.endpoints_paced.get() == 0 && metrics.deliveries_in_windows.get() <= 8).await;
        },
    );
}
