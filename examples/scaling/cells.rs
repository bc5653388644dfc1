//! More than one database can carry: cells, each a whole cluster of its own,
//! and who of the partners lives in which. A partner is in one cell alone, so
//! nothing is shared between them.
//!
//! A partner's cell is the one whose name and the partner's hash highest
//! together (rendezvous hashing): whoever knows the list of cells knows the
//! place of every partner, and a new cell takes partners only to itself. Hashing
//! knows nothing of size, so the largest may be placed by hand, in a list that
//! is looked at first.

use std::hash::Hasher;

use serde::Serialize;
use siphasher::sip::SipHasher13;

use crate::capacity::{Day, Plan};
use crate::options::Options;

/// More cells than this are not looked for.
const MOST_CELLS: usize = 64;

/// How a number of cells shares the load.
#[derive(Debug, Clone, Serialize)]
pub struct Cells {
    pub count: usize,
    /// The load of the fullest cell over the mean, by hashing alone.
    pub unevenness_hashed: f64,
    /// The same with the largest placed by hand.
    pub unevenness_placed: f64,
    pub partners_fewest: usize,
    pub partners_most: usize,
    /// The share of all load that the fullest cell has, and its plan.
    pub fullest_share: f64,
    pub fullest: Plan,
    pub largest_partner_share: f64,
    /// Partners that move when one more cell is added, and their share of the
    /// load, by hashing alone.
    pub partners_moved: usize,
    pub load_moved: f64,
    /// Whether the fullest cell is within every limit.
    pub is_enough: bool,
}

/// The fewest cells in which each is within its limits, or the most that were
/// tried.
pub fn cells(day: &Day, options: &Options) -> Cells {
    let weights = weights(options.partners, options.zipf_exponent);
    let fits = |count: usize| {
        let loads = loads(&placed(&weights, count, options.placed_by_hand), &weights, count);
        Plan::of(&day.scaled(largest(&loads)), options).is_enough()
    };
    let count = (1..MOST_CELLS).find(|count| fits(*count)).unwrap_or(MOST_CELLS);
    described(count, &weights, day, options)
}

fn described(count: usize, weights: &[f64], day: &Day, options: &Options) -> Cells {
    let hashed = placed(weights, count, 0);
    let by_hand = placed(weights, count, options.placed_by_hand);
    let mut partners = vec![0; count];
    for cell in &by_hand {
        partners[*cell] += 1;
    }
    let fullest_share = largest(&loads(&by_hand, weights, count));
    let fullest = Plan::of(&day.scaled(fullest_share), options);
    let next = placed(weights, count + 1, 0);
    let moved: Vec<usize> = (0..weights.len()).filter(|partner| hashed[*partner] != next[*partner]).collect();
    Cells {
        count,
        unevenness_hashed: largest(&loads(&hashed, weights, count)) * count as f64,
        unevenness_placed: fullest_share * count as f64,
        partners_fewest: partners.iter().copied().min().unwrap_or(0),
        partners_most: partners.iter().copied().max().unwrap_or(0),
        fullest_share,
        is_enough: fullest.is_enough(),
        fullest,
        largest_partner_share: largest(weights),
        partners_moved: moved.len(),
        load_moved: moved.iter().map(|partner| weights[*partner]).sum(),
    }
}

/// Each partner's share of the load, largest first: Zipf's distribution.
fn weights(partners: u32, exponent: f64) -> Vec<f64> {
    let raw: Vec<f64> = (1..=partners).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / total).collect()
}

/// The cell that wins a partner's name.
fn cell_of(partner: &str, cells: usize) -> usize {
    (0..cells).max_by_key(|cell| score(&format!("cell-{cell}"), partner)).unwrap_or(0)
}

fn score(cell: &str, partner: &str) -> u64 {
    // Keys that never change: every router has to come to the same answer.
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(cell.as_bytes());
    hasher.write_u8(0);
    hasher.write(partner.as_bytes());
    hasher.finish()
}

/// The cell of each partner: by hash, and then the largest, one after another,
/// in the cell that is emptiest without them.
fn placed(weights: &[f64], cells: usize, by_hand: usize) -> Vec<usize> {
    let mut places: Vec<usize> =
        (0..weights.len()).map(|partner| cell_of(&format!("partner-{partner}"), cells)).collect();
    let by_hand = by_hand.min(weights.len());
    let mut loads = vec![0.0; cells];
    for partner in by_hand..weights.len() {
        loads[places[partner]] += weights[partner];
    }
    for partner in 0..by_hand {
        let emptiest = (0..cells).min_by(|one, other| loads[*one].total_cmp(&loads[*other])).unwrap_or(0);
        places[partner] = emptiest;
        loads[emptiest] += weights[partner];
    }
    places
}

fn loads(places: &[usize], weights: &[f64], cells: usize) -> Vec<f64> {
    let mut loads = vec![0.0; cells];
    for (place, weight) in places.iter().zip(weights) {
        loads[*place] += weight;
    }
    loads
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_new_cell_takes_partners_only_to_itself(partner in "[a-z0-9-]{1,40}", cells in 1..40_usize) {
            let (before, after) = (cell_of(&partner, cells), cell_of(&partner, cells + 1));
            prop_assert!(after == before || after == cells, "{} went from {} to {}", partner, before, after);
        }

        #[test]
        fn shares_are_a_whole_and_shrink(partners in 1..2_000_u32, exponent in 0.0..2.0_f64) {
            let weights = weights(partners, exponent);
            prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(weights.is_sorted_by(|larger, smaller| larger >= smaller));
        }
    }

    #[test]
    fn a_new_cell_takes_its_share_and_no_more() {
        let weights = weights(20_000, 0.0);
        for cells in [1, 4, 9] {
            let (before, after) = (placed(&weights, cells, 0), placed(&weights, cells + 1, 0));
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count() as f64;
            let fair = 20_000.0 / (cells + 1) as f64;
            assert!((moved / fair - 1.0).abs() < 0.1, "{cells}: {moved} moved, {fair} expected");
        }
    }

    #[test]
    fn equal_partners_are_spread_evenly() {
        let weights = weights(20_000, 0.0);
        let most = largest(&loads(&placed(&weights, 8, 0), &weights, 8)) * 8.0;
        assert!(most < 1.1, "{most}");
    }

    #[test]
    fn placing_the_largest_by_hand_evens_the_load() {
        let weights = weights(1_000, 1.0);
        // With more cells the largest partner alone is almost a cell's share.
        for cells in 2..6 {
            let unevenness =
                |by_hand| largest(&loads(&placed(&weights, cells, by_hand), &weights, cells)) * cells as f64;
            assert!(unevenness(20) <= unevenness(0), "{cells} cells: {} and {}", unevenness(20), unevenness(0));
            assert!(unevenness(20) < 1.2, "{cells} cells: {}", unevenness(20));
        }
    }
}
