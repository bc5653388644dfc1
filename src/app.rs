//! The composition root: what starts, in which order, and what drains, in
//! which order. The only place that knows every room.

mod held;
mod inbound;
mod key_uses;
pub mod keys;
mod membership;
mod options;
mod outbound;
mod portal;
mod statistics;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App as WebApp, web};
use tokio::sync::oneshot;

use crate::auth::{ApiKey, Authenticator, told_of_key};
use crate::catalog;
use crate::clock::Clock;
use crate::cluster::{
    self, Forward, HintOptions, HintSender, Hold, Neighbours, NoForward, Owners, Ownership, new_node_id,
};
use crate::config::{Config, StoreLocation};
use crate::dashboard::{self, Dashboard};
use crate::domain::{Actor, AuditAction, PARTITIONS, PartnerName, Role};
use crate::engine::{
    BodyBudget, Drain, Engine, Indexer, Indexing, Janitor, NewsWire, Places, Replays, Retention, Statistics, Supervisor,
};
use crate::metrics::Metrics;
use crate::routes::{self, Api, Catalogs, Coherence, HintsIn, Rates, ThisNode};
use crate::server::{self, CertificateError, ServerOptions};
use crate::store::journal::{JournalOptions, JournalThread};
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    AuditEntry, Journal, JournalError, Leases, NewKey, PageRequest, Store, StoreError, SubscriptionCache,
};
use crate::transport::{CaFileError, TlsClient};

use key_uses::KeyUses;
use membership::{Joining, Membership};
use portal::LogoError;
use statistics::StatisticsWriter;

/// How long open requests get when the server stops.
const SERVER_SHUTDOWN: Duration = Duration::from_secs(5);
/// How long the journal gets to write what is queued, where the store has gone away.
const FINISH_WITHIN: Duration = Duration::from_secs(30);
/// How often the database's clock is looked at before a node starts.
const CLOCK_LOOKS: usize = 4;
/// How long the answers of a failed commit get to leave before the process does.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why the process could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address to listen on is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The root certificates that were named cannot be used.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// The store cannot be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal would not take the first writes.
    #[error("cannot prepare the store: {0}")]
    Prepare(#[from] JournalError),
    /// A thread could not be started.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    /// The system gives no random bytes.
    #[error("the system has no randomness for a key: {0}")]
    Randomness(getrandom::Error),
    /// The portal's logo is not there, or no picture.
    #[error(transparent)]
    Logo(#[from] LogoError),
    /// A certificate is not there, or of no use.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The journal ended by itself.
    #[error("{0}")]
    JournalEnded(String),
}

/// What a node does on a store that was restored from a copy: some of what waits in it
/// was sent after the copy was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Nothing is sent before an operator says so.
    Hold,
    /// An operator has said so.
    Release,
}

/// A running node.
pub struct App {
    address: SocketAddr,
    scheme: &'static str,
    first_key: Option<ApiKey>,
    server: ServerHandle,
    supervisor: Addr<Supervisor>,
    /// Where there can be other nodes.
    membership: Option<Membership>,
    key_uses: KeyUses,
    statistics: StatisticsWriter,
    dashboard: web::Data<Dashboard>,
    journal: JournalThread,
    journal_failed: oneshot::Receiver<String>,
    drain_timeout: Duration,
}

impl App {
    /// Starts everything on the running actix system: store, journal, engine,
    /// server. Answers once requests are taken.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, AppError> {
        Self::start_as(config, clock, Copies::Hold).await
    }

    /// The same; `copies` says what becomes of a store that was restored from a copy.
    pub async fn start_as(config: Config, clock: Clock, copies: Copies) -> Result<Self, AppError> {
        let listen = config.server.listen;
        // First of all, so that a taken port is known before anything else is
        // touched.
        let listener = TcpListener::bind(listen).map_err(|source| AppError::Listen { address: listen, source })?;
        let address = listener.local_addr()?;
        let certificates = inbound::certificates(&config)?;
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let max_connections = inbound::max_connections(&config);
        let portal = portal::options(&config.portal)?;

        // What cannot be used ends the start before the store is touched.
        let addresses = outbound::addresses(&config);
        let transport = Arc::new(outbound::transport(&config, addresses.clone(), &clock)?);
        let metrics = Arc::new(Metrics::naming(config.server.metrics_endpoints));
        let node = ThisNode {
            id: new_node_id(clock.wall()).map_err(AppError::Randomness)?,
            address: config.cluster.advertised(scheme, address),
        };
        let readers = u32::try_from(config.store.readers).unwrap_or(u32::MAX);
        let store: Arc<dyn Store> = match &config.store.location {
            StoreLocation::Sqlite(path) => {
                metrics.partitions_owned.set(PARTITIONS as i64);
                Arc::new(SqliteStore::open_with(path, readers, &config.store.keys)?)
            }
            StoreLocation::Postgres(url) => {
                let shared = PostgresOptions {
                    url: url.expose().to_owned(),
                    readers,
                    statement_cache: config.store.statement_cache,
                    node: node.id,
                    clock: clock.clone(),
                    metrics: Arc::clone(&metrics),
                };
                Arc::new(PostgresStore::open_with(&shared, keys::of_many(&config.store.keys)?)?)
            }
        };
        let restored = store.restored()?;
        let hold = Hold::new(config.server.hold || (restored.is_some() && copies == Copies::Hold));
        metrics.node_held.set(i64::from(hold.is_on()));
        let bodies = BodyBudget::new(config.engine.body_budget_bytes, Arc::clone(&metrics));
        let joining = match store.leases() {
            Some(leases) => {
                follow(leases.as_ref(), &clock)?;
                let (handle, orders) = cluster::orders();
                Some(Joining {
                    leases,
                    ownership: Ownership::shared(clock.clone()),
                    owners: Owners::default(),
                    handle,
                    orders,
                    hold: hold.clone(),
                    since: store.versions()?,
                    term: config.cluster.lease_term,
                })
            }
            None => None,
        };
        let ownership = joining.as_ref().map_or_else(Ownership::sole, |joining| joining.ownership.clone());
        let handed_over = joining.as_ref().map(|joining| joining.handle.clone());
        let token = config.cluster.token.as_ref().filter(|_| joining.is_some());
        // A file that cannot be used is refused also where nobody needs it.
        let nodes_tls = if joining.is_some() || config.cluster.ca_file.is_some() {
            inbound::nodes_tls(&config)?
        } else {
            TlsClient::unavailable("there are no other nodes")
        };
        let forward: Arc<dyn Forward> = match (token, &joining) {
            (Some(token), Some(Joining { owners, .. })) => {
                let owners = owners.clone();
                let owner_of = Arc::new(move |partition| owners.address_of(partition));
                let options = HintOptions { tls: nodes_tls.clone(), ..HintOptions::default() };
                Arc::new(HintSender::start(owner_of, token.expose(), Arc::clone(&metrics), options))
            }
            _ => Arc::new(NoForward),
        };
        let neighbours = joining
            .as_ref()
            .map(|joining| Neighbours::new(joining.owners.clone(), token.map(|token| token.expose()), nodes_tls));
        let wire = NewsWire::new(bodies.clone(), Arc::clone(&metrics), ownership.clone(), forward);
        let (failed, journal_failed) = oneshot::channel();
        let told = wire.clone();
        let (journal, journal_thread) = Journal::start(
            store.writer()?,
            JournalOptions {
                queue: config.journal.queue,
                queue_bytes: config.engine.body_budget_bytes,
                batch: config.journal.batch,
            },
            clock.clone(),
            Arc::clone(&metrics),
            Box::new(move |notices| told.tell(notices)),
            failed,
        )?;
        if restored.is_some() && copies == Copies::Release {
            held::release_copy(&journal, node.id).await?;
        }
        let brakes = store.brakes()?.len();
        metrics.count_brakes(brakes);
        let first_key = prepare(&store, &journal, config.server.operator_key.is_some()).await?;

        let catalogs = Arc::new(Catalogs::load(store.as_ref())?);
        let schedules = Arc::clone(&catalogs);
        let statistics = Arc::new(Statistics::new(node.id, config.engine.statistics_cells));
        let engine = Engine {
            store: Arc::clone(&store),
            journal: journal.clone(),
            transport,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            ownership,
            hold: hold.clone(),
            handed_over: Arc::new(move |leases| {
                if let Some(keeper) = &handed_over {
                    keeper.handed_over(leases);
                }
            }),
            schedule_of_type: Arc::new(move |environment, event_type| schedules.retry_of(environment, event_type)),
            options: options::engine(&config),
            in_flight: Places::new(config.engine.max_in_flight, clock.clone(), Arc::clone(&metrics)),
            bodies,
            statistics: Arc::clone(&statistics),
        };
        let supervisor = Supervisor::start(engine.clone(), wire.clone());
        Replays::start(engine.clone());
        Indexer::start(engine.clone(), Indexing::default());
        Janitor::start(engine, Retention { keep: config.store.retention });

        let api = web::Data::new(Api {
            auth: Authenticator::new(
                Arc::clone(&store),
                clock.clone(),
                config.server.operator_key.as_ref().map(|key| key.expose()),
            ),
            catalogs,
            coherence: Coherence::of(store.as_ref()),
            subscriptions: SubscriptionCache::default(),
            supervisor: supervisor.clone(),
            limits: options::limits(&config),
            rates: Rates::new(&options::rates(&config), clock.clone(), Arc::clone(&metrics)),
            addresses,
            journal,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
            store: Arc::clone(&store),
            node: node.clone(),
            hold: hold.clone(),
            hints: token.map(|token| {
                let wire = wire.clone();
                HintsIn::new(token.expose(), Arc::new(move |hints| wire.hinted(hints)))
            }),
            neighbours,
            statistics,
            configured: options::configured(&config),
            refusals: routes::Refusals::since(clock.wall()),
            watch: routes::Watch::start(Arc::clone(&metrics), clock.clone()),
            document: routes::openapi::Document::default(),
        });
        let key_uses = KeyUses::start(api.clone());
        let statistics = StatisticsWriter::start(api.clone());
        let dashboard = web::Data::new(Dashboard::start(&api, portal));
        let pages = dashboard.clone();
        let now = clock.wall();
        let server_options = ServerOptions {
            workers: config.server.workers,
            max_connections,
            limits: options::connections(&config),
            shutdown_timeout: SERVER_SHUTDOWN,
            certificates,
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        };
        let membership = match joining {
            Some(joining) => {
                Some(Membership::start(joining, &node, Arc::clone(&store), clock, metrics, &wire, api.clone())?)
            }
            None => None,
        };
        let server = server::serve(listener, server_options, move || {
            let asked = api.clone();
            WebApp::new()
                .app_data(api.clone())
                .app_data(pages.clone())
                .data_factory(move || dashboard::Inside::build(asked.clone()))
                .wrap(routes::all_errors_are_problems())
                .wrap(from_fn(server::attended))
                .configure(routes::configure)
                .configure(dashboard::configure)
        })?;
        let handle = server.handle();
        actix_rt::spawn(server);
        log::info!("posthaste {} listens on {scheme}://{address}", env!("CARGO_PKG_VERSION"));
        held::warn_of_brakes(brakes);
        if hold.is_on() {
            held::tell_what_waits(store, node.id, &format!("{scheme}://{address}"), now, restored);
        }
        Ok(Self {
            address,
            scheme,
            first_key,
            server: handle,
            supervisor,
            membership,
            key_uses,
            statistics,
            dashboard,
            journal: journal_thread,
            journal_failed,
            drain_timeout: config.engine.drain_timeout,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is spoken to: `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The operator key that this start made, if it was the first.
    pub fn first_key(&self) -> Option<&ApiKey> {
        self.first_key.as_ref()
    }

    /// Runs until `stop`, then ends cleanly: no new requests, what is in
    /// flight ends or is left for the next start, all that was queued is
    /// written. An error is a journal that ended by itself.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let failed = tokio::select! {
            () = stop => None,
            why = &mut self.journal_failed => Some(why.unwrap_or_else(|_| "the journal ended".to_owned())),
        };
        if let Some(why) = failed {
            // Its callers have been told that nobody knows; their answers
            // leave now, and nothing else happens any more.
            actix_rt::time::sleep(LAST_ANSWERS).await;
            return Err(AppError::JournalEnded(why));
        }
        if let Some(membership) = &self.membership {
            membership.leaving();
        }
        log::info!("stopping: no new requests, {:?} for what is in flight", self.drain_timeout);
        self.dashboard.stop();
        self.server.stop(true).await;
        match actix_rt::time::timeout(self.drain_timeout, self.supervisor.send(Drain)).await {
            Ok(_) => log::info!("all attempts in flight have ended"),
            Err(_) => log::warn!("some attempts in flight are left for the next start"),
        }
        self.key_uses.finish().await;
        self.statistics.finish().await;
        let journal = self.journal;
        if !on_a_thread("finish", FINISH_WITHIN, move || journal.finish()).await {
            return Err(AppError::JournalEnded(
                "the store does not answer: outcomes that are not written are left for the next start".to_owned(),
            ));
        }
        // Its outcomes are written: whoever takes over finds them.
        if let Some(membership) = self.membership {
            membership.leave().await;
        }
        log::info!("stopped");
        Ok(())
    }
}

/// Sets the clock by the database's before anything is reckoned with it. The first
/// look waits for a connection, and says little; those behind it are quick.
fn follow(leases: &dyn Leases, clock: &Clock) -> Result<(), StoreError> {
    for _ in 0..CLOCK_LOOKS {
        let sent = clock.now().monotonic;
        let now = leases.now()?;
        clock.follow(now, sent, clock.now().monotonic);
    }
    Ok(())
}

/// Runs what blocks, for as long as that is worth waiting for. Where it is not, its
/// thread ends with the process. False when it did not end in time, or panicked.
async fn on_a_thread(name: &str, within: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        work();
        // Whoever asked may have lost patience.
        let _ = done.send(());
    });
    thread.is_ok() && matches!(actix_rt::time::timeout(within, ended).await, Ok(Ok(())))
}

/// What a store needs before anyone is let in: on its first start a partner
/// and the shipped catalogs, and an operator key where there is none at all.
async fn prepare(
    store: &Arc<dyn Store>,
    journal: &Journal,
    has_configured_key: bool,
) -> Result<Option<ApiKey>, AppError> {
    let shipped = catalog::shipped();
    let partner_made = AuditEntry::new(Actor::Posthaste, AuditAction::PartnerCreated)
        .belonging_to(None, Some(PartnerName::default_partner()))
        .about(PartnerName::default_partner());
    let first_start = journal.change(move |transaction| {
        let is_first = transaction.first_start(&shipped)?;
        if is_first {
            transaction.audit(&partner_made);
        }
        Ok(is_first)
    });
    if first_start.await? {
        log::info!("a new store: partner `default` and the shipped catalogs were made");
    }
    let keys = store.keys(&PageRequest { after: None, limit: 1 })?;
    if has_configured_key || !keys.items.is_empty() {
        return Ok(None);
    }
    let key = ApiKey::generate().map_err(AppError::Randomness)?;
    let new = NewKey {
        hash: key.hash(),
        prefix: key.prefix().to_owned(),
        role: Role::Operator,
        environment: None,
        partner: None,
        description: Some("made by the first start".to_owned()),
        expires_at: None,
    };
    let entry = AuditEntry::new(Actor::Posthaste, AuditAction::KeyCreated);
    let made = journal.change(move |transaction| {
        let made = transaction.create_key(&new)?;
        transaction.audit(&told_of_key(entry.clone(), &made));
        Ok(())
    });
    made.await?;
    Ok(Some(key))
}
