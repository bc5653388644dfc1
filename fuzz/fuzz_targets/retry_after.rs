//! `Retry-After` as receivers send it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| posthaste::transport::fuzzing::retry_after(value));
