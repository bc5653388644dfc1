//! What a browser shows of whoever signed in: sealed, so that nothing is kept here, and
//! every node of the store reads it, after a restart too. Decides what a cookie's text
//! is, whether it is ours and still in time, and the token that forms must carry.
//! Whether the key behind it is still good is asked elsewhere, at each request.
//!
//! Two secrets stand behind a cookie: one of the store's own, and the key ring, where
//! there is one. So whoever has a copy of the store alone makes none.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::auth::Pass;
use crate::domain::Timestamp;
use crate::keyring::{Binding, KeyringError, Purpose, sealed_with};
use crate::store::Store;

/// How long a session lasts that nobody uses.
pub const LASTS: Duration = Duration::from_secs(12 * 3_600);
/// One that is used is given anew when it is older than this.
const RENEWED_AFTER: Duration = Duration::from_secs(300);
/// What begins the text, so that another release's is not misread.
const VERSION: &str = "v1";
/// Longest text that is looked at.
const TEXT_BYTES_MAX: usize = 1_024;

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// With which key.
    pub pass: Pass,
    issued_at: Timestamp,
    expires_at: Timestamp,
    /// What tells it from all others, and its forms from theirs.
    nonce: u128,
}

impl Session {
    /// It begins. Fails only where the system has no randomness.
    pub fn begin(pass: Pass, now: Timestamp) -> Result<Self, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(Self { pass, issued_at: now, expires_at: now + LASTS, nonce: u128::from_be_bytes(random) })
    }

    /// One of a link to the portal, which lasts as long as that: whoever opened one that
    /// opens once has no other way back.
    pub fn begin_until(pass: Pass, now: Timestamp, expires_at: Timestamp) -> Result<Self, getrandom::Error> {
        Ok(Self { expires_at, ..Self::begin(pass, now)? })
    }

    /// Whether it began with a link.
    pub fn is_by_link(&self) -> bool {
        matches!(self.pass, Pass::Link(_))
    }

    /// The same, lasting on; `None` where that is not worth a cookie yet.
    pub fn renewed(&self, now: Timestamp) -> Option<Self> {
        let is_due = now.since(self.issued_at) >= RENEWED_AFTER && !self.is_by_link();
        is_due.then(|| Self { issued_at: now, expires_at: now + LASTS, ..self.clone() })
    }

    /// How long it lasts from now on.
    pub fn left(&self, now: Timestamp) -> Duration {
        self.expires_at.since(now)
    }

    /// Whether its time is not over.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    fn to_text(&self) -> String {
        let Self { pass, issued_at, expires_at, nonce } = self;
        format!("{VERSION}.{pass}.{}.{}.{nonce:032x}", issued_at.as_millis(), expires_at.as_millis())
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        if parts.next()? != VERSION {
            return None;
        }
        let millis = |text: &str| text.parse().ok().map(Timestamp::from_millis);
        let session = Self {
            pass: parts.next()?.parse().ok()?,
            issued_at: millis(parts.next()?)?,
            expires_at: millis(parts.next()?)?,
            nonce: u128::from_str_radix(parts.next()?, 16).ok()?,
        };
        parts.next().is_none().then_some(session)
    }
}

/// Seals sessions and opens them.
pub struct Seals {
    store: Arc<dyn Store>,
    secret: [u8; 32],
}

impl Seals {
    /// Those of a store.
    pub fn of(store: Arc<dyn Store>) -> Self {
        let secret = store.secret_for("sessions of the dashboard");
        Self { store, secret }
    }

    /// A cookie's text.
    pub fn seal(&self, session: &Session) -> Result<String, KeyringError> {
        let text = session.to_text();
        let text = format!("{text}~{}", BASE64.encode(self.mac("session", &text)));
        Ok(BASE64.encode(self.store.keyring().seal(&text, &binding())?))
    }

    /// The session of a cookie's text, if it is ours and its time is not over.
    pub fn open(&self, cookie: &str, now: Timestamp) -> Option<Session> {
        if cookie.len() > TEXT_BYTES_MAX {
            return None;
        }
        let sealed = String::from_utf8(BASE64.decode(cookie).ok()?).ok()?;
        let keyring = self.store.keyring();
        // Where there is a key, what is not sealed was made by somebody who has none.
        if sealed_with(&sealed).ok()?.is_some() != keyring.current().is_some() {
            return None;
        }
        let text = keyring.open(&sealed, &binding()).ok()?;
        let (text, mac) = text.rsplit_once('~')?;
        let mut expected = self.begun("session");
        expected.update(text.as_bytes());
        expected.verify_slice(&BASE64.decode(mac).ok()?).ok()?;
        Session::from_text(text).filter(|session| session.is_live(now))
    }

    /// What each form of a session carries, and nobody else can know.
    pub fn token(&self, session: &Session) -> String {
        let mac = self.mac("forms", &format!("{}.{:032x}", session.pass, session.nonce));
        BASE64.encode(&mac[..18])
    }

    /// Whether a form carries it.
    pub fn is_token(&self, session: &Session, given: &str) -> bool {
        is_same(&self.token(session), given)
    }

    /// What shows that a text was made here, for this session.
    pub fn signature(&self, session: &Session, text: &str) -> String {
        let mac = self.mac("texts", &format!("{}.{:032x}.{text}", session.pass, session.nonce));
        BASE64.encode(&mac[..18])
    }

    /// Whether that is what shows it.
    pub fn is_signature(&self, session: &Session, text: &str, given: &str) -> bool {
        is_same(&self.signature(session, text), given)
    }

    fn begun(&self, purpose: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of every length");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac
    }

    fn mac(&self, purpose: &str, text: &str) -> [u8; 32] {
        let mut mac = self.begun(purpose);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Whether two texts are the same, in a time that does not tell how much of them is.
fn is_same(expected: &str, given: &str) -> bool {
    let differs = expected.bytes().zip(given.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    expected.len() == given.len() && differs == 0
}

fn binding() -> Binding<'static> {
    Binding::new(Purpose::Session, 0, 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_session_is_read_as_it_is_written(print in any::<[u8; 8]>(), at in 0..4_000_000_000_000_i64, nonce in any::<u128>()) {
            let issued_at = Timestamp::from_millis(at);
            let session = Session { pass: Pass::Configured(print), issued_at, expires_at: issued_at + LASTS, nonce };
            prop_assert_eq!(Session::from_text(&session.to_text()), Some(session));
        }

        #[test]
        fn whatever_is_read_is_no_fault(text in ".{0,80}") {
            let _ = Session::from_text(&text);
        }
    }

    #[test]
    fn one_of_a_link_ends_with_it() {
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let link = Pass::Link(crate::domain::KeyId::from_uuid(uuid::Uuid::from_u128(7)));
        let session = Session::begin_until(link, at(0), at(100)).expect("the system has randomness");
        assert!(session.is_by_link() && session.is_live(at(99)) && !session.is_live(at(100)));
        assert_eq!(session.renewed(at(50)), None, "using it makes it no longer");
        assert_eq!(session.left(at(99)), Duration::from_secs(3_600));
        assert_eq!(Session::from_text(&session.to_text()), Some(session));
    }

    #[test]
    fn it_lasts_while_it_is_used() {
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let session = Session::begin(Pass::Configured([7; 8]), at(0)).expect("the system has randomness");
        assert!(session.is_live(at(11)) && !session.is_live(at(12)));
        assert!(session.renewed(Timestamp::from_millis(299_999)).is_none());
        let renewed = session.renewed(at(11)).expect("it is old enough");
        assert!(renewed.is_live(at(22)) && !renewed.is_live(at(23)));
        assert_eq!(renewed.nonce, session.nonce, "forms that are open stay good");
    }
}
