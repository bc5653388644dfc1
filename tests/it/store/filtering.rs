//! Filters: an endpoint gets the events that its own filter accepts, as it held
//! when they were accepted, however outdated the snapshot was that they came
//! with; and of the others it can be told why not.

use std::sync::Arc;

use posthaste::catalog;
use posthaste::domain::{EndpointId, Environment, EventFilter, EventId, EventType, TypePattern};
use posthaste::policy::matching;
use posthaste::store::{Accept, AcceptedEvent, Begun, EventOutcome, FanOut, NewEvent, Scope, Subscriptions};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::world::{World, event_with, events_of, in_sandbox, settings};

for_every_backend! {
    an_endpoint_gets_an_event_if_and_only_if_its_filter_accepts_it
    what_changes_in_the_same_commit_is_judged_anew
    what_was_filtered_is_told_by_the_filter_of_that_time
    a_filter_that_cannot_be_used_holds_nothing_back
    endpoints_with_one_filter_share_it
}

/// A filter, and what it means in other words than its schema's.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Everything,
    AtLeast(i64),
    Painted(&'static str),
    NotPainted(&'static str),
    BothOf(i64, &'static str),
    BeginsWith(char),
    /// No schema, which only an edited store has.
    Broken,
}

/// What is in an event beside its type.
#[derive(Debug, Clone, Copy)]
struct Fields {
    size: Option<i64>,
    colour: Option<&'static str>,
}

impl Rule {
    fn schema(self) -> Option<Value> {
        let painted = |colour: &str| json!({"properties": {"colour": {"const": colour}}, "required": ["colour"]});
        Some(match self {
            Self::Everything => return None,
            Self::AtLeast(size) => json!({"properties": {"size": {"minimum": size}}, "required": ["size"]}),
            Self::Painted(colour) => painted(colour),
            Self::NotPainted(colour) => json!({"not": painted(colour)}),
            Self::BothOf(size, colour) => json!({"allOf": [Self::AtLeast(size).schema(), painted(colour)]}),
            Self::BeginsWith(letter) => json!({"properties": {"colour": {"pattern": format!("^{letter}")}}}),
            Self::Broken => json!({"type": "strin"}),
        })
    }

    fn filter(self) -> Option<EventFilter> {
        self.schema().map(|schema| EventFilter::from(schema.as_object().expect("a schema is an object")))
    }

    fn accepts(self, fields: Fields) -> bool {
        match self {
            Self::Everything | Self::Broken => true,
            Self::AtLeast(size) => fields.size.is_some_and(|found| found >= size),
            Self::Painted(colour) => fields.colour == Some(colour),
            Self::NotPainted(colour) => fields.colour != Some(colour),
            Self::BothOf(size, colour) => Self::AtLeast(size).accepts(fields) && Self::Painted(colour).accepts(fields),
            Self::BeginsWith(letter) => fields.colour.is_none_or(|colour| colour.starts_with(letter)),
        }
    }
}

impl Fields {
    fn json(self) -> Value {
        let mut fields = json!({});
        if let Some(size) = self.size {
            fields["size"] = size.into();
        }
        if let Some(colour) = self.colour {
            fields["colour"] = colour.into();
        }
        fields
    }
}

const TYPES: [&str; 3] = ["a.one", "a.two", "b.one"];
const COLOURS: [&str; 3] = ["red", "rose", "green"];

fn rule() -> impl Strategy<Value = Rule> {
    let colour = || prop::sample::select(COLOURS.to_vec());
    prop_oneof![
        Just(Rule::Everything),
        (0..4i64).prop_map(Rule::AtLeast),
        colour().prop_map(Rule::Painted),
        colour().prop_map(Rule::NotPainted),
        (0..4i64, colour()).prop_map(|(size, colour)| Rule::BothOf(size, colour)),
        prop::sample::select(vec!['r', 'g']).prop_map(Rule::BeginsWith),
        Just(Rule::Broken),
    ]
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["*", "a.*", "a.one", "b.one"])
}

fn fields() -> impl Strategy<Value = Fields> {
    let colour = prop::option::of(prop::sample::select(COLOURS.to_vec()));
    (prop::option::of(0..4i64), colour).prop_map(|(size, colour)| Fields { size, colour })
}

#[derive(Debug, Clone)]
enum Step {
    Create {
        partner: usize,
        pattern: &'static str,
        rule: Rule,
    },
    Change {
        endpoint: prop::sample::Index,
        pattern: &'static str,
        rule: Rule,
    },
    Delete {
        endpoint: prop::sample::Index,
    },
    /// Takes snapshots, which the requests that follow come with.
    Look,
    Reopen,
    Accept {
        scope: usize,
        judged: bool,
        is_large: bool,
        events: Vec<(&'static str, Fields)>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let events = prop::collection::vec((prop::sample::select(TYPES.to_vec()), fields()), 1..4);
    let endpoint = || any::<prop::sample::Index>();
    prop_oneof![
        3 => (0..2usize, pattern(), rule()).prop_map(|(partner, pattern, rule)| Step::Create { partner, pattern, rule }),
        2 => (endpoint(), pattern(), rule())
            .prop_map(|(endpoint, pattern, rule)| Step::Change { endpoint, pattern, rule }),
        1 => endpoint().prop_map(|endpoint| Step::Delete { endpoint }),
        2 => Just(Step::Look),
        1 => Just(Step::Reopen),
        5 => (0..3usize, any::<bool>(), any::<bool>(), events)
            .prop_map(|(scope, judged, is_large, events)| Step::Accept { scope, judged, is_large, events }),
    ]
}

/// What an endpoint should be told of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Delivered,
    Filtered,
    NotSubscribed,
    NotYetCreated { is_subscribed: bool },
}

/// What endpoints are told.
type Outcomes = Vec<(EndpointId, Told)>;

struct Known {
    id: EndpointId,
    partner: usize,
    pattern: TypePattern,
    rule: Rule,
}

struct Played<'a> {
    world: &'a mut World,
    /// Two partners, and both.
    scopes: [Scope; 3],
    snapshots: Option<[Arc<Subscriptions>; 3]>,
    endpoints: Vec<Known>,
    /// Of each event, by partner, for those that were there.
    expected: Vec<(EventId, EventType, usize, Outcomes)>,
}

impl<'a> Played<'a> {
    fn new(world: &'a mut World) -> Self {
        let scopes = [world.partner("acme"), world.partner("other"), Scope::all(Environment::Production)];
        Self { world, scopes, snapshots: None, endpoints: Vec::new(), expected: Vec::new() }
    }

    fn look(&self) -> [Arc<Subscriptions>; 3] {
        [0, 1, 2].map(|scope| self.world.subscriptions(&self.scopes[scope]))
    }

    fn play(&mut self, number: usize, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Create { partner, pattern, rule } => {
                let mut wanted = settings(&format!("endpoint-{number}"), &[pattern]);
                wanted.filter = rule.filter();
                let made = self.world.try_endpoint(&self.scopes[partner], wanted).expect("the URL is free");
                prop_assert_eq!(made.settings.filter, rule.filter());
                let pattern = pattern.parse().expect("a pattern");
                self.endpoints.push(Known { id: made.id, partner, pattern, rule });
            }
            Step::Change { endpoint, pattern, rule } if !self.endpoints.is_empty() => {
                let known = endpoint.index(self.endpoints.len());
                let known = &mut self.endpoints[known];
                known.pattern = pattern.parse().expect("a pattern");
                known.rule = rule;
                let (pattern, filter) = (known.pattern.clone(), rule.filter());
                self.world.change(&self.scopes[known.partner], known.id, |settings| {
                    settings.events = vec![pattern];
                    settings.filter = filter;
                });
            }
            Step::Delete { endpoint } if !self.endpoints.is_empty() => {
                let gone = self.endpoints.swap_remove(endpoint.index(self.endpoints.len()));
                self.world.delete(&self.scopes[gone.partner], gone.id);
            }
            Step::Change { .. } | Step::Delete { .. } => {}
            Step::Look => self.snapshots = Some(self.look()),
            Step::Reopen => self.world.reopen(),
            Step::Accept { scope, judged, is_large, events } => self.accept(scope, judged, is_large, &events)?,
        }
        Ok(())
    }

    fn accept(
        &mut self,
        scope: usize,
        judged: bool,
        is_large: bool,
        events: &[(&'static str, Fields)],
    ) -> Result<(), TestCaseError> {
        let snapshots = self.snapshots.clone().unwrap_or_else(|| self.look());
        let subscriptions = Arc::clone(&snapshots[scope]);
        let posted = events.iter().map(|(name, fields)| {
            let event = event_with(name, &fields.json());
            if judged { judge(event, &subscriptions) } else { event }
        });
        let request = Accept {
            events: posted.collect(),
            subscriptions: Arc::clone(&subscriptions),
            idempotency: None,
            relied_on: None,
        };
        let accepted = if is_large { accept_large(self.world, &request) } else { accept_at_once(self.world, &request) };
        prop_assert_eq!(accepted.len(), events.len());
        for (accepted, (name, fields)) in accepted.iter().zip(events) {
            let mut outcomes = Vec::new();
            for known in &self.endpoints {
                let is_wanted = matching::wants(std::slice::from_ref(&known.pattern), &accepted.event_type);
                prop_assert_eq!(accepted.event_type.as_str(), *name);
                let told = match (is_wanted, known.rule.accepts(*fields)) {
                    (false, _) => Told::NotSubscribed,
                    (true, false) => Told::Filtered,
                    (true, true) => Told::Delivered,
                };
                outcomes.push((known.partner, known.id, told));
            }
            outcomes.sort_by_key(|(_, id, _)| *id);
            let is_posted_to = |partner: usize| scope == 2 || scope == partner;
            let reached =
                outcomes.iter().filter(|(partner, _, told)| is_posted_to(*partner) && *told == Told::Delivered);
            let reached: Vec<EndpointId> = reached.map(|(_, id, _)| *id).collect();
            let births = self.world.births();
            let born = births.iter().filter(|birth| birth.payload.event == accepted.id);
            prop_assert_eq!(born.map(|birth| birth.endpoint).collect::<Vec<_>>(), reached.clone());
            prop_assert_eq!(accepted.deliveries as usize, reached.len());
            for partner in (0..2).filter(|partner| is_posted_to(*partner)) {
                let theirs = outcomes.iter().filter(|(of, ..)| *of == partner);
                let theirs = theirs.map(|(_, id, told)| (*id, *told)).collect();
                self.expected.push((accepted.id, accepted.event_type.clone(), partner, theirs));
            }
        }
        Ok(())
    }

    /// Long after it happened, and after whatever was changed since. Who came later and is
    /// still there is told so.
    fn is_told(&self) -> Result<(), TestCaseError> {
        for (event, event_type, partner, expected) in &self.expected {
            let was_there = |id: EndpointId| expected.iter().any(|(known, _)| *known == id);
            let later = self.endpoints.iter().filter(|known| known.partner == *partner && !was_there(known.id));
            let later = later.map(|known| {
                let is_subscribed = matching::wants(std::slice::from_ref(&known.pattern), event_type);
                (known.id, Told::NotYetCreated { is_subscribed })
            });
            let mut expected: Outcomes = expected.iter().copied().chain(later).collect();
            expected.sort_by_key(|(id, _)| *id);
            let mut told = told(self.world, &self.scopes[*partner], *event);
            told.sort_by_key(|(id, _)| *id);
            prop_assert_eq!(told, expected);
        }
        Ok(())
    }
}

fn judge(event: NewEvent, subscriptions: &Subscriptions) -> NewEvent {
    let read = catalog::read_json(&event.body).expect("it was printed as JSON");
    event.judged_by(subscriptions, &read)
}

fn accept_at_once(world: &mut World, request: &Accept) -> Vec<AcceptedEvent> {
    events_of(world.accept_all(&[request]).remove(0))
}

/// As if it had too many deliveries for one commit.
fn accept_large(world: &mut World, request: &Accept) -> Vec<AcceptedEvent> {
    let begun = world.commit(|transaction| transaction.begin_large(request));
    let Begun::FanOut(mut fan_out): Begun = begun else { panic!("{begun:?}") };
    let write = |world: &mut World, fan_out: &mut FanOut| {
        for from in (0..fan_out.deliveries()).step_by(2) {
            world.commit(|transaction| transaction.accept_chunk(fan_out, from, 2));
        }
    };
    write(world, &mut fan_out);
    events_of(world.commit(|transaction| transaction.seal(request, &fan_out)))
}

/// What the scope is told of an event.
#[track_caller]
fn told(world: &World, scope: &Scope, event: EventId) -> Outcomes {
    let event = world.store().event(scope, event).expect("readable").expect("it was accepted");
    let outcomes =
        world.store().event_outcomes(scope, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable");
    let brief = |outcome: EventOutcome| match outcome {
        EventOutcome::Delivery { delivery, .. } => (delivery.endpoint, Told::Delivered),
        EventOutcome::Filtered { endpoint, objections } => {
            assert!(!objections.is_empty() && objections.iter().all(|objection| !objection.detail.is_empty()));
            (endpoint, Told::Filtered)
        }
        EventOutcome::NotSubscribed { endpoint, .. } => (endpoint, Told::NotSubscribed),
        EventOutcome::NotYetCreated { endpoint, is_subscribed, .. } => {
            (endpoint, Told::NotYetCreated { is_subscribed })
        }
    };
    outcomes.into_iter().map(brief).collect()
}

fn an_endpoint_gets_an_event_if_and_only_if_its_filter_accepts_it(world: &mut World) {
    let mut runner =
        TestRunner::new(Config { cases: world.histories(40), failure_persistence: None, ..Config::default() });
    let played = runner.run(&prop::collection::vec(step(), 10..40), |steps| {
        let mut fresh = world.beside();
        let mut played = Played::new(&mut fresh);
        for (number, step) in steps.into_iter().enumerate() {
            played.play(number, step)?;
        }
        played.is_told()
    });
    if let Err(error) = played {
        panic!("{error}");
    }
}

fn filtered(word: &str, patterns: &[&str], rule: Rule) -> posthaste::domain::EndpointSettings {
    let mut settings = settings(word, patterns);
    settings.filter = rule.filter();
    settings
}

fn what_changes_in_the_same_commit_is_judged_anew(world: &mut World) {
    let acme = world.partner("acme");
    let large = world.try_endpoint(&acme, filtered("large", &["*"], Rule::AtLeast(3))).expect("the URL is free");
    let plain = world.endpoint(&acme, "plain", &["*"]);
    let subscriptions = world.subscriptions(&acme);
    let request = |size: i64| Accept {
        events: vec![judge(event_with("a.one", &json!({ "size": size })), &subscriptions)],
        subscriptions: Arc::clone(&subscriptions),
        idempotency: None,
        relied_on: None,
    };
    let (small, huge) = (request(1), request(4));
    let lets_less_through = world.changed(&acme, large.id, |settings| settings.filter = Rule::AtLeast(5).filter());
    let answers = world.commit(|transaction| {
        let changed = transaction.change_endpoint(&lets_less_through)?;
        assert!(changed.is_ok());
        transaction.accept(&[&small, &huge])
    });
    for answer in answers {
        assert_eq!(events_of(answer)[0].deliveries, 1, "the filter that holds now lets neither through");
    }
    assert!(world.births().iter().all(|birth| birth.endpoint == plain.id));

    // And the other way, on a snapshot that is still the first.
    let lets_all_through = world.changed(&acme, large.id, |settings| settings.filter = None);
    let answers = world.commit(|transaction| {
        assert!(transaction.change_endpoint(&lets_all_through)?.is_ok());
        transaction.accept(&[&small])
    });
    assert_eq!(events_of(answers.into_iter().next().expect("one answer"))[0].deliveries, 2);
}

fn what_was_filtered_is_told_by_the_filter_of_that_time(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.try_endpoint(&acme, filtered("one", &["a.*"], Rule::AtLeast(3))).expect("the URL is free");
    let theirs = world.try_endpoint(&other, filtered("two", &["*"], Rule::Painted("red"))).expect("the URL is free");
    world.try_endpoint(&in_sandbox(&acme), filtered("three", &["*"], Rule::AtLeast(9))).expect("the URL is free");
    let everyone = Scope::all(Environment::Production);
    let mut request = world.request(&everyone, &[]);
    request.events = vec![event_with("a.one", &json!({"size": 2, "colour": "green"}))];
    let accepted = accept_at_once(world, &request).remove(0);
    assert_eq!((accepted.deliveries, world.births().len()), (0, 0));

    // Neither what came later nor that it is gone changes what was then.
    world.change(&acme, endpoint.id, |settings| settings.filter = Rule::Painted("red").filter());
    world.change(&acme, endpoint.id, |settings| settings.filter = None);
    world.delete(&acme, endpoint.id);
    let late = world.try_endpoint(&acme, filtered("late", &["*"], Rule::AtLeast(9))).expect("the URL is free");
    for (scope, of, pointer, detail, came_later) in [
        (&acme, endpoint.id, "/size", "expected at least 3; found 2", Some(late.id)),
        (&other, theirs.id, "/colour", "expected red; found \"green\"", None),
    ] {
        let event = world.store().event(scope, accepted.id).expect("readable").expect("it is over all partners");
        let outcomes =
            world.store().event_outcomes(scope, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable");
        let [EventOutcome::Filtered { endpoint, objections }, rest @ ..] = &outcomes[..] else {
            panic!("it was filtered: {outcomes:?}")
        };
        let later = rest.iter().map(|outcome| match outcome {
            EventOutcome::NotYetCreated { endpoint, is_subscribed: true, .. } => *endpoint,
            other => panic!("nobody else was there: {other:?}"),
        });
        assert_eq!(later.collect::<Vec<_>>(), Vec::from_iter(came_later));
        let [objection] = &objections[..] else { panic!("{objections:?}") };
        assert_eq!((*endpoint, objection.pointer.as_str(), objection.detail.as_str()), (of, pointer, detail));
    }
    assert_eq!(told(world, &everyone, accepted.id), [], "over all partners, only deliveries are told");
}

fn a_filter_that_cannot_be_used_holds_nothing_back(world: &mut World) {
    let acme = world.partner("acme");
    let broken = world.try_endpoint(&acme, filtered("broken", &["*"], Rule::Broken)).expect("the URL is free");
    let accepted = world.accept(&acme, "a.one");
    assert_eq!(accepted.deliveries, 1);
    assert_eq!(told(world, &acme, accepted.id), [(broken.id, Told::Delivered)]);
}

fn endpoints_with_one_filter_share_it(world: &mut World) {
    let acme = world.partner("acme");
    let bytes = |world: &World| world.subscriptions(&acme).bytes();
    let wide = |word: &str| filtered(word, &["a.*"], Rule::BeginsWith('r'));
    world.try_endpoint(&acme, wide("first")).expect("the URL is free");
    let one = bytes(world);
    for number in 0..20 {
        world.try_endpoint(&acme, wide(&format!("more-{number}"))).expect("the URL is free");
    }
    assert_eq!(bytes(world) - one, 20 * size_of::<EndpointId>(), "an endpoint costs its id");
    let mut request = world.request(&acme, &[]);
    request.events =
        [json!({"colour": "rose"}), json!({"colour": "green"})].map(|fields| event_with("a.b", &fields)).into();
    let accepted = accept_at_once(world, &request);
    assert_eq!(accepted.iter().map(|event| event.deliveries).collect::<Vec<_>>(), [21, 0]);
}
