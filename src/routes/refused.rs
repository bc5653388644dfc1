//! What was refused at the door: the last posts of events that this node did not take, with
//! what was wrong with each and without their bodies. They are in this node's memory, for a
//! day at most: an aid to whoever looks for an event that never came, and no record. `GET
//! /events/refused` shows them, to a producer what its own key posted. Beside them all are
//! counted, hour by hour and type by type, which it tells operators of all nodes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::catalog::{Catalog, read_json};
use crate::domain::{Environment, EventType, FieldPointer, KeyId, PartnerName, Timestamp, TypePattern};
use crate::metrics::Admission;
use crate::policy::matching;
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, FieldProblem, Kind, Problem};
use crate::routes::reporting::{About, of_all};
use crate::routes::{Api, ingest, openapi, page, retention, search, show};
use crate::store::{self, Page, PageRequest, Scope};

/// Posts that are kept at most.
const KEPT: usize = 1_000;
/// Of those at most so many of one key, so that it does not push out all others.
const KEPT_OF_A_KEY: usize = 250;
/// For how long they are.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Lines of one batch that are kept, so that a bad one does not push out all else.
pub(super) const NOTED_OF_A_BATCH: usize = 20;

/// Types of an hour that are counted by themselves, in each environment; what is beyond is
/// counted with what is of no known type.
const TYPES_COUNTED: usize = 256;
const HOUR_MS: i64 = 3_600_000;
/// Hours that are counted: the one that has begun, and a day.
const HOURS_COUNTED: usize = 25;

/// Characters of each thing that somebody else wrote.
const TYPE_CHARS: usize = 128;
const KEY_CHARS: usize = 255;
const POINTER_CHARS: usize = 200;
const DETAIL_CHARS: usize = 400;
/// Fields that are named, of those that were wrong.
const ERRORS: usize = 4;

/// A post that was not taken.
#[derive(Debug, Clone)]
struct Refused {
    /// From 1, in their order.
    number: u64,
    at: Timestamp,
    key: Option<KeyId>,
    environment: Option<Environment>,
    /// Whose it was to be; `None` where that could not be read.
    scope: Option<Scope>,
    line: Option<usize>,
    event_type: Option<String>,
    idempotency_key: Option<String>,
    indexed: Vec<(FieldPointer, String)>,
    kind: Kind,
    detail: String,
    errors: Vec<FieldProblem>,
}

/// The last posts that were not taken, of one node since its start.
#[derive(Debug)]
pub struct Refusals {
    since: Timestamp,
    kept: Mutex<Kept>,
    counts: Mutex<Counts>,
}

/// How many there were, of all keys and partners.
#[derive(Debug, Default)]
struct Counts {
    /// Hours since the epoch, the oldest first.
    hours: VecDeque<(i64, Hour)>,
}

/// By environment and type; `None` is no known type.
type Hour = HashMap<(Environment, Option<EventType>), u64>;

impl Counts {
    fn add(&mut self, hour: i64, environment: Environment, event_type: Option<EventType>, count: u64) {
        // A clock that is set back does not make a second hour of one.
        let is_later = self.hours.back().is_none_or(|(last, _)| *last < hour);
        if is_later {
            self.hours.push_back((hour, Hour::new()));
        }
        while self.hours.len() > HOURS_COUNTED {
            self.hours.pop_front();
        }
        let Some((_, counts)) = self.hours.back_mut() else { return };
        let key = (environment, event_type);
        let has_room = || {
            let named = counts.keys().filter(|(place, name)| *place == environment && name.is_some());
            named.count() < TYPES_COUNTED
        };
        let key = if key.1.is_none() || counts.contains_key(&key) || has_room() { key } else { (environment, None) };
        *counts.entry(key).or_default() += count;
    }

    /// By type since an hour, what is of no known type under an empty name; of more types than
    /// are counted in an hour those with the most.
    fn since(&self, hour: i64, environment: Environment) -> BTreeMap<String, u64> {
        let mut sums: HashMap<&str, u64> = HashMap::new();
        for (_, counts) in self.hours.iter().filter(|(at, _)| *at >= hour) {
            for ((_, name), count) in counts.iter().filter(|((place, _), _)| *place == environment) {
                *sums.entry(name.as_ref().map_or("", EventType::as_str)).or_default() += count;
            }
        }
        let mut named: Vec<(&str, u64)> = sums.into_iter().collect();
        // No known type first, so that it is always there; then those with the most.
        named.sort_by_key(|(name, count)| (!name.is_empty(), std::cmp::Reverse(*count), *name));
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for (place, (name, count)) in named.into_iter().enumerate() {
            let name = if place <= TYPES_COUNTED { name } else { "" };
            *told.entry(name.to_owned()).or_default() += count;
        }
        told
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// The oldest first.
    posts: VecDeque<Refused>,
    last_number: u64,
}

impl Kept {
    fn add(&mut self, post: Refused) {
        let is_same = |kept: &Refused| kept.key == post.key;
        if self.posts.iter().filter(|kept| is_same(kept)).count() >= KEPT_OF_A_KEY
            && let Some(oldest) = self.posts.iter().position(is_same)
        {
            self.posts.remove(oldest);
        }
        if self.posts.len() >= KEPT {
            self.posts.pop_front();
        }
        self.last_number += 1;
        self.posts.push_back(Refused { number: self.last_number, ..post });
    }

    fn forget_before(&mut self, time: Timestamp) {
        while self.posts.front().is_some_and(|post| post.at < time) {
            self.posts.pop_front();
        }
    }

    /// The newest of those that fit, behind a number.
    fn page(&self, request: &PageRequest<u64>, fits: impl Fn(&Refused) -> bool) -> Page<Refused> {
        let after = request.after.unwrap_or(u64::MAX);
        let found = self.posts.iter().rev().filter(|post| post.number < after && fits(post));
        Page::from_overread(found.take(request.limit + 1).cloned().collect(), request.limit)
    }
}

impl Refusals {
    /// None yet, of a node that starts now.
    pub fn since(now: Timestamp) -> Self {
        Self { since: now, kept: Mutex::default(), counts: Mutex::default() }
    }

    /// How many were refused in an environment within a day, by type; of no known type under
    /// an empty name.
    pub(super) fn counted(&self, environment: Environment, now: Timestamp) -> BTreeMap<String, u64> {
        self.counts().since(hour_of(now - KEPT_FOR), environment)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Whoever panicked left whole numbers behind.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partner is being erased, and what was posted for it.
    pub fn forget(&self, partner: &PartnerName) {
        let is_theirs = |post: &Refused| post.scope.as_ref().and_then(|scope| scope.partner.as_ref()) == Some(partner);
        self.kept().posts.retain(|post| !is_theirs(post));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked left whole posts behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what was wrong with these posts of a request: the place of its line in a batch, and
/// the bytes, as far as they were read. That a node or its store had no room is nobody's
/// mistake and is left out.
pub(super) fn note(
    api: &Api,
    caller: &Caller,
    request: &HttpRequest,
    posts: &[(Option<usize>, Option<Bytes>, &Problem)],
) {
    if posts.is_empty() {
        return;
    }
    let refused = posts.iter().filter(|(.., problem)| ingest::admission(problem) == Admission::Refused);
    // Of a partner that there is: one that is made later does not see what was meant for another.
    let is_unknown = |(.., problem): &(_, _, &Problem)| problem.kind == Kind::NotFound;
    let scope = caller.scope().ok().filter(|_| !posts.iter().any(is_unknown));
    let is_unretained = retention::is_unretained(request.headers()).unwrap_or(true);
    let environment = caller.environment().ok();
    let catalog = environment.map(|environment| api.catalogs.of(environment));
    let key = request.headers().get("idempotency-key").and_then(|value| value.to_str().ok());
    let now = api.clock.wall();
    for (place, body, problem) in refused {
        let (event_type, indexed) = match (body, &catalog) {
            (Some(body), Some(catalog)) if !is_unretained => told_of(body, catalog),
            _ => (None, Vec::new()),
        };
        let errors = problem.errors.iter().take(ERRORS).map(|error| FieldProblem {
            pointer: cut(&error.pointer, POINTER_CHARS),
            detail: cut(without_value(&error.detail), DETAIL_CHARS),
        });
        let post = Refused {
            number: 0,
            at: now,
            key: caller.key(),
            environment,
            scope: scope.clone(),
            line: place.map(|place| place + 1),
            event_type,
            idempotency_key: key.map(|key| cut(key, KEY_CHARS)),
            indexed,
            kind: problem.kind,
            detail: cut(without_value(&problem.detail), DETAIL_CHARS),
            errors: errors.collect(),
        };
        let mut kept = api.refusals.kept();
        kept.forget_before(now - KEPT_FOR);
        kept.add(post);
    }
}

fn hour_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(HOUR_MS)
}

/// Counts posts by the type that they said they were. Of one whose environment is not known
/// nothing is counted: whose figures would it be in? That it names no partner, or one that is
/// not there, is no matter: figures are of all partners.
pub(super) fn count(api: &Api, caller: &Caller, posts: impl IntoIterator<Item = (Option<EventType>, u64)>) {
    let Ok(environment) = caller.environment() else { return };
    let catalog = api.catalogs.of(environment);
    let hour = hour_of(api.clock.wall());
    for (event_type, count) in posts {
        // What others make up is no name to keep.
        let known = event_type.filter(|name| catalog.get(name).is_some());
        api.refusals.counts().add(hour, environment, known, count);
    }
}

/// The type that a body says it is, as far as that can be read.
pub(super) fn type_of(body: Option<&[u8]>) -> Option<EventType> {
    #[derive(Deserialize)]
    struct Says<'a> {
        #[serde(borrow)]
        event: Cow<'a, str>,
    }
    let says: Says<'_> = serde_json::from_slice(body?).ok()?;
    says.event.parse().ok()
}

/// The type that a body says it is, and the values that it would have been found by.
fn told_of(body: &[u8], catalog: &Catalog) -> (Option<String>, Vec<(FieldPointer, String)>) {
    let Ok(event) = read_json(body) else { return (None, Vec::new()) };
    let Some(name) = event.get("event").and_then(Value::as_str) else { return (None, Vec::new()) };
    let known = name.parse::<EventType>().ok();
    let indexed = known.and_then(|name| Some(search::values_at(&catalog.get(&name)?.indexed, &event)));
    (Some(cut(name, TYPE_CHARS)), indexed.unwrap_or_default())
}

/// What is wrong, without what stands there: no body is kept, nor a part of one.
fn without_value(detail: &str) -> &str {
    detail.split_once("; found ").map_or(detail, |(wrong, _)| wrong)
}

/// The beginning of a text.
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Lists the posts that this node refused, newest first.
#[utoipa::path(
    get, path = "/events/refused", operation_id = "list_refused", tag = "events",
    params(openapi::RefusedQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page. Other nodes have their own.", body = openapi::RefusedPosts))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadDeliveries)?;
    let query = caller.query();
    query.only(&["limit", "cursor", "type", "q", "counts"])?;
    let with_counts = query.parsed::<bool>("counts")?.unwrap_or(false);
    let scope = api.known(caller.scope()?).await?;
    let types: Option<TypePattern> = query.parsed("type")?;
    let text = query.get("q");
    if text.is_some_and(|text| text.is_empty() || text.len() > search::MAX_TEXT_BYTES) {
        return Err(Problem::invalid_query("q", format!("1 to {} bytes", search::MAX_TEXT_BYTES)));
    }
    let wanted = page::request::<u64>(query, &api.limits)?;
    let oldest = api.clock.wall() - KEPT_FOR;
    let own_key = caller.is_producer().then(|| caller.key());
    // A partner that is erased and made again sees nothing from before.
    let made_at = match scope.partner.clone() {
        Some(name) => {
            store::blocking(&api.store, move |store| store.partner(&name)).await?.map(|found| found.created_at)
        }
        None => None,
    };
    // Whose keys there are is nobody's business but the operators'.
    let shows_key = |post: &Refused| caller.is_operator() || post.key == caller.key();
    let fits = |post: &Refused| {
        post.at >= oldest
            && made_at.is_none_or(|made_at| post.at >= made_at)
            && own_key.is_none_or(|key| post.key == key)
            && is_within(post, &scope)
            && types.as_ref().is_none_or(|pattern| is_of(post, pattern))
            && text.is_none_or(|text| goes_by(post, text, shows_key(post)))
    };
    let found = api.refusals.kept().page(&wanted, fits);
    // They are of all keys and partners.
    let is_theirs = caller.is_operator() && scope.partner.is_none();
    let counts = if with_counts && is_theirs { Some(counts(&api, scope.environment).await?) } else { None };
    let behind_last = found.items.last().filter(|_| found.more).map(|post| post.number.to_string());
    Ok(HttpResponse::Ok().json(json!({
        "data": found.items.iter().map(|post| shown(post, shows_key(post))).collect::<Vec<_>>(),
        "next_cursor": behind_last,
        "node": api.node.id.to_string(),
        "since": show::time(api.refusals.since),
        "keeps": KEPT,
        "counts": counts,
    })))
}

/// What all nodes counted, as far as they answer.
async fn counts(api: &Api, environment: Environment) -> Result<Value, Problem> {
    let (mut sums, mut nodes): (BTreeMap<String, u64>, Vec<Value>) = (BTreeMap::new(), Vec::new());
    for (node, said) in of_all(api, About::Refusals(environment.into())).await? {
        let told = said.and_then(|said| said.refusals);
        nodes.push(json!({ "id": node.id.to_string(), "reachable": told.is_some() }));
        for (name, count) in told.into_iter().flatten() {
            *sums.entry(name).or_default() += count;
        }
    }
    let others = sums.remove("").unwrap_or(0);
    let day_ago = Timestamp::from_millis(hour_of(api.clock.wall() - KEPT_FOR) * HOUR_MS);
    let by_type: Vec<Value> = sums.into_iter().map(|(name, count)| json!({ "type": name, "refused": count })).collect();
    Ok(json!({
        "since": show::time(day_ago),
        "by_type": by_type,
        "others": others,
        "nodes": nodes,
    }))
}

/// Whether somebody who looks at a scope is shown it. Of what did not say where it was to
/// go, those are told who look over all partners.
fn is_within(post: &Refused, scope: &Scope) -> bool {
    match &scope.partner {
        Some(_) => post.scope.as_ref() == Some(scope),
        None => post.environment.is_none_or(|environment| environment == scope.environment),
    }
}

fn is_of(post: &Refused, pattern: &TypePattern) -> bool {
    let name = post.event_type.as_deref().and_then(|name| name.parse::<EventType>().ok());
    name.is_some_and(|name| matching::covers(pattern, &name))
}

fn goes_by(post: &Refused, text: &str, by_key: bool) -> bool {
    post.event_type.as_deref() == Some(text)
        || post.idempotency_key.as_deref() == Some(text)
        || post.indexed.iter().any(|(_, value)| value == text)
        || by_key && post.key.is_some_and(|key| key.to_string() == text)
}

fn shown(post: &Refused, with_key: bool) -> Value {
    let partner = post.scope.as_ref().map(|scope| scope.partner.as_ref().map_or("*", PartnerName::as_str));
    json!({
        "at": show::time(post.at),
        "key": post.key.filter(|_| with_key).map(|key| key.to_string()),
        "environment": post.environment.map(Environment::as_str),
        "partner": partner,
        "line": post.line,
        "event_type": post.event_type,
        "idempotency_key": post.idempotency_key,
        "indexed": show::indexed(&post.indexed),
        "problem": post.kind.uri(),
        "status": post.kind.status().as_u16(),
        "detail": post.detail,
        "errors": post.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(at: i64) -> Refused {
        Refused {
            number: 0,
            at: Timestamp::from_millis(at),
            key: None,
            environment: Some(Environment::Production),
            scope: Some(Scope::all(Environment::Production)),
            line: None,
            event_type: None,
            idempotency_key: None,
            indexed: Vec::new(),
            kind: Kind::InvalidEvent,
            detail: "it is wrong".to_owned(),
            errors: Vec::new(),
        }
    }

    fn key(number: i64) -> KeyId {
        KeyId::from_uuid(uuid::Uuid::from_u128(number.unsigned_abs().into()))
    }

    #[test]
    fn one_key_pushes_out_its_own() {
        let mut kept = Kept::default();
        kept.add(Refused { key: Some(key(1)), ..post(0) });
        for at in 1..2 * KEPT as i64 {
            kept.add(Refused { key: Some(key(2)), ..post(at) });
        }
        assert_eq!(kept.posts.len(), 1 + KEPT_OF_A_KEY);
        assert_eq!(kept.posts.front().and_then(|post| post.key), Some(key(1)));
        assert_eq!(kept.posts.back().map(|post| post.at.as_millis()), Some(2 * KEPT as i64 - 1));
    }

    #[test]
    fn the_last_are_kept_and_read_page_by_page() {
        let mut kept = Kept::default();
        for at in 0..KEPT as i64 + 5 {
            kept.add(Refused { key: Some(key(at % 5)), ..post(at) });
        }
        assert_eq!(kept.posts.len(), KEPT);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = kept.page(&PageRequest { after, limit: 250 }, |post| post.number % 2 == 0);
            seen.extend(page.items.iter().map(|post| post.number));
            after = seen.last().copied();
            if !page.more {
                break;
            }
        }
        let expected: Vec<u64> = (6..=KEPT as u64 + 5).rev().filter(|number| number % 2 == 0).collect();
        assert_eq!(seen, expected);
        kept.forget_before(Timestamp::from_millis(10));
        assert_eq!(kept.posts.front().map(|post| post.at), Some(Timestamp::from_millis(10)));
    }

    fn named(name: &str) -> Option<EventType> {
        Some(name.parse().expect("a good name"))
    }

    #[test]
    fn posts_are_counted_by_hour_and_type() {
        let mut counts = Counts::default();
        let sandbox = Environment::Sandbox;
        counts.add(0, sandbox, named("a.b"), 1);
        counts.add(0, Environment::Production, named("a.b"), 9);
        counts.add(3, sandbox, named("a.b"), 2);
        counts.add(3, sandbox, None, 4);
        let told = |hour| counts.since(hour, sandbox).into_iter().collect::<Vec<_>>();
        assert_eq!(told(0), [(String::new(), 4), ("a.b".to_owned(), 3)]);
        assert_eq!(told(1), [(String::new(), 4), ("a.b".to_owned(), 2)]);
        assert_eq!(told(4), []);
    }

    /// However long it runs and however many types come and go.
    #[test]
    fn counts_take_no_more_room_and_lose_none() {
        let mut counts = Counts::default();
        let more = TYPES_COUNTED as u64 + 50;
        for hour in 0..100 {
            for number in 0..more {
                counts.add(hour, Environment::Production, named(&format!("t.n{hour}_{number}")), 1);
            }
            // Back in time: it is of the newest hour.
            counts.add(hour - 1, Environment::Production, None, 1);
        }
        assert_eq!(counts.hours.len(), HOURS_COUNTED);
        assert!(counts.hours.iter().all(|(_, hour)| hour.len() <= TYPES_COUNTED + 1));
        let told = counts.since(0, Environment::Production);
        assert_eq!(told.len(), TYPES_COUNTED + 1);
        assert_eq!(told.values().sum::<u64>(), HOURS_COUNTED as u64 * (more + 1));
        // Names as long as there may be, in one answer to another node.
        let long: BTreeMap<String, u64> = (0..=TYPES_COUNTED).map(|n| (format!("{n:0>128}"), u64::MAX)).collect();
        assert!(serde_json::to_vec(&long).expect("it is plain").len() < 60 * 1_024);
    }

    #[test]
    fn a_body_says_what_it_is() {
        assert_eq!(type_of(Some(br#"{"x": [1], "event": "a.\u0062"}"#)), named("a.b"));
        for body in [&b"{"[..], br#"{"event": 3}"#, br#"{"event": "A b"}"#, b"[]"] {
            assert_eq!(type_of(Some(body)), None);
        }
        assert_eq!(type_of(None), None);
    }

    #[test]
    fn what_others_wrote_is_cut_at_a_character() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc…");
        assert_eq!(cut("ééé", 2), "éé…");
    }
}
