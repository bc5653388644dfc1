//! A yes means that the files have it: at the moment of the answer, flushed,
//! and whole or not at all after a write that was cut short.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use posthaste::clock::Clock;
use posthaste::domain::EventId;
use posthaste::metrics::Metrics;
use posthaste::store::journal::JournalOptions;
use posthaste::store::{Journal, PageRequest};
use tokio::sync::oneshot;

use super::{SqlitePlace, flushing};
use crate::store::world::{START, World, events_of};

/// An answered event stands in a copy of the files made right after the
/// answer, and its flush came before the answer.
#[test]
fn what_was_answered_is_in_the_files() {
    flushing::watch();
    let place = Arc::new(SqlitePlace::new());
    let log = place.log();
    let mut world = World::new(Box::new(Arc::clone(&place)));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let options = JournalOptions { queue: 16, queue_bytes: 1 << 20, batch: 16 };
    let (failed, _failed) = oneshot::channel();
    let at_notice = flushing::Flushes::of(&log);
    let observer = Box::new(move |_| assert_eq!(at_notice.unflushed(), 0, "nobody hears of what is not flushed"));
    let (journal, thread) = Journal::start(
        world.take_writer(),
        options,
        Clock::manual(START),
        Arc::new(Metrics::default()),
        observer,
        failed,
    )
    .expect("a thread can be started");
    let flushes = flushing::Flushes::of(&log);
    actix_rt::System::new().block_on(async {
        for _ in 0..10 {
            let before = flushes.count();
            let answer = journal.accept(world.request(&acme, &["campaign.updated"])).await.expect("durable");
            assert_eq!(flushes.unflushed(), 0, "a page of the log was written after the last flush");
            assert!(flushes.count() > before, "the answer came without a flush");
            let event = events_of(answer).remove(0).id;
            let copy = World::new(Box::new(place.copy()));
            assert!(copy.store().event(&acme, event).expect("readable").is_some());
            assert_eq!(copy.deliveries_of(&acme, event).len(), 1);
        }
    });
    thread.finish();
}

/// However much of the last commit reached the disk before the power went:
/// the store opens, has all that was answered before, and the last commit
/// whole or not at all.
#[test]
fn a_commit_that_was_cut_short_is_as_if_it_never_was() {
    let whole = Arc::new(SqlitePlace::new());
    let mut world = World::new(Box::new(Arc::clone(&whole)));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let kept = world.accept(&acme, "campaign.created").id;
    let before = bytes(&whole.log());
    let request = world.request(&acme, &["campaign.updated"; 20]);
    world.accept_all(&[&request]);
    let after = bytes(&whole.log());
    assert!(after > before, "the log grows by what is committed");

    for part in 0..=8 {
        let length = before + (after - before) * part / 8;
        let place = whole.copy();
        OpenOptions::new().write(true).open(place.log()).and_then(|log| log.set_len(length)).expect("ours to cut");
        let mut cut = World::new(Box::new(place));
        let events: Vec<EventId> = cut
            .store()
            .events(&acme, &PageRequest { after: None, limit: 100 })
            .expect("readable")
            .items
            .iter()
            .map(|event| event.id)
            .collect();
        assert_eq!(events.len(), if part == 8 { 21 } else { 1 }, "{part} eighths of the last commit");
        assert_eq!(events.last(), Some(&kept));
        assert_eq!(cut.accept(&acme, "campaign.updated").deliveries, 1, "and life goes on");
    }
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a store in use has a log").len()
}
