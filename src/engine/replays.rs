//! Carries replays out, slice by slice: each endpoint in its turn, no more than it drains
//! (`policy::replaying`), no faster than was asked for. All that must be known is in the store:
//! whoever comes after a restart or a takeover goes on where the last one stood.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use actix::prelude::*;

use crate::domain::{EndpointId, Monotonic, Partition, ReplayId};
use crate::engine::Engine;
use crate::policy::replaying::{Drain, Ration};
use crate::store::{self, JournalError, ReplaySlice, Replayed, RunningReplay, RunningTarget, Store};

/// Between two rounds while a replay runs.
const OFTEN: Duration = Duration::from_millis(100);
/// The same when none does.
const IDLE: Duration = Duration::from_millis(500);
/// The same when the store cannot be read or written.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Running replays read at once.
const REPLAYS_AT_ONCE: usize = 100;
/// Endpoints of one replay that have their turn in a round: one that is for very many keeps
/// no other waiting.
const ENDPOINTS_EACH: usize = 16;
/// A round is followed by a pause at least as long: half of the time is always others'.
const PAUSE_FACTOR: u32 = 1;
/// One in which none had room, by one so many times as long: looking for room costs the more
/// the more waits.
const IDLE_PAUSE_FACTOR: u32 = 20;

/// See the module.
pub struct Replays {
    engine: Engine,
    pacing: Pacing,
}

/// What is known of how fast things go. It is lost with the process, and begun anew.
#[derive(Default)]
struct Pacing {
    drains: HashMap<(ReplayId, EndpointId), Drain>,
    rations: HashMap<ReplayId, Ration>,
    /// Of each replay the endpoint that had the last turn.
    turns: HashMap<ReplayId, EndpointId>,
    /// Those that could not be carried on, and when that is tried again.
    resting: HashMap<ReplayId, Monotonic>,
}

impl Replays {
    /// Starts it on the arbiter that calls.
    pub fn start(engine: Engine) -> Addr<Self> {
        Self { engine, pacing: Pacing::default() }.start()
    }

    fn schedule(&self, pause: Duration, context: &mut Context<Self>) {
        context.run_later(pause, |replays, context| {
            let (engine, pacing) = (replays.engine.clone(), std::mem::take(&mut replays.pacing));
            context.spawn(round(engine, pacing).into_actor(replays).map(|done, replays, context| {
                let (pacing, went) = done;
                replays.pacing = pacing;
                let pause = match went {
                    Ok(pause) => pause,
                    Err(JournalError::Closed | JournalError::Unknown) => return,
                    Err(error) => {
                        log::warn!("replays wait: {error}");
                        AGAIN_AFTER
                    }
                };
                replays.schedule(pause, context);
            }));
        });
    }
}

impl Actor for Replays {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.schedule(Duration::ZERO, context);
    }
}

/// Of each replay a slice for some of its endpoints, if they have room for it. Answers when
/// the next round is due.
async fn round(engine: Engine, mut pacing: Pacing) -> (Pacing, Result<Duration, JournalError>) {
    let begun = engine.clock.now().monotonic;
    // One node is enough, and which one that is does not matter.
    if engine.ownership.lease(Partition::numbered(0)).is_none() {
        return (Pacing::default(), Ok(IDLE));
    }
    let mut seen = HashSet::new();
    let (mut after, mut went_on) = (None, false);
    loop {
        let (turns, now) = (pacing.turns.clone(), engine.clock.now().wall);
        let limits = (REPLAYS_AT_ONCE, ENDPOINTS_EACH);
        let read = move |store: &dyn Store| store.running_replays(after, &turns, limits, now);
        let page = match store::blocking(&engine.store, read).await {
            Ok(page) => page,
            Err(error) => return (pacing, Err(error.into())),
        };
        for running in &page {
            seen.insert(running.replay);
            if pacing.resting.get(&running.replay).is_some_and(|until| engine.clock.now().monotonic < *until) {
                continue;
            }
            match turn(&engine, &mut pacing, running).await {
                Ok(it_did) => {
                    went_on |= it_did;
                    pacing.resting.remove(&running.replay);
                }
                Err(error @ (JournalError::Closed | JournalError::Unknown)) => return (pacing, Err(error)),
                Err(error) => {
                    // The others are none the worse for it.
                    log::warn!("{} waits: {error}", running.replay);
                    pacing.resting.insert(running.replay, engine.clock.now().monotonic + AGAIN_AFTER);
                }
            }
        }
        after = page.last().map(|running| running.replay).filter(|_| page.len() >= REPLAYS_AT_ONCE);
        if after.is_none() {
            break;
        }
    }
    pacing.retain(&seen);
    let pause = if seen.is_empty() { IDLE } else { OFTEN };
    let took = engine.clock.now().monotonic.since(begun);
    (pacing, Ok(pause.max(took * if went_on { PAUSE_FACTOR } else { IDLE_PAUSE_FACTOR })))
}

/// One replay's part of a round. Answers whether it has come any further.
async fn turn(engine: &Engine, pacing: &mut Pacing, running: &RunningReplay) -> Result<bool, JournalError> {
    let (replay, mut went_on) = (running.replay, false);
    if running.targets.is_empty() {
        if engine.journal.change(move |transaction| transaction.finish_replay(replay)).await? {
            log::info!("{replay} has nobody left to make anything for");
        }
        return Ok(true);
    }
    for (index, target) in running.targets.iter().enumerate() {
        let now = engine.clock.now().monotonic;
        let Some(share) = pacing.share(running, running.targets.len() - index, now) else {
            // The next round begins with the one that gets nothing now.
            break;
        };
        pacing.turns.insert(replay, target.endpoint);
        went_on |= carry_on(engine, pacing, replay, target, share).await?;
    }
    Ok(went_on)
}

/// A slice for one endpoint, of no more than its share. Answers whether there was room for one.
async fn carry_on(
    engine: &Engine,
    pacing: &mut Pacing,
    replay: ReplayId,
    target: &RunningTarget,
    share: usize,
) -> Result<bool, JournalError> {
    let endpoint = target.endpoint;
    let room = pacing.room(replay, target, engine.clock.now().monotonic).min(share);
    if room == 0 {
        return Ok(false);
    }
    let slice = ReplaySlice { replay, endpoint, room };
    let Replayed::Looked { made, is_done } =
        engine.journal.change(move |transaction| transaction.carry_on_replay(&slice)).await?
    else {
        return Ok(false);
    };
    pacing.made((replay, endpoint), made, is_done);
    engine.metrics.deliveries_replayed.inc_by(made as u64);
    if is_done {
        log::info!("{replay} has made all that it makes for {endpoint}");
    }
    Ok(true)
}

impl Pacing {
    fn room(&mut self, replay: ReplayId, target: &RunningTarget, now: Monotonic) -> usize {
        let drain = self.drains.entry((replay, target.endpoint)).or_default();
        drain.room(target.under_way, target.waiting, now)
    }

    /// What the next of so many endpoints may have of what the rate leaves; `None` when
    /// that is nothing.
    fn share(&mut self, running: &RunningReplay, endpoints: usize, now: Monotonic) -> Option<usize> {
        let Some(per_second) = running.per_second else { return Some(usize::MAX) };
        let ration = self.rations.entry(running.replay).or_insert_with(|| Ration::beginning(now));
        ration.share(per_second, endpoints, now)
    }

    fn made(&mut self, target: (ReplayId, EndpointId), count: usize, is_done: bool) {
        if let Some(ration) = self.rations.get_mut(&target.0) {
            ration.made(count);
        }
        if is_done {
            self.drains.remove(&target);
        } else if let Some(drain) = self.drains.get_mut(&target) {
            drain.made(count);
        }
    }

    /// Of replays that do not run any more nothing is to be known.
    fn retain(&mut self, running: &HashSet<ReplayId>) {
        self.drains.retain(|(replay, _), _| running.contains(replay));
        self.rations.retain(|replay, _| running.contains(replay));
        self.turns.retain(|replay, _| running.contains(replay));
        self.resting.retain(|replay, _| running.contains(replay));
    }
}
