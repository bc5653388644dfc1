//! Faults: the real binary on a real file or server, killed, starved, lied to
//! and given errors by its disk, its database and the network between them. What
//! must hold then is what `product.md` promises; the tests name the invariants
//! they look at:
//!
//! - I1 no acknowledged event is lost
//! - I2 nothing is written by one who lost ownership
//! - I3 duplicates only around a crash, with the same `webhook-id` and number
//! - I5 healthy endpoints go on
//! - I6 never early
//! - I7 every signature verifies
//! - I9 memory is bounded
//! - I10 every delivery ends or visibly waits

mod api;
mod cluster;
mod crash;
mod disk_full;
mod events;
mod fan_out;
mod flushes;
mod fsync;
mod home;
mod hostile;
mod ledger;
mod misbehaviour;
mod node;
mod receipts;
mod subscriber;
mod torn_wal;

use std::future::Future;
use std::time::Duration;

/// What anything may take before its test fails. Nothing is asserted about
/// time but this: a busy machine is slow, and not wrong.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at something that another process does.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits for something that must happen, so that a test fails and never hangs.
async fn within<F: Future>(what: &str, happening: F) -> F::Output {
    match actix_rt::time::timeout(PATIENCE, happening).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks until there is something to see.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            actix_rt::time::sleep(LOOK_EVERY).await;
        }
    })
    .await
}

/// Randomness that a failing test can be given again: the seed is printed, and
/// read from `POSTHASTE_FAULT_SEED`.
fn dice() -> fastrand::Rng {
    let seed = number_from("POSTHASTE_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("POSTHASTE_FAULT_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a whole number, not {text:?}")))
}
