//! Where a request comes from and where it may lead, as far as its headers tell: which
//! forms are this server's own, whether a browser keeps the session's cookie, and which
//! addresses somebody may be sent back to. Pure.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderMap, ORIGIN};

use crate::dashboard::visitor::ROOT;

/// The server as the browser calls it, for commands that people copy.
pub fn base_of(request: &HttpRequest) -> String {
    let headers = request.headers();
    let host = text(headers, HOST.as_str()).unwrap_or("localhost");
    // Browsers say this only to servers that they trust: over https, or on loopback.
    let is_trusted = headers.contains_key("sec-fetch-site");
    let scheme = if is_trusted && !is_loopback(host) { "https" } else { "http" };
    format!("{scheme}://{host}")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a host, with its port, is this machine for whoever calls it so.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name == "localhost" || name.ends_with(".localhost")
}

/// Whether a browser that came from there keeps the session's cookie.
pub fn keeps_cookies(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_plain = text(headers, ORIGIN.as_str()).is_some_and(|origin| origin.starts_with("http://"));
    !is_plain || text(headers, HOST.as_str()).is_some_and(is_loopback)
}

/// Whether this is for a frame, as far as the browser says.
pub fn is_for_a_frame(request: &HttpRequest) -> bool {
    let goes_to = text(request.headers(), "sec-fetch-dest").unwrap_or_default();
    matches!(goes_to, "iframe" | "frame" | "fencedframe" | "embed" | "object")
}

/// Whether a form was sent from a page of this server, as far as the browser says. It does
/// not matter whose pages are around that: what they send themselves is another site's.
pub fn is_from_here(request: &HttpRequest) -> bool {
    let headers = request.headers();
    if let Some(site) = text(headers, "sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    // Browsers of a few years ago, and web views, say no more than this of a form. `null` is
    // whoever hides where they are: it is not ours, since none of our pages does.
    match (text(headers, ORIGIN.as_str()), text(headers, HOST.as_str())) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        // No browser: nobody was misled. The token decides.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// An address of ours to go back to; nothing that leads elsewhere.
pub fn own_path(given: &str) -> &str {
    let is_plain = given.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let rest = given.strip_prefix(ROOT);
    let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('?'));
    if is_plain && is_ours && !given.contains("//") && !given.contains("..") { given } else { ROOT }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn nobody_is_led_away() {
        for given in ["/dashboard", "/dashboard/events?env=sandbox&cursor=evt_1", "/dashboard?partner=a%20b"] {
            assert_eq!(own_path(given), given);
        }
        for given in [
            "",
            "https://evil.example/",
            "//evil.example",
            "/dashboardx",
            "/dashboard/../x",
            "/dashboard//evil.example",
            "/dashboard\\evil",
            "/dashboard/\r\nset-cookie:x",
            "javascript:alert(1)",
            "/events",
        ] {
            assert_eq!(own_path(given), ROOT, "{given:?}");
        }
    }

    fn sent(headers: &[(&str, &str)]) -> HttpRequest {
        let mut request = TestRequest::default();
        for (name, value) in headers {
            request = request.insert_header((*name, *value));
        }
        request.to_http_request()
    }

    #[test]
    fn forms_of_other_sites_are_not_believed() {
        for (headers, expected) in [
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-site"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("origin", "http://a:1"), ("host", "a:1")], true),
            (vec![("origin", "http://a:1"), ("host", "a:2")], false),
            (vec![("origin", "null"), ("host", "a:2")], false),
            (vec![("origin", "https://hooks.example"), ("host", "Hooks.example")], true),
            (vec![("origin", "https://hooks.example.evil"), ("host", "hooks.example")], false),
            (vec![("origin", "null")], false),
            (vec![("host", "a:2")], true),
            // Where the browser says it, an origin that looks like ours helps nobody.
            (vec![("sec-fetch-site", "cross-site"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "null"), ("host", "a:1")], true),
        ] {
            assert_eq!(is_from_here(&sent(&headers)), expected, "{headers:?}");
        }
    }

    #[test]
    fn cookies_need_https_or_loopback() {
        for (origin, host, expected) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://localhost:8080", "localhost:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("http://10.1.2.3:8080", "10.1.2.3:8080", false),
            ("http://hooks.example", "hooks.example", false),
            ("https://hooks.example", "hooks.example", true),
            ("https://hooks.example", "10.1.2.3:8080", true),
        ] {
            assert_eq!(keeps_cookies(&sent(&[("origin", origin), ("host", host)])), expected, "{origin} {host}");
        }
    }
}
