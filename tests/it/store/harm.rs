//! What suffers: endpoints, the most harmed first, what waits for many of them at once, what
//! their last attempts came to, and how partners stand.

use std::collections::HashMap;

use posthaste::domain::{
    DisabledReason, EndpointId, ErrorClass, OpenBreaker, ReplaySelection, Replayable, Timestamp, Trouble,
};
use posthaste::store::{
    Backlog, Harm, HarmFilter, HarmPlace, Health, Lane, NewReplay, PageRequest, PartnerStanding, Record, ReplaySlice,
    Scope, Verdict, WantedEndpoints,
};

use super::world::{HOUR, SECOND, START, World, in_sandbox};

for_every_backend! {
    the_most_harmed_come_first_page_by_page
    endpoints_are_narrowed_by_health_type_and_url
    so_much_is_passed_over_and_no_more
    what_waits_for_many_is_counted_up_to_a_limit
    last_attempts_are_told_the_latest_first
    a_large_backlog_hides_no_failures
    partners_stand_as_they_do
    replays_are_told_of_each_endpoint_that_they_are_for
}

fn failing(since: Timestamp) -> Trouble {
    Trouble { failing_since: Some(since), ..Trouble::default() }
}

fn open(since: Timestamp) -> Trouble {
    Trouble { breaker: Some(OpenBreaker { opened_at: since, probes: 0, probe_at: since + HOUR }), ..failing(since) }
}

/// Gives an endpoint this trouble, by an attempt that failed.
fn trouble(world: &mut World, endpoint: EndpointId, trouble: Trouble) {
    let delivery = world.due(endpoint, Lane::Fresh)[0].delivery;
    let failed = world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR));
    world.record(&Record { trouble: Some(trouble), ..failed });
}

fn harmed(world: &World, scope: &Scope, filter: &HarmFilter, limit: usize) -> Vec<(Harm, EndpointId)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = world.store().harmed(scope, filter, &PageRequest { after, limit }).expect("readable");
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|item| (Harm::of(&item.trouble), item.endpoint.id)));
        if !page.more {
            return found;
        }
        let cursor = page.cursor.map(|cursor| cursor.parse::<HarmPlace>().expect("a place"));
        after = cursor.or_else(|| page.items.last().map(posthaste::store::HarmedEndpoint::place));
    }
}

fn the_most_harmed_come_first_page_by_page(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let ids: Vec<EndpointId> = (0..8).map(|number| world.endpoint(&acme, &format!("e{number}"), &["*"]).id).collect();
    let theirs = world.endpoint(&other, "theirs", &["*"]).id;
    let elsewhere = in_sandbox(&acme);
    let there = world.endpoint(&elsewhere, "there", &["*"]).id;
    for scope in [&acme, &other, &elsewhere] {
        world.accept(scope, "a.a");
    }
    trouble(world, ids[1], failing(START));
    trouble(world, ids[2], open(START));
    trouble(world, ids[4], failing(START));
    trouble(world, ids[5], open(START));
    trouble(world, ids[6], open(START));
    trouble(world, theirs, open(START));
    trouble(world, there, open(START));
    assert!(world.commit(|transaction| transaction.disable_endpoint(ids[6], DisabledReason::Failing, None)));
    world.delete(&acme, ids[5]);
    let expected = [
        (Harm::Open, ids[2]),
        (Harm::Disabled, ids[6]),
        (Harm::Failing, ids[4]),
        (Harm::Failing, ids[1]),
        (Harm::None, ids[7]),
        (Harm::None, ids[3]),
        (Harm::None, ids[0]),
    ];
    let all = HarmFilter::default();
    for limit in [1, 2, 3, 7, 50] {
        assert_eq!(harmed(world, &acme, &all, limit), expected, "by {limit}");
    }
    let of_all: Vec<(Harm, EndpointId)> = [(Harm::Open, theirs)].into_iter().chain(expected.iter().copied()).collect();
    for limit in [1, 3, 50] {
        assert_eq!(harmed(world, &Scope::all(acme.environment), &all, limit), of_all, "by {limit}");
    }
    assert_eq!(harmed(world, &elsewhere, &all, 50), [(Harm::Open, there)]);
    // What comes and goes between two pages moves nothing that stays.
    let first = world.store().harmed(&acme, &all, &PageRequest { after: None, limit: 3 }).expect("readable");
    world.delete(&acme, ids[4]);
    let after = first.items.last().map(posthaste::store::HarmedEndpoint::place);
    let second = world.store().harmed(&acme, &all, &PageRequest { after, limit: 2 }).expect("readable");
    assert_eq!(second.items.iter().map(|item| item.endpoint.id).collect::<Vec<_>>(), [ids[1], ids[7]]);
}

fn endpoints_are_narrowed_by_health_type_and_url(world: &mut World) {
    let acme = world.partner("acme");
    let well = world.endpoint(&acme, "Well", &["campaign.*"]).id;
    let failed = world.endpoint(&acme, "failed", &["*"]).id;
    let opened = world.endpoint(&acme, "opened", &["order.created", "campaign.updated"]).id;
    let paused = world.endpoint(&acme, "paused", &["*"]).id;
    let off = world.endpoint(&acme, "off", &["*"]).id;
    let gone = world.endpoint(&acme, "gone", &["*"]).id;
    let filtered = world.endpoint(&acme, "filtered", &["campaign.updated"]).id;
    let filter = r#"{"properties":{"id":{"const":"x"}}}"#.parse().expect("a filter");
    world.change(&acme, filtered, |settings| settings.filter = Some(filter));
    world.accept(&acme, "campaign.updated");
    trouble(world, failed, failing(START));
    trouble(world, opened, open(START));
    trouble(world, gone, open(START));
    assert!(world.commit(|transaction| transaction.disable_endpoint(gone, DisabledReason::Gone, None)));
    world.pause(&acme, paused);
    world.enable(&acme, off, false);
    let ids = |world: &World, filter: &HarmFilter| {
        let found = harmed(world, &acme, filter, 2);
        assert_eq!(found, harmed(world, &Scope::all(acme.environment), filter, 2), "{filter:?}");
        found.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    let by_health = |health| HarmFilter { health: Some(health), ..HarmFilter::default() };
    for (health, expected) in [
        (Health::Open, vec![opened]),
        (Health::Failing, vec![failed]),
        (Health::Disabled, vec![gone, off]),
        (Health::Paused, vec![paused]),
        (Health::Ok, vec![filtered, well]),
    ] {
        assert_eq!(ids(world, &by_health(health)), expected, "{health:?}");
    }
    let by_type = |name: &str| HarmFilter { event_type: Some(name.parse().expect("a type")), ..HarmFilter::default() };
    assert_eq!(ids(world, &by_type("order.created")), [opened, gone, failed, off, paused]);
    assert_eq!(ids(world, &by_type("campaign.updated")).len(), 7);
    assert_eq!(ids(world, &by_type("posthaste.endpoint.failing")), []);
    let by_url = |part: &str| HarmFilter { url_part: Some(part.to_owned()), ..HarmFilter::default() };
    assert_eq!(ids(world, &by_url("/wEL")), [well]);
    assert_eq!(ids(world, &by_url("%")), [], "it is no pattern");
    assert_eq!(
        ids(world, &HarmFilter { event_type: by_type("order.created").event_type, ..by_health(Health::Ok) }),
        []
    );
    // What a brake holds is paused, too.
    world.brake(&acme);
    assert_eq!(ids(world, &by_health(Health::Paused)), [opened, failed, filtered, paused, well]);
    assert_eq!(ids(world, &by_health(Health::Ok)), []);
}

fn so_much_is_passed_over_and_no_more(world: &mut World) {
    let acme = world.partner("acme");
    let few: Vec<EndpointId> = (0..6).map(|number| world.endpoint(&acme, &format!("e{number}"), &["*"]).id).collect();
    // A cursor may be of what is not there, and not anything's id.
    let page = |after| world.store().harmed(&acme, &HarmFilter::default(), &PageRequest { after, limit: 2 });
    let place = HarmPlace { harm: Harm::None, endpoint: few[3] };
    let found = page(Some(place)).expect("readable");
    assert_eq!(found.items.iter().map(|item| item.endpoint.id).collect::<Vec<_>>(), [few[2], few[1]]);
    assert!(found.more);
    let place = HarmPlace { harm: Harm::None, endpoint: few[0] };
    let found = page(Some(place)).expect("readable");
    assert!(found.items.is_empty() && !found.more);
    let all = HarmPlace { harm: Harm::Open, endpoint: few[0] };
    assert_eq!(page(Some(all)).expect("readable").items.len(), 2, "behind the last that is harmed come all the others");
}

fn what_waits_for_many_is_counted_up_to_a_limit(world: &mut World) {
    let acme = world.partner("acme");
    let (many, few) = (world.endpoint(&acme, "many", &["*"]).id, world.endpoint(&acme, "few", &["order.*"]).id);
    let none = world.endpoint(&acme, "none", &["only.this"]).id;
    let first = world.accept(&acme, "order.created").id;
    for _ in 0..4 {
        world.advance(SECOND);
        world.accept(&acme, "campaign.updated");
    }
    let oldest = |world: &World, endpoint| {
        world.deliveries_of(&acme, first).into_iter().find(|made| made.endpoint == endpoint).map(|made| made.id)
    };
    let backlogs = |world: &World, limit| world.store().backlogs(&[many, few, none], limit).expect("readable");
    let expected = HashMap::from([
        (many, Backlog { count: 5, oldest: oldest(world, many) }),
        (few, Backlog { count: 1, oldest: oldest(world, few) }),
        (none, Backlog::default()),
    ]);
    assert_eq!(backlogs(world, 10), expected);
    assert_eq!(backlogs(world, 3)[&many].count, 3);
    // A retry waits as well, and what has ended does not.
    let retried = oldest(world, many).expect("it is there");
    world.record(&world.attempt(retried, 0, Verdict::RetryAt(world.now + HOUR)));
    world.record(&world.attempt(oldest(world, few).expect("it is there"), 0, Verdict::Delivered));
    let now = backlogs(world, 10);
    assert_eq!((now[&many], now[&few]), (Backlog { count: 5, oldest: Some(retried) }, Backlog::default()));
    assert_eq!(world.store().backlogs(&[], 10).expect("readable"), HashMap::new());
}

fn last_attempts_are_told_the_latest_first(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let other = world.endpoint(&acme, "other", &["only.this"]).id;
    let old = world.deliver(&acme, "a.a");
    world.record(&world.attempt(old, 0, Verdict::RetryAt(world.now + HOUR)));
    world.advance(SECOND);
    let new = world.deliver(&acme, "a.a");
    world.record(&world.attempt(new, 0, Verdict::Delivered));
    world.advance(SECOND);
    world.record(&world.attempt(old, 1, Verdict::RetryAt(world.now + HOUR)));
    world.deliver(&acme, "a.a");
    let seen = |world: &World, limit| {
        let found = world.store().attempts_to(endpoint, limit).expect("readable");
        found.into_iter().map(|seen| (seen.delivery, seen.number)).collect::<Vec<_>>()
    };
    assert_eq!(seen(world, 10), [(old, 2), (new, 1), (old, 1)]);
    assert_eq!(seen(world, 2), [(old, 2), (new, 1)]);
    let found = world.store().attempts_to(endpoint, 10).expect("readable");
    assert_eq!(
        (found[0].error_class, found[0].status_code, found[0].duration_ms),
        (Some(ErrorClass::Connect), None, 1_000)
    );
    assert_eq!((found[1].error_class, found[1].status_code), (None, Some(200)));
    assert_eq!(found[0].started_at, world.now);
    assert_eq!(world.store().attempts_to(other, 10).expect("readable"), []);
}

fn a_large_backlog_hides_no_failures(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    let failed = world.deliver(&acme, "a.a");
    world.record(&world.attempt(failed, 0, Verdict::RetryAt(world.now + HOUR)));
    for _ in 0..5 {
        let request = world.request(&acme, &["a.a"; 500]);
        world.accept_all(&[&request]);
    }
    let found = world.store().attempts_to(endpoint, 200).expect("readable");
    assert_eq!(found.iter().map(|seen| seen.delivery).collect::<Vec<_>>(), [failed]);
}

fn partners_stand_as_they_do(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let nobody = "nobody".parse().expect("a name");
    let names = |scopes: &[&Scope]| scopes.iter().filter_map(|scope| scope.partner.clone()).collect::<Vec<_>>();
    let asked = [names(&[&acme, &other]), vec![nobody]].concat();
    let standing =
        |world: &World, limit| world.store().partner_standings(acme.environment, &asked, limit).expect("readable");
    let (name, others) = (acme.partner.clone().expect("a partner"), other.partner.clone().expect("a partner"));
    let nothing = standing(world, 10);
    assert_eq!(nothing.len(), 2, "one that there is not is left out");
    assert_eq!(nothing[&name], PartnerStanding::default());
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let gone = world.endpoint(&acme, "gone", &["*"]).id;
    world.endpoint(&acme, "two", &["only.this"]);
    world.endpoint(&in_sandbox(&acme), "there", &["*"]);
    world.delete(&acme, gone);
    let lost: Vec<_> = (0..3).map(|_| world.deliver(&acme, "a.a")).collect();
    for delivery in &lost {
        world.record(&world.attempt(*delivery, 0, Verdict::Exhausted));
    }
    world.accept(&acme, "a.a");
    let last = world.accept(&acme, "a.a").id;
    let found = standing(world, 10)[&name];
    assert_eq!((found.endpoints, found.backlog, found.exhausted, found.exhausted_has_more), (2, 2, 3, false));
    assert_eq!(found.last_event, Some(last));
    assert_eq!(standing(world, 10)[&others], PartnerStanding::default());
    let capped = standing(world, 2)[&name];
    assert_eq!((capped.endpoints, capped.backlog, capped.exhausted, capped.exhausted_has_more), (2, 2, 2, true));
    // What was replayed since is not exhausted any more: it is on its way.
    replay(world, &acme, endpoint);
    let found = standing(world, 10)[&name];
    assert_eq!((found.backlog, found.exhausted), (5, 0));
    world.commit(|transaction| transaction.begin_erasing(&name));
    assert_eq!(standing(world, 10).len(), 1, "one that is being erased is nobody");
}

/// Replays all that is exhausted.
fn replay(world: &mut World, scope: &Scope, endpoint: EndpointId) -> posthaste::domain::ReplayId {
    let selection = ReplaySelection { statuses: vec![Replayable::RetriesExhausted], ..ReplaySelection::default() };
    let new = NewReplay {
        scope: scope.clone(),
        wanted: WantedEndpoints { endpoints: vec![endpoint], partners: Vec::new(), most: 1 },
        selection,
        per_second: None,
        actor: "partner".into(),
        key: None,
        request: None,
        most_running: 100,
    };
    let id = world.commit(|transaction| transaction.create_replay(&new)).expect("it is there").replay.id;
    let slice = ReplaySlice { replay: id, endpoint, room: 100 };
    world.commit(|transaction| transaction.carry_on_replay(&slice));
    id
}

fn replays_are_told_of_each_endpoint_that_they_are_for(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let (one, two) = (world.endpoint(&acme, "one", &["*"]).id, world.endpoint(&acme, "two", &["*"]).id);
    let ids: Vec<_> = [one, two, one, one].into_iter().map(|endpoint| replay(world, &acme, endpoint)).collect();
    let told = |world: &World, scope: &Scope, endpoint, limit| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = world.store().replays_to(scope, endpoint, &PageRequest { after, limit }).expect("readable");
            found.extend(page.items.iter().map(|summary| summary.replay.id));
            match page.cursor.filter(|_| page.more) {
                Some(cursor) => after = Some(cursor.parse().expect("a replay's id")),
                None => return found,
            }
        }
    };
    for limit in [1, 2, 10] {
        assert_eq!(told(world, &acme, one, limit), [ids[3], ids[2], ids[0]], "by {limit}");
        assert_eq!(told(world, &Scope::all(acme.environment), one, limit), [ids[3], ids[2], ids[0]]);
    }
    assert_eq!(told(world, &acme, two, 10), [ids[1]]);
    assert_eq!(told(world, &other, one, 10), []);
    assert_eq!(told(world, &in_sandbox(&acme), one, 10), []);
}
