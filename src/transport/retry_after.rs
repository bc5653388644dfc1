//! `Retry-After` as receivers send it: seconds or an HTTP date. What cannot be read
//! asks for nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use awc::http::header::{HeaderMap, HttpDate, RETRY_AFTER};

use crate::domain::{RetryAfter, Timestamp};

/// What the receiver asks for.
pub(super) fn read(headers: &HeaderMap) -> Option<RetryAfter> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has ask for longer than anyone waits.
        let seconds = text.parse().unwrap_or(u32::MAX);
        return Some(RetryAfter::In(Duration::from_secs(seconds.into())));
    }
    let date = SystemTime::from(text.parse::<HttpDate>().ok()?);
    let since_epoch = date.duration_since(UNIX_EPOCH).ok()?;
    Some(RetryAfter::At(Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?)))
}

#[cfg(test)]
mod tests {
    use awc::http::header::HeaderValue;

    use super::*;

    fn of(value: &str) -> Option<RetryAfter> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("a value that can be sent"));
        read(&headers)
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(of("0"), Some(RetryAfter::In(Duration::ZERO)));
        assert_eq!(of(" 120 "), Some(RetryAfter::In(Duration::from_secs(120))));
        assert_eq!(of("99999999999999999999"), Some(RetryAfter::In(Duration::from_secs(u32::MAX.into()))));
        let time = Timestamp::from_millis(784_111_777_000);
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(of(date), Some(RetryAfter::At(time)), "{date}");
        }
    }

    #[test]
    fn what_cannot_be_read_asks_for_nothing() {
        for value in ["", "-1", "1.5", "soon", "Wed, 32 Oct 2015 07:28:00 GMT"] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(read(&HeaderMap::new()), None);
    }
}
