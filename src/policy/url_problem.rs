//! What can be wrong with an endpoint's URL, each with how to mend it: the
//! words a partner reads. `policy::target_url` judges how it is written,
//! `policy::address` where it leads.

use std::net::IpAddr;

use crate::domain::MAX_URL_BYTES;
use crate::policy::address_ranges::ForbiddenAddress;

/// Why a URL cannot be an endpoint's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Longer than is stored.
    #[error("the URL, percent-encoded, is at most {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Characters that parsers drop or end a line with.
    #[error("the URL must not contain spaces, line breaks or control characters: percent-encode them or take them out")]
    Character,
    /// Some parsers take it for a slash.
    #[error("the URL must not contain a backslash: write `/` to separate, `%5C` for the character itself")]
    Backslash,
    /// Neither `http` nor `https`.
    #[error("the URL must begin with `https://`, or with `http://` where that is allowed")]
    Scheme,
    /// Fewer or more than two slashes.
    #[error("after `https:` the URL must go on with two slashes and then the host")]
    Slashes,
    /// Something before an `@`.
    #[error("the URL must not contain a user name or password: send credentials in the endpoint's `headers`")]
    UserInfo,
    /// Something after a `#`.
    #[error(
        "the URL must not contain `#`: what follows it is never sent, so take it out or percent-encode it as `%23`"
    )]
    Fragment,
    /// Not a plain number, or zero.
    #[error(
        "the port must be a number from 1 to 65535 without sign or leading zeros; leave out its colon for the usual one"
    )]
    Port,
    /// Nothing where the host should be.
    #[error("the URL must name a host, such as `https://example.com/webhook`")]
    NoHost,
    /// A percent sign in the host.
    #[error("the host must be written plainly, without percent-encoding or a zone")]
    HostEncoding,
    /// Letters or numbers that only turn into the host by being mended.
    #[error("the host is an odd spelling of `{read_as}`: if that is the host, write it so")]
    HostSpelling {
        /// What the parser makes of it.
        read_as: String,
    },
    /// Not labels joined by dots.
    #[error("`{0}` is not a host name: use letters, digits, `-` and `_`, joined by single dots, with none at the end")]
    HostName(String),
    /// A name that means something only inside a network.
    #[error("`{0}` is a name of an inner network: use one that the public DNS knows, such as `hooks.example.com`")]
    PrivateName(String),
    /// An address that policy forbids.
    #[error("`{address}` cannot be the host: {source}")]
    Address {
        /// The host.
        address: IpAddr,
        /// What is wrong with it.
        source: ForbiddenAddress,
    },
    /// `http` where events must not travel in the clear.
    #[error("in production the URL must begin with `https://`")]
    HttpsRequired,
    /// A port of another service.
    #[error("port {0} belongs to another kind of service: use 443, or a port above 1023 that is not a well-known one")]
    PortDenied(u16),
    /// Refused by the parser for another reason.
    #[error("the URL cannot be read: {0}")]
    Unreadable(#[from] url::ParseError),
}
