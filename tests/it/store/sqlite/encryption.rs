//! What stood in the file before it was sealed is overwritten, and not only let go.

use std::fs;
use std::sync::Arc;

use super::SqlitePlace;
use crate::store::encryption::ring;
use crate::store::world::{World, new_endpoint, settings};

const SECRET: &str = "whsec_a-secret-that-stood-here-once";
const ENDPOINTS: usize = 8;

fn is_in_the_file(place: &SqlitePlace) -> bool {
    let bytes = fs::read(place.file()).expect("it is there");
    assert!(!place.log().exists(), "whoever closes the store writes its log into the file");
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[test]
fn what_is_sealed_anew_is_overwritten() {
    let place = Arc::new(SqlitePlace::new());
    let mut world = World::new(Box::new(Arc::clone(&place)));
    let acme = world.partner("acme");
    // So many that what is let go is not written over by chance.
    for number in 0..ENDPOINTS {
        let mut new = new_endpoint(&acme, settings(&number.to_string(), &["*"]));
        new.secret = SECRET.to_owned();
        world.commit(|transaction| transaction.create_endpoint(&new)).expect("nothing stands against it");
    }
    world.close();
    assert!(is_in_the_file(&place));
    world.reopen_with(ring(&["one"])).expect("nothing is sealed");
    assert_eq!(world.commit(|transaction| transaction.reencrypt(None, 1_000)).values, ENDPOINTS);
    world.close();
    assert!(!is_in_the_file(&place));
}
