//! Chance: how many of many, without asking each of them. Exact for few, by the
//! normal distribution for many; what is drawn is always possible.

use fastrand::Rng;

/// Below this mean (or number of trials) each is asked.
const FEW: f64 = 30.0;

/// How many happen, of what happens `mean` times on average.
pub fn poisson(rng: &mut Rng, mean: f64) -> u64 {
    if mean > FEW {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    let end = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > end {
        product *= rng.f64();
        count += 1;
    }
    count
}

/// How many of `trials` succeed, each with this chance.
pub fn binomial(rng: &mut Rng, trials: u64, chance: f64) -> u64 {
    if trials == 0 || chance <= 0.0 {
        return 0;
    }
    if chance >= 1.0 {
        return trials;
    }
    if (trials as f64) <= FEW {
        return (0..trials).filter(|_| rng.f64() < chance).count() as u64;
    }
    if chance > 0.5 {
        return trials - binomial(rng, trials, 1.0 - chance);
    }
    let mean = trials as f64 * chance;
    // Rare among many: the two distributions are one.
    if mean < FEW {
        return poisson(rng, mean).min(trials);
    }
    let drawn = mean + (mean * (1.0 - chance)).sqrt() * normal(rng);
    (drawn.round().max(0.0) as u64).min(trials)
}

/// A wait for what happens once in `mean` on average, whenever it last did.
pub fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    // A draw from 0 up to, not including, 1: the logarithm's argument is never 0.
    -mean * (1.0 - rng.f64()).ln()
}

fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(mut draw: impl FnMut() -> f64) -> f64 {
        (0..20_000).map(|_| draw()).sum::<f64>() / 20_000.0
    }

    #[test]
    fn means_are_what_was_asked_for() {
        let mut rng = Rng::with_seed(7);
        for wanted in [0.1, 3.0, 29.0, 31.0, 5_000.0] {
            let seen = mean(|| poisson(&mut rng, wanted) as f64);
            assert!((seen / wanted - 1.0).abs() < 0.05, "poisson {wanted}: {seen}");
            let seen = mean(|| exponential(&mut rng, wanted));
            assert!((seen / wanted - 1.0).abs() < 0.05, "exponential {wanted}: {seen}");
        }
        for (trials, chance) in [(10, 0.3), (100, 0.01), (100, 0.99), (100_000, 0.4), (100_000, 0.0001)] {
            let wanted = trials as f64 * chance;
            let seen = mean(|| binomial(&mut rng, trials, chance) as f64);
            assert!((seen / wanted - 1.0).abs() < 0.05, "{trials} at {chance}: {seen}");
        }
    }

    #[test]
    fn never_more_than_there_are() {
        let mut rng = Rng::with_seed(8);
        for _ in 0..10_000 {
            let (trials, chance) = (rng.u64(0..200), rng.f64());
            assert!(binomial(&mut rng, trials, chance) <= trials);
        }
        assert_eq!(binomial(&mut rng, 90, 1.0), 90);
        assert_eq!(binomial(&mut rng, 90, 0.0), 0);
    }
}
