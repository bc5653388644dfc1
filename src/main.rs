//! The binary: logging, then the command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What is logged when `RUST_LOG` says nothing. A receiver with a bad
/// certificate or an oversized head makes its libraries log errors; those are
/// the partner's to see, in the attempt, not the operator's.
const DEFAULT_FILTER: &str = "info,actix_http=off,actix_server=warn,rustls_platform_verifier=off,hickory_resolver=off";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(DEFAULT_FILTER))
        .format_timestamp_millis()
        .init();
    posthaste::cli::run(std::env::args_os())
}
