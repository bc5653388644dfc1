//! `posthaste serve`: runs a node until it is told to stop.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::app::{App, AppError, Copies};
use crate::auth::ApiKey;
use crate::clock::Clock;
use crate::config::{Config, OptionArgs};

/// What `serve` is told.
#[derive(Args)]
pub struct ServeArgs {
    /// Every option of the configuration.
    #[command(flatten)]
    pub options: OptionArgs,
    /// On a store that was restored from a backup: send what waits in it at once. Without
    /// this such a node starts held.
    #[arg(long)]
    pub release: bool,
}

/// Runs a node.
pub fn run(arguments: ServeArgs) -> Result<(), Box<dyn Error>> {
    let config = Config::load(arguments.options)?;
    let copies = if arguments.release { Copies::Release } else { Copies::Hold };
    let served = actix_rt::System::new().block_on(async move {
        // Caught before anything starts: a signal in between stops cleanly, too.
        let stop = super::stop_signal()?;
        let app = App::start_as(config, Clock::system(), copies).await?;
        if let Some(key) = app.first_key() {
            println!("{}", welcome(key, app.scheme(), app.address()));
        }
        app.run_until(stop).await
    });
    Ok::<(), AppError>(served?)?;
    Ok(())
}

/// What the first start says, once.
fn welcome(key: &ApiKey, scheme: &str, address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    let base = format!("{scheme}://{}", SocketAddr::new(host, address.port()));
    format!(
        "\nThis is a new store. Its operator key, shown this once:\n\n  {key}\n\nTry it:\n\n  \
         curl {base}/event-types -H 'Authorization: Bearer {key}'\n",
        key = key.reveal()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted() {
        let key = ApiKey::generate().expect("the system has randomness");
        let printed = |scheme, address: &str| welcome(&key, scheme, address.parse().expect("an address"));
        assert!(
            printed("http", "0.0.0.0:8080")
                .contains("curl http://127.0.0.1:8080/event-types -H 'Authorization: Bearer")
        );
        assert!(printed("https", "10.0.0.7:8443").contains("curl https://10.0.0.7:8443/event-types"));
    }
}
