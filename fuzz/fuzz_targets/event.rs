//! Events against the shipped catalogs: let in, or refused with places that are there.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use posthaste::catalog::{Catalog, shipped};

static CATALOG: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::compile(shipped()).expect("the shipped catalogs are sound"));

fuzz_target!(|body: &[u8]| {
    match CATALOG.recognise(body) {
        Ok(recognised) => assert!(CATALOG.get(&recognised.event_type).is_some()),
        Err(refusal) => {
            for error in refusal.field_errors() {
                assert!(error.pointer.is_empty() || error.pointer.starts_with('/'));
                assert!(!error.detail.is_empty() && error.detail.len() < 4_096);
            }
        }
    }
});
