//! `Posthaste-Deliver-At` and `Posthaste-Expires-In`: when events that are posted are to
//! be delivered, one for all that a request holds.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;

use crate::domain::{DeliveryTimes, Timestamp};
use crate::routes::problem::{Kind, Problem};

/// An RFC 3339 time.
pub const DELIVER_AT: &str = "posthaste-deliver-at";
/// Whole seconds.
pub const EXPIRES_IN: &str = "posthaste-expires-in";

/// What a request's headers say. Neither may lie further ahead than what is accepted
/// is kept.
pub fn of(request: &HttpRequest, now: Timestamp, retention: Duration) -> Result<DeliveryTimes, Problem> {
    read(request.headers(), now, retention).map_err(|detail| Problem::new(Kind::Invalid, detail))
}

fn read(headers: &HeaderMap, now: Timestamp, retention: Duration) -> Result<DeliveryTimes, String> {
    let most = format!("the limit `retention_days` is {}", retention.as_secs() / (24 * 3600));
    let deliver_at = match single(headers, DELIVER_AT)? {
        None => None,
        Some(text) => {
            let at: Timestamp = text.parse().map_err(|error| format!("`Posthaste-Deliver-At`: {error}"))?;
            if at.since(now) > retention {
                return Err(format!("`Posthaste-Deliver-At` is further ahead than that: {most}"));
            }
            Some(at)
        }
    };
    let expires_at = match single(headers, EXPIRES_IN)? {
        None => None,
        Some(text) => {
            let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=retention.as_secs()).contains(seconds));
            let seconds = seconds.ok_or_else(|| {
                format!("`Posthaste-Expires-In` is a whole number of seconds from 1 to {}: {most}", retention.as_secs())
            })?;
            // Counted from when it can be delivered at all.
            Some(deliver_at.map_or(now, |at| at.max(now)) + Duration::from_secs(seconds))
        }
    };
    Ok(DeliveryTimes { deliver_at, expires_at })
}

pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(format!("`{name}` is given once, in visible characters")),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const DAYS: u64 = 24 * 3600;

    fn now() -> Timestamp {
        "2026-11-26T12:00:00Z".parse().expect("a time")
    }

    fn check(given: &[(&'static str, &'static str)]) -> Result<DeliveryTimes, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        read(&headers, now(), Duration::from_secs(30 * DAYS))
    }

    #[test]
    fn times_are_read_as_they_are_meant() {
        assert_eq!(check(&[]), Ok(DeliveryTimes::default()));
        let later = now() + Duration::from_secs(3_600);
        let at = |deliver_at, expires_at| Ok(DeliveryTimes { deliver_at, expires_at });
        assert_eq!(check(&[(DELIVER_AT, "2026-11-26T14:00:00+01:00")]), at(Some(later), None));
        assert_eq!(check(&[(EXPIRES_IN, "3600")]), at(None, Some(later)));
        let both = [(DELIVER_AT, "2026-11-26T13:00:00Z"), (EXPIRES_IN, " 60 ")];
        assert_eq!(check(&both), at(Some(later), Some(later + Duration::from_secs(60))));
        let past = now() - Duration::from_secs(DAYS);
        let both = [(DELIVER_AT, "2026-11-25T12:00:00Z"), (EXPIRES_IN, "60")];
        assert_eq!(check(&both), at(Some(past), Some(now() + Duration::from_secs(60))), "it is delivered at once");
        assert!(check(&[(DELIVER_AT, "2026-12-26T12:00:00Z")]).is_ok(), "thirty days");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_limit() {
        for (name, value) in [
            (DELIVER_AT, "2026-12-26T12:00:00.001Z"),
            (EXPIRES_IN, "0"),
            (EXPIRES_IN, "-1"),
            (EXPIRES_IN, "1.5"),
            (EXPIRES_IN, "PT1H"),
            (EXPIRES_IN, "2592001"),
            (EXPIRES_IN, ""),
        ] {
            let problem = check(&[(name, value)]).expect_err(value);
            assert!(problem.contains("`retention_days` is 30"), "{value}: {problem}");
        }
        for value in ["", "tomorrow", "1795694400", "2026-11-26"] {
            let problem = check(&[(DELIVER_AT, value)]).expect_err(value);
            assert!(problem.contains("RFC 3339"), "{value}: {problem}");
        }
        assert!(check(&[(EXPIRES_IN, "1"), (EXPIRES_IN, "2")]).is_err(), "which of them?");
    }
}
