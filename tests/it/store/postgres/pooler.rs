//! Through PgBouncer in transaction mode, with fewer connections to the server than
//! there are to the pooler, so that each transaction may have another.

use posthaste::domain::DeliveryStatus;
use posthaste::store::{DeliveryFilter, Lane, Verdict};

use super::PostgresPlace;
use crate::store::world::{HOUR, START, World};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::Postgres;

#[test]
fn a_pooler_that_hands_each_transaction_another_connection_is_fine() {
    let place = PostgresPlace::new();
    let pooler = PgBouncer::start(Postgres::shared(), &["default_pool_size = 2"]);
    let url = pooler.url_of(place.database().name());
    let through = |number: u128| {
        let url = url.clone();
        place.as_node(number).opened(|options| (options.url, options.statement_cache) = (url, false))
    };
    let mut one = World::new(Box::new(through(1)));
    let mut other = World::new(Box::new(through(2)));
    let acme = one.partner("acme");
    let endpoint = one.endpoint(&acme, "all", &["*"]);
    for _ in 0..20 {
        for world in [&mut one, &mut other] {
            let accepted = world.accept(&acme, "campaign.updated");
            let delivery = world.deliveries_of(&acme, accepted.id)[0].id;
            world.record(&world.attempt(delivery, 0, Verdict::RetryAt(START + HOUR)));
            world.record(&world.attempt(delivery, 1, Verdict::Delivered));
        }
    }
    let all = other.deliveries(&acme, &DeliveryFilter::default());
    assert_eq!(all.len(), 40);
    assert!(all.iter().all(|delivery| delivery.status == DeliveryStatus::Delivered && delivery.attempt_count == 2));
    assert_eq!(one.due(endpoint.id, Lane::Retry), []);
}
