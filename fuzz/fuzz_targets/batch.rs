//! The lines of a batch: all that is not empty is there, in order.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| posthaste::routes::fuzzing::batch(body));
