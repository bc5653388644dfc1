//! Random histories, played to the store and to the model: whatever has
//! happened, every list shows what the model shows, and a walk through its
//! pages meets everything once.

use std::time::Duration;

use posthaste::domain::{EndpointId, Environment, EventType, StatusFilter, TypePattern};
use posthaste::store::{AttemptKind, DeliveryFilter, EventOutcome, EventSearch, PageRequest, Record, Scope, Verdict};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::model::{ALL_PARTNERS, Model};
use super::world::{HOUR, World, events_of};

for_every_backend! {
    lists_show_what_happened
}

#[derive(Debug, Clone)]
enum Step {
    Create { partner: usize, patterns: usize },
    Repattern { endpoint: Index, patterns: usize },
    Toggle(Index),
    Delete(Index),
    Accept { scope: usize, lines: Vec<usize> },
    Attempt { delivery: Index, verdict: usize },
    Manual { delivery: Index, delivered: bool },
    Wait(u64),
    Drain,
    Retire { back_ms: u64 },
    Index { events: usize },
    Reopen,
}

#[derive(Debug, Clone)]
struct Question {
    scope: usize,
    status: Option<StatusFilter>,
    endpoint: Option<Index>,
    event: Option<Index>,
    types: Option<usize>,
    since: Option<Index>,
    until: Option<Index>,
    limit: usize,
}

const TYPES: [&str; 3] = ["campaign.created", "campaign.updated", "order.paid"];
const PATTERNS: [&[&str]; 4] = [&["*"], &["campaign.*"], &["order.paid", "campaign.created"], &["order.*"]];

const ASKED: [&str; 5] = ["*", "campaign.*", "campaign.updated", "order.paid", "order.paid.*"];

fn step() -> impl Strategy<Value = Step> {
    let endpoint = any::<Index>;
    prop_oneof![
        3 => (0..2usize, 0..4usize).prop_map(|(partner, patterns)| Step::Create { partner, patterns }),
        1 => (endpoint(), 0..4usize).prop_map(|(endpoint, patterns)| Step::Repattern { endpoint, patterns }),
        2 => endpoint().prop_map(Step::Toggle),
        1 => endpoint().prop_map(Step::Delete),
        6 => (0..3usize, prop::collection::vec(0..3usize, 1..4)).prop_map(|(scope, lines)| Step::Accept { scope, lines }),
        6 => (any::<Index>(), 0..3usize).prop_map(|(delivery, verdict)| Step::Attempt { delivery, verdict }),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(delivery, delivered)| Step::Manual { delivery, delivered }),
        3 => (0..5_000u64).prop_map(Step::Wait),
        1 => Just(Step::Drain),
        1 => (0..10_000u64).prop_map(|back_ms| Step::Retire { back_ms }),
        2 => (1..6usize).prop_map(|events| Step::Index { events }),
        1 => Just(Step::Reopen),
    ]
}

fn status() -> impl Strategy<Value = StatusFilter> {
    use StatusFilter::{Delivered, Discarded, Held, Pending, RetriesExhausted, Retrying};
    prop::sample::select(vec![Pending, Retrying, Held, Delivered, RetriesExhausted, Discarded])
}

fn question() -> impl Strategy<Value = Question> {
    let seldom = || prop::option::weighted(0.25, any::<Index>());
    let types = prop::option::weighted(0.5, 0..ASKED.len());
    let about = (prop::option::weighted(0.7, status()), seldom(), seldom(), types);
    (0..3usize, about, seldom(), seldom(), 1..6usize).prop_map(
        |(scope, (status, endpoint, event, types), since, until, limit)| Question {
            scope,
            status,
            endpoint,
            event,
            types,
            since,
            until,
            limit,
        },
    )
}

fn patterns(number: usize) -> Vec<TypePattern> {
    PATTERNS[number].iter().map(|text| text.parse().expect("a case's own pattern")).collect()
}

/// A store and its model, with the scopes that the model numbers.
struct Played<'a> {
    world: &'a mut World,
    model: Model,
    scopes: [Scope; 3],
}

impl<'a> Played<'a> {
    fn new(world: &'a mut World) -> Self {
        let scopes = [world.partner("acme"), world.partner("other"), Scope::all(Environment::Production)];
        Self { world, model: Model::default(), scopes }
    }

    /// A live endpoint, if there is one.
    fn live(&self, index: Index) -> Option<(usize, EndpointId, Scope)> {
        let live: Vec<usize> = (0..self.model.endpoints.len())
            .filter(|number| self.model.endpoints[*number].deleted_at.is_none())
            .collect();
        if live.is_empty() {
            return None;
        }
        let number = *index.get(&live);
        let endpoint = &self.model.endpoints[number];
        Some((number, endpoint.id, self.scopes[endpoint.partner].clone()))
    }

    fn record(&mut self, index: Index, kind: AttemptKind, verdict: Verdict) {
        if self.model.deliveries.is_empty() {
            return;
        }
        let number = index.index(self.model.deliveries.len());
        let delivery = &self.model.deliveries[number];
        let record = Record { kind, ..self.world.attempt(delivery.id, delivery.attempts, verdict) };
        self.world.record(&record);
        self.model.record(number, kind, verdict, record.finished_at);
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Create { partner, patterns: number } => {
                let word = format!("number{}", self.model.endpoints.len());
                let scope = self.scopes[partner].clone();
                let endpoint = self.world.endpoint(&scope, &word, PATTERNS[number]);
                self.model.create(endpoint.id, partner, patterns(number));
            }
            Step::Repattern { endpoint, patterns: wanted } => {
                if let Some((number, id, scope)) = self.live(endpoint) {
                    self.world.change(&scope, id, |settings| settings.events = patterns(wanted));
                    self.model.endpoints[number].patterns = patterns(wanted);
                }
            }
            Step::Toggle(endpoint) => {
                if let Some((number, id, scope)) = self.live(endpoint) {
                    let enabled = !self.model.endpoints[number].enabled;
                    self.world.enable(&scope, id, enabled);
                    self.model.endpoints[number].enabled = enabled;
                }
            }
            Step::Delete(endpoint) => {
                if let Some((number, id, scope)) = self.live(endpoint) {
                    self.world.delete(&scope, id);
                    self.model.delete(number, self.world.now);
                }
            }
            Step::Accept { scope, lines } => self.accept(scope, &lines),
            Step::Attempt { delivery, verdict } => {
                let verdicts = [Verdict::Delivered, Verdict::RetryAt(self.world.now + HOUR), Verdict::Exhausted];
                self.record(delivery, AttemptKind::Scheduled, verdicts[verdict]);
            }
            Step::Manual { delivery, delivered } => {
                let verdict = if delivered { Verdict::Delivered } else { Verdict::Unchanged };
                self.record(delivery, AttemptKind::Manual, verdict);
            }
            Step::Wait(millis) => self.world.advance(Duration::from_millis(millis)),
            Step::Drain => {
                for _ in &self.model.endpoints {
                    self.world.commit(|transaction| transaction.discard_deleted(1_000));
                }
                self.model.drain();
            }
            Step::Retire { back_ms } => {
                let horizon = self.world.now - Duration::from_millis(back_ms);
                let mut after = None;
                while let Some(next) = self.world.commit(|transaction| transaction.retire(horizon, after, 3)).next {
                    after = Some(next);
                }
                self.model.retire(horizon, self.world.now);
            }
            Step::Index { events } => drop(self.world.index(events)),
            Step::Reopen => self.world.reopen(),
        }
    }

    fn accept(&mut self, scope: usize, lines: &[usize]) {
        let types: Vec<&str> = lines.iter().map(|number| TYPES[*number]).collect();
        let request = self.world.request(&self.scopes[scope], &types);
        let accepted = events_of(self.world.accept_all(&[&request]).remove(0));
        let mut births = self.world.births().into_iter();
        for event in accepted {
            let made = births.by_ref().take(event.deliveries as usize).map(|birth| birth.delivery).collect();
            let event_type: EventType = event.event_type;
            self.model.accept(event.id, scope, event_type, made, self.world.now);
        }
        assert_eq!(births.len(), 0);
    }

    /// Asks both, page by page.
    fn ask(&self, question: &Question) -> Result<(), TestCaseError> {
        let model = &self.model;
        let one = |index: Option<Index>, count: usize| index.filter(|_| count > 0).map(|index| index.index(count));
        let time = |index: Option<Index>| {
            let event = one(index, model.events.len())?;
            Some(model.events[event].id.made_at() + Duration::from_millis(index?.index(2) as u64))
        };
        let filter = DeliveryFilter {
            status: question.status,
            endpoint: one(question.endpoint, model.endpoints.len()).map(|number| model.endpoints[number].id),
            event: one(question.event, model.events.len()).map(|number| model.events[number].id),
            replay: None,
            types: question.types.map(|number| ASKED[number].parse().expect("a case's own pattern")),
            since: time(question.since),
            until: time(question.until),
        };
        let mut walked = Vec::new();
        loop {
            let page = PageRequest {
                after: walked.last().map(|delivery: &posthaste::domain::Delivery| delivery.id),
                limit: question.limit,
            };
            let page = self.world.store().deliveries(&self.scopes[question.scope], &filter, &page).expect("readable");
            prop_assert!(page.items.len() == question.limit || !page.more, "only the last page is short");
            walked.extend(page.items);
            if !page.more {
                break;
            }
        }
        prop_assert_eq!(walked, model.deliveries(question.scope, &filter), "{:?} {:?}", question, filter);
        let search = EventSearch {
            types: filter.types.clone(),
            since: filter.since,
            until: filter.until,
            ..EventSearch::default()
        };
        prop_assert_eq!(
            self.world.found(&self.scopes[question.scope], &search, question.limit),
            model.found(question.scope, &search),
            "{:?} {:?}",
            question,
            search
        );
        Ok(())
    }

    fn compare_events(&self) -> Result<(), TestCaseError> {
        for (number, scope) in self.scopes.iter().enumerate() {
            let mut walked = Vec::new();
            loop {
                let page = PageRequest { after: walked.last().copied(), limit: 3 };
                let page = self.world.store().events(scope, &page).expect("readable");
                walked.extend(page.items.iter().map(|event| event.id));
                if !page.more {
                    break;
                }
            }
            prop_assert_eq!(walked, self.model.events(number));
        }
        for (number, event) in self.model.events.iter().enumerate() {
            for partner in (0..ALL_PARTNERS).filter(|partner| [*partner, ALL_PARTNERS].contains(&event.scope)) {
                let scope = &self.scopes[partner];
                let stored = self.world.store().event(scope, event.id).expect("readable").expect("it is there");
                let mut deliveries = Vec::new();
                let (mut passed_by, mut not_yet_created) = (Vec::new(), Vec::new());
                for outcome in self
                    .world
                    .store()
                    .event_outcomes(scope, &stored, None, posthaste::store::OUTCOMES_MOST)
                    .expect("readable")
                {
                    match outcome {
                        EventOutcome::Delivery { delivery, last_attempt } => {
                            let last = last_attempt.map_or(0, |attempt| attempt.number);
                            prop_assert_eq!(last, delivery.attempt_count);
                            deliveries.insert(0, delivery);
                        }
                        EventOutcome::NotSubscribed { endpoint, .. } => passed_by.push(endpoint),
                        EventOutcome::NotYetCreated { endpoint, is_subscribed, .. } => {
                            not_yet_created.push((endpoint, is_subscribed));
                        }
                        EventOutcome::Filtered { .. } => panic!("no endpoint has a filter"),
                    }
                }
                let of_event = DeliveryFilter { event: Some(event.id), ..DeliveryFilter::default() };
                prop_assert_eq!(deliveries, self.model.deliveries(partner, &of_event));
                prop_assert_eq!(passed_by, self.model.passed_by(partner, number));
                prop_assert_eq!(not_yet_created, self.model.not_yet_created(partner, number));
            }
        }
        Ok(())
    }
}

fn lists_show_what_happened(world: &mut World) {
    let mut runner =
        TestRunner::new(Config { cases: world.histories(48), failure_persistence: None, ..Config::default() });
    let history = (prop::collection::vec(step(), 20..60), prop::collection::vec(question(), 30));
    let played = runner.run(&history, |(steps, questions)| {
        let mut fresh = world.beside();
        let mut played = Played::new(&mut fresh);
        for step in steps {
            played.play(step);
        }
        for question in &questions {
            played.ask(question)?;
        }
        played.compare_events()
    });
    played.expect("the store shows what the model shows");
}
