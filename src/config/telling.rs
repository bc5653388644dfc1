//! What may be told of the configuration: each option with its value, its default, who
//! said it and what it means. Decides what of a value nobody is shown: a secret whole, and
//! whatever opens something inside of a URL.

use std::fmt::Display;
use std::net::SocketAddr;

use super::Origin;
use super::options::{AddressList, Secret, Settled};
use super::outbound::{NameServerList, PortList, SourceList};

/// What stands where something is kept back.
const HIDDEN: &str = "••••••";
/// Parts of the names of a URL's parameters that open something.
const OPENING: [&str; 5] = ["pass", "secret", "token", "key", "auth"];

/// An option as it holds, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it stands under in `--help`.
    pub heading: &'static str,
    /// As the configuration file spells it.
    pub name: &'static str,
    /// Its value, without what is kept back.
    pub value: Telling,
    /// What it is where nobody says anything.
    pub default: String,
    /// Who said it.
    pub origin: Origin,
    /// What it does, as `defaults.toml` explains it.
    pub meaning: String,
}

/// A value, as far as anybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// As one would write it, or with dots for what is kept back.
    pub text: String,
    /// Whether something of it is.
    pub is_masked: bool,
}

impl Telling {
    fn whole(text: impl Display) -> Self {
        Self { text: text.to_string(), is_masked: false }
    }

    fn hidden() -> Self {
        Self { text: HIDDEN.to_owned(), is_masked: true }
    }
}

/// A type of options. A new one says here what of it may be seen.
pub(super) trait Tell {
    /// It, fit to be shown.
    fn tell(&self) -> Telling;
}

macro_rules! told_whole {
    ($($type:ty),*) => {$(
        impl Tell for $type {
            fn tell(&self) -> Telling {
                Telling::whole(self)
            }
        }
    )*};
}

told_whole!(bool, usize, u32, u64, SocketAddr);

impl Tell for Secret {
    fn tell(&self) -> Telling {
        if self.expose().is_empty() { Telling::whole("") } else { Telling::hidden() }
    }
}

impl Tell for String {
    fn tell(&self) -> Telling {
        let text = without_credentials(self);
        Telling { is_masked: text != *self, text }
    }
}

impl Tell for AddressList {
    fn tell(&self) -> Telling {
        Telling::whole(joined(&self.0))
    }
}

impl Tell for NameServerList {
    fn tell(&self) -> Telling {
        Telling::whole(joined(&self.0))
    }
}

impl Tell for PortList {
    fn tell(&self) -> Telling {
        let usual = self.has_usual.then(|| "usual".to_owned());
        let ranges = self.ranges.iter().map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        });
        Telling::whole(joined(&usual.into_iter().chain(ranges).collect::<Vec<_>>()))
    }
}

impl Tell for SourceList {
    fn tell(&self) -> Telling {
        let addresses = [self.v4.map(|address| address.to_string()), self.v6.map(|address| address.to_string())];
        Telling::whole(joined(&addresses.into_iter().flatten().collect::<Vec<_>>()))
    }
}

fn joined<T: Display>(parts: &[T]) -> String {
    parts.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// A URL without what opens something: the password before its host (or all that stands
/// there, if it is one word, but for a database's user), and parameters that are named
/// like one. Rather too much is hidden than too little. Other texts are as they are.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((who, host)) => match who.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None if scheme.starts_with("postgres") => format!("{who}@{host}"),
            None => format!("{HIDDEN}@{host}"),
        },
    };
    let Some((before, query)) = rest.split_once('?') else { return format!("{scheme}://{rest}") };
    let parameters: Vec<String> = query.split('&').map(without_value).collect();
    format!("{scheme}://{before}?{}", parameters.join("&"))
}

fn without_value(parameter: &str) -> String {
    let Some((name, value)) = parameter.split_once('=') else { return parameter.to_owned() };
    let read: String = url::form_urlencoded::parse(name.as_bytes()).map(|(name, _)| name.to_lowercase()).collect();
    let opens = OPENING.iter().any(|part| read.contains(part));
    if opens && !value.is_empty() { format!("{name}={HIDDEN}") } else { parameter.to_owned() }
}

/// Every option. `defaults` is the lowest layer alone.
pub(super) fn settings(
    values: &Settled,
    defaults: &Settled,
    origin_of: impl Fn(&'static str) -> Origin,
    meaning_of: impl Fn(&str) -> Option<String>,
) -> Vec<Setting> {
    let told = values.told().into_iter().zip(defaults.told());
    told.map(|((heading, name, value), (_, _, default))| Setting {
        heading,
        name,
        value,
        default: default.text,
        origin: origin_of(name),
        meaning: meaning_of(name).unwrap_or_default().replace('\n', " "),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: Tell + std::str::FromStr>(text: &str) -> Telling
    where
        T::Err: std::fmt::Debug,
    {
        text.parse::<T>().expect("it is one").tell()
    }

    #[test]
    fn secrets_are_dots_and_nothing_is_nothing() {
        assert_eq!(told::<Secret>("correct-horse"), Telling { text: HIDDEN.to_owned(), is_masked: true });
        assert_eq!(told::<Secret>(""), Telling { text: String::new(), is_masked: false });
    }

    #[test]
    fn nothing_that_opens_something_is_left_in_a_url() {
        for (url, shown) in [
            ("postgres://user:s3cret@db:5432/posthaste", "postgres://user:••••••@db:5432/posthaste"),
            ("postgres://user@db/posthaste", "postgres://user@db/posthaste"),
            ("postgres://user:s3@cr/et@db/x", "postgres://user:••••••@db/x"),
            (
                "postgres://db/x?user=u&password=s3cret&sslmode=require",
                "postgres://db/x?user=u&password=••••••&sslmode=require",
            ),
            ("postgres://db/x?p%61ssword=s3cret", "postgres://db/x?p%61ssword=••••••"),
            ("postgresql://:s3cret@/x?host=/var/run", "postgresql://:••••••@/x?host=/var/run"),
            ("http://s3cret@host/", "http://••••••@host/"),
            ("sqlite://posthaste.db", "sqlite://posthaste.db"),
            ("/etc/keys/s.pem", "/etc/keys/s.pem"),
        ] {
            let telling = url.to_owned().tell();
            assert_eq!(telling.text, shown);
            assert_eq!(telling.is_masked, shown.contains(HIDDEN), "{url}");
            assert!(!telling.text.contains("s3cret"), "{url}");
        }
    }

    #[test]
    fn lists_are_told_as_one_would_write_them() {
        assert_eq!(told::<AddressList>("127.0.0.0/8, 10.1.2.3").text, "127.0.0.0/8,10.1.2.3/32");
        assert_eq!(told::<PortList>("8080,usual,9000-9010").text, "usual,8080,9000-9010");
        assert_eq!(told::<NameServerList>("10.0.0.2,::1").text, "10.0.0.2:53,[::1]:53");
        assert_eq!(told::<SourceList>("fd00::9,10.0.0.9").text, "10.0.0.9,fd00::9");
        assert_eq!(told::<PortList>("").text, "");
    }
}
