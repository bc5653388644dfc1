//! How domain values stand in rows: numbers for states, JSON for settings.
//! The domain knows nothing of this; both backends share it.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroize as _;

use crate::domain::{
    AttemptError, AuditHash, AuditRecord, DiscardReason, EndpointSettings, Environment, ErasedBy, Erasure, ErrorClass,
    EventFilter, Header, Outcome, RetryPolicy, Signing, StoredStatus, Timestamp, TypePattern,
};
use crate::keyring::{self, Purpose, RingKeyId};
use crate::store::certificate_row::CertificateRow;
use crate::store::encryption::{Sealer, not_to_be_had};
use crate::store::ids::IdCodec;
use crate::store::schema::audit_log;
use crate::store::{Due, EndpointStanding, SentSettings, StoreError, Unplaced};

/// The number of an environment.
pub(in crate::store) fn environment_number(environment: Environment) -> i64 {
    match environment {
        Environment::Sandbox => 0,
        Environment::Production => 1,
    }
}

/// The environment with this number.
pub(in crate::store) fn environment_of(number: i64) -> Result<Environment, StoreError> {
    match number {
        0 => Ok(Environment::Sandbox),
        1 => Ok(Environment::Production),
        other => Err(StoreError::Corrupt(format!("environment {other}"))),
    }
}

/// The number of a state.
pub(in crate::store) fn status_number(status: StoredStatus) -> i64 {
    match status {
        StoredStatus::Queued => -1,
        StoredStatus::Pending => 0,
        StoredStatus::Retrying => 1,
        StoredStatus::Delivered => 2,
        StoredStatus::RetriesExhausted => 3,
        StoredStatus::Discarded(DiscardReason::EndpointDeleted) => 4,
        StoredStatus::Discarded(DiscardReason::Retention) => 5,
        StoredStatus::Discarded(DiscardReason::Skipped) => 6,
        StoredStatus::Discarded(DiscardReason::Expired) => 7,
        StoredStatus::Discarded(DiscardReason::Dismissed) => 8,
    }
}

/// The state with this number.
pub(in crate::store) fn status_of(number: i64) -> Result<StoredStatus, StoreError> {
    match number {
        -1 => Ok(StoredStatus::Queued),
        0 => Ok(StoredStatus::Pending),
        1 => Ok(StoredStatus::Retrying),
        2 => Ok(StoredStatus::Delivered),
        3 => Ok(StoredStatus::RetriesExhausted),
        4 => Ok(StoredStatus::Discarded(DiscardReason::EndpointDeleted)),
        5 => Ok(StoredStatus::Discarded(DiscardReason::Retention)),
        6 => Ok(StoredStatus::Discarded(DiscardReason::Skipped)),
        7 => Ok(StoredStatus::Discarded(DiscardReason::Expired)),
        8 => Ok(StoredStatus::Discarded(DiscardReason::Dismissed)),
        other => Err(StoreError::Corrupt(format!("delivery status {other}"))),
    }
}

/// What says that a payload is kept no longer than it is needed.
pub(in crate::store) fn retain_number(is_unretained: bool) -> Option<i64> {
    is_unretained.then_some(1)
}

/// The number of a reason for erasing.
pub(in crate::store) fn erased_number(by: ErasedBy) -> i64 {
    match by {
        ErasedBy::Retention => 1,
        ErasedBy::RetainNone => 2,
    }
}

/// That a payload was erased, from when and the number of why.
pub(in crate::store) fn erasure_of(at: Option<i64>, by: Option<i64>) -> Result<Option<Erasure>, StoreError> {
    let Some(at) = at.map(Timestamp::from_millis) else { return Ok(None) };
    match by {
        Some(1) => Ok(Some(Erasure { at, by: ErasedBy::Retention })),
        Some(2) => Ok(Some(Erasure { at, by: ErasedBy::RetainNone })),
        other => Err(StoreError::Corrupt(format!("a payload erased by {other:?}"))),
    }
}

/// A delivery's number, or its place in its endpoint's order.
pub(in crate::store) fn ordinal_of(number: Option<i64>) -> Result<Option<u64>, StoreError> {
    number.map(|number| u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("ordinal {number}")))).transpose()
}

/// A count that is never negative in a sound store.
pub(in crate::store) fn count_of(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| StoreError::Corrupt(format!("count {number}")))
}

/// A delivery with an attempt to come: `id`, `event`, `status`, `attempt_count`,
/// `scheduled_attempts`, `sequence` (its place), `number` and when it is due.
pub(in crate::store) type DueRow = (i64, i64, i64, i64, i64, Option<i64>, Option<i64>, i64);

/// The delivery that a row shows.
pub(in crate::store) fn due_of(ids: &IdCodec, row: DueRow) -> Result<Due, StoreError> {
    let (id, event, status, attempt_count, scheduled_attempts, place, number, due_at) = row;
    Ok(Due {
        delivery: ids.delivery(id),
        event: ids.event(event),
        status: status_of(status)?,
        attempt_count: count_of(attempt_count)?,
        scheduled_attempts: count_of(scheduled_attempts)?,
        place: ordinal_of(place)?,
        sequence: ordinal_of(number)?,
        due_at: Timestamp::from_millis(due_at),
    })
}

/// What has no place yet, in the order of its times: what is for later comes when its
/// time does.
pub(in crate::store) fn unplaced_of(
    ids: &IdCodec,
    rows: Vec<DueRow>,
    next: Vec<(i64,)>,
    limit: usize,
) -> Result<Unplaced, StoreError> {
    let mut due = rows.into_iter().map(|row| due_of(ids, row)).collect::<Result<Vec<Due>, _>>()?;
    due.sort_by_key(|due| (due.due_at, due.delivery));
    due.truncate(limit);
    Ok(Unplaced { due, next: next.first().map(|(at,)| Timestamp::from_millis(*at)) })
}

/// An entry of the audit log.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
#[diesel(treat_none_as_default_value = false)]
pub(in crate::store) struct AuditRow {
    number: i64,
    at: i64,
    environment: Option<i64>,
    partner: Option<String>,
    actor: String,
    actor_key: Option<String>,
    address: Option<String>,
    action: String,
    subject: String,
    detail: String,
    salt: Vec<u8>,
    previous_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl From<AuditRecord> for AuditRow {
    fn from(record: AuditRecord) -> Self {
        Self {
            number: record.number,
            at: record.at.as_millis(),
            environment: record.environment.map(environment_number),
            partner: record.partner,
            actor: record.actor,
            actor_key: record.key,
            address: record.address,
            action: record.action,
            subject: record.subject,
            detail: record.detail,
            salt: record.salt.to_vec(),
            previous_hash: record.previous_hash.as_bytes().to_vec(),
            hash: record.hash.as_bytes().to_vec(),
        }
    }
}

impl AuditRow {
    /// What was stored, as the domain has it.
    pub(in crate::store) fn record(self) -> Result<AuditRecord, StoreError> {
        let number = self.number;
        let of_length = || StoreError::Corrupt(format!("entry {number} of the audit log has a hash of another length"));
        let hash = |bytes: Vec<u8>| bytes.try_into().map(AuditHash::from_bytes).map_err(|_| of_length());
        Ok(AuditRecord {
            number,
            at: Timestamp::from_millis(self.at),
            environment: self.environment.map(environment_of).transpose()?,
            partner: self.partner,
            actor: self.actor,
            key: self.actor_key,
            address: self.address,
            action: self.action,
            subject: self.subject,
            detail: self.detail,
            salt: self.salt.try_into().map_err(|_| of_length())?,
            previous_hash: hash(self.previous_hash)?,
            hash: hash(self.hash)?,
        })
    }
}

/// Text that was parsed before it was stored.
pub(in crate::store) fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Corrupt(error.to_string()))
}

/// JSON that was checked before it was stored.
pub(in crate::store) fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// JSON of a value of ours.
pub(in crate::store) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("values of ours have text keys and finite numbers")
}

/// An attempt's error, from its columns.
pub(in crate::store) fn attempt_error(
    class: Option<&str>,
    message: Option<String>,
) -> Result<Option<AttemptError>, StoreError> {
    let Some(class) = class else { return Ok(None) };
    let class = ErrorClass::ALL
        .into_iter()
        .find(|known| known.as_str() == class)
        .ok_or_else(|| StoreError::Corrupt(format!("error class `{class}`")))?;
    Ok(Some(AttemptError { class, message: message.unwrap_or_default() }))
}

/// What an attempt looked like on the wire, as its column has it.
pub(in crate::store) fn exchange_text(outcome: &Outcome) -> Option<String> {
    outcome.exchange.as_deref().map(|exchange| {
        let mut text = String::with_capacity(64 + exchange.response_headers.as_str().len());
        exchange.write_text(&mut text);
        text
    })
}

/// [`EndpointSettings`] as JSON. Between the store and the domain it is
/// [`sealed`](Self::sealed) or [`opened`](Self::opened).
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SettingsRow {
    url: String,
    events: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    enabled: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    max_concurrency: u32,
    timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<RetryRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_limit: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    disable_on_gone: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordering: Option<String>,
    /// Left out where it is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<CertificateRow>,
}

/// [`RetryPolicy`] as JSON, an endpoint's or an event type's.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::store) enum RetryRow {
    ScheduleMs(Vec<u64>),
    Exponential { retries: u32, base_ms: u64, factor: f64, max_ms: u64, jitter: f64 },
}

/// A duration in whole milliseconds.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<&EndpointSettings> for SettingsRow {
    fn from(settings: &EndpointSettings) -> Self {
        Self {
            url: settings.url.clone(),
            events: settings.events.iter().map(ToString::to_string).collect(),
            description: settings.description.clone(),
            enabled: settings.enabled,
            headers: settings.headers.iter().map(|header| (header.name.to_string(), header.value.clone())).collect(),
            max_concurrency: settings.max_concurrency,
            timeout_ms: millis(settings.timeout),
            retry: settings.retry.as_ref().map(RetryRow::from),
            rate_limit: settings.rate_limit,
            disable_on_gone: settings.disable_on_gone,
            filter: settings.filter.as_ref().map(|filter| {
                RawValue::from_string(filter.as_str().to_owned()).expect("a filter is JSON from its making on")
            }),
            ordering: settings.order.as_ref().map(ToString::to_string),
            signing: (settings.signing != Signing::default()).then(|| settings.signing.to_string()),
            client_certificate: settings.client_certificate.as_deref().map(CertificateRow::from),
        }
    }
}

impl SettingsRow {
    /// What was stored, as the domain has it.
    pub(in crate::store) fn settings(self) -> Result<EndpointSettings, StoreError> {
        let headers = self.headers.iter().map(|(name, value)| {
            Header::taken_earlier(name, value).map_err(|problem| StoreError::Corrupt(problem.to_string()))
        });
        Ok(EndpointSettings {
            headers: headers.collect::<Result<_, _>>()?,
            events: self.events.iter().map(|text| parsed::<TypePattern>(text)).collect::<Result<_, _>>()?,
            url: self.url,
            description: self.description,
            enabled: self.enabled,
            max_concurrency: self.max_concurrency,
            timeout: Duration::from_millis(self.timeout_ms),
            retry: self.retry.map(RetryRow::policy),
            rate_limit: self.rate_limit,
            disable_on_gone: self.disable_on_gone,
            filter: self.filter.map(|text| parsed(text.get())).transpose()?,
            order: self.ordering.map(|text| parsed(&text)).transpose()?,
            signing: self.signing.map(|text| parsed(&text)).transpose()?.unwrap_or_default(),
            client_certificate: self.client_certificate.map(|row| row.certificate().map(Arc::new)).transpose()?,
        })
    }
}

/// What of a row is secret, and what is needed of it without.
impl SettingsRow {
    /// Every value that is sealed where it is stored. Another field that holds a secret
    /// is another line here, and nothing else.
    fn secrets(&mut self) -> impl Iterator<Item = (Purpose<'_>, &mut String)> {
        let headers = self.headers.iter_mut().map(|(name, value)| (Purpose::Header(name), value));
        let certificate = self.client_certificate.iter_mut();
        headers.chain(certificate.map(|row| (Purpose::ClientCertificateKey, &mut row.key)))
    }

    /// The row of these settings as it is to be stored.
    pub(in crate::store) fn sealed(mut self, sealer: &Sealer<'_>) -> Result<Self, StoreError> {
        for (purpose, value) in self.secrets() {
            let sealed = sealer.seal(purpose, value)?;
            std::mem::replace(value, sealed).zeroize();
        }
        Ok(self)
    }

    /// The row that was stored, to be read.
    pub(in crate::store) fn opened(mut self, sealer: &Sealer<'_>) -> Result<Self, StoreError> {
        for (purpose, value) in self.secrets() {
            *value = std::mem::take(&mut *sealer.open(purpose, value)?);
        }
        Ok(self)
    }

    /// Seals what was stored anew where it is not as it would be now. Answers how many
    /// values that were.
    pub(in crate::store) fn reencrypt(&mut self, sealer: &Sealer<'_>) -> Result<usize, StoreError> {
        let mut values = 0;
        for (purpose, value) in self.secrets() {
            if let Some(sealed) = sealer.reencrypt(purpose, value)? {
                *value = sealed;
                values += 1;
            }
        }
        Ok(values)
    }

    /// With which key each of its values is sealed.
    pub(in crate::store) fn sealed_with(mut self) -> Result<Vec<Option<RingKeyId>>, StoreError> {
        self.secrets().map(|(_, value)| keyring::sealed_with(value).map_err(not_to_be_had)).collect()
    }

    /// Where events go. Opens nothing.
    pub(in crate::store) fn url(self) -> String {
        self.url
    }

    /// What of an endpoint's standing its settings say. Opens nothing.
    pub(in crate::store) fn standing(self) -> EndpointStanding {
        EndpointStanding {
            is_enabled: self.enabled,
            retry: self.retry.map(RetryRow::policy),
            rate_limit: self.rate_limit,
            is_ordered: self.ordering.is_some(),
            ..EndpointStanding::default()
        }
    }

    /// What requests are made of, and may be shown. Opens nothing.
    pub(in crate::store) fn sent(self) -> SentSettings {
        SentSettings { url: self.url, header_names: self.headers.into_iter().map(|(name, _)| name).collect() }
    }

    /// What events are matched against. Opens nothing.
    pub(in crate::store) fn wanted(self) -> Result<(Vec<TypePattern>, Option<EventFilter>), StoreError> {
        let patterns = self.events.iter().map(|text| parsed::<TypePattern>(text)).collect::<Result<_, _>>()?;
        Ok((patterns, self.filter.map(|text| parsed(text.get())).transpose()?))
    }
}

impl From<&RetryPolicy> for RetryRow {
    fn from(policy: &RetryPolicy) -> Self {
        match policy {
            RetryPolicy::Schedule(waits) => Self::ScheduleMs(waits.iter().copied().map(millis).collect()),
            RetryPolicy::Exponential { retries, base, factor, max, jitter } => Self::Exponential {
                retries: *retries,
                base_ms: millis(*base),
                factor: *factor,
                max_ms: millis(*max),
                jitter: *jitter,
            },
        }
    }
}

impl RetryRow {
    /// What was stored, as the domain has it.
    pub(in crate::store) fn policy(self) -> RetryPolicy {
        match self {
            Self::ScheduleMs(waits) => RetryPolicy::Schedule(waits.into_iter().map(Duration::from_millis).collect()),
            Self::Exponential { retries, base_ms, factor, max_ms, jitter } => RetryPolicy::Exponential {
                retries,
                base: Duration::from_millis(base_ms),
                factor,
                max: Duration::from_millis(max_ms),
                jitter,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventOrder;

    #[test]
    fn settings_read_back_as_they_were() {
        let mut settings = EndpointSettings::new("https://example.com/hook", vec![TypePattern::Any]);
        settings.description = Some("ours".into());
        (settings.rate_limit, settings.disable_on_gone) = (Some(20), true);
        settings.headers = vec![Header::new("x-token", "abc").expect("a plain header")];
        settings.order = Some(EventOrder::By("/id".parse().expect("a pointer")));
        settings.client_certificate = Some(Arc::new(crate::store::certificate_row::tests::certificate()));
        settings.filter = Some(r#"{"required":["id"],"minimum":0.1}"#.parse().expect("an object"));
        settings.signing = Signing::V1a;
        for retry in [
            None,
            Some(RetryPolicy::default()),
            Some(RetryPolicy::Schedule(vec![Duration::from_millis(5), Duration::from_secs(1)])),
        ] {
            settings.retry = retry;
            let text = to_json(&SettingsRow::from(&settings));
            let row: SettingsRow = from_json(&text).expect("we wrote it");
            assert_eq!(row.settings().expect("we wrote it"), settings, "{text}");
        }
    }

    #[test]
    fn settings_of_an_earlier_release_read_as_they_were_meant() {
        let text =
            r#"{"url":"https://example.com/","events":["*"],"enabled":true,"max_concurrency":32,"timeout_ms":15000}"#;
        let row: SettingsRow = from_json(text).expect("nothing of it is missing");
        let settings = EndpointSettings::new("https://example.com/", vec![TypePattern::Any]);
        assert_eq!(row.settings().expect("it is sound"), settings);
    }
}
