//! What an endpoint's state has to tell of trouble: when, once, over restarts, and
//! whatever becomes of the records that carry it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{Announcement, DeliveryId, Outcome, RetryPolicy, Timestamp};
use posthaste::engine::endpoint::state::{Effect, Input, Plan, State};
use posthaste::store::{Record, Recorded};

use super::health::{LIMITS, Life, begin, hourly};
use super::model::{delivered, failed, fresh};
use super::shelf::delivery;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn brief(announcement: &Announcement) -> &'static str {
    match announcement {
        Announcement::Failing { is_warning: false, .. } => "failing",
        Announcement::Failing { is_warning: true, .. } => "warning",
        Announcement::Recovered { .. } => "recovered",
        Announcement::Exhausted => "exhausted",
    }
}

fn told_by(records: &[Record]) -> Vec<(Timestamp, &'static str)> {
    let of = |record: &Record| {
        let at = record.finished_at;
        record.announcements.iter().map(move |announcement| (at, brief(announcement))).collect::<Vec<_>>()
    };
    records.iter().flat_map(of).collect()
}

/// One that fails each time that something is sent, once a second at most, for so long.
fn fail_for(life: &mut Life, time: Duration) {
    let until = life.now.monotonic + time;
    while life.now.monotonic < until {
        for sent in life.take_sent() {
            life.end(sent, failed());
        }
        life.advance(SECOND);
    }
}

#[test]
fn what_was_told_is_neither_repeated_nor_forgotten_by_a_restart() {
    let mut life = Life::begin(Plan::new(32, hourly()));
    life.born(100);
    fail_for(&mut life, 3 * MINUTE);
    let told = told_by(&life.records);
    assert_eq!(told.len(), 1, "{told:?}");
    let (at, what) = told[0];
    assert_eq!(what, "failing");
    let after = at.since(begin().wall);
    assert!((MINUTE..2 * MINUTE).contains(&after), "at the first failure a minute later, and not {after:?}");
    let carrier = life.records.iter().find(|record| !record.announcements.is_empty()).expect("it is carried");
    assert_eq!(carrier.trouble.as_ref().map(|trouble| trouble.announced_at), Some(Some(at)), "stored along");

    let mut next = Life::go_on(Plan::new(32, hourly()), life.shelf, life.now.after(SECOND));
    fail_for(&mut next, 3 * MINUTE);
    assert_eq!(told_by(&next.records), []);
    let mut last = Life::go_on(Plan::new(32, hourly()), next.shelf, next.now.after(SECOND));
    last.wake_until_sent();
    let probe = last.take_sent();
    last.end(probe[0], delivered());
    assert_eq!(told_by(&last.records), [(last.now.wall, "recovered")]);
    let expected = Announcement::Recovered { failing_since: Some(begin().wall) };
    assert_eq!(last.records.last().map(|record| record.announcements.clone()), Some(vec![expected]));
    // And that once.
    let sent = last.take_sent();
    last.end(sent[0], delivered());
    assert_eq!(told_by(&last.records).len(), 1);
}

#[test]
fn the_warning_is_told_too() {
    let mut life = Life::begin(Plan::new(32, hourly()));
    life.born(60);
    fail_for(&mut life, 5 * MINUTE);
    let since = begin().wall;
    // By the end of the warning's day all of its attempts are probes.
    for _ in 0..30 {
        life.advance(60 * MINUTE);
        for sent in life.take_sent() {
            life.end(sent, failed());
        }
    }
    let told: Vec<&str> = told_by(&life.records).into_iter().map(|(_, what)| what).collect();
    assert_eq!(told, ["failing", "warning"]);
    let disables_at = |announcement: &Announcement| match announcement {
        Announcement::Failing { since: said, disables_at, .. } => {
            assert_eq!(*said, since);
            disables_at.expect("it is disabled after five days")
        }
        other => panic!("{other:?}"),
    };
    let five_days = Duration::from_secs(5 * 24 * 3600);
    for announcement in life.records.iter().flat_map(|record| &record.announcements) {
        let at = disables_at(announcement).since(since);
        assert!((five_days..five_days + 120 * MINUTE).contains(&at), "{at:?}");
    }
}

#[test]
fn a_system_events_failure_tells_nothing() {
    let policy = RetryPolicy::Schedule(vec![5 * SECOND; 29]);
    let mut life = Life::begin(Plan { disable_on_gone: true, ..Plan::new(32, policy) });
    life.born(1);
    for _ in 0..600 {
        for sent in life.take_sent() {
            life.end_as(sent, failed(), true);
        }
        life.advance(SECOND);
    }
    assert!(life.records.iter().any(|record| record.verdict == posthaste::store::Verdict::Exhausted));
    assert!(life.trouble().failing_since.is_some(), "it is spared all the same");
    assert_eq!(told_by(&life.records), []);
    life.born(1);
    life.wake_until_sent();
    let sent = life.take_sent();
    life.end_as(sent[0], Outcome::answered(410, Bytes::new()), true);
    assert_eq!(life.setbacks, [None], "nor that it is disabled for it");

    // Whoever heard of another event's failure hears how that ends.
    let mut life = Life::begin(Plan { disable_on_gone: true, ..Plan::new(32, hourly()) });
    life.born(60);
    fail_for(&mut life, 2 * MINUTE);
    assert!(told_by(&life.records).iter().any(|(_, what)| *what == "failing"));
    life.wake_until_sent();
    let sent = life.take_sent();
    life.end_as(sent[0], Outcome::answered(410, Bytes::new()), true);
    let last = life.setbacks.last().expect("it is disabled").clone().expect("and that is told");
    assert_eq!(last.status_code, Some(410));
    assert!(last.failures > 5, "{last:?}");
}

#[test]
fn a_delivery_whose_schedule_ends_is_told_of() {
    let mut life = Life::begin(Plan::new(32, RetryPolicy::Schedule(vec![SECOND])));
    life.born(2);
    for round in 0..2 {
        let sent = life.take_sent();
        life.end(sent[0], failed());
        life.end(sent[1], if round == 0 { failed() } else { delivered() });
        life.advance(SECOND);
    }
    assert_eq!(told_by(&life.records), [(begin().wall + SECOND, "exhausted")]);
    assert_eq!(life.records[2].delivery, delivery(1));
}

/// A state, and what it wants written down, which nobody has done yet.
struct Unwritten {
    state: State,
    now: posthaste::domain::Moment,
    sent: Vec<DeliveryId>,
    records: Vec<Arc<Record>>,
}

impl Unwritten {
    /// Five deliveries have failed, and two more failed after a minute: the first of
    /// those says so.
    fn failing() -> Self {
        let patience = posthaste::policy::health::Patience { opens_after: None, ..LIMITS.patience };
        let limits = posthaste::engine::endpoint::state::Limits { patience, ..LIMITS };
        let (sent, records) = (Vec::new(), Vec::new());
        let mut life = Self { state: State::new(limits), now: begin(), sent, records };
        life.step(Input::Timer);
        life.step(Input::Settings(Some(Plan::new(32, hourly()))));
        for lane in super::model::LANES {
            life.step(Input::Page { lane, limit: 64, due: Vec::new(), payloads: HashMap::new() });
        }
        life.step(Input::Born((1..=7).map(fresh).collect()));
        let sent = std::mem::take(&mut life.sent);
        assert_eq!(sent.len(), 7);
        for sent in &sent[..5] {
            life.end(*sent, failed());
            life.write(0);
        }
        life.now = life.now.after(MINUTE);
        life.end(sent[5], failed());
        assert_eq!(life.told(), ["failing"]);
        life
    }

    fn step(&mut self, input: Input) {
        for effect in self.state.step(input, self.now) {
            match effect {
                Effect::Send(sending) => self.sent.push(sending.delivery),
                Effect::Record(record) => self.records.push(record),
                _ => {}
            }
        }
    }

    fn end(&mut self, delivery: DeliveryId, outcome: Outcome) {
        let (started, ended) = (self.now, self.now);
        self.step(Input::Attempted {
            delivery,
            started,
            ended,
            outcome,
            random: 0.5,
            retry: None,
            expires_at: None,
            is_system: false,
        });
    }

    /// The store takes one of the records.
    fn write(&mut self, index: usize) {
        let record = self.records.remove(index);
        self.step(Input::Recorded {
            delivery: record.delivery,
            recorded: Recorded::Written(posthaste::domain::StoredStatus::Retrying),
        });
    }

    /// What the records tell that are to be written.
    fn told(&self) -> Vec<&'static str> {
        self.records.iter().flat_map(|record| &record.announcements).map(brief).collect()
    }
}

#[test]
fn what_is_written_again_tells_the_same() {
    let mut life = Unwritten::failing();
    let record = life.records.remove(0);
    life.step(Input::RecordFailed(record.delivery));
    life.now = life.now.after(SECOND);
    life.step(Input::Timer);
    assert_eq!(life.told(), ["failing"]);
    life.end(delivery(7), failed());
    assert_eq!(life.told(), ["failing"], "the other says nothing of it");
}

#[test]
fn it_is_not_told_to_fail_behind_the_news_that_it_does_not() {
    let mut life = Unwritten::failing();
    let record = life.records.remove(0);
    life.step(Input::RecordFailed(record.delivery));
    life.end(delivery(7), delivered());
    assert_eq!(life.told(), ["recovered"]);
    life.now = life.now.after(SECOND);
    life.step(Input::Timer);
    assert_eq!(life.records.len(), 2, "its outcome is written all the same");
    assert_eq!(life.told(), ["recovered"]);
}

#[test]
fn what_an_outdated_record_was_to_tell_the_next_one_does() {
    let mut life = Unwritten::failing();
    let record = life.records.remove(0);
    life.step(Input::Recorded { delivery: record.delivery, recorded: Recorded::Superseded });
    life.end(delivery(7), failed());
    assert_eq!(life.told(), ["failing"]);
}
