//! What comes in and who answers: the curve of a day, and groups of endpoints
//! that work or fail together. What becomes of a delivery is `simulation`'s.

use fastrand::Rng;

use crate::options::Options;
use crate::random::exponential;

pub const DAY_SECONDS: u64 = 86_400;
/// The hour at which a day is busiest.
const PEAK_HOUR: f64 = 14.0;
/// Flaky endpoints are simulated as this many groups, each with outages of its
/// own: a hundred thousand would look the same and take longer.
const FLAKY_GROUPS: u32 = 32;

/// How the load of a second compares with the day's mean: a bell around the
/// peak, narrower the higher it is.
pub struct Curve {
    exponent: f64,
    peak_factor: f64,
}

impl Curve {
    /// The curve whose highest point is `peak_factor` times its mean.
    pub fn new(peak_factor: f64) -> Self {
        // The mean of the bell falls with its exponent, so halving finds it.
        let (mut low, mut high) = (0.0, 2_000.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if 1.0 / bell_mean(middle) < peak_factor { low = middle } else { high = middle }
        }
        Self { exponent: low, peak_factor }
    }

    pub fn at(&self, second: u64) -> f64 {
        let hour = (second % DAY_SECONDS) as f64 / 3_600.0;
        bell(self.exponent, (hour - PEAK_HOUR) / 24.0) * self.peak_factor
    }
}

/// 1 at the peak; `turn` counts days from it.
fn bell(exponent: f64, turn: f64) -> f64 {
    f64::midpoint(1.0, (std::f64::consts::TAU * turn).cos()).powf(exponent)
}

fn bell_mean(exponent: f64) -> f64 {
    let points = 4_320;
    (0..points).map(|point| bell(exponent, f64::from(point) / f64::from(points))).sum::<f64>() / f64::from(points)
}

/// When a group of endpoints fails.
enum Failing {
    Never,
    Always,
    Once { from_second: u64, to_second: u64 },
    Outages { next: u64, length: u64, mean_wait: f64 },
}

/// Endpoints that work and fail together.
pub struct Group {
    pub endpoints: f64,
    /// Its part of what the groups before it in the list have left over.
    pub share_of_rest: f64,
    failing: Failing,
}

impl Group {
    /// Whether it fails in this second; asked once for each, in order.
    pub fn fails(&mut self, second: u64, rng: &mut Rng) -> bool {
        match &mut self.failing {
            Failing::Never => false,
            Failing::Always => true,
            Failing::Once { from_second, to_second } => (*from_second..*to_second).contains(&second),
            Failing::Outages { next, length, mean_wait } => {
                if second >= *next + *length {
                    *next = second + 1 + exponential(rng, *mean_wait) as u64;
                }
                second >= *next
            }
        }
    }
}

/// All endpoints, in groups.
pub fn groups(options: &Options, rng: &mut Rng) -> Vec<Group> {
    let last_day = u64::from(options.days - 1) * DAY_SECONDS;
    let outage_begins = last_day + (options.mass_outage_at_hour * 3_600.0) as u64;
    let outage_seconds = (options.mass_outage_minutes * 60.0) as u64;
    let mut shares = vec![
        (options.dead_share, Failing::Always),
        (
            options.mass_outage_share,
            Failing::Once { from_second: outage_begins, to_second: outage_begins + outage_seconds },
        ),
    ];
    let length = ((options.outage_minutes * 60.0) as u64).max(1);
    let mean_wait = DAY_SECONDS as f64 / options.outages_per_day - length as f64;
    for _ in 0..FLAKY_GROUPS {
        let next = exponential(rng, mean_wait) as u64;
        shares.push((options.flaky_share / f64::from(FLAKY_GROUPS), Failing::Outages { next, length, mean_wait }));
    }
    shares.retain(|(share, _)| *share > 0.0);
    let failing: f64 = shares.iter().map(|(share, _)| share).sum();
    shares.push(((1.0 - failing).max(0.0), Failing::Never));

    let mut rest = 1.0;
    let last = shares.len() - 1;
    let mut groups = Vec::new();
    for (index, (share, failing)) in shares.into_iter().enumerate() {
        let share_of_rest = if index == last { 1.0 } else { (share / rest).clamp(0.0, 1.0) };
        groups.push(Group { endpoints: share * options.endpoints as f64, share_of_rest, failing });
        rest -= share;
    }
    groups
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_day_has_its_mean_and_its_peak() {
        for peak_factor in [1.0, 1.5, 2.0, 4.0, 10.0] {
            let curve = Curve::new(peak_factor);
            let day: Vec<f64> = (0..DAY_SECONDS).map(|second| curve.at(second)).collect();
            let mean = day.iter().sum::<f64>() / DAY_SECONDS as f64;
            let peak = day.iter().copied().fold(0.0, f64::max);
            assert!((mean - 1.0).abs() < 0.01, "mean of {peak_factor}: {mean}");
            assert!((peak / peak_factor - 1.0).abs() < 0.01, "peak of {peak_factor}: {peak}");
        }
    }

    #[test]
    fn flaky_endpoints_are_down_as_long_as_was_asked_for() {
        let options = Options::parse_from([
            "scaling",
            "--dead-share",
            "0",
            "--flaky-share",
            "1",
            "--outages-per-day",
            "10",
            "--outage-minutes",
            "30",
        ]);
        let mut rng = Rng::with_seed(3);
        let mut groups = groups(&options, &mut rng);
        groups.pop();
        let seconds = 10 * DAY_SECONDS;
        let mut down = 0;
        for second in 0..seconds {
            down += groups.iter_mut().filter_map(|group| group.fails(second, &mut rng).then_some(())).count();
        }
        let share = down as f64 / (seconds as f64 * f64::from(FLAKY_GROUPS));
        assert!((share - 10.0 * 30.0 / 1_440.0).abs() < 0.02, "{share}");
    }

    #[test]
    fn groups_are_all_endpoints() {
        let options = Options::parse_from(["scaling", "--mass-outage-share", "0.3"]);
        let total: f64 = groups(&options, &mut Rng::with_seed(1)).iter().map(|group| group.endpoints).sum();
        assert!((total - 10_000.0).abs() < 1e-6, "{total}");
    }
}
