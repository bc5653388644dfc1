//! Whatever order things can happen in: random histories of the model, each step of
//! which is checked against the promises.

use std::time::Duration;

use posthaste::domain::EventOrder;
use proptest::prelude::*;

use super::model::{World, delivered, failed};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_forgotten_or_done_twice(
        concurrency in 1..6_usize,
        lossy: bool,
        happenings in prop::collection::vec((0..44_u8, any::<u16>()), 1..200),
    ) {
        live_through(concurrency, lossy, happenings);
    }
}

fn live_through(concurrency: usize, lossy: bool, happenings: impl IntoIterator<Item = (u8, u16)>) {
    let mut world = World::new(concurrency);
    for (what, choice) in happenings {
        happen(&mut world, what, usize::from(choice), lossy);
    }
    world.calm_down(&failed());
    world.assert_nothing_forgotten();
    world.finish();
    world.assert_nothing_forgotten();
}

/// The commit that gave it its place was durable, and its answer was lost.
#[test]
fn what_was_given_its_place_unheard_is_sent() {
    let mut world = World::new(1);
    world.reorder(Some(EventOrder::Fifo));
    world.calm_down(&delivered());
    world.accept(1);
    world.tell(usize::MAX);
    world.arranged(false);
    world.calm_down(&failed());
    world.assert_nothing_forgotten();
}

/// The news that its outcome was written comes behind the settings that tell of the skip.
#[test]
fn what_is_skipped_before_its_outcome_is_heard_of_is_not_sent_again() {
    let mut world = World::new(1);
    world.calm_down(&delivered());
    world.accept(1);
    world.tell(usize::MAX);
    world.page(0, true);
    world.attempt_ends(0, failed());
    world.write(0);
    world.skip(0);
    world.settings(true);
    world.calm_down(&delivered());
    assert_eq!(world.sent, 1);
}

/// Nobody tells an actor of a skip that has not read any settings yet; the news of the
/// birth comes long after it.
#[test]
fn what_was_skipped_before_any_settings_were_read_is_not_sent() {
    let mut world = World::new(1);
    world.accept(3);
    world.settings(false);
    world.accept(3);
    world.tell(usize::MAX);
    world.skip(5);
    world.calm_down(&delivered());
    world.tell_again(5);
    world.calm_down(&delivered());
    assert_eq!(world.sent, 5);
}

/// The store undoes an order that is wanted again by then, and has been read by it. One
/// of the random histories, as short as it could be made.
#[test]
fn nothing_is_sent_by_an_order_that_is_being_undone() {
    let happenings = [
        (36, 3435),
        (33, 60635),
        (34, 0),
        (0, 0),
        (38, 1),
        (0, 5907),
        (37, 0),
        (11, 649),
        (36, 104),
        (14, 1),
        (14, 1),
        (18, 47491),
        (36, 59287),
        (14, 1),
        (18, 47369),
        (38, 1),
        (18, 16577),
    ];
    live_through(1, false, happenings);
}

fn by(pointer: &str) -> EventOrder {
    EventOrder::By(pointer.parse().expect("a pointer"))
}

fn happen(world: &mut World, what: u8, choice: usize, lossy: bool) {
    match what {
        0..=2 => {
            world.accept(choice % 8);
            world.tell(usize::MAX);
        }
        3 => world.accept(choice % 8),
        4 => world.tell(choice % 4),
        5 => world.tell_out_of_turn(choice),
        6 => world.tell_again(choice),
        7 => {
            world.accept(choice % 4);
            if lossy {
                world.lose_births();
            }
        }
        8 => world.ask(choice, true),
        9 => world.ask(choice, !lossy || !choice.is_multiple_of(3)),
        10 => world.change(!choice.is_multiple_of(3), 1 + choice % 5),
        11 if choice.is_multiple_of(8) => world.sweep(),
        11 => world.die(),
        12 => world.advance(Duration::from_millis(choice as u64 % 300)),
        13 => world.advance(Duration::from_millis(choice as u64)),
        14..=16 => world.settings(!choice.is_multiple_of(8)),
        17 => world.look(choice),
        18..=19 => world.page(choice, !choice.is_multiple_of(8)),
        20..=22 => world.attempt_ends(choice, if choice.is_multiple_of(2) { delivered() } else { failed() }),
        23 => world.attempt_fails_to_begin(choice),
        24 => world.write(choice),
        25..=27 => world.acknowledge(choice),
        28 => world.writing_fails(choice),
        29 => world.rest(),
        30 => world.write_what_was_left_behind(choice),
        31 => world.look_for_new(),
        32 => world.tell_what_is_new(),
        34 => world.accept_for_later(Duration::from_millis(choice as u64 % 4_000), !lossy || choice.is_multiple_of(2)),
        35 => world.skip(choice),
        36 => world.reorder(match choice % 4 {
            0 => None,
            1 => Some(EventOrder::Fifo),
            2 => Some(by("/id")),
            _ => Some(by("/other")),
        }),
        37 => world.arrange(),
        38..=40 => world.arranged(!choice.is_multiple_of(8)),
        41 => world.attempt_expires(choice),
        42..=43 => world.expiry_is_written(choice, !choice.is_multiple_of(4)),
        _ if choice.is_multiple_of(16) => world.drain(),
        _ if choice.is_multiple_of(5) => world.calm_down(&delivered()),
        _ => world.advance(Duration::from_millis(1)),
    }
}
