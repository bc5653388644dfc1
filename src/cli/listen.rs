//! `posthaste listen`: a subscriber to point an endpoint at while trying
//! things out. It prints what arrives and fails on request. What is received
//! and how it is answered is `receiver`'s; how it looks is `show`'s.

mod show;

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use futures_util::future::{Either, select};
use tokio::sync::mpsc;

use crate::cli::receiver::{Behaviour, Received, Receiver};
use crate::cli::stop_signal;
use crate::clock::Clock;
use crate::policy::signature::{PublicKey, SigningSecret, VerifyingKey};

/// Requests that wait to be printed; more than these wait for their answers.
const REPORTS: usize = 256;

/// What `posthaste listen` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ListenArgs {
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// Check signatures with this secret; repeat it for several.
    #[arg(long = "secret", value_name = "whsec_…", value_parser = secret)]
    pub secrets: Vec<SigningSecret>,
    /// Check signatures of `v1a` with this public key; repeat it for several.
    #[arg(long = "public-key", value_name = "whpk_…", value_parser = public_key)]
    pub public_keys: Vec<PublicKey>,
    /// Fail the first N requests.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fail: u64,
    /// Fail this part of the requests, from 0 to 1.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub fail_rate: Option<f64>,
    /// What failing requests are answered, 503 if not given; without `--fail`
    /// and `--fail-rate`, every request is answered so.
    #[arg(long, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: Option<u16>,
    /// Wait this long before answering.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay_ms: u64,
    /// Never answer.
    #[arg(long)]
    pub hang: bool,
    /// Print one line for each request.
    #[arg(long)]
    pub quiet: bool,
}

/// What keeps `posthaste listen` from listening.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or is not this machine's.
    #[error("cannot listen on {0}; `--port` and `--address` choose another")]
    Bind(SocketAddr, #[source] io::Error),
    /// The server or the signal handlers.
    #[error("cannot start the receiver")]
    Start(#[source] io::Error),
    /// The terminal is gone, or the disk behind it is full.
    #[error("cannot print what was received")]
    Print(#[source] io::Error),
}

/// Listens and prints until SIGTERM or SIGINT.
pub fn run(arguments: ListenArgs) -> Result<(), ListenError> {
    let address = SocketAddr::new(arguments.address, arguments.port);
    let socket = TcpListener::bind(address).map_err(|error| ListenError::Bind(address, error))?;
    actix_rt::System::new().block_on(async {
        let stop = stop_signal().map_err(ListenError::Start)?;
        listen(arguments, socket, Clock::system(), io::stdout(), stop).await
    })
}

/// Prints what arrives at `socket` to `out`, until `stop` ends or nobody reads
/// `out` any more.
pub async fn listen(
    arguments: ListenArgs,
    socket: TcpListener,
    clock: Clock,
    mut out: impl Write,
    stop: impl Future<Output = ()>,
) -> Result<(), ListenError> {
    let behaviour = arguments.behaviour();
    let opening = opening(&behaviour);
    let (reports, received) = mpsc::channel(REPORTS);
    let secrets = arguments.secrets.into_iter().map(VerifyingKey::from);
    let keys = secrets.chain(arguments.public_keys.into_iter().map(VerifyingKey::from)).collect();
    let receiver = Receiver::start(socket, behaviour, keys, clock, reports).map_err(ListenError::Start)?;
    let layout = if arguments.quiet { show::line } else { show::block };
    let opening = format!("listening on http://{}, answering {opening}\n\n", receiver.address());
    let printed = print_all(received, &mut out, &opening, layout, stop).await;
    receiver.stop().await;
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ListenError::Print(error)),
        _ => Ok(()),
    }
}

async fn print_all(
    mut received: mpsc::Receiver<Received>,
    out: &mut impl Write,
    opening: &str,
    layout: fn(&Received) -> String,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut print = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush());
    print(opening)?;
    let mut stop = pin!(stop);
    while let Either::Left((Some(request), _)) = select(pin!(received.recv()), &mut stop).await {
        print(&layout(&request))?;
    }
    // What came before the signal is shown, if the next one does not come first.
    while let Ok(request) = received.try_recv() {
        print(&layout(&request))?;
    }
    Ok(())
}

impl ListenArgs {
    fn behaviour(&self) -> Behaviour {
        let failure = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        let always = self.status.is_some() && self.fail == 0 && self.fail_rate.is_none();
        Behaviour {
            hang: self.hang,
            delay: Duration::from_millis(self.delay_ms),
            fail_next: self.fail,
            fail_rate: if always { 1.0 } else { self.fail_rate.unwrap_or(0.0) },
            failure: failure.unwrap_or(Behaviour::default().failure),
        }
    }
}

/// A behaviour in words.
fn opening(behaviour: &Behaviour) -> String {
    if behaviour.hang {
        return "nothing at all".to_owned();
    }
    let failure = behaviour.failure.as_u16();
    let mut words = if behaviour.fail_rate >= 1.0 {
        format!("{failure} always")
    } else if behaviour.fail_rate > 0.0 {
        format!("200, but {failure} to {} % of the requests", behaviour.fail_rate * 100.0)
    } else {
        "200".to_owned()
    };
    if behaviour.fail_next > 0 {
        words = format!("{failure} to the first {}, then {words}", behaviour.fail_next);
    }
    if !behaviour.delay.is_zero() {
        words = format!("{words}, after {} ms", behaviour.delay.as_millis());
    }
    words
}

fn secret(text: &str) -> Result<SigningSecret, String> {
    SigningSecret::parse(text).map_err(|error| error.to_string())
}

fn public_key(text: &str) -> Result<PublicKey, String> {
    PublicKey::parse(text).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&rate) { Ok(rate) } else { Err("must be from 0 to 1".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        arguments: ListenArgs,
    }

    fn parsed(words: &str) -> Result<Behaviour, clap::Error> {
        Flags::try_parse_from(words.split_whitespace()).map(|flags| flags.arguments.behaviour())
    }

    #[test]
    fn flags_become_a_behaviour() {
        let said = |words: &str| opening(&parsed(words).unwrap());
        assert_eq!(said("listen"), "200");
        assert_eq!(said("listen --fail 3"), "503 to the first 3, then 200");
        assert_eq!(said("listen --fail 1 --status 410"), "410 to the first 1, then 200");
        assert_eq!(said("listen --status 404"), "404 always");
        assert_eq!(said("listen --fail-rate 0.25"), "200, but 503 to 25 % of the requests");
        assert_eq!(said("listen --delay-ms 40"), "200, after 40 ms");
        assert_eq!(said("listen --hang --fail 1"), "nothing at all");
    }

    #[test]
    fn impossible_flags_are_refused() {
        for wrong in [
            "--fail-rate 1.5",
            "--fail-rate NaN",
            "--status 100",
            "--status 600",
            "--secret abc",
            "--fail -1",
            "--public-key whpk_AAAA",
        ] {
            assert!(parsed(&format!("listen {wrong}")).is_err(), "{wrong}");
        }
    }
}
