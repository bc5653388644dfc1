//! Ids, cursors, names, times and patterns, as they stand in paths and queries.

#![no_main]

use libfuzzer_sys::fuzz_target;
use posthaste::domain::{
    DeliveryId, EndpointId, EventId, EventType, KeyId, NodeId, PartnerName, Timestamp, TypePattern,
};

macro_rules! reads_as_shown {
    ($text:expr, $($type:ty),*) => {
        $(if let Ok(id) = $text.parse::<$type>() {
            assert_eq!(id.to_string().parse::<$type>().expect("what is shown can be read"), id);
        })*
    };
}

fuzz_target!(|text: &str| {
    reads_as_shown!(text, DeliveryId, EndpointId, EventId, KeyId, NodeId);
    reads_as_shown!(text, PartnerName, EventType, TypePattern);
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse::<Timestamp>().expect("what is shown can be read"), time);
    }
});
