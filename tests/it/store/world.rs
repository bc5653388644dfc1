//! A store of a case's own, at a time of its own, with words for what cases
//! do to it. Nothing here knows which backend it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::{
    Attempt, Delivery, DeliveryId, Endpoint, EndpointId, EndpointSettings, Environment, ErrorClass, EventId, Outcome,
    PartnerName, Signing, Timestamp,
};
use posthaste::keyring::Keyring;
use posthaste::store::{
    Accept, Accepted, AcceptedEvent, AttemptKind, Birth, Brake, CommitError, DeliveryFilter, Due, EndpointChange,
    EndpointConflict, EventSearch, Idempotency, Lane, NewEndpoint, NewEvent, Notice, Page, PageRequest, Record,
    Recorded, Rotation, RotationConflict, Scope, Store, StoreError, Subscriptions, Transaction, Verdict, Writer,
};
use serde_json::{Value, json};

use super::verifying;

/// Where a store lives: a folder, a schema. Gone when this is dropped.
pub trait Place: Send {
    /// Opens the store that is there, or makes it.
    fn open(&self) -> Arc<dyn Store>;

    /// Opens the store with these keys.
    fn open_with(&self, keyring: Keyring) -> Result<Arc<dyn Store>, StoreError>;

    /// Runs SQL on what is stored, past the store.
    fn execute(&self, sql: &str);

    /// All there is in a column of text, past the store.
    fn texts(&self, table: &str, column: &str) -> Vec<String>;

    /// Another place of the same kind, with nothing in it.
    fn another(&self) -> Box<dyn Place>;

    /// Of so many random histories, how many are worth their time here.
    fn histories(&self, wished: u32) -> u32;

    /// Another place, with what a new process would find here if this one were
    /// killed now. The store may be open.
    fn as_if_killed(&self) -> Box<dyn Place>;
}

/// A place that the case looks into as well.
impl<P: Place + Sync> Place for Arc<P> {
    fn open(&self) -> Arc<dyn Store> {
        (**self).open()
    }

    fn open_with(&self, keyring: Keyring) -> Result<Arc<dyn Store>, StoreError> {
        (**self).open_with(keyring)
    }

    fn execute(&self, sql: &str) {
        (**self).execute(sql);
    }

    fn texts(&self, table: &str, column: &str) -> Vec<String> {
        (**self).texts(table, column)
    }

    fn another(&self) -> Box<dyn Place> {
        (**self).another()
    }

    fn histories(&self, wished: u32) -> u32 {
        (**self).histories(wished)
    }

    fn as_if_killed(&self) -> Box<dyn Place> {
        (**self).as_if_killed()
    }
}

/// When every world begins.
pub const START: Timestamp = Timestamp::from_millis(1_900_000_000_000);

pub const SECOND: Duration = Duration::from_secs(1);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// See the module.
pub struct World {
    /// What the next commit takes for the time.
    pub now: Timestamp,
    /// What the last commit said.
    pub notices: Vec<Notice>,
    // Dropped in this order: the place goes last.
    writer: Option<Box<dyn Writer>>,
    store: Option<Arc<dyn Store>>,
    place: Box<dyn Place>,
}

impl World {
    pub fn new(place: Box<dyn Place>) -> Self {
        let mut world = Self { now: START, notices: Vec::new(), writer: None, store: None, place };
        world.open();
        world
    }

    /// Whatever a case has done by verbs, the store keeps its promises. A case that did
    /// something past them closes it at its end.
    #[track_caller]
    pub fn is_as_promised(&self) {
        if let Some(store) = &self.store {
            verifying::is_as_promised(store.as_ref());
        }
    }

    /// Another world of the same backend, with nothing in it.
    pub fn beside(&self) -> Self {
        Self::new(self.place.another())
    }

    /// Of so many random histories that a case would play, each in a store beside this one,
    /// those that it plays here.
    pub fn histories(&self, wished: u32) -> u32 {
        self.place.histories(wished)
    }

    fn open(&mut self) {
        let store = self.place.open();
        self.writer = Some(store.writer().expect("nobody took it before"));
        self.store = Some(store);
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().expect("a world's store is open")
    }

    /// The writer, for a journal of the case's own; no commits without it.
    pub fn take_writer(&mut self) -> Box<dyn Writer> {
        self.writer.take().expect("a case takes it once")
    }

    /// Closes the store and opens it again, as a clean restart does.
    pub fn reopen(&mut self) {
        self.writer = None;
        self.store = None;
        self.open();
    }

    /// Closes the store.
    pub fn close(&mut self) {
        self.writer = None;
        self.store = None;
    }

    /// Closes the store and opens it again with these keys. One that they do not fit
    /// stays closed.
    pub fn reopen_with(&mut self, keyring: Keyring) -> Result<(), StoreError> {
        self.close();
        let store = self.place.open_with(keyring)?;
        self.writer = Some(store.writer().expect("nobody took it before"));
        self.store = Some(store);
        Ok(())
    }

    /// Where the store is, to look past it.
    pub fn place(&self) -> &dyn Place {
        self.place.as_ref()
    }

    /// Goes on with what a new process finds after this one was killed.
    pub fn kill(&mut self) {
        let found = self.place.as_if_killed();
        self.writer = None;
        self.store = None;
        self.place = found;
        self.open();
    }

    /// The same, with these keys.
    pub fn kill_with(&mut self, keyring: Keyring) {
        self.place = self.place.as_if_killed();
        self.reopen_with(keyring).expect("the keys fit");
    }

    pub fn advance(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// One commit that must succeed.
    #[track_caller]
    pub fn commit<T>(&mut self, verbs: impl FnMut(&mut dyn Transaction) -> Result<T, StoreError>) -> T {
        self.try_commit(verbs).expect("this commit succeeds")
    }

    pub fn try_commit<T>(
        &mut self,
        mut verbs: impl FnMut(&mut dyn Transaction) -> Result<T, StoreError>,
    ) -> Result<T, CommitError> {
        let writer = self.writer.as_mut().expect("the writer was not given away");
        let mut answer = None;
        self.notices.clear();
        self.notices = writer.commit(self.now, &mut |transaction| {
            answer = Some(verbs(transaction)?);
            Ok(())
        })?;
        Ok(answer.expect("a commit runs its verbs"))
    }

    /// The deliveries that the last commit made, in the order it told of them.
    pub fn births(&self) -> Vec<Birth> {
        let born = |notice: &Notice| match notice {
            Notice::Born(birth) => Some(birth.clone()),
            _ => None,
        };
        self.notices.iter().filter_map(born).collect()
    }

    /// A new partner, in production.
    #[track_caller]
    pub fn partner(&mut self, name: &str) -> Scope {
        let name: PartnerName = name.parse().expect("a case's own name");
        self.commit(|transaction| transaction.create_partner(&name)).expect("the name is free");
        Scope::of(Environment::Production, name)
    }

    /// A new endpoint, its URL's last word and its patterns.
    #[track_caller]
    pub fn endpoint(&mut self, scope: &Scope, word: &str, patterns: &[&str]) -> Endpoint {
        self.try_endpoint(scope, settings(word, patterns)).expect("nothing stands against it")
    }

    pub fn try_endpoint(&mut self, scope: &Scope, settings: EndpointSettings) -> Result<Endpoint, EndpointConflict> {
        let new = new_endpoint(scope, settings);
        self.commit(|transaction| transaction.create_endpoint(&new))
    }

    /// Gives an endpoint its next settings.
    #[track_caller]
    pub fn change(&mut self, scope: &Scope, id: EndpointId, change: impl FnOnce(&mut EndpointSettings)) -> Endpoint {
        let change = self.changed(scope, id, change);
        self.commit(|transaction| transaction.change_endpoint(&change)).expect("it was read just now")
    }

    /// What would give an endpoint its next settings.
    #[track_caller]
    pub fn changed(&self, scope: &Scope, id: EndpointId, change: impl FnOnce(&mut EndpointSettings)) -> EndpointChange {
        let endpoint = self.store().endpoint(scope, id).expect("readable").expect("it is there");
        let mut settings = endpoint.settings;
        change(&mut settings);
        EndpointChange { scope: scope.clone(), endpoint: id, from_version: endpoint.version, settings }
    }

    #[track_caller]
    pub fn enable(&mut self, scope: &Scope, id: EndpointId, enabled: bool) {
        self.change(scope, id, |settings| settings.enabled = enabled);
    }

    #[track_caller]
    pub fn pause(&mut self, scope: &Scope, id: EndpointId) -> Endpoint {
        self.commit(|transaction| transaction.pause_endpoint(scope, id)).expect("it is there to be paused").into_inner()
    }

    #[track_caller]
    pub fn resume(&mut self, scope: &Scope, id: EndpointId) -> Endpoint {
        self.commit(|transaction| transaction.resume_endpoint(scope, id))
            .expect("it is there to be resumed")
            .into_inner()
    }

    #[track_caller]
    pub fn brake(&mut self, scope: &Scope) -> Brake {
        self.commit(|transaction| transaction.set_brake(scope, None)).expect("there is such a partner").into_inner()
    }

    #[track_caller]
    pub fn release(&mut self, scope: &Scope) {
        assert!(self.commit(|transaction| transaction.release_brake(scope)), "there is a brake over it");
    }

    #[track_caller]
    /// A rotation that nothing stands against.
    pub fn rotate(&mut self, rotation: &Rotation) {
        assert_eq!(self.try_rotate(rotation), Ok(()));
    }

    pub fn try_rotate(&mut self, rotation: &Rotation) -> Result<(), RotationConflict> {
        self.commit(|transaction| transaction.rotate_secret(rotation))
    }

    pub fn delete(&mut self, scope: &Scope, id: EndpointId) {
        assert!(self.commit(|transaction| transaction.delete_endpoint(scope, id)), "{id} is there to be deleted");
    }

    /// What the scope's events are matched against now.
    #[track_caller]
    pub fn subscriptions(&self, scope: &Scope) -> Arc<Subscriptions> {
        Arc::new(self.store().subscriptions(scope).expect("readable").expect("there is such a partner"))
    }

    /// A request with these events, matched against what holds now.
    #[track_caller]
    pub fn request(&self, scope: &Scope, types: &[&str]) -> Accept {
        Accept {
            subscriptions: self.subscriptions(scope),
            events: types.iter().map(|name| event(name)).collect(),
            idempotency: None,
            relied_on: None,
        }
    }

    /// Accepts one event.
    #[track_caller]
    pub fn accept(&mut self, scope: &Scope, event_type: &str) -> AcceptedEvent {
        let request = self.request(scope, &[event_type]);
        let mut accepted = events_of(self.accept_all(&[&request]).remove(0));
        assert_eq!(accepted.len(), 1);
        accepted.remove(0)
    }

    #[track_caller]
    pub fn accept_all(&mut self, requests: &[&Accept]) -> Vec<Accepted> {
        let answers = self.commit(|transaction| transaction.accept(requests));
        assert_eq!(answers.len(), requests.len(), "one answer for each request");
        answers
    }

    /// A scope's deliveries, newest first, all of them.
    #[track_caller]
    pub fn deliveries(&self, scope: &Scope, filter: &DeliveryFilter) -> Vec<Delivery> {
        let page: Page<Delivery> =
            self.store().deliveries(scope, filter, &PageRequest { after: None, limit: 10_000 }).expect("readable");
        assert!(!page.more);
        page.items
    }

    /// Makes a segment of up to so many events that the search index lacks. Answers how
    /// many there were.
    #[track_caller]
    pub fn index(&mut self, events: usize) -> usize {
        let store = self.store();
        let draft = store.begin_segment().expect("readable");
        // All that was accepted is settled by then.
        let draft = store.extend_segment(draft, self.now + HOUR, events).expect("readable");
        let Some(segment) = draft.packed() else { return 0 };
        assert!(self.commit(|transaction| transaction.add_segment(&segment)), "nobody was faster");
        segment.events()
    }

    /// The events of a scope that fit, newest first, page by page.
    #[track_caller]
    pub fn found(&self, scope: &Scope, search: &EventSearch, limit: usize) -> Vec<EventId> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.store().found_events(scope, search, &PageRequest { after, limit }).expect("readable");
            assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|event| event.id));
            if !page.more {
                return found;
            }
            let cursor = page.cursor.map(|cursor| cursor.parse().expect("an event's id"));
            after = cursor.or(found.last().copied());
        }
    }

    /// The deliveries of an event, first to last.
    #[track_caller]
    pub fn deliveries_of(&self, scope: &Scope, event: EventId) -> Vec<Delivery> {
        let mut found = self.deliveries(scope, &DeliveryFilter { event: Some(event), ..DeliveryFilter::default() });
        found.reverse();
        found
    }

    /// Accepts an event that one endpoint wants, and answers its delivery.
    #[track_caller]
    pub fn deliver(&mut self, scope: &Scope, event_type: &str) -> DeliveryId {
        let event = self.accept(scope, event_type);
        let mut made = self.deliveries_of(scope, event.id);
        assert_eq!(made.len(), 1, "one endpoint wants {event_type}");
        made.remove(0).id
    }

    #[track_caller]
    pub fn delivery(&self, scope: &Scope, id: DeliveryId) -> Delivery {
        self.store().delivery(scope, id).expect("readable").expect("there is such a delivery")
    }

    #[track_caller]
    pub fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.store().attempts(id).expect("readable")
    }

    #[track_caller]
    pub fn due(&self, endpoint: EndpointId, lane: Lane) -> Vec<Due> {
        self.store().due(endpoint, lane, None, 10_000).expect("readable")
    }

    #[track_caller]
    pub fn record(&mut self, record: &Record) -> Recorded {
        let answers = self.commit(|transaction| transaction.record(&[record]));
        assert_eq!(answers.len(), 1);
        answers[0]
    }

    /// A scheduled attempt that began now and took a second.
    pub fn attempt(&self, delivery: DeliveryId, attempts_before: u32, verdict: Verdict) -> Record {
        let outcome = match verdict {
            Verdict::Delivered => Outcome::answered(200, Bytes::from_static(b"thanks")),
            _ => Outcome::failed(ErrorClass::Connect, "refused"),
        };
        Record {
            is_ordered: false,
            trouble: None,
            announcements: Vec::new(),
            delivery,
            kind: AttemptKind::Scheduled,
            attempts_before,
            started_at: self.now,
            finished_at: self.now + SECOND,
            duration: SECOND,
            outcome,
            verdict,
            fence: None,
        }
    }

    /// An attempt by hand that began now and took a second.
    pub fn manual_attempt(&self, delivery: DeliveryId, attempts_before: u32, verdict: Verdict) -> Record {
        Record { kind: AttemptKind::Manual, ..self.attempt(delivery, attempts_before, verdict) }
    }
}

/// The same partner in the other environment.
pub fn in_sandbox(scope: &Scope) -> Scope {
    Scope { environment: Environment::Sandbox, ..scope.clone() }
}

pub fn url(word: &str) -> String {
    format!("https://example.com/{word}")
}

pub fn settings(word: &str, patterns: &[&str]) -> EndpointSettings {
    EndpointSettings::new(url(word), patterns.iter().map(|text| text.parse().expect("a case's own pattern")).collect())
}

pub fn new_endpoint(scope: &Scope, settings: EndpointSettings) -> NewEndpoint {
    let secret = format!("whsec_{}", settings.url);
    NewEndpoint { scope: scope.clone(), settings, secret, most_endpoints: 1_000 }
}

/// Another secret of the kind that most have.
pub fn rotation(scope: &Scope, endpoint: EndpointId, secret: &str, overlap: Duration) -> Rotation {
    Rotation {
        scope: scope.clone(),
        endpoint,
        from_signing: Signing::V1,
        signing: Signing::V1,
        secret: secret.to_owned(),
        overlap,
    }
}

pub fn event(event_type: &str) -> NewEvent {
    event_with(event_type, &json!({}))
}

/// An event with these fields.
pub fn event_with(event_type: &str, fields: &Value) -> NewEvent {
    let mut body = json!({ "event": event_type });
    let fields = fields.as_object().expect("a case's own fields").clone();
    body.as_object_mut().expect("it was made as one").extend(fields);
    NewEvent::new(event_type.parse().expect("a case's own event type"), Bytes::from(body.to_string()))
}

pub fn idempotency(key: &str, request: u8) -> Option<Idempotency> {
    Some(Idempotency {
        key: key.into(),
        quoted: None,
        request: [request; 32],
        refused: Bytes::from_static(b"[\"line 2\"]"),
    })
}

/// The events of a request that was accepted and is no repetition.
#[track_caller]
pub fn events_of(accepted: Accepted) -> Vec<AcceptedEvent> {
    match accepted {
        Accepted::New(events) => events,
        other => panic!("not newly accepted: {other:?}"),
    }
}
