//! The thread that looks, a few times a second, what other nodes changed: the
//! settings of endpoints, keys, catalogs. As long as it looks in vain, no
//! attempt begins ([`Ownership::may_send`]).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::cluster::{Move, Ownership};
use crate::store::{Changes, Store, StoreError, Versions};

/// How long after one look the next one begins: a few fit into the time that
/// settings are acted on without one.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whom a pulse tells. Called from its thread, in order.
pub struct Observers {
    /// Told [`Move::Changed`] or [`Move::ManyChanged`], when endpoints changed.
    pub engine: Box<dyn Fn(Move) + Send>,
    /// Told the new versions, when keys or catalogs changed.
    pub caches: Box<dyn Fn(&Versions) + Send>,
    /// Told how many brakes are in force, when that may have changed.
    pub brakes: Box<dyn Fn(usize) + Send>,
}

/// A running pulse.
pub struct Pulse {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Pulse {
    /// Starts the thread. What changed after `since` is told: these are the
    /// versions before anything was read into memory.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Clock,
        ownership: Ownership,
        since: Versions,
        observers: Observers,
    ) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let looking = Looking { clock, ownership, since, observers, is_failing: false };
        let thread = std::thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || looking.run(store.as_ref(), &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends it, once the look that is under way has ended.
    pub fn stop(self) {
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            log::error!("the thread that looks for changes panicked");
        }
    }
}

struct Looking {
    clock: Clock,
    ownership: Ownership,
    since: Versions,
    observers: Observers,
    is_failing: bool,
}

impl Looking {
    fn run(mut self, store: &dyn Store, stopped: &Receiver<()>) {
        loop {
            self.look(|since| store.changes(since));
            match stopped.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One look. What was changed before it began has been told when it ends.
    fn look(&mut self, changes: impl FnOnce(&Versions) -> Result<Changes, StoreError>) {
        let begun = self.clock.now().monotonic;
        let found = match changes(&self.since) {
            Ok(found) => found,
            Err(error) => {
                if !self.is_failing {
                    log::error!("changes of settings cannot be looked for, so nothing new is sent: {error}");
                }
                self.is_failing = true;
                return;
            }
        };
        if self.is_failing {
            log::info!("changes of settings can be looked for again");
        }
        self.is_failing = false;
        let Changes { versions, endpoints, are_too_many, brakes } = found;
        if are_too_many {
            (self.observers.engine)(Move::ManyChanged);
        } else if !endpoints.is_empty() {
            (self.observers.engine)(Move::Changed(endpoints));
        }
        if let Some(in_force) = brakes {
            (self.observers.brakes)(in_force);
        }
        if (versions.keys, versions.catalogs) != (self.since.keys, self.since.catalogs) {
            (self.observers.caches)(&versions);
        }
        self.since = versions;
        self.ownership.settings_seen(begun, self.since.endpoints);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::cluster::SETTINGS_HOLD;
    use crate::domain::{EndpointId, Partition, Timestamp};
    use crate::store::{Fence, Lease};

    struct World {
        clock: Clock,
        ownership: Ownership,
        lease: Lease,
        looking: Looking,
        told: Arc<Mutex<Vec<Move>>>,
        versions: Arc<Mutex<Vec<Versions>>>,
        brakes: Arc<Mutex<Vec<usize>>>,
    }

    fn world() -> World {
        let clock = Clock::manual(Timestamp::from_millis(0));
        clock.advance(Duration::from_secs(60));
        let ownership = Ownership::shared(clock.clone());
        let lease = Lease { partition: Partition::numbered(3), epoch: 1, fence: Some(Fence(7)) };
        ownership.grant(lease, clock.now().monotonic + Duration::from_secs(600));
        let (told, versions) = (Arc::<Mutex<Vec<Move>>>::default(), Arc::<Mutex<Vec<Versions>>>::default());
        let brakes = Arc::<Mutex<Vec<usize>>>::default();
        let (engine, caches, counted) = (Arc::clone(&told), Arc::clone(&versions), Arc::clone(&brakes));
        let observers = Observers {
            engine: Box::new(move |told| engine.lock().unwrap().push(told)),
            caches: Box::new(move |versions| caches.lock().unwrap().push(*versions)),
            brakes: Box::new(move |in_force| counted.lock().unwrap().push(in_force)),
        };
        let looking = Looking {
            clock: clock.clone(),
            ownership: ownership.clone(),
            since: Versions::default(),
            observers,
            is_failing: false,
        };
        World { clock, ownership, lease, looking, told, versions, brakes }
    }

    #[test]
    fn what_changed_is_told_once_and_to_whom_it_concerns() {
        let World { mut looking, told, versions, .. } = world();
        let endpoint = EndpointId::from_uuid(Uuid::from_u128(5));
        let with_endpoint = Versions { endpoints: [0, 4], ..Versions::default() };
        looking.look(|since| {
            assert_eq!(*since, Versions::default());
            Ok(Changes { versions: with_endpoint, endpoints: vec![endpoint], ..Changes::default() })
        });
        assert_eq!(*told.lock().unwrap(), [Move::Changed(vec![endpoint])]);
        assert!(versions.lock().unwrap().is_empty(), "neither keys nor catalogs changed");
        let with_keys = Versions { keys: 9, ..with_endpoint };
        looking.look(|since| {
            assert_eq!(*since, with_endpoint);
            Ok(Changes { versions: with_keys, ..Changes::default() })
        });
        looking.look(|_| Ok(Changes { versions: with_keys, ..Changes::default() }));
        assert_eq!(told.lock().unwrap().len(), 1);
        assert_eq!(*versions.lock().unwrap(), [with_keys]);
    }

    #[test]
    fn very_many_are_told_of_without_their_names() {
        let World { mut looking, told, brakes, .. } = world();
        let some = vec![EndpointId::from_uuid(Uuid::from_u128(5))];
        looking.look(|_| Ok(Changes { endpoints: some, are_too_many: true, brakes: Some(1), ..Changes::default() }));
        looking.look(|_| Ok(Changes::default()));
        assert_eq!(*told.lock().unwrap(), [Move::ManyChanged]);
        assert_eq!(*brakes.lock().unwrap(), [1]);
    }

    #[test]
    fn nothing_is_sent_once_nobody_can_look() {
        let World { clock, ownership, lease, mut looking, .. } = world();
        assert!(!ownership.may_send(&lease), "nobody has looked yet");
        let quick = clock.clone();
        looking.look(|_| {
            // A look tells of what was there when it began.
            quick.advance(Duration::from_millis(400));
            Ok(Changes::default())
        });
        assert!(ownership.may_send(&lease));
        clock.advance(SETTINGS_HOLD - Duration::from_millis(401));
        assert!(ownership.may_send(&lease));
        looking.look(|_| Err(StoreError::Unavailable("gone".into())));
        clock.advance(Duration::from_millis(1));
        assert!(!ownership.may_send(&lease) && ownership.trusts(&lease));
        looking.look(|_| Ok(Changes::default()));
        assert!(ownership.may_send(&lease));
    }
}
