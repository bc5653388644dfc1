//! Erasing a partner: at once it is nobody, and at last nothing of it is left, in any table
//! that there is.

use std::collections::BTreeSet;

use posthaste::domain::{
    Actor, AuditAction, DeliveryId, EndpointId, EventOrder, Kept, PartnerName, ReplaySelection, RetentionDays, Role,
};
use posthaste::store::erasure::{Belongs, ERASABLE, KEPT, ROOTS};
use posthaste::store::{
    Accept, Accepted, AuditFilter, Begun, Effect, EndpointConflict, Lane, NewKey, NewReplay, PageRequest, Placed,
    Placing, Scope, Slice, Verdict, WantedEndpoints,
};

use super::announcing::{failing, telling};
use super::world::{DAY, HOUR, START, World, idempotency, in_sandbox, settings};

for_every_backend! {
    a_partner_that_is_erased_is_nobody_at_once
    nothing_of_it_is_left
    whoever_knew_it_is_let_in_anew
    what_is_being_accepted_in_chunks_is_not_sealed
    it_goes_on_after_a_kill_and_then_the_name_is_free
    whoever_waits_behind_what_is_erased_goes_on
}

const PLENTY: Slice = Slice { rows: 500, bytes: 1 << 20 };

fn name(scope: &Scope) -> PartnerName {
    scope.partner.clone().expect("a partner")
}

#[track_caller]
fn begin(world: &mut World, scope: &Scope) {
    let name = name(scope);
    let begun = world.commit(|transaction| transaction.begin_erasing(&name)).expect("there is such a partner");
    assert!(begun.is_change());
    assert_eq!(begun.into_inner().erasing_since, Some(world.now));
}

/// Erases in slices of this size until nothing is left. Answers how many slices it took.
#[track_caller]
fn erase(world: &mut World, scope: &Scope, slice: Slice) -> usize {
    // What was under way on other nodes has ended.
    world.advance(HOUR);
    for slices in 1..2_000 {
        let done = world.commit(|transaction| transaction.erase_partners(slice));
        if done.gone == [name(scope)] {
            return slices;
        }
        assert_eq!(done.gone, []);
        assert!(done.rows > 0, "it goes on");
    }
    panic!("it comes to its end");
}

fn key(world: &mut World, scope: &Scope, byte: u8) -> [u8; 32] {
    let new = NewKey {
        hash: [byte; 32],
        prefix: "ph_abc".into(),
        role: Role::Producer,
        environment: Some(scope.environment),
        partner: scope.partner.clone(),
        description: None,
        expires_at: None,
    };
    world.commit(|transaction| transaction.create_key(&new));
    new.hash
}

/// Puts deliveries of an endpoint in their order, one behind the other.
#[track_caller]
fn place(world: &mut World, endpoint: EndpointId, deliveries: &[DeliveryId]) {
    let placings: Vec<Placing> =
        deliveries.iter().map(|delivery| Placing { delivery: *delivery, order_key: Some(7) }).collect();
    for _ in 0..10 {
        let order = Some(&EventOrder::Fifo);
        if world.commit(|transaction| transaction.place_deliveries(endpoint, order, &placings, None))
            == Placed::Done(placings.len())
        {
            return;
        }
    }
    panic!("they have their places");
}

/// Of everything that a partner can have, some. Answers a delivery.
fn fill(world: &mut World, scope: &Scope, byte: u8) -> DeliveryId {
    key(world, scope, byte);
    let mut ordered = settings("ordered", &["order.*"]);
    ordered.order = Some(EventOrder::Fifo);
    let ordered = world.try_endpoint(scope, ordered).expect("the URL is free").id;
    let endpoint = world.endpoint(scope, "all", &["campaign.*"]).id;
    let mut request = world.request(scope, &["campaign.updated", "order.paid"]);
    request.idempotency = idempotency("k", byte);
    world.accept_all(&[&request]);
    let placing = world.store().unplaced(ordered, world.now, 10).expect("readable").due[0].delivery;
    place(world, ordered, &[placing]);
    let delivery = world.due(endpoint, Lane::Fresh)[0].delivery;
    let done = world.deliver(scope, "campaign.completed");
    let record = world.attempt(done, 0, Verdict::Delivered);
    world.record(&record);
    // Whoever hears of all partners is told of its trouble.
    let record = telling(world, delivery, 0, &[failing(START)]);
    world.record(&record);
    world.commit(|transaction| transaction.request_attempt(delivery));
    let everyone = Scope::all(scope.environment);
    let mut to_all = world.request(&everyone, &["campaign.created"]);
    to_all.idempotency = None;
    world.accept_all(&[&to_all]);
    let days = RetentionDays::default().with(Kept::Payloads, Some(1)).with(Kept::Exhausted, Some(1));
    world.commit(|transaction| transaction.set_retention(scope, days));
    let now = world.now;
    world.advance(2 * DAY);
    world.commit(|transaction| transaction.enforce_retention(30, None, PLENTY));
    world.now = now;
    world.brake(scope);
    // One that was deleted before is its, too.
    let gone = world.endpoint(scope, "gone", &["campaign.*"]).id;
    world.accept(scope, "campaign.failed");
    world.delete(scope, gone);
    delivery
}

/// Numbers that stand in a column, past the store.
fn numbers(world: &World, table: &str, column: &str, which: &str) -> BTreeSet<String> {
    let source = format!("(SELECT CAST({column} AS TEXT) AS t FROM {table} WHERE {which}) AS l");
    world.place().texts(&source, "t").into_iter().collect()
}

/// Begins a replay to every endpoint of a scope.
fn replay(world: &mut World, scope: &Scope) {
    let page = world.store().endpoints(scope, &PageRequest { after: None, limit: 100 }).expect("readable");
    let endpoints = page.items.into_iter().map(|endpoint| endpoint.id).collect();
    let new = NewReplay {
        scope: scope.clone(),
        wanted: WantedEndpoints { endpoints, partners: Vec::new(), most: 100 },
        selection: ReplaySelection { missing: true, ..ReplaySelection::default() },
        per_second: None,
        actor: "operator".into(),
        key: None,
        most_running: 100,
        request: None,
    };
    world.commit(|transaction| transaction.create_replay(&new)).expect("nothing stands against it");
}

fn has_table(world: &World, table: &str) -> bool {
    // On one store it is a view over two.
    let is_postgres = world.store().leases().is_some();
    match table {
        "deliveries" => !is_postgres,
        "pending" | "finished" => is_postgres,
        _ => true,
    }
}

fn a_partner_that_is_erased_is_nobody_at_once(world: &mut World) {
    let (acme, globex) = (world.partner("acme"), world.partner("globex"));
    let hash = key(world, &acme, 1);
    let endpoint = world.endpoint(&acme, "all", &["*"]);
    let event = world.accept(&acme, "campaign.updated");
    let delivery = world.deliveries_of(&acme, event.id)[0].id;
    let before = world.store().versions().expect("readable");
    begin(world, &acme);
    let store = world.store();
    assert_ne!(store.versions().expect("readable").keys, before.keys, "whoever knows its keys forgets them");
    assert_eq!(store.key_by_hash(&hash).expect("readable").expect("it is there").revoked_at, Some(world.now));
    for scope in [&acme, &in_sandbox(&acme)] {
        assert!(store.subscriptions(scope).expect("readable").is_none());
        assert_eq!(store.events(scope, &PageRequest { after: None, limit: 10 }).expect("readable").items, []);
        assert_eq!(store.endpoint(scope, endpoint.id).expect("readable"), None);
        assert_eq!(store.event(scope, event.id).expect("readable"), None);
        assert_eq!(store.delivery(scope, delivery).expect("readable"), None);
        assert_eq!(store.retentions(scope).expect("readable"), None);
    }
    assert!(store.endpoint_runtime(endpoint.id, world.now).expect("readable").is_none(), "nothing is sent to it");
    let shown = store.partner(&name(&acme)).expect("readable").expect("until nothing is left");
    assert_eq!(shown.erasing_since, Some(world.now));
    let listed = store.partners(&PageRequest { after: Some(name(&acme)), limit: 10 }).expect("readable");
    let listed: Vec<_> = listed.items.into_iter().map(|partner| partner.name).collect();
    assert_eq!(listed, [], "it was made first, and is still a place in the list");
    assert_eq!(world.try_endpoint(&acme, settings("new", &["*"])), Err(EndpointConflict::NotFound));
    let name = name(&acme);
    assert_eq!(world.commit(|transaction| transaction.create_partner(&name)), None, "its name is not free yet");
    assert!(world.commit(|transaction| transaction.set_brake(&acme, None)).is_none());
    let again = world.commit(|transaction| transaction.begin_erasing(&name));
    assert!(matches!(again, Some(Effect::AsBefore(partner)) if partner.erasing_since == shown.erasing_since));
    let nobody = "nobody".parse().expect("a name");
    assert_eq!(world.commit(|transaction| transaction.begin_erasing(&nobody)), None);
    world.accept(&globex, "campaign.updated");
}

fn nothing_of_it_is_left(world: &mut World) {
    let (acme, globex) = (world.partner("acme"), world.partner("globex"));
    let everyone = Scope::all(acme.environment);
    world.endpoint(&everyone, "watching", &["posthaste.*"]);
    fill(world, &acme, 1);
    fill(world, &globex, 3);
    fill(world, &in_sandbox(&acme), 2);
    for scope in [&acme, &in_sandbox(&acme), &globex] {
        replay(world, scope);
    }
    // What a node counts, and what an endpoint's last delivery leaves when it goes.
    let is_not_there = |table| format!("NOT EXISTS (SELECT 1 FROM {table} t WHERE t.endpoint = endpoints.id)");
    world.place().execute(&format!(
        "INSERT INTO statistics (resolution, scope, endpoint, bucket, event_type, writer, tally)
         SELECT 0, scope, id, 0, 'a.b', 1, '' FROM endpoints WHERE {}",
        is_not_there("statistics")
    ));
    if world.store().leases().is_none() {
        world.place().execute(&format!(
            "INSERT INTO endpoint_numbers (endpoint, last) SELECT id, 1 FROM endpoints WHERE {}",
            is_not_there("endpoint_numbers")
        ));
    }

    let partner = numbers(world, "partners", "id", "name = 'acme'");
    let scopes: BTreeSet<String> = partner
        .iter()
        .map(|number| number.parse::<i64>().expect("a number"))
        .flat_map(|number| [(number * 2).to_string(), (number * 2 + 1).to_string()])
        .collect();
    let listed = |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(", ");
    let of_scopes = format!("scope IN ({})", listed(&scopes));
    let endpoints = numbers(world, "endpoints", "id", &of_scopes);
    let events = numbers(world, "events", "id", &of_scopes);
    let theirs = format!("endpoint IN ({}) OR event IN ({})", listed(&endpoints), listed(&events));
    let deliveries = numbers(world, "deliveries", "id", &theirs);
    assert!(
        endpoints.len() == 6 && events.len() >= 7 && deliveries.len() >= 12,
        "{endpoints:?} {events:?} {deliveries:?}"
    );
    let own = |belongs| match belongs {
        Belongs::Scope => &scopes,
        Belongs::Endpoint => &endpoints,
        Belongs::Event => &events,
        Belongs::Delivery => &deliveries,
        Belongs::Partner => &partner,
    };
    let lines = || ERASABLE.iter().map(|line| (line.table, line.column, line.belongs)).chain(ROOTS.iter().copied());
    let mut before = Vec::new();
    for (table, column, belongs) in lines().filter(|(table, ..)| has_table(world, table)) {
        let found = numbers(world, table, column, &format!("{column} IS NOT NULL"));
        assert!(found.iter().any(|number| own(belongs).contains(number)), "the case has nothing of it in {table}");
        let others: BTreeSet<String> = found.difference(own(belongs)).cloned().collect();
        before.push((table, column, belongs, others));
    }

    begin(world, &acme);
    let slices = erase(world, &acme, Slice { rows: 3, bytes: 100 });
    assert!(slices > 10, "in {slices} slices");
    let of_events = numbers(world, "deliveries", "event", "1 = 1");
    for (table, column, belongs, others) in before {
        let found = numbers(world, table, column, &format!("{column} IS NOT NULL"));
        let left: Vec<&String> = found.iter().filter(|number| own(belongs).contains(*number)).collect();
        assert_eq!(left, Vec::<&String>::new(), "{table}.{column}");
        // What was told of its trouble went to others, and is gone with it.
        let is_told = matches!(table, "pending" | "deliveries" | "finished");
        assert!(is_told || found == others, "{table}.{column}: what is others' stays");
    }
    assert!(of_events.is_disjoint(&events), "also of those that went to others");
    let told = world.store().audit(&AuditFilter::default(), &PageRequest { after: None, limit: 1 }).expect("readable");
    assert_eq!(told.items[0].action, AuditAction::PartnerErased.as_str());
    assert_eq!((told.items[0].subject.as_str(), told.items[0].actor.as_str()), ("acme", Actor::Posthaste.as_str()));
    assert_eq!(world.store().partner(&name(&acme)).expect("readable"), None);
    world.release(&globex);
    world.accept(&globex, "campaign.updated");
    world.accept(&everyone, "campaign.updated");
}

fn whoever_knew_it_is_let_in_anew(world: &mut World) {
    let acme = world.partner("acme");
    let globex = world.partner("globex");
    world.endpoint(&acme, "all", &["*"]);
    let (known, other) = (world.request(&acme, &["campaign.updated"]), world.request(&globex, &["campaign.updated"]));
    let mut repeated = world.request(&acme, &["campaign.updated"]);
    repeated.idempotency = idempotency("k", 1);
    begin(world, &acme);
    let asked: [&Accept; 3] = [&known, &other, &repeated];
    for _ in 0..2 {
        let answers = world.accept_all(&asked);
        assert!(matches!(&answers[..], [Accepted::Outdated, Accepted::New(_), Accepted::Outdated]), "{answers:?}");
        assert!(known.subscriptions.is_outdated() && !other.subscriptions.is_outdated());
        let begun = world.commit(|transaction| transaction.begin_large(&known));
        assert!(matches!(begun, Begun::Answered(Accepted::Outdated)));
        if world.store().partner(&name(&acme)).expect("readable").is_some() {
            erase(world, &acme, PLENTY);
        }
    }
    assert_eq!(numbers(world, "idempotency_keys", "scope", "1 = 1").len(), 0, "and no key was used for it");
}

fn what_is_being_accepted_in_chunks_is_not_sealed(world: &mut World) {
    let acme = world.partner("acme");
    world.endpoint(&acme, "one", &["*"]);
    world.endpoint(&acme, "two", &["*"]);
    let request = world.request(&acme, &["campaign.updated"]);
    let Begun::FanOut(mut fan_out) = world.commit(|transaction| transaction.begin_large(&request)) else {
        panic!("it is begun")
    };
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 0, 1));
    begin(world, &acme);
    world.advance(HOUR);
    let waits = world.commit(|transaction| transaction.erase_partners(PLENTY));
    assert_eq!(waits.gone, [], "more may come for its endpoints");
    world.commit(|transaction| transaction.accept_chunk(&mut fan_out, 1, 1));
    assert_eq!(world.commit(|transaction| transaction.seal(&request, &fan_out)), Accepted::Outdated);
    world.commit(|transaction| transaction.undo_unsealed(100));
    erase(world, &acme, PLENTY);
    assert_eq!(numbers(world, "deliveries", "id", "1 = 1").len(), 0);
}

fn it_goes_on_after_a_kill_and_then_the_name_is_free(world: &mut World) {
    let acme = world.partner("acme");
    let everyone = Scope::all(acme.environment);
    world.endpoint(&everyone, "watching", &["posthaste.*"]);
    fill(world, &acme, 1);
    begin(world, &acme);
    world.advance(HOUR);
    for _ in 0..3 {
        world.commit(|transaction| transaction.erase_partners(Slice { rows: 2, bytes: 100 }));
        world.is_as_promised();
        world.kill();
    }
    assert!(world.store().partner(&name(&acme)).expect("readable").is_some());
    erase(world, &acme, Slice { rows: 2, bytes: 100 });
    assert_eq!(world.commit(|transaction| transaction.erase_partners(PLENTY)).rows, 0);

    let again = world.partner("acme");
    assert_eq!(again, acme);
    for scope in [&again, &in_sandbox(&again)] {
        // Events over all partners are nobody's own.
        let mut events = world.store().events(scope, &PageRequest { after: None, limit: 10 }).expect("readable").items;
        events.retain(|event| event.partner.is_some());
        assert_eq!(events, []);
        assert_eq!(
            world.store().endpoints(scope, &PageRequest { after: None, limit: 10 }).expect("readable").items,
            []
        );
    }
    world.endpoint(&again, "all", &["campaign.*"]);
    world.deliver(&again, "campaign.updated");
}

/// Somebody who hears of all partners in order is told of the one that is erased, and behind
/// that of another.
fn whoever_waits_behind_what_is_erased_goes_on(world: &mut World) {
    let (acme, globex) = (world.partner("acme"), world.partner("globex"));
    let everyone = Scope::all(acme.environment);
    let mut watching = settings("watching", &["posthaste.*"]);
    watching.order = Some(EventOrder::Fifo);
    let watching = world.try_endpoint(&everyone, watching).expect("the URL is free").id;
    for scope in [&acme, &globex] {
        world.endpoint(scope, "all", &["campaign.*"]);
        let delivery = world.deliver(scope, "campaign.updated");
        let record = telling(world, delivery, 0, &[failing(START)]);
        world.record(&record);
    }
    let due = world.store().unplaced(watching, world.now, 10).expect("readable").due;
    assert_eq!(due.len(), 2);
    place(world, watching, &[due[0].delivery, due[1].delivery]);
    let placed = |world: &World| -> Vec<DeliveryId> {
        world.store().placed(watching, 10).expect("readable").iter().map(|due| due.delivery).collect()
    };
    assert_eq!(placed(world), [due[0].delivery], "one at a time");
    begin(world, &acme);
    erase(world, &acme, PLENTY);
    assert_eq!(placed(world), [due[1].delivery]);
    let record = world.attempt(due[1].delivery, 0, Verdict::Delivered);
    world.record(&record);
}

/// Whoever adds a table says what of it is a partner's.
#[track_caller]
fn check_tables(found: Vec<String>) {
    let erasable = ERASABLE.iter().map(|line| line.table).chain(ROOTS.iter().map(|(table, ..)| *table));
    let listed: BTreeSet<&str> = erasable.chain(KEPT.iter().map(|(table, _)| *table)).collect();
    assert!(found.len() > 20, "{found:?}");
    for table in &found {
        assert!(listed.contains(table.as_str()), "`{table}` is not in the lists of src/store/erasure.rs: whose is it?");
    }
    for line in ERASABLE {
        assert!(found.iter().any(|table| table == line.table), "there is no table `{}`", line.table);
    }
}

#[test]
fn every_table_of_sqlite_is_listed() {
    let world = World::new(super::sqlite::place());
    check_tables(world.place().texts("sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'", "name"));
}

#[test]
fn every_table_of_postgres_is_listed() {
    let world = World::new(super::postgres::place());
    let tables =
        "pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace";
    check_tables(world.place().texts(tables, "relname"));
}
