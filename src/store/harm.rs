//! What is asked of the store by whoever looks for what suffers: endpoints, the most harmed
//! first, what waits for them, what their last attempts came to, and how partners stand.

use std::fmt;
use std::str::FromStr;

use crate::domain::{DeliveryId, Endpoint, EndpointId, ErrorClass, EventId, EventType, Timestamp, Trouble};

/// Endpoints that are looked at for one page: behind that the page is short.
pub const HARM_LOOKED_AT: usize = 4_000;

/// How bad an endpoint's trouble is. The first is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Its breaker is open.
    Open,
    /// Posthaste disabled it.
    Disabled,
    /// It has only failed for a while.
    Failing,
    /// Nothing is known of any.
    None,
}

impl Harm {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Open, Self::Disabled, Self::Failing, Self::None];

    /// What this trouble comes to.
    pub fn of(trouble: &Trouble) -> Self {
        if trouble.disabled.is_some() {
            Self::Disabled
        } else if trouble.breaker.is_some() {
            Self::Open
        } else if trouble.failing_since.is_some() {
            Self::Failing
        } else {
            Self::None
        }
    }
}

/// How an endpoint is, in the one word that says most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its breaker is open.
    Open,
    /// It has only failed for a while.
    Failing,
    /// It is disabled, by whomever.
    Disabled,
    /// It is paused, by its partner or by an operator.
    Paused,
    /// None of those.
    Ok,
}

/// A word that names no health.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` says nothing of an endpoint's health: use `open`, `failing`, `disabled`, `paused` or `ok`")]
pub struct HealthError(String);

impl FromStr for Health {
    type Err = HealthError;

    fn from_str(text: &str) -> Result<Self, HealthError> {
        match text {
            "open" => Ok(Self::Open),
            "failing" => Ok(Self::Failing),
            "disabled" => Ok(Self::Disabled),
            "paused" => Ok(Self::Paused),
            "ok" => Ok(Self::Ok),
            other => Err(HealthError(other.chars().take(64).collect())),
        }
    }
}

/// Which endpoints are asked for; what is not given is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HarmFilter {
    /// Those that are so.
    pub health: Option<Health>,
    /// Those that want events of this type.
    pub event_type: Option<EventType>,
    /// Those whose URL has this in it, upper and lower case alike.
    pub url_part: Option<String>,
}

/// Where an endpoint stands among all, the most harmed first, and of those the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HarmPlace {
    /// How harmed.
    pub harm: Harm,
    /// Which of those.
    pub endpoint: EndpointId,
}

impl fmt::Display for HarmPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.harm as u8, self.endpoint)
    }
}

/// A text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place among endpoints")]
pub struct HarmPlaceError;

impl FromStr for HarmPlace {
    type Err = HarmPlaceError;

    fn from_str(text: &str) -> Result<Self, HarmPlaceError> {
        let (harm, endpoint) = text.split_once('-').ok_or(HarmPlaceError)?;
        let harm = Harm::ALL.into_iter().find(|known| (*known as u8).to_string() == harm);
        Ok(Self { harm: harm.ok_or(HarmPlaceError)?, endpoint: endpoint.parse().map_err(|_| HarmPlaceError)? })
    }
}

/// An endpoint, and how it is.
#[derive(Debug, Clone, PartialEq)]
pub struct HarmedEndpoint {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What is known of its trouble.
    pub trouble: Trouble,
}

impl HarmedEndpoint {
    /// Where it stands.
    pub fn place(&self) -> HarmPlace {
        HarmPlace { harm: Harm::of(&self.trouble), endpoint: self.endpoint.id }
    }
}

/// What waits for an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many, counted up to a limit.
    pub count: usize,
    /// The oldest of those that were counted.
    pub oldest: Option<DeliveryId>,
}

/// An attempt as it is looked at among many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSeen {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// Which of its attempts.
    pub number: u32,
    /// When the request began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// The receiver's answer; `None` if there was none.
    pub status_code: Option<u16>,
    /// What went wrong; `None` where it delivered.
    pub error_class: Option<ErrorClass>,
}

/// How a partner stands in an environment. Each count ends at a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartnerStanding {
    /// Endpoints that it has.
    pub endpoints: usize,
    /// Deliveries to them that are not finished.
    pub backlog: usize,
    /// Deliveries to them that were given up and not replayed since.
    pub exhausted: usize,
    /// Whether there are more of those.
    pub exhausted_has_more: bool,
    /// Its newest event.
    pub last_event: Option<EventId>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn a_place_reads_back_as_it_was(harm in 0..4_usize, millis in 0..1_u64 << 42, random in any::<[u8; 10]>()) {
            let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
            let endpoint = EndpointId::from_uuid(uuid);
            let place = HarmPlace { harm: Harm::ALL[harm], endpoint };
            prop_assert_eq!(place.to_string().parse(), Ok(place));
        }

        #[test]
        fn no_text_is_too_odd_for_a_place(text in "\\PC{0,40}") {
            prop_assert!(text.parse::<HarmPlace>().is_err() || text.contains("-ep_"));
        }
    }

    #[test]
    fn what_is_worst_is_said() {
        let at = Timestamp::from_millis(1);
        let failing = Trouble { failing_since: Some(at), ..Trouble::default() };
        let open = crate::domain::OpenBreaker { opened_at: at, probes: 0, probe_at: at };
        let opened = Trouble { breaker: Some(open), ..failing.clone() };
        let disabled = Trouble { disabled: Some((at, crate::domain::DisabledReason::Gone)), ..opened.clone() };
        let found = [&Trouble::default(), &failing, &opened, &disabled].map(Harm::of);
        assert_eq!(found, [Harm::None, Harm::Failing, Harm::Open, Harm::Disabled]);
        assert!(Harm::ALL.is_sorted());
        let last = HarmPlace { harm: Harm::None, endpoint: EndpointId::from_uuid(Uuid::nil()) };
        assert!(last.to_string().starts_with("3-ep_"));
    }
}
