//! The promises that are checked against the data, each by a name and in a sentence,
//! and which of them are looked at together. How a backend finds what breaks one is in
//! `common/verifying`.

/// One promise. Names are for people and scripts, and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// See [`promise`](Self::promise), as for all of them.
    EventDeliveries,
    /// Looked at for some events only, unless everything is asked for.
    Explained,
    /// Of deliveries.
    DeliveryEvents,
    /// Of deliveries.
    DeliveryEndpoints,
    /// Of deliveries.
    DeliveryStates,
    /// Of deliveries.
    Attempts,
    /// Of unfinished deliveries.
    Payloads,
    /// Of ordered deliveries.
    Order,
    /// Of deliveries.
    Numbers,
    /// Of a store that nodes share.
    OnePlace,
    /// Of a store that nodes share.
    Partitions,
    /// Of attempts.
    AttemptDeliveries,
    /// Of attempts that were asked for.
    AskedFor,
    /// Of endpoints.
    Settings,
    /// Of a store that nodes share.
    Owners,
    /// Of the audit log.
    AuditLog,
}

impl Check {
    /// Every check, in the order of a report.
    pub const ALL: [Self; 16] = [
        Self::EventDeliveries,
        Self::Explained,
        Self::DeliveryEvents,
        Self::DeliveryEndpoints,
        Self::DeliveryStates,
        Self::Attempts,
        Self::Payloads,
        Self::Order,
        Self::Numbers,
        Self::OnePlace,
        Self::Partitions,
        Self::AttemptDeliveries,
        Self::AskedFor,
        Self::Settings,
        Self::Owners,
        Self::AuditLog,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventDeliveries => "event-deliveries",
            Self::Explained => "explained",
            Self::DeliveryEvents => "delivery-events",
            Self::DeliveryEndpoints => "delivery-endpoints",
            Self::DeliveryStates => "delivery-states",
            Self::Attempts => "attempts",
            Self::Payloads => "payloads",
            Self::Order => "order",
            Self::Numbers => "numbers",
            Self::OnePlace => "one-place",
            Self::Partitions => "partitions",
            Self::AttemptDeliveries => "attempt-deliveries",
            Self::AskedFor => "asked-for",
            Self::Settings => "settings",
            Self::Owners => "owners",
            Self::AuditLog => "audit-log",
        }
    }

    /// What must be true.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::EventDeliveries => "every event has all the deliveries that it was accepted with",
            Self::Explained => "every endpoint that wanted an event when it was accepted has a delivery of it",
            Self::DeliveryEvents => "every delivery is of an event that is there",
            Self::DeliveryEndpoints => "every delivery goes to an endpoint that is known",
            Self::DeliveryStates => "every delivery has an attempt to come, or has ended and says when",
            Self::Attempts => "the attempts of every delivery are numbered from 1 to their count",
            Self::Payloads => "the payload of every unfinished delivery is there",
            Self::Order => "of an endpoint's deliveries with one order key the first is due, and no other",
            Self::Numbers => "no two deliveries of an endpoint have one number",
            Self::OnePlace => "no delivery is both unfinished and finished",
            Self::Partitions => "every unfinished delivery is in the partition of its endpoint",
            Self::AttemptDeliveries => "every attempt is of a delivery that is there",
            Self::AskedFor => "every attempt that was asked for is of a delivery that is there",
            Self::Settings => "every endpoint has the settings of its version",
            Self::Owners => "every partition has one lease, and one owner who is there or none",
            Self::AuditLog => "every entry of the audit log is as it was written",
        }
    }

    /// Whether it is only about stores that several nodes share.
    pub const fn is_of_shared(self) -> bool {
        matches!(self, Self::OnePlace | Self::Partitions | Self::Owners)
    }

    /// With which others it is looked at; `None` for the audit log, which is read in
    /// its own way.
    pub(super) const fn walk(self) -> Option<Walk> {
        match self {
            Self::EventDeliveries | Self::Explained => Some(Walk::Events),
            Self::DeliveryEvents
            | Self::DeliveryEndpoints
            | Self::DeliveryStates
            | Self::Attempts
            | Self::Payloads
            | Self::Order
            | Self::Numbers
            | Self::OnePlace
            | Self::Partitions => Some(Walk::Deliveries),
            Self::AttemptDeliveries => Some(Walk::Attempts),
            Self::AskedFor => Some(Walk::AskedFor),
            Self::Settings => Some(Walk::Endpoints),
            Self::Owners => Some(Walk::Owners),
            Self::AuditLog => None,
        }
    }
}

/// Rows that are walked over by their keys, and looked at by several checks on the way:
/// reading them is what takes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Walk {
    /// All events.
    Events,
    /// All deliveries.
    Deliveries,
    /// The deliveries that attempts say they are of.
    Attempts,
    /// The deliveries that an attempt was asked for.
    AskedFor,
    /// All endpoints.
    Endpoints,
    /// All partitions: a few rows, looked at once.
    Owners,
}

impl Walk {
    /// Every walk.
    pub const ALL: [Self; 6] =
        [Self::Events, Self::Deliveries, Self::Attempts, Self::AskedFor, Self::Endpoints, Self::Owners];

    /// What it goes over.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
            Self::AskedFor => "attempts asked for",
            Self::Endpoints => "endpoints",
            Self::Owners => "partitions",
        }
    }

    /// Whether its keys say when something came in: what is older can be left out.
    pub(super) const fn has_a_past(self) -> bool {
        matches!(self, Self::Events | Self::Deliveries | Self::Attempts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_a_sentence() {
        let names: BTreeSet<&str> = Check::ALL.iter().map(|check| check.name()).collect();
        assert_eq!(names.len(), Check::ALL.len());
        assert!(Check::ALL.is_sorted(), "in the order in which they are declared");
        for check in Check::ALL {
            assert!(check.promise().len() > 20 && !check.promise().ends_with('.'), "{check:?}");
        }
    }

    #[test]
    fn every_walk_has_something_to_look_at() {
        for walk in Walk::ALL {
            assert!(Check::ALL.iter().any(|check| check.walk() == Some(walk)), "{walk:?}");
        }
    }
}
