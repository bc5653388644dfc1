//! Whatever happens, every event is explained: random histories, and after each step every
//! event says of every endpoint that it concerns what became of it there, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste::domain::{
    DeliveryId, EndpointId, Event, EventId, ReplayId, ReplaySelection, Replayable, StatusFilter, TypePattern,
};
use posthaste::policy::explaining::{self, Facts, WaitsFor};
use posthaste::policy::matching;
use posthaste::store::{
    DeliveryFilter, EventOutcome, NewReplay, ReplaySlice, Replayed, Scope, Skipped, Verdict, WantedEndpoints,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::world::{DAY, HOUR, World, settings};

for_every_backend! {
    whatever_happens_every_event_is_explained
}

const TYPES: [&str; 3] = ["campaign.created", "campaign.updated", "order.paid"];
const PATTERNS: [&[&str]; 4] = [&["*"], &["campaign.*"], &["order.paid"], &["campaign.updated", "order.paid"]];
/// What no event has that these cases post.
const FILTER: &str = r#"{"required": ["colour"]}"#;

#[derive(Debug, Clone)]
enum Step {
    Create { patterns: usize, filtered: bool },
    Change { endpoint: Index, patterns: usize, filtered: bool },
    Pause(Index),
    Resume(Index),
    Enable { endpoint: Index, enabled: bool },
    Delete(Index),
    Accept { event_type: usize, times: usize },
    Attempt { delivery: Index, verdict: usize },
    Skip(Index),
    Dismiss(Index),
    Replay { endpoint: Index, missing: bool, exhausted: bool },
    CarryOn { replay: Index, room: usize },
    Drain,
    Retire,
    Wait(u64),
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        3 => (0..PATTERNS.len(), any::<bool>()).prop_map(|(patterns, filtered)| Step::Create { patterns, filtered }),
        2 => (index(), 0..PATTERNS.len(), any::<bool>())
            .prop_map(|(endpoint, patterns, filtered)| Step::Change { endpoint, patterns, filtered }),
        1 => index().prop_map(Step::Pause),
        1 => index().prop_map(Step::Resume),
        1 => (index(), any::<bool>()).prop_map(|(endpoint, enabled)| Step::Enable { endpoint, enabled }),
        1 => index().prop_map(Step::Delete),
        6 => (0..TYPES.len(), 1..4_usize).prop_map(|(event_type, times)| Step::Accept { event_type, times }),
        8 => (index(), 0..3_usize).prop_map(|(delivery, verdict)| Step::Attempt { delivery, verdict }),
        1 => index().prop_map(Step::Skip),
        1 => index().prop_map(Step::Dismiss),
        2 => (index(), any::<bool>(), any::<bool>())
            .prop_map(|(endpoint, missing, exhausted)| Step::Replay { endpoint, missing, exhausted }),
        4 => (index(), 1..4_usize).prop_map(|(replay, room)| Step::CarryOn { replay, room }),
        1 => Just(Step::Drain),
        1 => Just(Step::Retire),
        2 => (1..90_000_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

fn whatever_happens_every_event_is_explained(world: &mut World) {
    let config = Config { cases: world.histories(12), failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..50), |steps| {
        let mut beside = world.beside();
        let mut history = History::new(&mut beside);
        for step in steps {
            history.play(step);
            history.is_explained()?;
        }
        beside.is_as_promised();
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// When an endpoint came and went, in steps.
struct Life {
    id: EndpointId,
    patterns: Vec<TypePattern>,
    made: usize,
    deleted: Option<usize>,
}

struct History<'a> {
    world: &'a mut World,
    acme: Scope,
    steps: usize,
    endpoints: Vec<Life>,
    events: BTreeMap<EventId, usize>,
    replays: Vec<(ReplayId, EndpointId)>,
}

impl<'a> History<'a> {
    fn new(world: &'a mut World) -> Self {
        let acme = world.partner("acme");
        Self { world, acme, steps: 0, endpoints: Vec::new(), events: BTreeMap::new(), replays: Vec::new() }
    }

    fn live(&self, index: Index) -> Option<usize> {
        let live: Vec<usize> = (0..self.endpoints.len()).filter(|it| self.endpoints[*it].deleted.is_none()).collect();
        (!live.is_empty()).then(|| *index.get(&live))
    }

    fn delivery(&self, index: Index, status: Option<StatusFilter>) -> Option<(DeliveryId, u32)> {
        let found = self.world.deliveries(&self.acme, &DeliveryFilter { status, ..DeliveryFilter::default() });
        let delivery = (!found.is_empty()).then(|| index.get(&found))?;
        Some((delivery.id, delivery.attempt_count))
    }

    fn play(&mut self, step: Step) {
        self.steps += 1;
        let filter = |filtered: bool| filtered.then(|| FILTER.parse().expect("a case's own filter"));
        match step {
            Step::Create { patterns, filtered } => {
                let mut wanted = settings(&format!("number{}", self.endpoints.len()), PATTERNS[patterns]);
                wanted.filter = filter(filtered);
                let patterns = wanted.events.clone();
                let id = self.world.try_endpoint(&self.acme, wanted).expect("the URL is free").id;
                self.endpoints.push(Life { id, patterns, made: self.steps, deleted: None });
            }
            Step::Change { endpoint, patterns, filtered } => {
                let Some(number) = self.live(endpoint) else { return };
                let changed = self.world.change(&self.acme.clone(), self.endpoints[number].id, |settings| {
                    settings.events = PATTERNS[patterns].iter().map(|text| text.parse().expect("a pattern")).collect();
                    settings.filter = filter(filtered);
                });
                self.endpoints[number].patterns = changed.settings.events;
            }
            Step::Pause(endpoint) => {
                let Some(number) = self.live(endpoint) else { return };
                self.world.pause(&self.acme.clone(), self.endpoints[number].id);
            }
            Step::Resume(endpoint) => {
                let Some(number) = self.live(endpoint) else { return };
                self.world.resume(&self.acme.clone(), self.endpoints[number].id);
            }
            Step::Enable { endpoint, enabled } => {
                let Some(number) = self.live(endpoint) else { return };
                self.world.enable(&self.acme.clone(), self.endpoints[number].id, enabled);
            }
            Step::Delete(endpoint) => {
                let Some(number) = self.live(endpoint) else { return };
                self.world.delete(&self.acme.clone(), self.endpoints[number].id);
                self.endpoints[number].deleted = Some(self.steps);
            }
            Step::Accept { event_type, times } => {
                for _ in 0..times {
                    let id = self.world.accept(&self.acme.clone(), TYPES[event_type]).id;
                    self.events.insert(id, self.steps);
                }
            }
            Step::Attempt { delivery, verdict } => {
                let waiting = [StatusFilter::Pending, StatusFilter::Retrying];
                let found = waiting.into_iter().find_map(|status| self.delivery(delivery, Some(status)));
                let Some((id, attempts)) = found else { return };
                let verdict =
                    [Verdict::Delivered, Verdict::RetryAt(self.world.now + HOUR), Verdict::Exhausted][verdict];
                self.world.record(&self.world.attempt(id, attempts, verdict));
            }
            Step::Skip(delivery) => {
                let Some((id, _)) = self.delivery(delivery, None) else { return };
                let acme = self.acme.clone();
                let skipped = self.world.commit(|transaction| transaction.skip_delivery(&acme, id));
                assert!(matches!(skipped, Skipped::Done | Skipped::Ended), "{skipped:?}");
            }
            Step::Dismiss(delivery) => {
                let Some((id, _)) = self.delivery(delivery, Some(StatusFilter::RetriesExhausted)) else { return };
                let acme = self.acme.clone();
                self.world.commit(|transaction| transaction.dismiss_delivery(&acme, id));
            }
            Step::Replay { endpoint, missing, exhausted } => {
                let Some(number) = self.live(endpoint) else { return };
                let endpoint = self.endpoints[number].id;
                let mut statuses = vec![Replayable::Discarded];
                if exhausted {
                    statuses.push(Replayable::RetriesExhausted);
                }
                let new = NewReplay {
                    scope: self.acme.clone(),
                    wanted: WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 100 },
                    selection: ReplaySelection { statuses, missing, ..ReplaySelection::default() },
                    per_second: None,
                    actor: "operator".into(),
                    key: None,
                    most_running: 100,
                    request: None,
                };
                let made = self.world.commit(|transaction| transaction.create_replay(&new));
                self.replays.push((made.expect("nothing stands against it").replay.id, endpoint));
            }
            Step::CarryOn { replay, room } => {
                if self.replays.is_empty() {
                    return;
                }
                let (replay, endpoint) = *replay.get(&self.replays);
                let slice = ReplaySlice { replay, endpoint, room };
                let done = self.world.commit(|transaction| transaction.carry_on_replay(&slice));
                assert!(matches!(done, Replayed::Over | Replayed::Looked { .. }));
            }
            Step::Drain => {
                for _ in &self.endpoints {
                    self.world.commit(|transaction| transaction.discard_deleted(1_000));
                }
            }
            Step::Retire => {
                let horizon = self.world.now - DAY;
                let mut after = None;
                while let Some(next) = self.world.commit(|transaction| transaction.retire(horizon, after, 3)).next {
                    after = Some(next);
                }
            }
            Step::Wait(millis) => self.world.advance(Duration::from_millis(millis)),
            Step::Reopen => self.world.reopen(),
            Step::Kill => self.world.kill(),
        }
    }

    /// Of each event that is kept, every endpoint that was there or is there.
    fn is_explained(&self) -> Result<(), TestCaseError> {
        for (id, accepted) in &self.events {
            let Some(event) = self.world.store().event(&self.acme, *id).expect("readable") else { continue };
            let outcomes = self
                .world
                .store()
                .event_outcomes(&self.acme, &event, None, posthaste::store::OUTCOMES_MOST)
                .expect("readable");
            let mut said: BTreeMap<EndpointId, (usize, usize)> = BTreeMap::new();
            for outcome in &outcomes {
                self.is_told(&event, outcome)?;
                match outcome {
                    EventOutcome::Delivery { delivery, .. } => said.entry(delivery.endpoint).or_default().0 += 1,
                    EventOutcome::Filtered { endpoint, .. }
                    | EventOutcome::NotSubscribed { endpoint, .. }
                    | EventOutcome::NotYetCreated { endpoint, .. } => said.entry(*endpoint).or_default().1 += 1,
                }
            }
            for life in &self.endpoints {
                let was_there = life.made < *accepted && life.deleted.is_none_or(|deleted| deleted > *accepted);
                let said = said.get(&life.id).copied().unwrap_or_default();
                if was_there || life.deleted.is_none() {
                    prop_assert_ne!(said, (0, 0), "{} is silent about {}", id, life.id);
                }
                prop_assert!(
                    said.1 == 0 || said == (0, 1),
                    "{id} says more than one thing about {}: {said:?}",
                    life.id
                );
            }
        }
        Ok(())
    }

    /// Whether it has a sentence that fits.
    fn is_told(&self, event: &Event, outcome: &EventOutcome) -> Result<(), TestCaseError> {
        let erased_at = event.erased.map(|erased| erased.at);
        let sentence = match outcome {
            EventOutcome::Delivery { delivery, last_attempt } => {
                let error = last_attempt.as_ref().and_then(|attempt| attempt.outcome.error.as_ref());
                explaining::delivery(delivery, error, erased_at).unwrap_or_else(|| {
                    let standings = self.world.store().standings(&[delivery.endpoint]).expect("readable");
                    let standing = &standings[&delivery.endpoint];
                    let facts = Facts {
                        status: delivery.status,
                        due_at: delivery.next_attempt_at,
                        was_tried: delivery.scheduled_attempts > 0,
                        deliver_at: event.times.deliver_at,
                        is_queued: delivery.is_queued,
                        first_in_order: None,
                        has_place: delivery.place.is_some(),
                        is_ordered: standing.is_ordered,
                        is_enabled: standing.is_enabled,
                        paused_at: standing.paused_at,
                        braked_at: standing.braked_at,
                        trouble: &standing.trouble,
                        actor: explaining::Actor::NotAsked,
                    };
                    let waits_for = WaitsFor::of(&facts, self.world.now);
                    explaining::waiting(&waits_for, (delivery.id, delivery.endpoint), None, self.world.now)
                })
            }
            EventOutcome::Filtered { endpoint, objections } => {
                prop_assert!(!objections.is_empty(), "which rule kept it away?");
                let rules = objections.iter().map(|rule| (rule.pointer.as_str(), rule.detail.as_str()));
                explaining::filtered(*endpoint, rules)
            }
            EventOutcome::NotSubscribed { endpoint, later } => {
                let later = later.map(|later| (later.version, later.since));
                explaining::not_subscribed(*endpoint, &event.event_type, later, erased_at)
            }
            EventOutcome::NotYetCreated { endpoint, is_subscribed, .. } => {
                let life = self.endpoints.iter().find(|life| life.id == *endpoint).expect("it was made here");
                prop_assert_eq!(*is_subscribed, matching::wants(&life.patterns, &event.event_type));
                return Ok(());
            }
        };
        prop_assert!(sentence.len() > 10, "{sentence:?}");
        Ok(())
    }
}
