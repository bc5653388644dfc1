//! What attempts came to over some time, as pages ask the API for it: of the endpoints and
//! partners of a list, of one endpoint over a range.

use std::collections::HashMap;
use std::time::Duration;

use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::segment;
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Series, Statistics, Step};
use crate::domain::Timestamp;

/// Hours of a sparkline.
const HOURS: usize = 24;
const HOUR: Duration = Duration::from_secs(3_600);

/// Of some endpoints, by their ids, what their last 24 hours came to.
pub async fn of_endpoints(visitor: &Visitor, ids: &[&str]) -> Result<HashMap<String, Series>, Trouble> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let (endpoints, limit) = (ids.join(","), ids.len().to_string());
    let asked = [("by", "endpoint"), ("endpoints", endpoints.as_str()), ("limit", &limit)];
    let found: Statistics = visitor.get("/stats", About::These, &asked).await?;
    Ok(found.data.into_iter().filter_map(|series| Some((series.endpoint.clone()?, series))).collect())
}

/// Of the partners of a page of all of them, by their names.
pub async fn of_partners(
    visitor: &Visitor,
    limit: &str,
    cursor: Option<&str>,
) -> Result<HashMap<String, Series>, Trouble> {
    let mut asked = vec![("by", "partner"), ("limit", limit)];
    asked.extend(cursor.map(|cursor| ("cursor", cursor)));
    let found: Statistics = visitor.get("/stats", About::Partner("*"), &asked).await?;
    Ok(found.data.into_iter().map(|series| (series.partner.clone(), series)).collect())
}

/// How far back one looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Hour,
    Day,
    Week,
}

impl Range {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// What the address calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1 h",
            Self::Day => "24 h",
            Self::Week => "7 d",
        }
    }

    /// The one of the address; a day where it says nothing.
    pub fn of(visitor: &Visitor) -> Self {
        let word = visitor.query.get("range").unwrap_or_default();
        Self::ALL.into_iter().find(|range| range.word() == word).unwrap_or(Self::Day)
    }

    const fn span(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => Duration::from_secs(24 * 3_600),
            Self::Week => Duration::from_secs(7 * 24 * 3_600),
        }
    }
}

/// Of one endpoint over a range, with how long its attempts took; and since when that is.
pub async fn of_endpoint(visitor: &Visitor, id: &str, range: Range) -> Result<(Series, Timestamp), Trouble> {
    let since = (visitor.now - range.span()).to_string();
    let resolution = if range == Range::Hour { "minute" } else { "hour" };
    let asked = [("since", since.as_str()), ("resolution", resolution), ("histogram", "true")];
    let found: Statistics = visitor.get(&format!("/webhook/{}/stats", segment(id)), About::These, &asked).await?;
    let first = found.data.into_iter().next();
    first.map(|series| (series, found.since.0)).ok_or_else(|| Trouble::internal("there are no counts of this endpoint"))
}

impl Series {
    /// Attempts that succeeded and failed, hour by hour, the last 24.
    pub fn by_hour(&self, now: Timestamp) -> Vec<(u64, u64)> {
        let this_hour = now.as_millis().div_euclid(HOUR.as_millis() as i64);
        let mut hours = vec![(0, 0); HOURS];
        for bucket in &self.buckets {
            let ago = this_hour - bucket.at.0.as_millis().div_euclid(HOUR.as_millis() as i64);
            if let Some(hour) = usize::try_from(ago).ok().and_then(|ago| (HOURS - 1).checked_sub(ago)) {
                hours[hour].0 += bucket.counts.succeeded;
                hours[hour].1 += bucket.counts.failed;
            }
        }
        hours
    }
}

/// Bars that durations are told in, each up to so many milliseconds.
pub const BARS_MS: [u64; 8] = [10, 30, 100, 300, 1_000, 3_000, 10_000, u64::MAX];

/// Which of the bars a duration is in.
pub fn bar_of(millis: u64) -> usize {
    BARS_MS.iter().position(|most| millis <= *most).unwrap_or(BARS_MS.len() - 1)
}

/// How many attempts are in each of the bars. A step of the API's, which is a tenth wide,
/// is where its middle is.
pub fn in_bars(histogram: &[Step]) -> [u64; BARS_MS.len()] {
    let mut bars = [0; BARS_MS.len()];
    for step in histogram {
        bars[bar_of(step.at_most_ms - step.at_most_ms / 20)] += step.count;
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::wire::{At, Bucket, Counts};

    #[test]
    fn durations_fall_into_bars() {
        for (millis, bar) in [(0, 0), (10, 0), (11, 1), (1_000, 4), (1_001, 5), (10_001, 7), (u64::MAX, 7)] {
            assert_eq!(bar_of(millis), bar, "{millis}");
        }
        let step = |at_most_ms, count| Step { at_most_ms, count };
        assert_eq!(in_bars(&[step(1, 2), step(104, 3), step(120, 5), step(60_000, 7)]), [2, 0, 3, 5, 0, 0, 0, 7]);
    }

    #[test]
    fn hours_are_those_before_now() {
        let hour = |hours: i64| Timestamp::from_millis(1_700_000_000_000 / 3_600_000 * 3_600_000 + hours * 3_600_000);
        let counts = |succeeded, failed| Counts { succeeded, failed, ..Counts::default() };
        let bucket = |at, succeeded, failed| Bucket { at: At(at), counts: counts(succeeded, failed) };
        let series = Series {
            partner: "acme".to_owned(),
            endpoint: None,
            event_type: None,
            totals: Counts::default(),
            buckets: vec![bucket(hour(-24), 9, 9), bucket(hour(-23), 1, 0), bucket(hour(0), 2, 3)],
            histogram: Vec::new(),
        };
        let hours = series.by_hour(hour(0) + Duration::from_secs(59));
        assert_eq!((hours.len(), hours[0], hours[23]), (24, (1, 0), (2, 3)));
        assert_eq!(hours.iter().map(|hour| hour.0 + hour.1).sum::<u64>(), 6, "what is older is left out");
    }
}
