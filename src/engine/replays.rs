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
    let mut after = None;
    loop {
        let turns = pacing.turns.clone();
        let read = move |store: &dyn Store| store.running_replays(after, &turns, (REPLAYS_AT_ONCE, ENDPOINTS_EACH));
        let page = match store::blocking(&engine.store, read).await {
            Ok(page) => page,
            Err(error) => return (pacing, Err(error.into())),
        };
        for running in &page {
            seen.insert(running.replay);
            for target in &running.targets {
                if let Err(error) = carry_on(&engine, &mut pacing, running, target).await {
                    return (pacing, Err(error));
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
    (pacing, Ok(pause.max(took * PAUSE_FACTOR)))
}

async fn carry_on(
    engine: &Engine,
    pacing: &mut Pacing,
    running: &RunningReplay,
    target: &RunningTarget,
) -> Result<(), JournalError> {
    let (replay, endpoint) = (running.replay, target.endpoint);
    pacing.turns.insert(replay, endpoint);
    let room = pacing.room(running, target, engine.clock.now().monotonic);
    if room == 0 {
        return Ok(());
    }
    let slice = ReplaySlice { replay, endpoint, room };
    let Replayed::Looked { made, is_done } =
        engine.journal.change(move |transaction| transaction.carry_on_replay(&slice)).await?
    else {
        return Ok(());
    };
    pacing.made((replay, endpoint), made, is_done);
    engine.metrics.deliveries_replayed.inc_by(made as u64);
    if is_done {
        log::info!("{replay} has made all that it makes for {endpoint}");
    }
    Ok(())
}

impl Pacing {
    fn room(&mut self, running: &RunningReplay, target: &RunningTarget, now: Monotonic) -> usize {
        let drain = self.drains.entry((running.replay, target.endpoint)).or_default();
        let room = drain.room(target.under_way, now);
        match running.per_second {
            None => room,
            Some(per_second) => {
                let ration = self.rations.entry(running.replay).or_insert_with(|| Ration::beginning(now));
                room.min(ration.left(per_second, now))
            }
        }
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
    }
}
