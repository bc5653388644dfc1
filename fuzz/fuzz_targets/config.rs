//! Configuration files: understood, or refused with a line that is there.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use posthaste::config::{Config, OptionArgs};

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("posthaste-fuzz-{}.toml", std::process::id())));

fuzz_target!(|text: &[u8]| {
    std::fs::write(&*FILE, text).expect("the temporary directory can be written");
    if let Err(error) = Config::load(OptionArgs { config: Some(FILE.clone()), ..OptionArgs::default() }) {
        assert!(!error.to_string().is_empty());
    }
});
