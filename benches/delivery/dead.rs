//! A day's retries to endpoints that are gone: deliveries that were accepted
//! evenly over the last day, none of which was ever taken, in the state in which
//! the default schedule would have left them by now. What is asked is what the
//! server spends on them while nothing else happens.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use posthaste::clock::Clock;
use posthaste::domain::{DeliveryId, ErrorClass, Outcome, RetryPolicy, Timestamp};
use posthaste::policy::retry::{Next, after_failure};
use posthaste::store::{AttemptKind, Record, Verdict};
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::audience::Audience;
use crate::event::EVENT_TYPE;
use crate::reach::{Finding, Reach, Reaches};
use crate::run::{Options, Stage, look};
use crate::seed::{Seed, in_background};
use crate::server::Server;

const DELIVERIES_OF_ENDPOINT: usize = 100;
/// Long enough for a look through the store that the server takes now and then.
const MEASURE_AT_LEAST: Duration = Duration::from_secs(35);
/// What was due while the store was being filled has been tried by then.
const SETTLE: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_millis(1);
/// Deliveries that go into one commit; each has many attempts.
const COMMIT: usize = 500;
/// Commits between two lines that say how far it is.
const COMMITS_A_LINE: usize = 40;

/// Measures it.
pub async fn measure(options: &Options) -> Result<Vec<Finding>, Box<dyn Error>> {
    let deliveries = options.sizes.dead;
    let audience = Audience::of_partners(deliveries.div_ceil(DELIVERIES_OF_ENDPOINT).max(2));
    let stage = Stage::set(options, 0, audience)?;
    // Taken, so that it is nobody else's, and not listening, so that it refuses.
    let dead = TcpSocket::new_v4()?;
    dead.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    fill(&stage, dead.local_addr()?, options).await?;

    let mut server = Server::start(&options.installation, &stage.directory).await?;
    sleep(SETTLE).await;
    let clock = Clock::system();
    let store = Some((&options.installation, &stage.directory));
    let before = look(std::slice::from_ref(&server), store).await?;
    sleep(options.duration.max(MEASURE_AT_LEAST)).await;
    let after = look(std::slice::from_ref(&server), store).await?;
    let seconds = clock.now().monotonic.since_start().as_secs_f64();
    server.check_alive()?;

    let cpu_seconds = after.system.zip(before.system).and_then(|(after, before)| after.cpu_seconds_since(&before));
    let attempts = after.attempts_since(&before).iter().sum::<u64>() as f64;
    let database = after.store_since(&before).map(|spent| 100.0 * spent.cpu_seconds / seconds);
    Ok(vec![
        Finding::new("CPU, % of a core", 2, cpu_seconds.map(|cpu| 100.0 * cpu / seconds))
            .reaching(Reaches::on_sqlite(Reach::AtMost(5.0))),
        Finding::new("database's CPU, % of a core", 2, database),
        Finding::new("attempts made", 0, attempts),
        Finding::new("attempts/s", 2, attempts / seconds),
        Finding::new("seconds measured", 1, seconds),
        Finding::new("start to ready, s", 2, server.ready_after().as_secs_f64()),
        Finding::new("memory at the end, MB", 1, after.system.and_then(|usage| usage.memory_mb())),
        Finding::new("peak memory, MB", 1, after.system.and_then(|usage| usage.peak_memory_mb())),
    ])
}

/// Where the schedule has left a delivery: waits after each attempt made so far,
/// the last of which is not over.
struct Schedule(Vec<Duration>);

impl Schedule {
    /// Of a delivery of this age, with a jitter of its own.
    fn at(age: Duration, policy: &RetryPolicy, random: &mut fastrand::Rng) -> Self {
        let (mut waits, mut sum) = (Vec::new(), Duration::ZERO);
        while sum <= age {
            let Next::RetryAfter(wait) = after_failure(policy, waits.len() as u32 + 1, random.f64()) else { break };
            sum += wait;
            waits.push(wait);
        }
        Self(waits)
    }

    fn records(&self, delivery: DeliveryId, accepted_at: Timestamp) -> Vec<Record> {
        let mut at = accepted_at;
        let attempt = |(number, wait): (usize, &Duration)| {
            let started_at = at;
            at = at + *wait;
            Record {
                is_ordered: false,
                trouble: None,
                announcements: Vec::new(),
                delivery,
                kind: AttemptKind::Scheduled,
                attempts_before: number as u32,
                started_at,
                finished_at: started_at + ATTEMPT,
                duration: ATTEMPT,
                outcome: Outcome::failed(ErrorClass::Connect, "connection refused"),
                verdict: Verdict::RetryAt(at),
                fence: None,
            }
        };
        self.0.iter().enumerate().map(attempt).collect()
    }
}

async fn fill(stage: &Stage, dead: SocketAddr, options: &Options) -> Result<(), Box<dyn Error>> {
    let (store, deliveries) = (options.installation.store, options.sizes.dead);
    let audience = stage.ledger.audience();
    eprintln!("  writing {deliveries} deliveries with the attempts of a day");
    in_background(&stage.directory, move |directory| {
        let policy = RetryPolicy::default();
        let mut random = fastrand::Rng::with_seed(1);
        let now = Clock::system().wall();
        // Without jitter, so that the oldest have a retry left.
        let day: Duration = (1..=policy.retries()).filter_map(|number| policy.wait(number)).sum();
        let mut seed = Seed::open(store, directory, now - day)?;
        seed.partners(audience, now - day)?;
        seed.endpoints(audience, |number| format!("http://{dead}/hook/{number}"), EVENT_TYPE, now - day)?;
        let subscriptions = seed.subscriptions(audience)?;
        for first in (0..deliveries).step_by(COMMIT) {
            let written = (first + COMMIT).min(deliveries);
            let sequences = first..written;
            let age = |sequence: usize| day.mul_f64((deliveries - sequence) as f64 / deliveries as f64);
            let made = seed.accept(&subscriptions, sequences.clone(), now - age(first))?;
            let mut records = Vec::new();
            for (delivery, sequence) in made.into_iter().zip(sequences) {
                let age = age(sequence);
                records.extend(Schedule::at(age, &policy, &mut random).records(delivery, now - age));
            }
            seed.record(&records, now)?;
            if (first / COMMIT).is_multiple_of(COMMITS_A_LINE) {
                eprintln!("  {written} of {deliveries} are written");
            }
        }
        Ok(())
    })
    .await
}
