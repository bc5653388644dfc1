//! A node without a socket, on a store of its own, and the words for what others
//! do behind its back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{AsyncContext as _, Context};
use actix_rt::System;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use posthaste::auth::{ApiKey, Authenticator};
use posthaste::catalog::TypeDefinition;
use posthaste::clock::Clock;
use posthaste::cluster::Hold;
use posthaste::domain::{Environment, KeyId, NodeId, PartnerName, Role, Timestamp};
use posthaste::engine::{Statistics, Supervisor};
use posthaste::metrics::Metrics;
use posthaste::policy::address::AddressPolicy;
use posthaste::routes::{
    Api, Catalogs, Coherence, Limits, RateLimits, Rates, Refusals, RetryLimits, ThisNode, Watch,
    all_errors_are_problems, configure,
};
use posthaste::store::journal::JournalOptions;
use posthaste::store::sqlite::SqliteStore;
use posthaste::store::{
    CommitError, Journal, NewKey, Notice, PageRequest, Scope, Store, StoreError, SubscriptionCache, Transaction, Writer,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use uuid::Uuid;

use crate::support::folder::Folder;

pub const OPERATOR: &str = "the-operator-of-these-tests";

/// What another node commits just before a commit of this one.
type Meddling = Arc<Mutex<Option<Box<dyn Fn(&mut dyn Transaction) -> Result<(), StoreError> + Send>>>>;

/// The store's writer, and somebody who now and then is a moment faster.
struct Hurried(Box<dyn Writer>, Meddling);

impl Writer for Hurried {
    fn commit(
        &mut self,
        now: Timestamp,
        verbs: &mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>,
    ) -> Result<Vec<Notice>, CommitError> {
        if let Some(meddle) = self.1.lock().unwrap().as_ref() {
            self.0.commit(now, &mut |transaction| meddle(transaction))?;
        }
        self.0.commit(now, verbs)
    }
}

/// See the module.
pub struct Node {
    pub api: web::Data<Api>,
    meddling: Meddling,
    pub scope: Scope,
}

/// A node that knows of others, for as long as the story lasts.
pub fn among_nodes(story: impl AsyncFnOnce(&Node)) {
    node(Coherence::among_nodes, story);
}

/// A node that is one of several, or has the store to itself.
pub fn node(coherence: impl FnOnce() -> Coherence, story: impl AsyncFnOnce(&Node)) {
    let folder = Folder::new();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.file("store.db"), 1).unwrap());
    let (clock, metrics, meddling) = (Clock::system(), Arc::new(Metrics::default()), Meddling::default());
    let (journal, thread) = Journal::start(
        Box::new(Hurried(store.writer().unwrap(), Arc::clone(&meddling))),
        JournalOptions { queue: 100, queue_bytes: 1 << 20, batch: 16 },
        clock.clone(),
        Arc::clone(&metrics),
        Box::new(|_| {}),
        oneshot::channel().0,
    )
    .unwrap();
    let system = System::new();
    system.block_on(async move {
        journal.change(|transaction| transaction.first_start(&[of_total("order.paid", "number")])).await.unwrap();
        let api = Api {
            auth: Authenticator::new(Arc::clone(&store), clock.clone(), Some(OPERATOR)),
            catalogs: Arc::new(Catalogs::load(store.as_ref()).unwrap()),
            coherence: coherence(),
            subscriptions: SubscriptionCache::default(),
            // Nobody is there: no route of these tests has anything to tell it.
            supervisor: Context::<Supervisor>::new().address(),
            addresses: AddressPolicy::new(Vec::new()),
            limits: Limits {
                event_bytes: 1 << 16,
                batch_bytes: 1 << 18,
                batch_events: 100,
                settings_bytes: 1 << 16,
                page: 50,
                page_max: 250,
                endpoints_per_partner: 10,
                max_fan_out: 1_000,
                endpoints_per_replay: 100,
                replays_per_partner: 10,
                stats_buckets: 1_000,
                retries: RetryLimits {
                    retries: 30,
                    span: Duration::from_secs(30 * 86_400),
                    retention: Duration::from_secs(30 * 86_400),
                },
            },
            rates: Rates::new(&RateLimits::default(), clock.clone(), Arc::clone(&metrics)),
            refusals: Refusals::since(clock.wall()),
            watch: Watch::default(),
            journal,
            clock,
            metrics,
            store,
            node: ThisNode { id: NodeId::from_uuid(Uuid::from_u128(1)), address: None },
            hold: Hold::new(false),
            hints: None,
            neighbours: None,
            statistics: Arc::new(Statistics::new(NodeId::from_uuid(Uuid::from_u128(1)), 100)),
            configured: Vec::new(),
            document: Default::default(),
        };
        let scope = Scope::of(Environment::Production, PartnerName::default_partner());
        story(&Node { api: web::Data::new(api), meddling, scope }).await;
    });
    drop(system);
    thread.finish();
}

impl Node {
    pub async fn send(&self, method: Method, path: &str, key: &str, body: &str) -> (u16, Value) {
        let app = App::new().app_data(self.api.clone()).wrap(all_errors_are_problems()).configure(configure);
        let service = init_service(app).await;
        let request = TestRequest::with_uri(path)
            .method(method)
            .insert_header(("authorization", format!("Bearer {key}")))
            .insert_header(("content-type", "application/json"))
            .set_payload(body.to_owned());
        let response = call_service(&service, request.to_request()).await;
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&read_body(response).await).unwrap_or_default())
    }

    pub async fn get(&self, path: &str, key: &str) -> u16 {
        self.send(Method::GET, path, key, "").await.0
    }

    pub async fn post(&self, key: &str, event: &Value) -> u16 {
        self.send(Method::POST, "/events", key, &event.to_string()).await.0
    }

    /// The status of each line.
    pub async fn post_batch(&self, key: &str, events: &[Value]) -> Vec<u64> {
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        let (status, answer) = self.send(Method::POST, "/events/batch", key, &lines.join("\n")).await;
        assert_eq!(status, 202, "{answer}");
        answer["data"].as_array().unwrap().iter().map(|line| line["status"].as_u64().unwrap_or(202)).collect()
    }

    /// What another node does.
    pub async fn elsewhere<T: Send + 'static>(
        &self,
        verb: impl FnMut(&mut dyn Transaction) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.api.journal.change(verb).await.unwrap()
    }

    pub async fn key_made_elsewhere(&self, role: Role) -> (KeyId, String) {
        let (key, scope) = (ApiKey::generate().unwrap(), &self.scope);
        let new = NewKey {
            hash: key.hash(),
            prefix: key.prefix().to_owned(),
            role,
            environment: Some(scope.environment),
            partner: scope.partner.clone(),
            description: None,
            expires_at: None,
        };
        (self.elsewhere(move |transaction| transaction.create_key(&new)).await.id, key.reveal().to_owned())
    }

    pub async fn revoked_elsewhere(&self, key: KeyId) {
        assert!(self.elsewhere(move |transaction| transaction.revoke_key(key)).await);
    }

    pub async fn type_put_elsewhere(&self, definition: TypeDefinition) {
        let types = [definition];
        self.elsewhere(move |transaction| transaction.put_event_types(Environment::Production, &types)).await;
    }

    pub async fn type_deleted_elsewhere(&self, name: &str) {
        let name = name.parse().unwrap();
        assert!(self.elsewhere(move |transaction| transaction.delete_event_type(Environment::Production, &name)).await);
    }

    /// Lets another node commit this before each of the next commits, so many
    /// times. Answers how often it has.
    pub fn meddle(
        &self,
        times: usize,
        verb: impl Fn(&mut dyn Transaction) -> Result<(), StoreError> + Send + 'static,
    ) -> Arc<AtomicUsize> {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        *self.meddling.lock().unwrap() = Some(Box::new(move |transaction| {
            if count.load(Ordering::SeqCst) < times {
                count.fetch_add(1, Ordering::SeqCst);
                verb(transaction)?;
            }
            Ok(())
        }));
        done
    }

    pub fn events_kept(&self) -> usize {
        self.api.store.events(&self.scope, &PageRequest { after: None, limit: 100 }).unwrap().items.len()
    }
}

/// A type whose events have a total of this kind.
pub fn of_total(name: &str, kind: &str) -> TypeDefinition {
    TypeDefinition {
        name: name.parse().unwrap(),
        description: String::new(),
        schema: json!({ "properties": { "total": { "type": kind } }, "required": ["total"] }),
        example: json!({ "event": name, "total": null }),
        retry: None,
        indexed: Vec::new(),
    }
}

pub fn order(total: impl Into<Value>) -> Value {
    json!({ "event": "order.paid", "total": total.into() })
}
