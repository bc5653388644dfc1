//! The search index, kept by its actor while events come in.

use std::time::Duration;

use posthaste::engine::{Indexer, Indexing};

use super::house::{Answer, House, Life, options, within};

#[test]
fn what_was_accepted_is_indexed_in_segments_and_goes_on_after_a_restart() {
    let house = House::new();
    // What is indexed is counted once its commit is known, which is after others see it.
    let counted = async |life: &Life, events: u64| {
        within(async {
            while life.engine.metrics.events_indexed.get() < events {
                actix_rt::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(life.engine.metrics.events_indexed.get(), events);
    };
    let indexing = Indexing { segment_events: 4, idle: Duration::from_millis(1) };
    let segments = |life: &Life| {
        let end = life.engine.store.index_end().expect("readable");
        end.map_or(0, |end| end.segments)
    };
    house.live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            life.endpoint("a", |_| {}).await;
            Indexer::start(life.engine.clone(), indexing);
            life.post(10).await;
            life.until(|life| segments(life) == 2).await;
            counted(life, 8).await;
        },
    );
    house.live(
        options(),
        |_| Answer::Status(200),
        async |life: &mut Life| {
            Indexer::start(life.engine.clone(), indexing);
            life.post(2).await;
            life.until(|life| segments(life) == 3).await;
            // What was indexed is not indexed again.
            counted(life, 4).await;
        },
    );
}
