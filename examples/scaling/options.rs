//! What can be asked: the load, its failures, the machines, the cluster. What a
//! unit of work costs is not an option but a measurement: `costs`.

use clap::Parser;
use serde::Serialize;

/// Simulates days of webhook traffic on one PostgreSQL second by second, with
/// the real retry schedule, and says what the last of them needs: nodes,
/// database, disk, what breaks first, how long a takeover takes, and how many
/// clusters (cells) it takes if one is not enough.
#[derive(Debug, Clone, Parser, Serialize)]
#[command(name = "scaling")]
pub struct Options {
    /// Registered endpoints; each gets an equal share of the deliveries
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Load")]
    pub endpoints: u64,
    /// Events a second, the mean over a day
    #[arg(long, default_value_t = 500.0, value_parser = positive, help_heading = "Load")]
    pub events_per_second: f64,
    /// The busiest moment of a day (14:00) over its mean; 1 is an even day
    #[arg(long, default_value_t = 2.0, value_parser = peak, help_heading = "Load")]
    pub peak_factor: f64,
    /// Deliveries that an event has, on average
    #[arg(long, default_value_t = 1.0, value_parser = positive, help_heading = "Load")]
    pub fan_out: f64,
    /// Bytes of an event's body
    #[arg(long, default_value_t = 500.0, value_parser = number, help_heading = "Load")]
    pub body_bytes: f64,
    /// Days that are simulated; the last one is reported. A delivery is retried
    /// for a day, so that the second is the first with its full load of retries
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=30), help_heading = "Load")]
    pub days: u32,

    /// Share of the endpoints that fail all the time
    #[arg(long, default_value_t = 0.01, value_parser = share, help_heading = "Failures")]
    pub dead_share: f64,
    /// Share of the endpoints that have outages
    #[arg(long, default_value_t = 0.02, value_parser = share, help_heading = "Failures")]
    pub flaky_share: f64,
    /// Outages a day of such an endpoint, beginning at random
    #[arg(long, default_value_t = 2.0, value_parser = positive, help_heading = "Failures")]
    pub outages_per_day: f64,
    /// How long such an outage lasts
    #[arg(long, default_value_t = 10.0, value_parser = positive, help_heading = "Failures")]
    pub outage_minutes: f64,
    /// Share of the attempts at a working endpoint that fail nevertheless
    #[arg(long, default_value_t = 0.001, value_parser = share, help_heading = "Failures")]
    pub transient_share: f64,
    /// Share of the endpoints that fail together, once, on the last day
    #[arg(long, default_value_t = 0.0, value_parser = share, help_heading = "Failures")]
    pub mass_outage_share: f64,
    /// The hour of the last day at which they begin to
    #[arg(long, default_value_t = 13.0, value_parser = hour, help_heading = "Failures")]
    pub mass_outage_at_hour: f64,
    /// How long that lasts
    #[arg(long, default_value_t = 60.0, value_parser = positive, help_heading = "Failures")]
    pub mass_outage_minutes: f64,
    /// How long a good attempt takes
    #[arg(long, default_value_t = 50.0, value_parser = positive, help_heading = "Failures")]
    pub delivery_ms: f64,
    /// How long a failing attempt takes, on average: nothing where connections
    /// are refused, the endpoint's whole timeout where it hangs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=300), help_heading = "Failures")]
    pub failing_seconds: u64,

    /// Cores of a node
    #[arg(long, default_value_t = 4.0, value_parser = positive, help_heading = "Machines")]
    pub node_cores: f64,
    /// Attempts that a node may have in flight (`max_in_flight`)
    #[arg(long, default_value_t = 2_048.0, value_parser = positive, help_heading = "Machines")]
    pub node_in_flight: f64,
    /// Connections a node reads with (`readers`)
    #[arg(long, default_value_t = 4, help_heading = "Machines")]
    pub readers: u32,
    /// Cores of the database server
    #[arg(long, default_value_t = 16.0, value_parser = positive, help_heading = "Machines")]
    pub database_cores: f64,
    /// Disk of the database server, TB
    #[arg(long, default_value_t = 16.0, value_parser = positive, help_heading = "Machines")]
    pub disk_tb: f64,
    /// What that disk writes, MB/s
    #[arg(long, default_value_t = 500.0, value_parser = positive, help_heading = "Machines")]
    pub disk_mb_per_second: f64,
    /// How long that disk takes for a flush
    #[arg(long, default_value_t = 0.5, value_parser = positive, help_heading = "Machines")]
    pub flush_ms: f64,
    /// PostgreSQL's `max_connections`, or the pooler's to it
    #[arg(long, default_value_t = 200, help_heading = "Machines")]
    pub max_connections: u32,
    /// Share of a machine that may be used at the busiest minute; the nodes
    /// keep it with one of them lost
    #[arg(long, default_value_t = 0.6, value_parser = positive_share, help_heading = "Machines")]
    pub busy_target: f64,
    /// Days that everything is kept (`retention_days`)
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Machines")]
    pub retention_days: u32,

    /// How long a lease holds
    #[arg(long, default_value_t = 6.0, value_parser = positive, help_heading = "Cluster")]
    pub lease_seconds: f64,
    /// How often it is renewed
    #[arg(long, default_value_t = 2.0, value_parser = positive, help_heading = "Cluster")]
    pub renew_seconds: f64,
    /// How often a node looks for leases that have ended
    #[arg(long, default_value_t = 1.0, value_parser = positive, help_heading = "Cluster")]
    pub look_seconds: f64,
    /// Partitions that the endpoints are spread over
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Cluster")]
    pub partitions: u32,
    /// Hours of the last day at which a node is killed
    #[arg(long, default_values_t = [2.0, 14.0], value_delimiter = ',', value_parser = hour, help_heading = "Cluster")]
    pub kill_at_hours: Vec<f64>,
    /// How many kills are drawn for each of these hours
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Cluster")]
    pub kills: u32,

    /// Partners, who are what is spread over cells
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Cells")]
    pub partners: u32,
    /// How unequal they are: the k-th has a share of 1/k to this power; 0 is equal
    #[arg(long, default_value_t = 0.8, value_parser = number, help_heading = "Cells")]
    pub zipf_exponent: f64,
    /// How many of the largest are placed by hand, each in the emptiest cell
    #[arg(long, default_value_t = 20, help_heading = "Cells")]
    pub placed_by_hand: usize,

    /// Where chance begins: the same seed, the same result
    #[arg(long, default_value_t = 1, help_heading = "Output")]
    pub seed: u64,
    /// Print JSON instead of tables
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

impl Options {
    /// Refuses what each option allows and all together do not.
    pub fn checked(self) -> Result<Self, String> {
        if self.dead_share + self.flaky_share + self.mass_outage_share > 1.0 {
            return Err("dead, flaky and mass outage shares are more than all endpoints".to_owned());
        }
        if self.outages_per_day * self.outage_minutes >= 24.0 * 60.0 {
            return Err("the outages of a flaky endpoint fill more than a day".to_owned());
        }
        if self.renew_seconds >= self.lease_seconds {
            return Err("a lease has to be renewed before it ends".to_owned());
        }
        Ok(self)
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() && number >= 0.0 { Ok(number) } else { Err("a number from 0 is needed".to_owned()) }
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| if number > 0.0 { Ok(number) } else { Err("more than 0 is needed".to_owned()) })
}

fn share(text: &str) -> Result<f64, String> {
    number(text)
        .and_then(|number| if number <= 1.0 { Ok(number) } else { Err("a share is at most 1: 5 % is 0.05".to_owned()) })
}

fn positive_share(text: &str) -> Result<f64, String> {
    positive(text).and_then(|_| share(text))
}

fn peak(text: &str) -> Result<f64, String> {
    number(text).and_then(
        |number| {
            if (1.0..=20.0).contains(&number) { Ok(number) } else { Err("1 to 20 is needed".to_owned()) }
        },
    )
}

fn hour(text: &str) -> Result<f64, String> {
    number(text).and_then(|hour| if hour < 24.0 { Ok(hour) } else { Err("a day has 24 hours".to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_exceed_the_whole_are_refused() {
        let options = Options::parse_from(["scaling", "--dead-share", "0.7", "--flaky-share", "0.4"]);
        assert!(options.checked().is_err());
        assert!(Options::parse_from(["scaling"]).checked().is_ok());
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["1.5", "-0.1", "NaN", "five"] {
            let given = format!("--dead-share={text}");
            assert!(Options::try_parse_from(["scaling", &given]).is_err(), "{text}");
        }
    }
}
