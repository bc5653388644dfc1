//! The map of all partitions: sixteen rows of sixteen, each with its owner's letter and
//! tint, and a table that says the same.

use maud::{Markup, html};

use crate::dashboard::wire::{Node, Partitions};
use crate::dashboard::words;
use crate::domain::PARTITIONS;

/// Partitions of a row.
const ROW: usize = 16;
/// A partition's width and height, with the gap behind it.
const CELL: usize = 20;
/// Room for the numbers of rows.
const LEFT: usize = 28;
/// Tints that take turns. The letter says whose it is, not the tint.
const TINTS: usize = 5;
/// What nobody owns is known by.
const NOBODY: char = '·';

/// What a node is known by on the page. Beyond 62 nodes letters come again.
pub fn letter(place: usize) -> char {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    char::from(LETTERS[place % LETTERS.len()])
}

/// Whose each partition is, by the place of the node in the list; the last is behind all
/// nodes that are listed.
fn places(nodes: &[Node], owned: &Partitions) -> Vec<Option<usize>> {
    let mut places = vec![None; PARTITIONS];
    for owner in &owned.data {
        let Some(place) = nodes.iter().position(|node| node.id == owner.node) else { continue };
        for partition in &owner.partitions {
            if let Some(slot) = places.get_mut(*partition) {
                *slot = Some(place);
            }
        }
    }
    places
}

/// The map and its table.
pub fn drawn(nodes: &[Node], owned: &Partitions) -> Markup {
    let places = places(nodes, owned);
    let size = ROW * CELL;
    let across: Vec<String> = (0..ROW).map(|column| (LEFT + column * CELL + CELL / 2 - 1).to_string()).collect();
    let across = across.join(" ");
    html! {
        svg.map viewBox={ "0 0 " (LEFT + size) " " (size) } role="img" aria-label="Which node owns each of the 256 partitions; the table below says the same" {
            @for tint in 0..TINTS {
                path class={ "n" (tint) } d=(cells(&places, |place| place.is_some_and(|place| place % TINTS == tint))) {}
            }
            path.nobody d=(cells(&places, |place| place.is_none())) {}
            @for (row, owners) in places.chunks(ROW).enumerate() {
                @let y = row * CELL + CELL - 6;
                text.row x=(LEFT - 6) y=(y) { (row * ROW) }
                text x=(across) y=(y) { (owners.iter().map(|place| place.map_or(NOBODY, letter)).collect::<String>()) }
            }
        }
        details {
            summary { "As a table" }
            div.list {
                table {
                    caption { "Which partitions each node owns." }
                    thead { tr { th scope="col" { "Node" } th.num scope="col" { "How many" } th scope="col" { "Which" } } }
                    tbody {
                        @for (place, node) in nodes.iter().enumerate() {
                            @let owns: Vec<usize> = of(&places, Some(place));
                            tr {
                                td.nowrap { b.letter { (letter(place)) } " " (words::id(&node.id)) }
                                td.num data-l="owns" { (owns.len()) }
                                td.line2 { (ranges(&owns)) }
                            }
                        }
                        @let unowned = of(&places, None);
                        @if !unowned.is_empty() {
                            tr { td { "nobody" } td.num { (unowned.len()) } td.line2 { (ranges(&unowned)) } }
                        }
                    }
                }
            }
        }
    }
}

fn of(places: &[Option<usize>], owner: Option<usize>) -> Vec<usize> {
    places.iter().enumerate().filter(|(_, place)| **place == owner).map(|(partition, _)| partition).collect()
}

/// The squares of those that this is true of, as one path.
fn cells(places: &[Option<usize>], is_meant: impl Fn(Option<usize>) -> bool) -> String {
    let mut path = String::new();
    let side = CELL - 2;
    for (partition, place) in places.iter().enumerate() {
        if is_meant(*place) {
            let (x, y) = (LEFT + partition % ROW * CELL, partition / ROW * CELL);
            path.push_str(&format!("M{x} {y}h{side}v{side}h-{side}z"));
        }
    }
    path
}

/// `0–15, 17`.
fn ranges(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let runs: Vec<String> = runs
        .filter_map(|run| match (run.first()?, run.last()?) {
            (first, last) if first == last => Some(first.to_string()),
            (first, last) => Some(format!("{first}–{last}")),
        })
        .collect();
    if runs.is_empty() { "none".to_owned() } else { runs.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_told_as_one() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0–2, 5, 7–8");
        assert_eq!(ranges(&[]), "none");
    }

    #[test]
    fn a_path_has_a_square_for_each() {
        let places = [Some(0), None, Some(1)];
        assert_eq!(cells(&places, |place| place == Some(1)), "M68 0h18v18h-18z");
        assert_eq!(cells(&places, |place| place == Some(7)), "");
    }

    #[test]
    fn letters_go_on_and_then_come_again() {
        assert_eq!([0, 25, 26, 61, 62].map(letter), ['A', 'Z', 'a', '9', 'A']);
    }
}
