//! A URL as the HTTP client wants it, parsed once and not for each attempt.

use std::collections::HashMap;
use std::sync::Arc;

use awc::http::Uri;
use awc::http::header::HeaderValue;

/// URLs remembered by one transport. Beyond it all are forgotten, and those in
/// use come back with their next attempt.
const MAX_KNOWN: usize = 1_024;

/// Where a request goes.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) uri: Uri,
    /// The `host` header. awc would leave ports 80 and 443 out of it whatever
    /// the scheme.
    pub(super) host: HeaderValue,
}

/// The targets that were used lately.
#[derive(Default)]
pub(super) struct Targets(HashMap<Arc<str>, Target>);

impl Targets {
    /// The target of a URL, or a sentence that says why it cannot be one.
    pub(super) fn get(&mut self, url: &Arc<str>) -> Result<Target, String> {
        if let Some(target) = self.0.get(url) {
            return Ok(target.clone());
        }
        let target = parse(url)?;
        if self.0.len() >= MAX_KNOWN {
            self.0.clear();
        }
        self.0.insert(Arc::clone(url), target.clone());
        Ok(target)
    }
}

fn parse(url: &str) -> Result<Target, String> {
    let uri: Uri = url.parse().map_err(|error| format!("the URL cannot be requested: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the URL cannot be requested: it is neither http nor https".into());
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = HeaderValue::from_str(host).map_err(|_| "the URL cannot be requested: its host is not ASCII")?;
    Ok(Target { uri, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_is_the_authority_without_credentials() {
        let check = |url: &str, host: &str| {
            let target = Targets::default().get(&url.into()).expect(url);
            assert_eq!(target.host, host, "{url}");
        };
        check("https://example.com/hook?a=b", "example.com");
        check("http://example.com:443/", "example.com:443");
        check("http://[::1]:8080/", "[::1]:8080");
        check("http://user:pass@example.com/", "example.com");
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for url in ["", "/", "example.com", "ftp://example.com/", "ws://example.com/", "http://exa mple.com/"] {
            assert!(Targets::default().get(&url.into()).is_err(), "{url}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut targets = Targets::default();
        for number in 0..3 * MAX_KNOWN {
            targets.get(&format!("http://example.com/{number}").into()).expect("a plain URL");
        }
        assert!(targets.0.len() <= MAX_KNOWN);
    }
}
