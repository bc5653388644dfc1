//! What is known of one attempt beside its outcome: over which connection it went, to
//! which address, how long each stage took, and which headers came back. Only what
//! explains it; nothing is decided by it.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// What an attempt looked like on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The version of its endpoint's settings that the request was made with.
    pub settings_version: Option<u32>,
    /// Over which connection it went; `None` where there was none.
    pub connection: Option<ConnectionUse>,
    /// The address at the other end, or the last that was dialled in vain.
    pub address: Option<SocketAddr>,
    /// How long its stages took.
    pub timing: Timing,
    /// What came back with the status.
    pub response_headers: ResponseHeaders,
}

/// Whether a connection was made for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionUse {
    /// It was.
    New,
    /// An earlier attempt had left it open.
    Reused,
}

impl ConnectionUse {
    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reused => "reused",
        }
    }
}

/// How long each stage of an attempt took, in whole milliseconds; `None` is a stage that
/// did not happen. One in which the attempt died lasted until then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Looking the host's name up.
    pub dns_ms: Option<u32>,
    /// Connecting, to all addresses that were tried.
    pub connect_ms: Option<u32>,
    /// The TLS handshake.
    pub tls_ms: Option<u32>,
    /// From a connection that was ready to the head of the answer.
    pub first_byte_ms: Option<u32>,
}

/// The headers of an answer, cut to what is kept: one text with a line for each, which
/// is how they came and how they are stored, so that nothing is made of them unless
/// somebody looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHeaders(String);

impl ResponseHeaders {
    /// None yet, and room for this many bytes of them.
    pub fn with_room(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Those that were stored as [`ResponseHeaders::as_str`].
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds one, as far as there is room in `limit` bytes. What does not fit is cut off.
    pub fn push(&mut self, name: &str, value: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.0.len());
        if room < name.len() + 3 {
            return;
        }
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(name);
        self.0.push_str(": ");
        if value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            let cut = value.len().min(limit - self.0.len());
            self.0.push_str(&String::from_utf8_lossy(&value[..cut]));
            return;
        }
        for character in String::from_utf8_lossy(value).chars() {
            // A line is a header, whatever the HTTP client lets pass.
            let is_shown = !character.is_control() || character == '\t';
            let shown = if is_shown { character } else { char::REPLACEMENT_CHARACTER };
            if self.0.len() + shown.len_utf8() > limit {
                break;
            }
            self.0.push(shown);
        }
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().map(|line| line.split_once(": ").unwrap_or((line, "")))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Exchange {
    /// Writes it down as one short text, which [`Exchange::from_text`] reads: words, each
    /// with a letter that says what it is, and behind the first line the headers. What is
    /// not known takes no room.
    pub fn write_text(&self, text: &mut String) {
        let mut word = |letter: char, value: Option<u32>| {
            if let Some(value) = value {
                // A text takes whatever is written to it.
                let _ = write!(text, "{letter}{value} ");
            }
        };
        word('v', self.settings_version);
        word('d', self.timing.dns_ms);
        word('c', self.timing.connect_ms);
        word('t', self.timing.tls_ms);
        word('f', self.timing.first_byte_ms);
        match self.connection {
            Some(ConnectionUse::New) => text.push_str("n "),
            Some(ConnectionUse::Reused) => text.push_str("r "),
            None => {}
        }
        if let Some(address) = self.address {
            let _ = write!(text, "@{address} ");
        }
        if text.ends_with(' ') {
            text.pop();
        }
        if !self.response_headers.is_empty() {
            text.push('\n');
            text.push_str(self.response_headers.as_str());
        }
    }

    /// What was written down. Words that this release does not know are passed over: a
    /// later one may have more to say.
    pub fn from_text(text: &str) -> Self {
        let (words, headers) = text.split_once('\n').unwrap_or((text, ""));
        let mut exchange = Self { response_headers: ResponseHeaders::from_text(headers.to_owned()), ..Self::default() };
        for word in words.split(' ') {
            let Some(letter) = word.chars().next() else { continue };
            let rest = &word[letter.len_utf8()..];
            match letter {
                'v' => exchange.settings_version = rest.parse().ok(),
                'd' => exchange.timing.dns_ms = rest.parse().ok(),
                'c' => exchange.timing.connect_ms = rest.parse().ok(),
                't' => exchange.timing.tls_ms = rest.parse().ok(),
                'f' => exchange.timing.first_byte_ms = rest.parse().ok(),
                'n' if rest.is_empty() => exchange.connection = Some(ConnectionUse::New),
                'r' if rest.is_empty() => exchange.connection = Some(ConnectionUse::Reused),
                '@' => exchange.address = rest.parse().ok(),
                _ => {}
            }
        }
        exchange
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn exchanges() -> impl Strategy<Value = Exchange> {
        let stage = || prop::option::of(any::<u32>());
        let address = prop::option::of((any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from));
        let header = ("[a-z][a-z0-9-]{0,12}", prop::collection::vec(any::<u8>(), 0..40));
        let connection = prop::option::of(prop_oneof![Just(ConnectionUse::New), Just(ConnectionUse::Reused)]);
        let stages = (stage(), stage(), stage(), stage(), stage());
        (stages, connection, address, prop::collection::vec(header, 0..5), 0..200_usize).prop_map(
            |((settings_version, dns_ms, connect_ms, tls_ms, first_byte_ms), connection, address, headers, limit)| {
                let mut response_headers = ResponseHeaders::default();
                headers.iter().for_each(|(name, value)| response_headers.push(name, value, limit));
                let timing = Timing { dns_ms, connect_ms, tls_ms, first_byte_ms };
                Exchange { settings_version, connection, address, timing, response_headers }
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(exchange in exchanges()) {
            let mut text = String::new();
            exchange.write_text(&mut text);
            prop_assert!(!text.contains('\0') && !text.contains('\r'));
            prop_assert_eq!(Exchange::from_text(&text), exchange);
        }

        #[test]
        fn anything_reads_as_something(text in any::<String>()) {
            let exchange = Exchange::from_text(&text);
            exchange.response_headers.iter().count();
        }

        #[test]
        fn headers_are_kept_in_their_order_as_far_as_there_is_room(
            headers in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 0..8), limit in 0..120_usize,
        ) {
            let mut kept = ResponseHeaders::default();
            headers.iter().for_each(|(name, value)| kept.push(name, value.as_bytes(), limit));
            prop_assert!(kept.as_str().len() <= limit);
            let mut given = headers.iter();
            for (name, value) in kept.iter() {
                prop_assert!(given.any(|(known, whole)| known == name && whole.starts_with(value)));
            }
            let mut all = ResponseHeaders::default();
            headers.iter().for_each(|(name, value)| all.push(name, value.as_bytes(), usize::MAX));
            let all: Vec<_> = all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(all, headers);
        }
    }

    #[test]
    fn it_takes_little_room() {
        let mut response_headers = ResponseHeaders::default();
        response_headers.push("content-length", b"0", 2_048);
        let exchange = Exchange {
            settings_version: Some(3),
            connection: Some(ConnectionUse::Reused),
            address: Some("127.0.0.1:8080".parse().expect("an address")),
            timing: Timing { first_byte_ms: Some(1), ..Timing::default() },
            response_headers,
        };
        let mut text = String::new();
        exchange.write_text(&mut text);
        assert_eq!(text, "v3 f1 r @127.0.0.1:8080\ncontent-length: 0");
        assert_eq!(
            Exchange::from_text("v3 z9 new q @nowhere"),
            Exchange { settings_version: Some(3), ..Exchange::default() }
        );
    }
}
