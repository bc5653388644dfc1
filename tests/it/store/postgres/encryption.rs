//! Keys of nodes that share a database.

use std::sync::mpsc;

use posthaste::domain::Timestamp;
use posthaste::keyring::RingKeyId;
use posthaste::store::StoreError;

use super::PostgresPlace;
use crate::store::encryption::ring;
use crate::store::world::{Place, START, World, new_endpoint, settings};
use crate::support::node::eventually;

fn ids(keys: Vec<RingKeyId>) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

#[test]
fn a_key_that_another_node_seals_with_again_is_needed_again() {
    let place = PostgresPlace::new();
    let mut first = World::new(Box::new(place.as_node(1)));
    let mut second = World::new(Box::new(place.as_node(2)));
    first.reopen_with(ring(&["two", "one"])).expect("nothing is sealed");
    second.reopen_with(ring(&["one", "two"])).expect("nothing is sealed");
    let acme = second.partner("acme");
    second.endpoint(&acme, "a", &["*"]);
    assert_eq!(first.commit(|transaction| transaction.reencrypt(None, 100)).values, 1);
    assert_eq!(ids(first.commit(|transaction| transaction.release_unused_keys())), ["one"]);
    second.endpoint(&acme, "b", &["*"]);
    assert_eq!(ids(first.store().noted_keys().expect("readable")), ["one", "two"]);
    let refused = place.as_node(3).open_with(ring(&["two"]));
    assert!(matches!(refused.map(drop), Err(StoreError::Configuration(_))));
}

#[test]
fn a_key_is_not_released_while_a_node_seals_with_it() {
    let place = PostgresPlace::new();
    let mut sealing = World::new(Box::new(place.as_node(1)));
    sealing.reopen_with(ring(&["one", "two"])).expect("nothing is sealed");
    let acme = sealing.partner("acme");
    let releasing = place.as_node(2).open_with(ring(&["two", "one"])).expect("nothing is sealed");
    let mut writer = releasing.writer().expect("nobody took it before");
    let (sealed, is_sealed) = mpsc::channel();
    let (go_on, going_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let new = new_endpoint(&acme, settings("a", &["*"]));
            sealing.commit(|transaction| {
                let made = transaction.create_endpoint(&new)?.expect("nothing stands against it");
                sealed.send(()).expect("the test waits");
                going_on.recv().expect("the test goes on");
                Ok(made)
            });
        });
        is_sealed.recv().expect("the endpoint is made");
        let released = scope.spawn(move || {
            let mut released = Vec::new();
            let now: Timestamp = START;
            writer
                .commit(now, &mut |transaction| {
                    released = transaction.release_unused_keys()?;
                    Ok(())
                })
                .expect("it waits, and goes on");
            released
        });
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("the other node waits", || (place.database().value(waiting) == "1").then_some(()));
        go_on.send(()).expect("the endpoint's maker waits");
        assert_eq!(ids(released.join().expect("it ends")), [""; 0], "the endpoint's secret is sealed with it");
    });
}
