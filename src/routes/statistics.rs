//! `GET /stats` and `GET /webhook/{id}/stats`: what attempts and events came to, minute by
//! minute or hour by hour. It reads what nodes have written down, which is a few seconds
//! old.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::auth::Permission;
use crate::domain::{EndpointId, EventType, Failure, Histogram, PartnerName, Tally, Timestamp};
use crate::engine::MINUTES_KEPT;
use crate::routes::extract::{Caller, Query};
use crate::routes::problem::{Answer, Problem};
use crate::routes::{Api, openapi, page, show, webhook};
use crate::store::{
    self, Counted, CountedTypes, Page, PageRequest, Resolution, Scope, StatisticsQuestion, Store, StoreError,
};

/// How far back hours are told where nobody says it.
const HOURS_BACK: Duration = Duration::from_secs(24 * 3600);
/// The same of minutes.
const MINUTES_BACK: Duration = Duration::from_secs(3600);

/// Tells counts, success rates and percentiles.
#[utoipa::path(
    get, path = "/stats", operation_id = "read_stats", tag = "administration",
    params(openapi::StatisticsSplit, openapi::StatisticsQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page of series. What they tell is some seconds old.", body = openapi::Statistics))
)]
pub async fn read(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::ReadStatistics)?;
    let query = caller.query();
    let known = ["by", "endpoint", "endpoints", "type", "since", "until", "resolution", "histogram", "limit", "cursor"];
    query.only(&known)?;
    let asked = Asked::of(&api, query)?;
    let scope = api.known(caller.scope()?).await?;
    if let Some(ids) = webhook::named(query, asked.page.limit)? {
        return of_these(&api, asked, scope, query, ids).await;
    }
    let subject = match query.parsed::<EndpointId>("endpoint")? {
        None => Subject { scope, endpoint: None },
        Some(_) if matches!(asked.by, Some(By::Endpoint | By::Partner)) => {
            return Err(Problem::invalid_query("endpoint", "leave it or `by` out, or take `by=type`"));
        }
        Some(id) => endpoint_of(&api, &scope, &id.to_string()).await?,
    };
    answer(&api, asked, subject).await
}

/// Those of endpoints that are named, in their order: whoever shows some beside each other
/// has them in an order of his own.
async fn of_these(api: &Api, asked: Asked, scope: Scope, query: &Query, ids: Vec<EndpointId>) -> Answer {
    if asked.by != Some(By::Endpoint) || query.get("endpoint").is_some() || asked.page.after.is_some() {
        let detail = "goes with `by=endpoint`, and neither with `endpoint` nor with `cursor`";
        return Err(Problem::invalid_query("endpoints", detail));
    }
    let Asked { question, has_histogram, .. } = asked;
    let mut value = head(&question);
    let read = move |store: &dyn Store| {
        let mut data = Vec::with_capacity(ids.len());
        for id in ids {
            // What is deleted, or somebody else's, is left out.
            let Some(endpoint) = store.endpoint(&scope, id)? else { continue };
            let scope = Scope { environment: endpoint.environment, partner: endpoint.partner };
            data.push(series(store, &Subject { scope, endpoint: Some(id) }, &question, has_histogram)?);
        }
        Ok(data)
    };
    value["data"] = Value::Array(store::blocking(&api.store, read).await?);
    value["next_cursor"] = Value::Null;
    Ok(HttpResponse::Ok().json(value))
}

/// Tells the same of one endpoint.
#[utoipa::path(
    get, path = "/webhook/{id}/stats", operation_id = "read_webhook_stats", tag = "webhooks",
    params(("id" = openapi::EndpointId, Path, description = "Which endpoint."), openapi::StatisticsOfTypes, openapi::StatisticsQuestion, openapi::ForPartners, openapi::Page),
    responses((status = 200, description = "A page of series. What they tell is some seconds old.", body = openapi::Statistics))
)]
pub async fn of_endpoint(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::ReadStatistics)?;
    let query = caller.query();
    query.only(&["by", "type", "since", "until", "resolution", "histogram", "limit", "cursor"])?;
    let asked = Asked::of(&api, query)?;
    if asked.by.is_some_and(|by| by != By::Type) {
        return Err(Problem::invalid_query("by", "of one endpoint there is `type` only"));
    }
    let scope = match webhook::all_partners_of(&api, &caller, &id).await? {
        Some(all) => all,
        None => api.known(caller.scope()?).await?,
    };
    let subject = endpoint_of(&api, &scope, &id).await?;
    answer(&api, asked, subject).await
}

/// Whom a series is of.
struct Subject {
    scope: Scope,
    endpoint: Option<EndpointId>,
}

async fn endpoint_of(api: &Api, scope: &Scope, id: &str) -> Result<Subject, Problem> {
    let endpoint = webhook::find(api, scope, id).await?;
    let scope = Scope { environment: endpoint.environment, partner: endpoint.partner };
    Ok(Subject { scope, endpoint: Some(endpoint.id) })
}

/// What there is a series of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Endpoint,
    Partner,
    Type,
}

/// A word that none of those is.
struct ByError;

impl fmt::Display for ByError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one of `endpoint`, `partner` and `type`")
    }
}

impl FromStr for By {
    type Err = ByError;

    fn from_str(text: &str) -> Result<Self, ByError> {
        match text {
            "endpoint" => Ok(Self::Endpoint),
            "partner" => Ok(Self::Partner),
            "type" => Ok(Self::Type),
            _ => Err(ByError),
        }
    }
}

/// A question, within its bounds.
struct Asked {
    by: Option<By>,
    question: StatisticsQuestion,
    /// Whether it is told how many attempts took how long.
    has_histogram: bool,
    page: PageRequest<Cursor>,
}

/// Where the next page begins: an id or a name, whichever the series are of.
struct Cursor(String);

impl FromStr for Cursor {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Asked {
    fn of(api: &Api, query: &Query) -> Result<Self, Problem> {
        let by = query.parsed("by")?;
        let page = page::request::<Cursor>(query, &api.limits)?;
        if by.is_none() && page.after.is_some() {
            return Err(Problem::invalid_query("cursor", "there is one series without `by`, and no next page"));
        }
        let types = match (by, query.parsed("type")?) {
            (Some(By::Type), Some(_)) => {
                return Err(Problem::invalid_query("type", "with `by=type` there is a series of each: leave one out"));
            }
            // Of each, as soon as it is known behind which.
            (_, None) => CountedTypes::Sum,
            (_, Some(event_type)) => CountedTypes::Only(event_type),
        };
        let question = question(query, api.clock.wall(), types)?;
        let size = question.resolution.millis();
        let buckets = u64::try_from((question.until.as_millis() - question.since.as_millis()) / size).unwrap_or(0);
        let most_series = if by.is_some() { page.limit } else { 1 };
        let (asked, most) = (buckets.saturating_mul(most_series as u64), api.limits.stats_buckets);
        if asked > most as u64 {
            let detail = format!(
                "asks for up to {asked} stretches of time ({buckets} in each of {most_series} series), and the limit \
                 `stats_buckets` is {most}: take a later `since`, an earlier `until`, a smaller `limit` or \
                 `resolution=hour`"
            );
            return Err(Problem::invalid_query("since", detail));
        }
        let has_histogram = query.parsed("histogram")?.unwrap_or(false);
        Ok(Self { by, question, has_histogram, page })
    }
}

fn question(query: &Query, now: Timestamp, types: CountedTypes) -> Result<StatisticsQuestion, Problem> {
    let (resolution, back) = match query.get("resolution") {
        None | Some("hour") => (Resolution::Hour, HOURS_BACK),
        Some("minute") => (Resolution::Minute, MINUTES_BACK),
        Some(_) => return Err(Problem::invalid_query("resolution", "one of `minute` and `hour`")),
    };
    let until: Timestamp = query.parsed("until")?.unwrap_or(now);
    let since: Timestamp = query.parsed("since")?.unwrap_or(until - back);
    if since >= until {
        return Err(Problem::invalid_query("since", format!("must be before `until`, which is {until}")));
    }
    let told_since = Resolution::Hour.bucket_of(now - MINUTES_KEPT);
    if resolution == Resolution::Minute && since < told_since {
        let hours = MINUTES_KEPT.as_secs() / 3600;
        let detail = format!("minutes are told for {hours} hours: take {told_since} or later, or `resolution=hour`");
        return Err(Problem::invalid_query("since", detail));
    }
    // Whole stretches: the first and the last are told as a whole.
    let last = resolution.bucket_of(until - Duration::from_millis(1));
    let until = Timestamp::from_millis(last.as_millis() + resolution.millis());
    Ok(StatisticsQuestion { resolution, since: resolution.bucket_of(since), until, types })
}

/// What every answer says of itself.
fn head(question: &StatisticsQuestion) -> Value {
    json!({
        "resolution": if question.resolution == Resolution::Minute { "minute" } else { "hour" },
        "since": show::time(question.since),
        "until": show::time(question.until),
    })
}

async fn answer(api: &Api, asked: Asked, subject: Subject) -> Answer {
    let mut value = head(&asked.question);
    let (data, next) = match asked.by {
        None => {
            let Asked { question, has_histogram, .. } = asked;
            let read = move |store: &dyn Store| Ok(vec![series(store, &subject, &question, has_histogram)?]);
            (store::blocking(&api.store, read).await?, None)
        }
        Some(By::Type) => by_type(api, subject, asked).await?,
        Some(By::Partner) => by_partner(api, subject, asked).await?,
        Some(By::Endpoint) => by_endpoint(api, subject, asked).await?,
    };
    value["data"] = Value::Array(data);
    value["next_cursor"] = json!(next);
    Ok(HttpResponse::Ok().json(value))
}

/// Series, and where the next page begins.
type Series = (Vec<Value>, Option<String>);

/// A cursor of the kind that these series have.
fn cursor<Id: FromStr>(page: PageRequest<Cursor>) -> Result<PageRequest<Id>, Problem> {
    let foreign =
        |_| Problem::invalid_query("cursor", "not a cursor of this list; take `next_cursor` of the page before");
    let after = page.after.map(|Cursor(text)| text.parse().map_err(foreign)).transpose()?;
    Ok(PageRequest { after, limit: page.limit })
}

async fn by_endpoint(api: &Api, subject: Subject, asked: Asked) -> Result<Series, Problem> {
    let Asked { question, has_histogram, page, .. } = asked;
    let wanted = cursor::<EndpointId>(page)?;
    let read = move |store: &dyn Store| {
        let Page { items, more, .. } = store.endpoints(&subject.scope, &wanted)?;
        let next = items.last().filter(|_| more).map(|endpoint| endpoint.id.to_string());
        let each = items.into_iter().map(|endpoint| {
            let scope = Scope { environment: endpoint.environment, partner: endpoint.partner };
            series(store, &Subject { scope, endpoint: Some(endpoint.id) }, &question, has_histogram)
        });
        Ok((each.collect::<Result<_, _>>()?, next))
    };
    Ok(store::blocking(&api.store, read).await?)
}

async fn by_partner(api: &Api, subject: Subject, asked: Asked) -> Result<Series, Problem> {
    let Asked { question, has_histogram, page, .. } = asked;
    let wanted = cursor::<PartnerName>(page)?;
    let read = move |store: &dyn Store| {
        if subject.scope.partner.is_some() {
            return Ok((vec![series(store, &subject, &question, has_histogram)?], None));
        }
        let Page { items, more, .. } = store.partners(&wanted)?;
        let next = items.last().filter(|_| more).map(|partner| partner.name.to_string());
        let each = items.into_iter().map(|partner| {
            let scope = Scope::of(subject.scope.environment, partner.name);
            series(store, &Subject { scope, endpoint: None }, &question, has_histogram)
        });
        Ok((each.collect::<Result<_, _>>()?, next))
    };
    Ok(store::blocking(&api.store, read).await?)
}

/// What types found no room of their own are called, as a series and as a cursor.
const OTHER_TYPES: &str = "*";

async fn by_type(api: &Api, subject: Subject, asked: Asked) -> Result<Series, Problem> {
    let Asked { question, has_histogram, page, .. } = asked;
    let limit = page.limit;
    let after = match page.after {
        Some(Cursor(text)) if text == OTHER_TYPES => Some(None),
        _ => cursor::<EventType>(page)?.after.map(Some),
    };
    let read = move |store: &dyn Store| {
        // One more than the page: whether there is a next one.
        let question = StatisticsQuestion { types: CountedTypes::Each { after, limit: limit + 1 }, ..question };
        let counted = store.statistics(&subject.scope, subject.endpoint, &question)?;
        let mut groups: Vec<&[Counted]> = counted.chunk_by(|one, next| one.event_type == next.event_type).collect();
        let has_more = groups.len() > limit;
        groups.truncate(limit);
        let each = groups.iter().filter_map(|group| {
            let event_type = group.first()?.event_type.as_ref().map_or(OTHER_TYPES, EventType::as_str);
            Some((event_type.to_owned(), show_series(&subject, Some(event_type), group, has_histogram)))
        });
        let (names, data): (Vec<String>, Vec<Value>) = each.unzip();
        Ok((data, names.into_iter().next_back().filter(|_| has_more)))
    };
    Ok(store::blocking(&api.store, read).await?)
}

fn series(
    store: &dyn Store,
    subject: &Subject,
    question: &StatisticsQuestion,
    has_histogram: bool,
) -> Result<Value, StoreError> {
    let counted = store.statistics(&subject.scope, subject.endpoint, question)?;
    let event_type = match &question.types {
        CountedTypes::Only(event_type) => Some(event_type.as_str()),
        CountedTypes::Sum | CountedTypes::Each { .. } => None,
    };
    Ok(show_series(subject, event_type, &counted, has_histogram))
}

fn show_series(subject: &Subject, event_type: Option<&str>, counted: &[Counted], has_histogram: bool) -> Value {
    let is_of_endpoint = subject.endpoint.is_some();
    let mut totals = Tally::default();
    counted.iter().for_each(|counted| totals.merge(&counted.tally));
    let bucket = |counted: &Counted| json!({ "at": show::time(counted.bucket), "counts": show_counts(&counted.tally, is_of_endpoint) });
    let mut value = json!({
        "partner": subject.scope.partner.as_ref().map_or("*", PartnerName::as_str),
        "endpoint": subject.endpoint.map(|endpoint| endpoint.to_string()),
        "type": event_type,
        "totals": show_counts(&totals, is_of_endpoint),
        "buckets": counted.iter().map(bucket).collect::<Vec<_>>(),
    });
    if has_histogram {
        let steps = totals.attempt_ms.told();
        let steps = steps.map(|(at_most_ms, count)| json!({ "at_most_ms": at_most_ms, "count": count }));
        value["histogram"] = Value::Array(steps.collect());
    }
    value
}

/// What is accepted is counted for whoever it is accepted for, and not for each
/// endpoint: there it is not known, which is not the same as none.
fn show_counts(tally: &Tally, is_of_endpoint: bool) -> Value {
    let accepted = |count: u64| if is_of_endpoint { Value::Null } else { json!(count) };
    let failures: Map<String, Value> = Failure::ALL
        .into_iter()
        .zip(tally.failures)
        .map(|(failure, count)| (failure.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "events": accepted(tally.events),
        "deliveries": accepted(tally.deliveries),
        "attempts": tally.attempts(),
        "succeeded": tally.succeeded,
        "failed": tally.failed(),
        "failures": failures,
        "success_rate": tally.success_rate(),
        "delivered": tally.delivered,
        "retries_exhausted": tally.exhausted,
        "expired": tally.expired,
        "attempt_ms": show_percentiles(&tally.attempt_ms),
        "delivery_ms": show_percentiles(&tally.delivery_ms),
    })
}

fn show_percentiles(histogram: &Histogram) -> Value {
    json!({ "p50": histogram.percentile(50), "p90": histogram.percentile(90), "p99": histogram.percentile(99) })
}
