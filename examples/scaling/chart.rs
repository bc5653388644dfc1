//! The last day as a picture of letters: attempts of each hour, first ones and
//! retries.

use crate::simulation::{Counts, Minute};

const WIDTH: f64 = 56.0;

pub fn chart(minutes: &[Minute]) -> String {
    let hours: Vec<(f64, f64)> = minutes.chunks(60).map(rates).collect();
    let most = hours.iter().map(|(first, retries)| first + retries).fold(0.0, f64::max);
    let mut lines = String::from("Attempts a second, each hour of the last day: █ first, ░ retries\n");
    for (hour, (first, retries)) in hours.iter().enumerate() {
        let end_of_first = columns(*first, most);
        // Rounded together, so that a bar's length is its total's.
        let end = columns(first + retries, most);
        let bar = "█".repeat(end_of_first) + &"░".repeat(end - end_of_first);
        lines.push_str(&format!("  {hour:02}  {bar:<width$}  {first:>7.0} + {retries:<.0}\n", width = WIDTH as usize));
    }
    lines
}

fn columns(rate: f64, most: f64) -> usize {
    if most > 0.0 { (rate / most * WIDTH).round() as usize } else { 0 }
}

/// First attempts and retries a second.
pub fn rates(minutes: &[Minute]) -> (f64, f64) {
    let mut counts = Counts::default();
    for minute in minutes {
        counts.add(&minute.counts);
    }
    let seconds = minutes.len() as f64 * 60.0;
    (counts.first_attempts as f64 / seconds, counts.retries as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_hour_fills_the_width_and_an_empty_one_nothing() {
        let minute = |first_attempts, retries| Minute {
            counts: Counts { first_attempts, retries, ..Counts::default() },
            waiting: 0,
            endpoints_waiting: 0.0,
        };
        let day = [vec![minute(300, 300); 60], vec![minute(0, 0); 60]].concat();
        let text = chart(&day);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines[0].matches('█').count(), 28);
        assert_eq!(lines[0].matches('░').count(), 28);
        assert!(lines[0].ends_with("5 + 5"), "{}", lines[0]);
        assert!(!lines[1].contains(['█', '░']), "{}", lines[1]);
    }
}
