//! URLs that a partner registers, and whether they are dialled where they seem to lead.

#![no_main]

use libfuzzer_sys::fuzz_target;
use posthaste::domain::Environment;
use posthaste::policy::address::AddressPolicy;

fuzz_target!(|text: &str| {
    let policy = AddressPolicy::new(Vec::new());
    for environment in [Environment::Production, Environment::Sandbox] {
        if let Ok(url) = policy.check_url(text, environment) {
            // What is kept is read as the same again, and says no more than it shows.
            let again = policy.check_url(url.as_str(), environment).expect("a normalised URL is one");
            assert_eq!(again.as_str(), url.as_str());
            assert_eq!((again.port(), again.is_https()), (url.port(), url.is_https()));
        }
    }
});
