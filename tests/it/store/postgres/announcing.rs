//! What nodes tell of trouble that share a database: what was subscribed to through one
//! counts for what another writes, and who has lost an endpoint tells nothing of it.

use posthaste::domain::{Announcement, DisabledReason, Outcome, Setback};
use posthaste::store::{Fence, Record, Recorded};

use super::PostgresPlace;
use crate::store::announcing::{failing, telling, told, types};
use crate::store::world::{START, World};

#[test]
fn who_subscribed_through_another_node_is_told() {
    let place = PostgresPlace::new();
    let [mut one, mut other] = [1, 2].map(|number| World::new(Box::new(place.as_node(number))));
    let acme = one.partner("acme");
    let endpoint = one.endpoint(&acme, "one", &["order.*"]).id;
    let setback = Setback::new(5, &Outcome::answered(410, bytes::Bytes::new()));
    for round in 0..5 {
        let delivery = one.deliver(&acme, "order.paid");
        let watching = one.endpoint(&acme, &format!("round-{round}"), &["posthaste.*"]).id;
        other.record(&telling(&other, delivery, 0, &[Announcement::Exhausted]));
        let births = other.births();
        assert_eq!(births.iter().map(|birth| birth.endpoint).collect::<Vec<_>>(), [watching]);
        assert_eq!(births[0].matched.1, one.store().versions().expect("readable").endpoints[1]);
        assert!(other.commit(|transaction| transaction.disable_endpoint(
            endpoint,
            DisabledReason::Gone,
            Some(&setback)
        )));
        assert_eq!(other.births().len(), 1);
        one.enable(&acme, endpoint, true);
        one.delete(&acme, watching);
        let delivery = one.deliver(&acme, "order.paid");
        other.record(&telling(&other, delivery, 0, &[Announcement::Exhausted]));
        assert!(other.births().is_empty());
    }
    assert_eq!(told(&one, &acme).len(), 10);
}

#[test]
fn who_has_lost_the_endpoint_tells_nothing() {
    let place = PostgresPlace::new();
    let mut world = World::new(Box::new(place.clone()));
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["order.*"]).id;
    world.endpoint(&acme, "watching", &["posthaste.*"]);
    let delivery = world.deliver(&acme, "order.paid");
    let record = telling(&world, delivery, 0, &[failing(START), Announcement::Exhausted]);
    let lost = Record { fence: Some(Fence(4_711)), ..record.clone() };
    assert_eq!(world.record(&lost), Recorded::Fenced);
    assert!(told(&world, &acme).is_empty());
    assert_eq!(world.store().trouble(endpoint).expect("readable").announced_at, None);
    // Who has it writes it, and tells it.
    place.database().sql("UPDATE leases SET token = 4712 WHERE partition = 0");
    world.record(&Record { fence: Some(Fence(4_712)), ..record });
    assert_eq!(types(&told(&world, &acme)), ["posthaste.delivery.exhausted", "posthaste.endpoint.failing"]);
}
