//! Who gets which event: partners that are posted to in turn, each with as many
//! endpoints that want everything. Endpoints are numbered through, so that the
//! number in a URL says whose it is, and what comes to the wrong one is noticed.

/// A partner that is not the store's own, before its number.
const NAME: &str = "bench-";
/// Digits of that number: as many in every name, so that a request's length does
/// not depend on it.
pub const NAME_DIGITS: usize = 6;

/// The subscribers of one measurement.
#[derive(Debug, Clone, Copy)]
pub struct Audience {
    /// Event *n* is posted to partner *n* modulo this. A single partner is the
    /// one that every store has.
    pub partners: usize,
    /// Endpoints of each partner that want every event.
    pub fan_out: usize,
    /// Partners whose deliveries count, the first ones; the rest is there to be
    /// a burden.
    pub counted: usize,
}

impl Audience {
    /// Endpoints of the partner that every store has.
    pub fn of_default_partner(fan_out: usize) -> Self {
        Self { partners: 1, fan_out, counted: 1 }
    }

    /// Partners with an endpoint each.
    pub fn of_partners(partners: usize) -> Self {
        Self { partners, fan_out: 1, counted: partners }
    }

    /// Endpoints in all.
    pub fn endpoints(self) -> usize {
        self.partners * self.fan_out
    }

    /// Whose event this is.
    pub fn partner_of(self, sequence: usize) -> usize {
        sequence % self.partners
    }

    /// Whether an event's deliveries are among those that count.
    pub fn counts(self, sequence: usize) -> bool {
        self.partner_of(sequence) < self.counted
    }

    /// Which of its partner's endpoints this is; `None` if the event is not for it.
    pub fn place(self, sequence: usize, endpoint: usize) -> Option<usize> {
        (endpoint / self.fan_out == self.partner_of(sequence)).then_some(endpoint % self.fan_out)
    }

    /// A partner's name; `None` is the store's own partner.
    pub fn name(self, partner: usize) -> Option<String> {
        (self.partners > 1).then(|| partner_name(partner))
    }
}

/// The name of a partner among several.
pub fn partner_name(partner: usize) -> String {
    format!("{NAME}{partner:0NAME_DIGITS$}")
}
