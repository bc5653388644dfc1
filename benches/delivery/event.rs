//! The event that is posted over and over: 500 bytes that differ in nothing but
//! a number of fixed width, so that a request is made once and then only its
//! digits change, and the sink can tell by comparing bytes which event came and
//! whether it came unaltered.

use bytes::Bytes;

/// Length of an event.
pub const EVENT_BYTES: usize = 500;
/// Its type.
pub const EVENT_TYPE: &str = "campaign.updated";

const BEFORE_ID: &str = r#"{"event":"campaign.updated","provider":"facebook","type":"link_clicks","id":"#;
const AFTER_ID: &str = concat!(
    r#","reason":"end_date_changed","status":"ACTIVE","metadata":{"previous_end_date":"2025-03-14","#,
    r#""end_date":"2025-03-31","name":"Spring tour, second leg","budget":{"currency":"EUR","daily_cents":4500,"#,
    r#""spent_cents":58730},"audience":{"countries":["DE","FR","NL"],"age_min":18,"age_max":44},"note":""#,
);
const END: &str = r#""}}"#;

const ID_DIGITS: usize = 8;
/// The id of event 0: an integer in JSON has no leading zeros.
const FIRST_ID: u64 = 10_000_000;
/// Most events that have an id each.
pub const MAX_EVENTS: usize = 90_000_000;

/// The event's bytes around its id.
pub struct Template {
    after_id: String,
}

impl Template {
    /// The event, filled up to its length.
    pub fn new() -> Self {
        let filler = EVENT_BYTES - BEFORE_ID.len() - ID_DIGITS - AFTER_ID.len() - END.len();
        let note: String = "Extended by two weeks at the label's request. ".chars().cycle().take(filler).collect();
        Self { after_id: format!("{AFTER_ID}{note}{END}") }
    }

    /// A request body of `count` events, one a line; [`number`] gives each its id.
    pub fn body(&self, count: usize) -> Vec<u8> {
        let event = format!("{BEFORE_ID}{FIRST_ID}{}", self.after_id);
        vec![event; count].join("\n").into_bytes()
    }

    /// The bytes of one event.
    pub fn event(&self, sequence: usize) -> Bytes {
        let mut body = self.body(1);
        number(&mut body, sequence);
        body.into()
    }

    /// Which event a delivered body is; `None` if it is none, or was altered.
    pub fn sequence(&self, body: &[u8]) -> Option<usize> {
        let rest = body.strip_prefix(BEFORE_ID.as_bytes())?;
        let (digits, after_id) = rest.split_at_checked(ID_DIGITS)?;
        if after_id != self.after_id.as_bytes() {
            return None;
        }
        let mut id = 0;
        for digit in digits {
            id = id * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        usize::try_from(id.checked_sub(FIRST_ID)?).ok()
    }
}

/// Numbers the events of a body made by [`Template::body`], from `first` on.
pub fn number(body: &mut [u8], first: usize) {
    for (id, event) in (FIRST_ID + first as u64..).zip(body.chunks_mut(EVENT_BYTES + 1)) {
        write_digits(&mut event[BEFORE_ID.len()..][..ID_DIGITS], id);
    }
}

/// Writes a number over digits, with as many zeros before it as there is room for.
pub fn write_digits(digits: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}
