//! What is erased while other nodes are at work: never what one of them is about to need, and
//! nothing that is still being accepted.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use posthaste::domain::{Kept, RetentionDays};
use posthaste::store::{Slice, Verdict};

use super::PostgresPlace;
use crate::store::world::{DAY, SECOND, World};

const SLICE: Slice = Slice { rows: 500, bytes: 1 << 20 };

/// Payloads that a whole round erases.
fn erased(world: &mut World) -> usize {
    let (mut after, mut payloads) = (None, 0);
    loop {
        let one = world.commit(|transaction| transaction.enforce_retention(30, after, SLICE));
        payloads += one.payloads;
        after = one.next;
        if after.is_none() {
            return payloads;
        }
    }
}

#[test]
fn a_payload_that_somebody_is_about_to_need_is_left() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let days = RetentionDays::default().with(Kept::Payloads, Some(1));
    world.commit(|transaction| transaction.set_retention(&acme, days));
    let delivery = world.deliver(&acme, "campaign.updated");
    let record = world.attempt(delivery, 0, Verdict::Delivered);
    world.record(&record);
    world.advance(2 * DAY);
    // As whoever asks for an attempt has it, until it has committed.
    let mut asking = PgConnection::establish(&place.database().url()).expect("the database is ours");
    asking.batch_execute("BEGIN; SELECT id FROM events FOR SHARE").expect("there are some");
    assert_eq!(erased(&mut world), 0, "and nobody waits for that");
    asking.batch_execute("ROLLBACK").expect("it was begun");
    assert_eq!(erased(&mut world), 1, "it is looked at again");
    // Whoever comes too late finds nothing to send, on whichever node.
    let mut other = World::new(Box::new(place.as_node(2)));
    other.now = world.now;
    assert!(!other.commit(|transaction| transaction.request_attempt(delivery)));
}

#[test]
fn a_partner_is_erased_when_nothing_is_under_way_any_more() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let mut other = World::new(Box::new(place.as_node(2)));
    let acme = world.partner("acme");
    world.endpoint(&acme, "all", &["*"]);
    let known = other.request(&acme, &["campaign.updated"]);
    world.accept(&acme, "campaign.updated");
    let name = acme.partner.clone().expect("a partner");
    world.commit(|transaction| transaction.begin_erasing(&name)).expect("there is such a partner");
    let refused = other.commit(|transaction| transaction.accept(&[&known]));
    assert_eq!(refused, [posthaste::store::Accepted::Outdated], "whatever the node knew");
    world.advance(59 * SECOND);
    assert_eq!(world.commit(|transaction| transaction.erase_partners(SLICE)), Default::default());
    // Another node takes over.
    other.now = world.now + 2 * SECOND;
    let done = other.commit(|transaction| transaction.erase_partners(SLICE));
    assert_eq!(done.gone, [name]);
}
