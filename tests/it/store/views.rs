//! What people look at, case by case; `listing` walks whole histories.

use posthaste::domain::{
    DeliveryId, DeliveryStatus, DiscardReason, EndpointId, Environment, EventId, ReplaySelection, StatusFilter,
};
use posthaste::store::{DeliveryFilter, EventOutcome, Lane, PageRequest, Scope, Subscribed, Verdict};

use super::replaying;
use super::world::{HOUR, SECOND, START, World, in_sandbox};

for_every_backend! {
    held_and_discarded_are_read_off_the_endpoint
    outcomes_are_told_in_part_and_of_one_endpoint
    what_became_of_an_event_names_every_endpoint_there_was
    what_became_of_an_event_over_all_partners
    who_was_not_subscribed_or_not_there_is_told_since_when_it_is
    what_replays_made_is_an_outcome_of_the_event
    another_partners_things_are_not_there
    times_bound_a_list
    a_cursor_of_another_kind_leads_nowhere
}

fn held_and_discarded_are_read_off_the_endpoint(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let [pending, retrying, delivered] = ["a.a", "b.b", "c.c"].map(|name| world.deliver(&acme, name));
    world.record(&world.attempt(retrying, 0, Verdict::RetryAt(START + HOUR)));
    world.record(&world.attempt(delivered, 0, Verdict::Delivered));
    let statuses = |world: &World| [pending, retrying, delivered].map(|id| world.delivery(&acme, id).status);
    let listed = |world: &World, status: StatusFilter| -> Vec<DeliveryId> {
        let filter = DeliveryFilter { status: Some(status), ..DeliveryFilter::default() };
        let everyone = Scope::all(Environment::Production);
        let found: Vec<_> = world.deliveries(&acme, &filter).iter().map(|delivery| delivery.id).collect();
        let over_all: Vec<_> = world.deliveries(&everyone, &filter).iter().map(|delivery| delivery.id).collect();
        assert_eq!(found, over_all, "{status:?} over all partners");
        found
    };
    use DeliveryStatus::{Delivered, Discarded, Held, Pending, Retrying};
    assert_eq!(statuses(world), [Pending, Retrying, Delivered]);
    assert_eq!((listed(world, StatusFilter::Held), listed(world, StatusFilter::Discarded)), (vec![], vec![]));

    world.enable(&acme, endpoint.id, false);
    assert_eq!(statuses(world), [Held, Held, Delivered]);
    assert_eq!(listed(world, StatusFilter::Held), [retrying, pending]);
    assert_eq!((listed(world, StatusFilter::Pending), listed(world, StatusFilter::Retrying)), (vec![], vec![]));
    assert_eq!(world.delivery(&acme, retrying).next_attempt_at, Some(START + HOUR), "a hold moves nothing");

    world.enable(&acme, endpoint.id, true);
    assert_eq!(statuses(world), [Pending, Retrying, Delivered]);
    assert_eq!(listed(world, StatusFilter::Retrying), [retrying]);

    world.advance(SECOND);
    world.delete(&acme, endpoint.id);
    let gone = Discarded(DiscardReason::EndpointDeleted);
    assert_eq!(statuses(world), [gone, gone, Delivered]);
    for drained in [false, true] {
        assert_eq!(listed(world, StatusFilter::Discarded), [retrying, pending], "drained: {drained}");
        assert_eq!(listed(world, StatusFilter::Delivered), [delivered]);
        assert_eq!((listed(world, StatusFilter::Pending), listed(world, StatusFilter::Held)), (vec![], vec![]));
        world.commit(|transaction| transaction.discard_deleted(10));
    }
}

/// Each endpoint of an outcome, and whether it has a delivery.
fn outcomes(world: &World, scope: &Scope, event: EventId) -> Vec<(EndpointId, bool)> {
    let event = world.store().event(scope, event).expect("readable").expect("it is there");
    let outcomes =
        world.store().event_outcomes(scope, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable");
    let brief = |outcome: EventOutcome| match outcome {
        EventOutcome::Delivery { delivery, .. } => Some((delivery.endpoint, true)),
        EventOutcome::NotSubscribed { endpoint, .. } => Some((endpoint, false)),
        EventOutcome::Filtered { .. } => panic!("no endpoint has a filter"),
        EventOutcome::NotYetCreated { .. } => None,
    };
    outcomes.into_iter().filter_map(brief).collect()
}

fn who_was_not_subscribed_or_not_there_is_told_since_when_it_is(world: &mut World) {
    let acme = world.partner("acme");
    let wanted = |words: &[&str]| words.iter().map(|text| text.parse().expect("a pattern")).collect::<Vec<_>>();
    let [never, later, for_a_while] =
        ["never", "later", "for-a-while"].map(|word| world.endpoint(&acme, word, &["order.*"]).id);
    let event = world.accept(&acme, "campaign.updated");
    let unchanged = |world: &World| {
        let event = world.store().event(&acme, event.id).expect("readable").expect("it is there");
        world.store().event_outcomes(&acme, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable")
    };
    let expected = [never, later, for_a_while].map(|endpoint| EventOutcome::NotSubscribed { endpoint, later: None });
    assert_eq!(unchanged(world), expected);

    world.advance(SECOND);
    world.change(&acme, later, |settings| settings.description = Some("still not".into()));
    world.change(&acme, for_a_while, |settings| settings.events = wanted(&["campaign.*"]));
    world.advance(SECOND);
    world.change(&acme, later, |settings| settings.events = wanted(&["campaign.updated", "order.*"]));
    world.change(&acme, for_a_while, |settings| settings.events = wanted(&["order.*"]));
    let [wants, does_not, gone] = [("wants", "*"), ("does-not", "order.*"), ("gone", "*")]
        .map(|(word, pattern)| world.endpoint(&acme, word, &[pattern]).id);
    world.delete(&acme, gone);
    let since = |version, since| Some(Subscribed { version, since: Some(since) });
    let made = |endpoint, is_subscribed| EventOutcome::NotYetCreated {
        endpoint,
        created_at: START + SECOND * 2,
        is_subscribed,
    };
    let expected = [
        EventOutcome::NotSubscribed { endpoint: never, later: None },
        EventOutcome::NotSubscribed { endpoint: later, later: since(3, START + SECOND * 2) },
        EventOutcome::NotSubscribed { endpoint: for_a_while, later: since(2, START + SECOND) },
        made(wants, true),
        made(does_not, false),
    ];
    assert_eq!(unchanged(world), expected);
    // Of settings that an earlier release wrote, nobody knows the time.
    world.place().execute("UPDATE endpoint_versions SET since_at = NULL");
    let told = unchanged(world);
    let EventOutcome::NotSubscribed { later: Some(subscribed), .. } = told[1] else { panic!("{told:?}") };
    assert_eq!(subscribed, Subscribed { version: 3, since: None });
}

fn what_replays_made_is_an_outcome_of_the_event(world: &mut World) {
    let acme = world.partner("acme");
    let first = world.endpoint(&acme, "first", &["*"]);
    let event = world.accept(&acme, "campaign.updated");
    let original = world.deliveries_of(&acme, event.id)[0].id;
    let later = world.endpoint(&acme, "later", &["*"]);
    let missed = ReplaySelection { missing: true, ..ReplaySelection::default() };
    let replay = replaying::begin(world, &acme, later.id, missed);
    assert_eq!(replaying::carry_out(world, replay, later.id, 100), 1);
    let made = world.due(later.id, Lane::Fresh)[0].delivery;
    let event = world.store().event(&acme, event.id).expect("readable").expect("it is there");
    let told = world.store().event_outcomes(&acme, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable");
    let delivered: Vec<_> = told
        .iter()
        .map(|outcome| match outcome {
            EventOutcome::Delivery { delivery, .. } => (delivery.endpoint, delivery.id),
            other => panic!("it has gone to everybody: {other:?}"),
        })
        .collect();
    assert_eq!(delivered, [(first.id, original), (later.id, made)]);
}

/// However many there are, an answer is bounded; of each endpoint it can be asked.
fn outcomes_are_told_in_part_and_of_one_endpoint(world: &mut World) {
    let acme = world.partner("acme");
    let mut there: Vec<EndpointId> = Vec::new();
    for (word, pattern) in [("one", "*"), ("orders", "order.*"), ("two", "*"), ("three", "*")] {
        there.push(world.endpoint(&acme, word, &[pattern]).id);
    }
    let event = world.accept(&acme, "campaign.updated");
    there.push(world.endpoint(&acme, "late", &["*"]).id);
    let late = there[4];
    let missed = ReplaySelection { missing: true, ..ReplaySelection::default() };
    let replay = replaying::begin(world, &acme, late, missed);
    assert_eq!(replaying::carry_out(world, replay, late, 100), 1);
    there.push(world.endpoint(&acme, "later", &["*"]).id);
    let event = world.store().event(&acme, event.id).expect("readable").expect("it is there");
    let told = |endpoint, limit| world.store().event_outcomes(&acme, &event, endpoint, limit).expect("readable");
    let all = told(None, 100);
    let whose: Vec<EndpointId> = all.iter().map(endpoint_of).collect();
    assert_eq!(whose, [there[0], there[2], there[3], there[4], there[1], there[5]]);
    for limit in 0..=all.len() {
        assert_eq!(told(None, limit), all[..limit], "{limit}");
    }
    for outcome in &all {
        assert_eq!(told(Some(endpoint_of(outcome)), 100), std::slice::from_ref(outcome));
    }
    assert_eq!(told(Some(EndpointId::from_uuid(uuid::Uuid::from_u128(7))), 100), []);
}

fn endpoint_of(outcome: &EventOutcome) -> EndpointId {
    match outcome {
        EventOutcome::Delivery { delivery, .. } => delivery.endpoint,
        EventOutcome::Filtered { endpoint, .. }
        | EventOutcome::NotSubscribed { endpoint, .. }
        | EventOutcome::NotYetCreated { endpoint, .. } => *endpoint,
    }
}

fn what_became_of_an_event_names_every_endpoint_there_was(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let early = world.endpoint(&acme, "early", &["*"]);
    world.delete(&acme, early.id);
    let campaigns = world.endpoint(&acme, "campaigns", &["campaign.*"]);
    let orders = world.endpoint(&acme, "orders", &["order.*"]);
    let removed = world.endpoint(&acme, "removed", &["order.*"]);
    world.endpoint(&other, "other", &["*"]);
    world.endpoint(&in_sandbox(&acme), "sandbox", &["*"]);
    let event = world.accept(&acme, "campaign.updated");

    // Whatever happens later, then is then.
    world.delete(&acme, removed.id);
    world.change(&acme, orders.id, |settings| settings.events = vec!["*".parse().expect("a pattern")]);
    world.endpoint(&acme, "late", &["*"]);
    world.delete(&acme, campaigns.id);
    let expected = [(campaigns.id, true), (orders.id, false), (removed.id, false)];
    assert_eq!(outcomes(world, &acme, event.id), expected);

    // A delivery stands with its last attempt.
    let later = world.accept(&acme, "order.paid");
    let delivery = world.deliveries_of(&acme, later.id)[0].id;
    for before in 0..3 {
        world.advance(SECOND);
        world.record(&world.attempt(delivery, before, Verdict::RetryAt(world.now + HOUR)));
    }
    let event = world.store().event(&acme, later.id).expect("readable").expect("it is there");
    let seen = world.store().event_outcomes(&acme, &event, None, posthaste::store::OUTCOMES_MOST).expect("readable");
    let EventOutcome::Delivery { delivery: shown, last_attempt: Some(last) } = &seen[0] else { panic!("{seen:?}") };
    assert_eq!((shown.id, shown.attempt_count, last.number), (delivery, 3, 3));
    let EventOutcome::Delivery { last_attempt: None, .. } = &seen[1] else { panic!("{seen:?}") };
}

fn what_became_of_an_event_over_all_partners(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let wants = world.endpoint(&acme, "wants", &["*"]);
    let not = world.endpoint(&acme, "not", &["order.*"]);
    let theirs = world.endpoint(&other, "theirs", &["*"]);
    let everyone = Scope::all(Environment::Production);
    let event = world.accept(&everyone, "campaign.updated").id;
    let late = world.endpoint(&other, "late", &["*"]);
    assert_eq!(outcomes(world, &acme, event), [(wants.id, true), (not.id, false)]);
    assert_eq!(outcomes(world, &other, event), [(theirs.id, true)], "{} came later", late.id);
    assert_eq!(outcomes(world, &everyone, event), [(wants.id, true), (theirs.id, true)]);
}

fn another_partners_things_are_not_there(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let event = world.accept(&acme, "campaign.updated").id;
    let delivery = world.deliveries_of(&acme, event)[0].id;
    let nobody = Scope::of(Environment::Production, "nobody".parse().expect("a name"));
    let sandbox = in_sandbox(&acme);
    for scope in [&other, &sandbox, &nobody, &Scope::all(Environment::Sandbox)] {
        let store = world.store();
        assert_eq!(store.event(scope, event).expect("readable"), None, "{scope:?}");
        assert_eq!(store.delivery(scope, delivery).expect("readable"), None, "{scope:?}");
        let page = PageRequest { after: None, limit: 10 };
        assert_eq!(store.events(scope, &page).expect("readable").items, [], "{scope:?}");
        for filter in [
            DeliveryFilter::default(),
            DeliveryFilter { endpoint: Some(endpoint.id), ..DeliveryFilter::default() },
            DeliveryFilter { event: Some(event), ..DeliveryFilter::default() },
        ] {
            assert_eq!(world.deliveries(scope, &filter), [], "{scope:?} {filter:?}");
        }
    }
    let everyone = Scope::all(Environment::Production);
    assert!(world.store().event(&everyone, event).expect("readable").is_some());
    assert_eq!(world.deliveries(&everyone, &DeliveryFilter::default()).len(), 1);
}

fn times_bound_a_list(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let mut made = Vec::new();
    for _ in 0..4 {
        made.insert(0, world.deliver(&acme, "campaign.updated"));
        world.advance(SECOND);
    }
    let between = |since: Option<u32>, until: Option<u32>| -> Vec<DeliveryId> {
        let at = |seconds: u32| START + SECOND * seconds;
        let filter = DeliveryFilter { since: since.map(at), until: until.map(at), ..DeliveryFilter::default() };
        let found = world.deliveries(&acme, &filter);
        assert_eq!(found, world.deliveries(&Scope::all(Environment::Production), &filter));
        found.iter().map(|delivery| delivery.id).collect()
    };
    assert_eq!(between(None, None), made);
    assert_eq!(between(Some(1), None), made[..3], "then or later");
    assert_eq!(between(None, Some(1)), made[3..], "before");
    assert_eq!(between(Some(1), Some(3)), made[1..3]);
    assert_eq!(between(Some(2), Some(2)), []);
    assert_eq!(between(Some(3), Some(1)), []);
}

fn a_cursor_of_another_kind_leads_nowhere(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    world.accept(&acme, "campaign.updated");
    let delivery = PageRequest { after: Some(DeliveryId::from_uuid(endpoint.id.uuid())), limit: 5 };
    let page = world.store().deliveries(&acme, &DeliveryFilter::default(), &delivery).expect("readable");
    assert!(page.items.is_empty() && !page.more);
    let event = PageRequest { after: Some(EventId::from_uuid(endpoint.id.uuid())), limit: 5 };
    let page = world.store().events(&acme, &event).expect("readable");
    assert!(page.items.is_empty() && !page.more);
    let unknown =
        DeliveryFilter { endpoint: Some(EndpointId::from_uuid(uuid::Uuid::from_u128(7))), ..DeliveryFilter::default() };
    assert_eq!(world.deliveries(&acme, &unknown), []);
}
