//! Doors to what only `fuzz/` calls from outside. Not there in any other build.

use std::time::Duration;

use bytes::Bytes;

use crate::catalog::{Catalog, shipped};
use crate::domain::Environment;
use crate::policy::address::AddressPolicy;
use crate::routes::retry::RetryLimits;
use crate::routes::{ingest, settings};

thread_local! {
    static CATALOG: Catalog = Catalog::compile(shipped()).expect("the shipped catalogs are sound");
}

/// A body of `POST /webhook`, and then of `PATCH /webhook/{id}`.
pub fn settings(body: &[u8]) {
    let Ok(fields) = settings::object(body) else { return };
    let day = Duration::from_secs(86_400);
    let retries = RetryLimits { retries: 30, span: 30 * day, retention: 30 * day };
    let addresses = AddressPolicy::new(Vec::new());
    CATALOG.with(|catalog| {
        let rules = settings::Rules {
            addresses: &addresses,
            catalog,
            environment: Environment::Production,
            retries: &retries,
            for_all_partners: settings::is_for_all_partners(&fields),
        };
        if let Ok((made, _)) = settings::new_endpoint(fields.clone(), &rules) {
            let mut fields = fields;
            fields.shift_remove("secret");
            assert!(settings::changed(made, fields, &rules).is_ok(), "what may be made may be set");
        }
    });
}

/// A body of `POST /events/batch`.
pub fn batch(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    match ingest::lines(&body, usize::MAX) {
        Ok(lines) => {
            let kept: usize = lines.iter().map(Bytes::len).sum();
            let given = body.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
            assert!(kept >= given && lines.iter().all(|line| !line.is_empty() && !line.contains(&b'\n')));
        }
        Err(_) => assert!(body.iter().all(u8::is_ascii_whitespace), "only an empty batch is none"),
    }
}
