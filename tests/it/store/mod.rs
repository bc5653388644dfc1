//! The store's conformance suite: what every backend owes to its callers, in
//! the words of `posthaste::store`. A case is a function of a [`World`];
//! [`for_every_backend`] makes it a test of each. What only one backend can be
//! asked is in a folder of that backend's name.

/// Makes each case a test of every backend. A case that is not named here is
/// never called, and the compiler says so.
macro_rules! for_every_backend {
    ($($case:ident)*) => {
        mod sqlite {
            $(
                #[test]
                fn $case() {
                    let mut world = $crate::store::world::World::new($crate::store::sqlite::place());
                    super::$case(&mut world);
                    world.is_as_promised();
                }
            )*
        }

        mod postgres {
            $(
                #[test]
                fn $case() {
                    let mut world = $crate::store::world::World::new($crate::store::postgres::place());
                    super::$case(&mut world);
                    world.is_as_promised();
                }
            )*
        }
    };
}

mod accepting;
mod administration;
mod announcing;
mod audit;
mod brakes;
mod due;
mod encryption;
mod endpoints;
mod erasing;
mod exhausted;
mod explained;
mod filtering;
mod harm;
mod idempotency;
mod journal;
mod keeping;
mod large;
mod listing;
mod model;
mod numbers;
mod ordering;
mod pausing;
mod portal_links;
mod postgres;
mod recording;
mod replaying;
mod retention;
mod searching;
mod signing;
mod sqlite;
mod standing;
mod statistics;
mod summaries;
mod timing;
mod trouble;
mod verifying;
mod versions;
mod views;
mod world;
