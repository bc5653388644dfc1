//! What a release leaves behind that knows of no order: it ends what others wait for,
//! and lets nobody go.

use diesel::prelude::*;
use posthaste::domain::EventOrder;
use posthaste::store::{Lane, Placed, Placing};

use super::SqlitePlace;
use crate::store::world::World;

#[test]
fn whoever_was_left_waiting_goes_on_when_others_get_their_places() {
    let place = SqlitePlace::new();
    let file = place.file();
    let mut world = World::new(Box::new(place));
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]).id;
    let deliveries = [(); 3].map(|()| world.deliver(&acme, "a.b"));
    let placings = deliveries.map(|delivery| Placing { delivery, order_key: Some(7) });
    let order = |world: &mut World, placings: &[Placing]| {
        world.commit(|transaction| transaction.place_deliveries(endpoint, Some(&EventOrder::Fifo), placings, None))
    };
    assert_eq!(order(&mut world, &[]), Placed::Undone { more: false });
    assert_eq!(order(&mut world, &placings[..2]), Placed::Done(2));
    let mut connection = SqliteConnection::establish(file.to_str().expect("a UTF-8 name")).expect("it is there");
    let ended = diesel::sql_query("UPDATE deliveries SET status = 2, next_at = NULL WHERE sequence = 1");
    assert_eq!(ended.execute(&mut connection).expect("nobody else writes"), 1);
    assert_eq!(world.due(endpoint, Lane::Retry), []);
    assert_eq!(order(&mut world, &placings[2..]), Placed::Done(1));
    let due = world.due(endpoint, Lane::Retry);
    assert_eq!(due.iter().map(|due| due.delivery).collect::<Vec<_>>(), [deliveries[1]]);
}
