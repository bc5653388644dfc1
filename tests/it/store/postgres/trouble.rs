//! A server that goes away: what is said of a commit then, and that everything
//! works again by itself.

use posthaste::store::{CommitError, DeliveryFilter, PageRequest, StoreError};

use super::{PostgresPlace, options};
use crate::store::world::{World, events_of};
use crate::support::fault_proxy::FaultProxy;
use crate::support::postgres::Postgres;

/// As it stands on the wire: a statement ends in a NUL.
const COMMIT: &str = "COMMIT\0";

/// A world that reaches its database through a proxy.
fn through_a_proxy() -> (World, FaultProxy) {
    let place = PostgresPlace::new();
    let proxy = FaultProxy::start(Postgres::shared().address());
    let url = place.database().url_through(proxy.address());
    (World::new(Box::new(place.opened(|options| options.url = url))), proxy)
}

#[test]
fn a_commit_whose_answer_is_lost_is_open_and_the_next_one_is_not() {
    let (mut world, proxy) = through_a_proxy();
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let request = world.request(&acme, &["campaign.updated"]);

    proxy.cut_at_answer(COMMIT);
    let lost = world.try_commit(|transaction| transaction.accept(&[&request]));
    assert!(matches!(lost, Err(CommitError::Lost(_))), "{lost:?}");
    assert_eq!(world.deliveries(&acme, &DeliveryFilter::default()).len(), 1, "the server had committed it");

    proxy.cut_at_request(COMMIT);
    let lost = world.try_commit(|transaction| transaction.accept(&[&request]));
    assert!(matches!(lost, Err(CommitError::Lost(_))), "{lost:?}");
    assert_eq!(world.deliveries(&acme, &DeliveryFilter::default()).len(), 1, "the server never heard of it");

    events_of(world.accept_all(&[&request]).remove(0));
    assert_eq!(world.deliveries(&acme, &DeliveryFilter::default()).len(), 2);
}

#[test]
fn a_statement_that_is_not_answered_has_changed_nothing() {
    let (mut world, proxy) = through_a_proxy();
    let acme = world.partner("acme");
    let request = world.request(&acme, &["campaign.updated"]);
    proxy.cut_at_request("INSERT INTO events");
    let undone = world.try_commit(|transaction| transaction.accept(&[&request]));
    assert!(matches!(undone, Err(CommitError::RolledBack(StoreError::Unavailable(_)))), "{undone:?}");
    let events = |world: &World| {
        let page = PageRequest { after: None, limit: 10 };
        world.store().events(&acme, &page).expect("readable").items.len()
    };
    assert_eq!(events(&world), 0);
    world.accept_all(&[&request]);
    assert_eq!(events(&world), 1);
}

#[test]
fn connections_that_were_cut_while_nothing_was_under_way_cost_nothing() {
    let (mut world, proxy) = through_a_proxy();
    let acme = world.partner("acme");
    for _ in 0..3 {
        world.accept(&acme, "campaign.updated");
        world.store().ping().expect("readable");
        proxy.cut_existing();
        world.store().ping().expect("on another connection");
        proxy.cut_existing();
    }
}

#[test]
fn a_server_that_crashed_is_used_again_when_it_is_back() {
    let server = Postgres::start(&[]);
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.opened(|mine| *mine = options(&server.url()))));
    let acme = world.partner("acme");
    let request = world.request(&acme, &["campaign.updated"]);
    for round in 1..=3 {
        world.accept_all(&[&request]);
        server.crash();
        let refused = world.try_commit(|transaction| transaction.accept(&[&request]));
        assert!(matches!(refused, Err(CommitError::RolledBack(StoreError::Unavailable(_)))), "{refused:?}");
        assert!(matches!(world.store().ping(), Err(StoreError::Unavailable(_))));
        server.start_again();
        world.accept_all(&[&request]);
        let page = PageRequest { after: None, limit: 100 };
        assert_eq!(world.store().events(&acme, &page).expect("readable").items.len(), 2 * round);
    }
}
