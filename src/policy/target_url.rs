//! How an endpoint's URL must be written. It is parsed once, here, and only
//! the parser's own spelling is used afterwards: two parsers that disagree
//! about a text would let a partner show one host and reach another. The
//! parser follows browsers in mending odd spellings without a word; those are
//! refused instead, because who writes a URL that way either slipped or hides
//! something. Which hosts, ports and schemes are welcome is `policy::address`'.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use crate::domain::MAX_URL_BYTES;
use crate::policy::url_problem::UrlProblem;

/// A URL that an endpoint may have, in its normal spelling.
/// [`AddressPolicy::check_url`](crate::policy::address::AddressPolicy::check_url)
/// makes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl {
    text: String,
    host: TargetHost,
    port: u16,
    is_https: bool,
}

/// What a URL names as its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// A name to resolve for each connection: lower-case ASCII, no dot at its end.
    Name(String),
    /// An address, written out; never an IPv4 address in IPv6 clothing.
    Address(IpAddr),
}

impl fmt::Display for TargetHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

impl TargetUrl {
    /// The normal spelling: what is stored, shown and dialled. Two URLs are the
    /// same endpoint's when these are equal.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host.
    pub fn host(&self) -> &TargetHost {
        &self.host
    }

    /// The port, written or usual.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether requests go over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Reads a text that is written as it should be. Only `policy::address`
    /// calls this, so that no URL goes round its rules.
    pub(super) fn parse(text: &str) -> Result<Self, UrlProblem> {
        let written = Written::split(text)?;
        let url = Url::parse(text)?;
        let host = match url.host().ok_or(UrlProblem::NoHost)? {
            Host::Domain(name) => written.name(name)?,
            Host::Ipv4(address) => written.address(address.into(), written.host == address.to_string())?,
            Host::Ipv6(address) => {
                let bare = written.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                let same = bare.and_then(|bare| bare.parse::<Ipv6Addr>().ok()) == Some(address);
                written.address(address.into(), same)?
            }
        };
        let text = String::from(url);
        if text.len() > MAX_URL_BYTES {
            return Err(UrlProblem::TooLong);
        }
        Ok(Self { text, host, port: written.port, is_https: written.is_https })
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The parts of a URL as they were typed, before the parser mends them.
struct Written<'a> {
    is_https: bool,
    host: &'a str,
    port: u16,
}

impl<'a> Written<'a> {
    fn split(text: &'a str) -> Result<Self, UrlProblem> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlProblem::TooLong);
        }
        if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(UrlProblem::Character);
        }
        if text.contains('\\') {
            return Err(UrlProblem::Backslash);
        }
        let (scheme, rest) = text.split_once(':').ok_or(UrlProblem::Scheme)?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlProblem::Scheme);
        }
        let rest = rest.strip_prefix("//").ok_or(UrlProblem::Slashes)?;
        if rest.starts_with('/') {
            return Err(UrlProblem::Slashes);
        }
        if rest.contains('#') {
            return Err(UrlProblem::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlProblem::UserInfo);
        }
        if authority.contains('%') {
            return Err(UrlProblem::HostEncoding);
        }
        // The colons inside an IPv6 address's brackets are not the port's.
        let host_end = authority.find(']').map_or(0, |bracket| bracket + 1);
        let host_end = authority[host_end..].find(':').map_or(authority.len(), |colon| host_end + colon);
        let (host, port) = authority.split_at(host_end);
        if host.is_empty() {
            return Err(UrlProblem::NoHost);
        }
        let port = match port.strip_prefix(':') {
            Some(digits) => Self::port(digits)?,
            None if is_https => 443,
            None => 80,
        };
        Ok(Self { is_https, host, port })
    }

    fn port(digits: &str) -> Result<u16, UrlProblem> {
        if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UrlProblem::Port);
        }
        digits.parse().map_err(|_| UrlProblem::Port)
    }

    fn address(&self, address: IpAddr, is_plain: bool) -> Result<TargetHost, UrlProblem> {
        if is_plain {
            Ok(TargetHost::Address(address.to_canonical()))
        } else {
            Err(UrlProblem::HostSpelling { read_as: address.to_string() })
        }
    }

    /// A name in another alphabet may become its `xn--` form. What may not
    /// happen is that other characters turn into plain letters, digits or dots.
    fn name(&self, read_as: &str) -> Result<TargetHost, UrlProblem> {
        let is_name = read_as.len() <= 253
            && read_as.split('.').all(|label| {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                (1..=63).contains(&label.len()) && label.bytes().all(known)
            });
        if !is_name {
            return Err(UrlProblem::HostName(read_as.chars().take(253).collect()));
        }
        let same_label = |(written, read): (&str, &str)| {
            if written.is_ascii() { written.eq_ignore_ascii_case(read) } else { read.starts_with("xn--") }
        };
        let is_plain = self.host.split('.').count() == read_as.split('.').count()
            && self.host.split('.').zip(read_as.split('.')).all(same_label);
        if is_plain {
            Ok(TargetHost::Name(read_as.to_owned()))
        } else {
            Err(UrlProblem::HostSpelling { read_as: read_as.to_owned() })
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, UrlProblem>) {
        let read = TargetUrl::parse(text);
        assert_eq!(read.as_ref().map(TargetUrl::as_str).map_err(Clone::clone), expected, "{text:?}");
    }

    fn spelling(read_as: &str) -> Result<&'static str, UrlProblem> {
        Err(UrlProblem::HostSpelling { read_as: read_as.to_owned() })
    }

    #[test]
    fn equal_urls_have_one_spelling() {
        for (text, normal) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/", "https://example.com/"),
            ("http://example.com:80/Hook?a=%7e", "http://example.com/Hook?a=%7e"),
            ("https://example.com:8443/a/../b", "https://example.com:8443/b"),
            ("https://example.com?x", "https://example.com/?x"),
            ("https://example.com/é@", "https://example.com/%C3%A9@"),
            ("https://example.com/a//b", "https://example.com/a//b"),
            ("https://Bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://my_hooks.example.com/", "https://my_hooks.example.com/"),
            ("https://8.8.8.8:8080/", "https://8.8.8.8:8080/"),
            ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]/"),
            ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ] {
            check(text, Ok(normal));
        }
    }

    #[test]
    fn what_a_parser_would_mend_is_refused() {
        for text in [
            " https://a.b/",
            "https://a.b/ ",
            "https://a.b/x y",
            "https://a.b/\n",
            "ht\ttps://a.b/",
            "https://a.b/\u{a0}",
        ] {
            check(text, Err(UrlProblem::Character));
        }
        for text in ["https:\\\\a.b/", "https://a.b\\@c.d/", "https://a.b/\\c", "https://a.b/?\\"] {
            check(text, Err(UrlProblem::Backslash));
        }
        for text in ["", "a.b", "//a.b/", "ftp://a.b/", "ws://a.b/", "a.b:80/", "javascript:1", "https//a.b"] {
            check(text, Err(UrlProblem::Scheme));
        }
        for text in ["https:a.b", "https:/a.b/", "https:///a.b/", "https:////a.b/", "http://///", "https:"] {
            check(text, Err(UrlProblem::Slashes));
        }
        for text in ["https://u@a.b/", "https://u:p@a.b/", "https://@a.b/", "https://:@a.b/", "https://a.b%2f@c.d/"] {
            check(text, Err(UrlProblem::UserInfo));
        }
        check("https://a.b/#", Err(UrlProblem::Fragment));
        check("https://a.b#@c.d/", Err(UrlProblem::Fragment));
        for port in ["", "0", "00", "080", "+80", "-1", "65536", "8x", "80:80", "９"] {
            check(&format!("https://a.b:{port}/"), Err(UrlProblem::Port));
        }
        for text in ["https://", "https://?x", "https://:80/"] {
            check(text, Err(UrlProblem::NoHost));
        }
        for text in ["https://%61.b/", "https://a.b%00/", "https://[fe80::1%25lo]/", "https://127%2e0.0.1/"] {
            check(text, Err(UrlProblem::HostEncoding));
        }
    }

    #[test]
    fn hosts_are_spelt_as_they_are_read() {
        for text in ["127.1", "0x7f000001", "2130706433", "127.000.000.001", "0177.0.0.1", "127.0.0.1.", "１２７.0.0.1"]
        {
            check(&format!("http://{text}/"), spelling("127.0.0.1"));
        }
        for text in ["local\u{ad}host", "ⓛocalhost", "ｌｏｃａｌｈｏｓｔ"] {
            check(&format!("http://{text}/"), spelling("localhost"));
        }
        check("http://example。com/", spelling("example.com"));
        check("http://bücher。example/", spelling("xn--bcher-kva.example"));
        for name in [".a.b", "a..b", "a.b.", "a.b..", "a!b.c", "a,b.c", "*.a.b", &"x".repeat(64)] {
            check(&format!("http://{name}/"), Err(UrlProblem::HostName(name.to_owned())));
        }
        for text in
            ["http://[::1/", "http://::1/", "http://[1.2.3.4]/", "http://1.2.3.4.5/", "http://a.0x1f/", "http://xn--/"]
        {
            assert!(TargetUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_are_told() {
        let url = TargetUrl::parse("http://Example.com/x").unwrap();
        assert_eq!((url.host().to_string().as_str(), url.port(), url.is_https()), ("example.com", 80, false));
        let url = TargetUrl::parse("https://[::ffff:8.8.8.8]:8443/x").unwrap();
        assert_eq!(url.host(), &TargetHost::Address("8.8.8.8".parse().unwrap()));
        assert_eq!((url.port(), url.is_https()), (8443, true));
    }

    #[test]
    fn length_is_counted_before_and_after() {
        let base = "https://example.com/";
        let fits = format!("{base}{}", "x".repeat(MAX_URL_BYTES - base.len()));
        check(&fits, Ok(&fits));
        check(&format!("{fits}x"), Err(UrlProblem::TooLong));
        check(&format!("{base}{}", "é".repeat(500)), Err(UrlProblem::TooLong));
    }

    /// Texts that look enough like URLs to get past the first checks.
    pub(in crate::policy) fn urlish() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "http",
                "https",
                ":",
                "/",
                "//",
                "@",
                "[",
                "]",
                "?",
                "#",
                "%",
                "%2e",
                "\\",
                ".",
                "::1",
                "::ffff:",
                "127.0.0.1",
                "0x7f",
                "localhost",
                "example.com",
                "xn--",
                "443",
                "0",
                "ｌ",
                "。",
                "é",
                "\u{ad}",
                " ",
                "\t",
            ])
            .prop_map(str::to_owned),
            "\\PC{0,3}",
        ];
        let pieces = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
        let host =
            prop::sample::select(vec!["example.com", "a.b-c.d_e", "é.com", "8.8.8.8", "10.0.0.1", "[2606:4700::1]"]);
        let well_begun = (prop::sample::select(vec!["https", "http"]), host, "[:/?.]?", pieces.clone())
            .prop_map(|(scheme, host, separator, rest)| format!("{scheme}://{host}{separator}{rest}"));
        prop_oneof![well_begun, pieces.prop_map(|pieces| format!("https://{pieces}")), any::<String>()]
    }

    proptest! {
        #[test]
        fn what_is_read_reads_the_same_again(text in urlish()) {
            if let Ok(url) = TargetUrl::parse(&text) {
                prop_assert!(url.as_str().is_ascii() && url.as_str().len() <= MAX_URL_BYTES);
                prop_assert_eq!(TargetUrl::parse(url.as_str()), Ok(url.clone()));
                let again = Url::parse(url.as_str()).unwrap();
                prop_assert_eq!(again.port_or_known_default(), Some(url.port()));
                prop_assert_eq!(again.scheme() == "https", url.is_https());
            }
        }
    }
}
