//! The area of the partner portal: who may put it into their pages, and what it looks like.

use std::path::PathBuf;

use super::ConfigError;
use super::areas::Check;
use super::options::Settled;

/// Origins that one header line has room for.
const MAX_ORIGINS: usize = 20;
/// A name has to fit beside what else is there.
const MAX_NAME_CHARS: usize = 40;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortalConfig {
    /// Origins of the pages that may frame it, as browsers write them.
    pub frame_origins: Vec<String>,
    /// What it is called.
    pub name: Option<String>,
    /// Its logo's file.
    pub logo: Option<PathBuf>,
    /// Its colour on light pages: red, green, blue.
    pub accent_light: Option<[u8; 3]>,
    /// And on dark ones.
    pub accent_dark: Option<[u8; 3]>,
}

impl Check<'_> {
    pub fn portal(&self, values: &Settled) -> Result<PortalConfig, ConfigError> {
        let name = values.portal_name.trim();
        if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            let reason = format!("must have at most {MAX_NAME_CHARS} characters, and no control character");
            return Err(self.refuse("portal_name", reason));
        }
        Ok(PortalConfig {
            frame_origins: self.frame_origins(&values.portal_frame_origins)?,
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            logo: Some(PathBuf::from(&values.portal_logo)).filter(|path| !path.as_os_str().is_empty()),
            accent_light: self.colour("portal_accent_light", &values.portal_accent_light)?,
            accent_dark: self.colour("portal_accent_dark", &values.portal_accent_dark)?,
        })
    }

    fn frame_origins(&self, text: &str) -> Result<Vec<String>, ConfigError> {
        let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.len() > MAX_ORIGINS {
            return Err(self.refuse("portal_frame_origins", format!("must be at most {MAX_ORIGINS} origins")));
        }
        let mut origins: Vec<String> = Vec::new();
        for word in words {
            let origin = origin(word).map_err(|problem| {
                let shown: String = word.chars().take(64).collect();
                self.refuse("portal_frame_origins", format!("has `{}`: {problem}", shown.escape_debug()))
            })?;
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Ok(origins)
    }

    fn colour(&self, name: &'static str, text: &str) -> Result<Option<[u8; 3]>, ConfigError> {
        if text.is_empty() {
            return Ok(None);
        }
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match number {
            Some(number) => {
                let [_, red, green, blue] = number.to_be_bytes();
                Ok(Some([red, green, blue]))
            }
            None => Err(self.refuse(name, "must be a colour such as #0A5AB0")),
        }
    }
}

/// An origin as browsers write it. It becomes part of a header in which `;`, blanks and `*`
/// have meanings: nothing but a scheme, a host of plain characters and a port gets there.
fn origin(word: &str) -> Result<String, &'static str> {
    if word.contains('*') {
        return Err("every host is named; a wildcard lets in whoever gets a name below it");
    }
    let url = url::Url::parse(word).map_err(|_| "this is no origin such as https://app.example.com")?;
    let is_bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_bare {
        return Err("an origin is a scheme, a host and a port, and nothing behind it");
    }
    let host = url.host_str().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return Err("its host is not one");
    }
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        "http" => {
            return Err("a page without https may be changed by whoever is on the way, and what it frames with it");
        }
        _ => return Err("an origin begins with https://"),
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_plain() {
        for (word, expected) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.com:443/", "https://app.example.com"),
            ("https://app.example.com:8443", "https://app.example.com:8443"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        ] {
            assert_eq!(origin(word).as_deref(), Ok(expected), "{word}");
        }
        for word in [
            "app.example.com",
            "*",
            "https://*.example.com",
            "http://app.example.com",
            "http://127.0.0.1.example",
            "https://app.example.com/path",
            "https://app.example.com?x",
            "https://app.example.com#x",
            "https://ann@app.example.com",
            "https://a;script-src",
            "https://a'b",
            "https://",
            "ftp://a.example",
            "data:text/html,x",
            "null",
            "'self'",
            "https:",
        ] {
            assert!(origin(word).is_err(), "{word}: {:?}", origin(word));
        }
    }
}
