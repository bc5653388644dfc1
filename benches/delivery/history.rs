//! A store that holds what was delivered within the last 30 days. The oldest of it falls
//! due for retention while the benchmark runs, as it would.

use std::error::Error;
use std::time::Duration;

use posthaste::clock::Clock;

use crate::audience::Audience;
use crate::big_store::BigStore;
use crate::directory::Directory;
use crate::run::Options;
use crate::seed::in_background;

/// Whose deliveries they were.
const AUDIENCE: Audience = Audience { partners: 10, fan_out: 4, counted: 10 };
/// What retention keeps by default.
const DAYS: u64 = 30;

/// Fills the store in this directory.
pub async fn write(directory: &Directory, options: &Options) -> Result<(), Box<dyn Error>> {
    let (store, deliveries) = (options.installation.store, options.sizes.history);
    let span = Duration::from_secs(DAYS * 24 * 3_600);
    let big = BigStore { audience: AUDIENCE, deliveries, begin: Clock::system().wall() - span, span };
    big.fits(store, directory, "--history")?;
    eprintln!("  writing {deliveries} deliveries of {DAYS} days");
    in_background(directory, move |directory| big.fill(store, directory)).await
}
