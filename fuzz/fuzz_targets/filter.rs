//! An endpoint's filter and an event that it looks at, on a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use posthaste::catalog::{Filter, read_json};

fuzz_target!(|text: &[u8]| {
    let mut halves = text.splitn(2, |byte| *byte == b'\n');
    let Some(Ok(schema)) = halves.next().map(read_json) else { return };
    let Ok(kept) = Filter::checked(&schema) else { return };
    let filter = Filter::compile(&kept.schema()).expect("what was checked can be used");
    if let Some(Ok(event)) = halves.next().map(read_json) {
        assert_eq!(filter.accepts(&event), filter.objections(&event).is_empty());
    }
});
