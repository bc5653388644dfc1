//! A read that takes several statements sees one moment, whatever is
//! committed between them: what was before, or what is after.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use posthaste::domain::EndpointId;
use posthaste::store::{DeliveryFilter, PageRequest, Scope, Store, Verdict};

use super::{SqlitePlace, listening};
use crate::store::world::{HOUR, SECOND, START, World};

/// Asserts that `read` sees either side of `change`, and never a mixture,
/// wherever between its statements the change happens.
#[track_caller]
fn sees_one_moment<T: PartialEq + Debug + 'static>(
    prepare: impl Fn(&mut World) -> (Scope, EndpointId),
    change: impl Fn(&mut World, &Scope, EndpointId) + Clone + 'static,
    read: impl Fn(&dyn Store, &Scope, EndpointId) -> T,
) {
    listening::begin();
    for select in 0.. {
        let mut world = World::new(Box::new(SqlitePlace::new()));
        let (scope, endpoint) = prepare(&mut world);
        let store = world.store().clone();
        let before = read(store.as_ref(), &scope, endpoint);
        let world = Rc::new(RefCell::new(world));
        let happening = {
            let (world, scope, change) = (Rc::clone(&world), scope.clone(), change.clone());
            move || change(&mut world.borrow_mut(), &scope, endpoint)
        };
        let Some(seen) = listening::meanwhile(select, happening, || read(store.as_ref(), &scope, endpoint)) else {
            assert!(select > 1, "a single statement needs no such care");
            return;
        };
        let after = read(store.as_ref(), &scope, endpoint);
        assert_ne!(before, after, "the change can be seen");
        assert!(
            seen == before || seen == after,
            "before statement {select}: {seen:?}\n is neither {before:?}\n nor {after:?}"
        );
    }
}

fn with_an_endpoint(world: &mut World) -> (Scope, EndpointId) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "all", &["*"]).id;
    (acme, endpoint)
}

fn with_deliveries(world: &mut World) -> (Scope, EndpointId) {
    let (acme, endpoint) = with_an_endpoint(world);
    for _ in 0..3 {
        let delivery = world.deliver(&acme, "campaign.updated");
        world.record(&world.attempt(delivery, 0, Verdict::Exhausted));
        world.advance(HOUR);
    }
    (acme, endpoint)
}

#[test]
fn an_endpoints_settings_and_its_secrets() {
    sees_one_moment(
        with_an_endpoint,
        |world, scope, endpoint| world.delete(scope, endpoint),
        |store, _, endpoint| {
            let runtime = store.endpoint_runtime(endpoint, START).expect("readable");
            runtime.map(|runtime| (runtime.settings, runtime.secrets))
        },
    );
}

#[test]
fn a_version_and_its_subscriptions() {
    sees_one_moment(
        with_an_endpoint,
        |world, scope, endpoint| world.delete(scope, endpoint),
        |store, scope, _| {
            let subscriptions = store.subscriptions(scope).expect("readable").expect("there is such a partner");
            (subscriptions.version, subscriptions.len())
        },
    );
}

#[test]
fn a_page_of_deliveries() {
    sees_one_moment(
        with_deliveries,
        |world, _, _| {
            let horizon = START + HOUR + SECOND * 2;
            world.commit(|transaction| transaction.retire(horizon, None, 10));
        },
        |store, scope, _| {
            let page = PageRequest { after: None, limit: 2 };
            store.deliveries(scope, &DeliveryFilter::default(), &page).expect("readable")
        },
    );
}

#[test]
fn an_event_and_what_became_of_it() {
    sees_one_moment(
        with_deliveries,
        |world, scope, endpoint| {
            let newest = world.deliveries(scope, &DeliveryFilter::default()).remove(0);
            assert_eq!(newest.endpoint, endpoint);
            world.record(&world.manual_attempt(newest.id, 1, Verdict::Delivered));
        },
        |store, scope, _| {
            let events = store.events(scope, &PageRequest { after: None, limit: 1 }).expect("readable");
            store.event_outcomes(scope, &events.items[0], None, posthaste::store::OUTCOMES_MOST).expect("readable")
        },
    );
}
