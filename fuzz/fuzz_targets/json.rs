//! The strict reader of JSON: what it takes, every reader takes, and reads alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use posthaste::catalog::read_json;

fuzz_target!(|body: &[u8]| {
    if let Ok(value) = read_json(body) {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(body).expect("it is JSON"), value);
        let printed = value.to_string();
        assert_eq!(read_json(printed.as_bytes()).expect("what was read can be read"), value);
    }
});
