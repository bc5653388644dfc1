//! Endpoints, the most harmed first. Each kind of harm has an index that holds no others; of
//! one partner all endpoints are few. What does not fit is passed over, and after so many
//! the page is short and says where the next one begins.
//!
//! Compiled once for each backend, against its own `Connection`.

use std::collections::{HashMap, HashSet};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::reads::{self, scope_id};
use super::standing::troubles;
use super::{Connection, interests, translate};
use crate::domain::{EndpointId, EndpointStatus, Trouble, TypePattern};
use crate::keyring::Keyring;
use crate::policy::matching;
use crate::store::harm::HARM_LOOKED_AT;
use crate::store::ids::{IdCodec, RowKey};
use crate::store::schema::{endpoint_health, endpoints};
use crate::store::{
    Harm, HarmFilter, HarmPlace, HarmedEndpoint, Health, Page, PageRequest, Scope, ScopeId, StoreError,
};

/// Endpoints that are looked at together.
const AT_ONCE: usize = 500;

/// Of an endpoint: `id`, `scope`, `url`, `interest`, `enabled`, `deleted_at`.
type LookedRow = (RowKey, i64, String, i64, bool, Option<i64>);

const LOOKED: (
    endpoints::id,
    endpoints::scope,
    endpoints::url,
    endpoints::interest,
    endpoints::enabled,
    endpoints::deleted_at,
) = (endpoints::id, endpoints::scope, endpoints::url, endpoints::interest, endpoints::enabled, endpoints::deleted_at);

/// The very words of the index over endpoints that are harmed so.
const fn words_of(harm: Harm) -> Option<&'static str> {
    match harm {
        Harm::Open => Some("opened_at IS NOT NULL AND disabled_at IS NULL"),
        Harm::Disabled => Some("disabled_at IS NOT NULL"),
        Harm::Failing => Some("failing_since IS NOT NULL AND opened_at IS NULL AND disabled_at IS NULL"),
        Harm::None => None,
    }
}

/// A scope's live endpoints that fit, the most harmed first, and of those the newest.
pub(super) fn harmed(
    connection: &mut Connection,
    ids: &IdCodec,
    keyring: &Keyring,
    scope: &Scope,
    filter: &HarmFilter,
    page: &PageRequest<HarmPlace>,
) -> Result<Page<HarmedEndpoint>, StoreError> {
    let Some(id) = scope_id(connection, scope)? else { return Ok(Page::empty()) };
    let mut search = Search { ids, scope, id, filter, url_part: None, interests: HashMap::new() };
    search.url_part = filter.url_part.as_ref().map(|part| part.to_lowercase());
    let mut found: Vec<HarmedEndpoint> = Vec::new();
    let mut left = HARM_LOOKED_AT.max(page.limit);
    let after = page.after.map(|place| (place.harm, ids.endpoint_key(place.endpoint).unwrap_or(0)));
    for harm in search.kinds() {
        let mut before = match after {
            Some((at, _)) if harm < at => continue,
            Some((at, key)) if harm == at => key,
            _ => RowKey::MAX,
        };
        loop {
            let most = AT_ONCE.min(left);
            let looked = search.looked_at(connection, harm, before, most)?;
            left -= looked.keys.len();
            let is_last = looked.keys.len() < most;
            let mut fitting = search.fitting(connection, harm, looked.rows)?;
            while !fitting.is_empty() && found.len() <= page.limit {
                let some: Vec<(RowKey, Trouble)> =
                    fitting.drain(..fitting.len().min(page.limit + 1 - found.len())).collect();
                found.extend(search.read(connection, keyring, some)?);
            }
            if found.len() > page.limit {
                return Ok(Page::from_overread(found, page.limit));
            }
            if is_last {
                break;
            }
            before = looked.keys.last().copied().unwrap_or(0);
            if left == 0 {
                let next = HarmPlace { harm, endpoint: ids.endpoint(before) };
                return Ok(Page::up_to(found, next.to_string()));
            }
        }
    }
    Ok(Page::from_overread(found, page.limit))
}

/// What was looked at, and of that what is there.
struct Looked {
    keys: Vec<RowKey>,
    rows: Vec<LookedRow>,
}

struct Search<'a> {
    ids: &'a IdCodec,
    scope: &'a Scope,
    id: ScopeId,
    filter: &'a HarmFilter,
    url_part: Option<String>,
    /// What numbers of interests stand for: a million endpoints share a few.
    interests: HashMap<i64, Vec<TypePattern>>,
}

impl Search<'_> {
    /// The kinds of harm that what is asked for can have.
    fn kinds(&self) -> Vec<Harm> {
        match self.filter.health {
            Some(Health::Open) => vec![Harm::Open],
            Some(Health::Failing) => vec![Harm::Failing],
            Some(Health::Ok) => vec![Harm::None],
            None | Some(Health::Disabled | Health::Paused) => Harm::ALL.to_vec(),
        }
    }

    /// The next of them, the newest first, before a key: whoever's, and deleted ones too.
    fn looked_at(
        &self,
        connection: &mut Connection,
        harm: Harm,
        before: RowKey,
        most: usize,
    ) -> Result<Looked, StoreError> {
        let all_partners = self.scope.partner.is_none();
        if let Some(words) = words_of(harm).filter(|_| all_partners) {
            let keys: Vec<RowKey> = endpoint_health::table
                .filter(sql::<Bool>(words))
                .filter(endpoint_health::endpoint.lt(before))
                .order(endpoint_health::endpoint.desc())
                .limit(most as i64)
                .select(endpoint_health::endpoint)
                .load(connection)
                .map_err(translate)?;
            let rows: Vec<LookedRow> = endpoints::table
                .filter(endpoints::id.eq_any(&keys))
                .select(LOOKED)
                .load(connection)
                .map_err(translate)?;
            return Ok(Looked { keys, rows });
        }
        let mut query = endpoints::table
            .filter(endpoints::id.lt(before))
            .order(endpoints::id.desc())
            .limit(most as i64)
            .select(LOOKED)
            .into_boxed();
        if !all_partners {
            query = query.filter(endpoints::scope.eq(self.id.0));
        }
        let rows: Vec<LookedRow> = query.load(connection).map_err(translate)?;
        Ok(Looked { keys: rows.iter().map(|row| row.0).collect(), rows })
    }

    /// Those that fit as far as their rows tell, the newest first, with their trouble.
    fn fitting(
        &mut self,
        connection: &mut Connection,
        harm: Harm,
        mut rows: Vec<LookedRow>,
    ) -> Result<Vec<(RowKey, Trouble)>, StoreError> {
        let all_partners = self.scope.partner.is_none();
        let enabled = match self.filter.health {
            None => None,
            Some(Health::Open | Health::Failing | Health::Ok) => Some(true),
            Some(Health::Paused | Health::Disabled) => Some(false),
        };
        rows.retain(|(_, of, url, _, is_enabled, deleted_at)| {
            let is_whose = if all_partners { of & 1 == self.id.0 } else { *of == self.id.0 };
            is_whose
                && deleted_at.is_none()
                && enabled.is_none_or(|wanted| wanted == *is_enabled)
                && self.url_part.as_ref().is_none_or(|part| url.to_lowercase().contains(part))
        });
        if let Some(event_type) = &self.filter.event_type {
            let unknown: HashSet<i64> =
                rows.iter().map(|row| row.3).filter(|number| !self.interests.contains_key(number)).collect();
            if !unknown.is_empty() {
                let read = interests::interests(connection, &unknown)?;
                self.interests.extend(read.into_iter().map(|(number, interest)| (number, interest.patterns)));
            }
            let wants =
                |number: &i64| self.interests.get(number).is_some_and(|patterns| matching::wants(patterns, event_type));
            rows.retain(|row| wants(&row.3));
        }
        let mut keys: Vec<RowKey> = rows.into_iter().map(|row| row.0).collect();
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
        let mut found = troubles(connection, &keys)?;
        let with_trouble = keys.into_iter().map(|key| (key, found.remove(&key).unwrap_or_default()));
        Ok(with_trouble.filter(|(_, trouble)| Harm::of(trouble) == harm).collect())
    }

    /// Reads what fits, and leaves out what its settings say does not.
    fn read(
        &self,
        connection: &mut Connection,
        keyring: &Keyring,
        fitting: Vec<(RowKey, Trouble)>,
    ) -> Result<Vec<HarmedEndpoint>, StoreError> {
        let keys: Vec<RowKey> = fitting.iter().map(|(key, _)| *key).collect();
        let mut troubles: HashMap<EndpointId, Trouble> =
            fitting.into_iter().map(|(key, trouble)| (self.ids.endpoint(key), trouble)).collect();
        let read = reads::endpoints_among(connection, self.ids, keyring, self.scope, &keys)?;
        let harmed = read.into_iter().map(|endpoint| {
            let trouble = troubles.remove(&endpoint.id).unwrap_or_default();
            HarmedEndpoint { endpoint, trouble }
        });
        let status = match self.filter.health {
            Some(Health::Paused) => Some(EndpointStatus::Paused),
            Some(Health::Disabled) => Some(EndpointStatus::Disabled),
            _ => None,
        };
        Ok(harmed.filter(|found| status.is_none_or(|wanted| found.endpoint.status() == wanted)).collect())
    }
}
