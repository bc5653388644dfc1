//! Bodies of `POST` and `PATCH /webhook`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| posthaste::routes::fuzzing::settings(body));
