//! Charts, drawn on the server: geometry in attributes, colours by class, and a shape for
//! each meaning beside its colour. What a chart shows stands in words or in a table beside it.
//! Pure.

use std::fmt::Write as _;

use maud::{Markup, html};

/// How high a sparkline is, and how far its bars are apart.
const SPARK_HEIGHT: u64 = 20;
const SPARK_STEP: usize = 4;

/// A small chart of what succeeded, from below, and of what failed, on top of that, with
/// its own words for whoever does not see it.
pub fn sparkline(values: &[(u64, u64)], said: &str) -> Markup {
    let most = values.iter().map(|(succeeded, failed)| succeeded + failed).max().unwrap_or(0);
    let width = values.len() * SPARK_STEP;
    let (mut well, mut ill) = (String::new(), String::new());
    for (place, (succeeded, failed)) in values.iter().enumerate() {
        let x = place * SPARK_STEP;
        let (up, down) = (scaled(*succeeded, most), scaled(*failed, most));
        if up > 0 {
            bar(&mut well, x, SPARK_HEIGHT, 3, up);
        }
        if down > 0 {
            // What failed is to be seen, however little it is.
            bar(&mut ill, x, SPARK_HEIGHT - up.min(SPARK_HEIGHT - down), 3, down);
        }
    }
    html! {
        svg.spark viewBox={ "0 0 " (width) " " (SPARK_HEIGHT) } width=(width) height=(SPARK_HEIGHT) role="img" aria-label=(said) {
            title { (said) }
            @if !well.is_empty() { path.ok d=(well) {} }
            @if !ill.is_empty() { path.no d=(ill) {} }
        }
    }
}

/// A share of the height, at least one where there is anything.
fn scaled(value: u64, most: u64) -> u64 {
    if value == 0 { 0 } else { (u128::from(value) * u128::from(SPARK_HEIGHT) / u128::from(most)).max(1) as u64 }
}

fn bar(path: &mut String, x: usize, base: u64, width: usize, height: u64) {
    // Writing to a text cannot fail.
    let _ = write!(path, "M{x} {base}v-{height}h{width}v{height}z");
}

/// What a tick says by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It delivered: slim.
    Delivered,
    /// It was answered otherwise: broad.
    Refused,
    /// It was not answered: hollow.
    Unanswered,
}

/// An attempt among many.
pub struct Tick {
    pub to: String,
    pub said: String,
    pub shape: Shape,
    pub millis: u64,
}

const TICKS_HEIGHT: u64 = 48;
const TICK_STEP: usize = 6;
/// From here on a tick is as high as it can be.
const HIGHEST_MS: f64 = 60_000.0;

/// Attempts beside each other, the first one first: as high as they took long, on a scale on
/// which ten times as long is always as much higher. There are `room` places, filled from
/// the right.
pub fn ticks(ticks: &[Tick], room: usize, said: &str) -> Markup {
    let width = room * TICK_STEP;
    html! {
        svg.ticks viewBox={ "0 0 " (width) " " (TICKS_HEIGHT) } preserveAspectRatio="none" role="group" aria-label=(said) {
            @for (place, tick) in ticks.iter().enumerate() {
                @let x = (room.saturating_sub(ticks.len()) + place) * TICK_STEP;
                // By the keyboard one goes through the table instead: it says the same.
                a href=(tick.to) tabindex="-1" {
                    title { (tick.said) }
                    (drawn(tick, x))
                }
            }
        }
    }
}

fn drawn(tick: &Tick, x: usize) -> Markup {
    let height = height(tick.millis);
    let (x, width) = if tick.shape == Shape::Delivered { (x + 1, 2) } else { (x, 4) };
    let mut path = String::new();
    bar(&mut path, x, TICKS_HEIGHT, width, height);
    html! {
        @match tick.shape {
            Shape::Delivered => path.ok d=(path) {},
            Shape::Refused => path.no d=(path) {},
            Shape::Unanswered => path.un d=(path) {},
        }
    }
}

fn height(millis: u64) -> u64 {
    let share = (1.0 + millis as f64).ln() / (1.0 + HIGHEST_MS).ln();
    3 + (share.min(1.0) * (TICKS_HEIGHT - 3) as f64) as u64
}

/// A bar of a table: so much of the most of them, in the colour of a class.
pub fn share(value: u64, most: u64, class: &str) -> Markup {
    let thousandths = if most == 0 { 0 } else { (u128::from(value) * 1_000 / u128::from(most)) as u64 };
    // Anything at all is to be seen.
    let thousandths = if value > 0 { thousandths.max(8) } else { 0 };
    let width = format!("{}.{}%", thousandths / 10, thousandths % 10);
    html! {
        svg.bar width="100%" height="12" aria-hidden="true" {
            @if value > 0 { rect class=(class) width=(width) height="12" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sparkline_has_a_bar_for_each_and_words() {
        let drawn = sparkline(&[(10, 0), (0, 0), (5, 5)], "20 attempts <in> 3 h").into_string();
        assert!(drawn.contains("class=\"ok\" d=\"M0 20v-20h3v20zM8 20v-10h3v10z\""), "{drawn}");
        assert!(drawn.contains("class=\"no\" d=\"M8 10v-10h3v10z\""), "{drawn}");
        assert!(drawn.contains("20 attempts &lt;in&gt; 3 h"), "{drawn}");
        assert!(!sparkline(&[(0, 0); 24], "nothing").into_string().contains("<path"));
    }

    #[test]
    fn ticks_are_told_apart_by_their_shapes() {
        let tick = |shape, millis| Tick { to: "/x?a=1&b=2".to_owned(), said: "503 <b>".to_owned(), shape, millis };
        let all = [tick(Shape::Delivered, 1), tick(Shape::Refused, 100), tick(Shape::Unanswered, 15_000)];
        let drawn = ticks(&all, 4, "three attempts").into_string();
        assert_eq!(drawn.matches("<a href=\"/x?a=1&amp;b=2\"").count(), 3);
        assert!(drawn.contains("503 &lt;b&gt;") && drawn.contains("viewBox=\"0 0 24 48\""), "{drawn}");
        for (class, begins) in [("ok", "M7 48"), ("no", "M12 48"), ("un", "M18 48")] {
            assert!(drawn.contains(&format!("class=\"{class}\" d=\"{begins}")), "{drawn}");
        }
    }

    proptest! {
        #[test]
        fn everything_stays_in_its_chart(values in prop::collection::vec((0..u64::MAX / 4, 0..u64::MAX / 4), 0..30), millis in any::<u64>()) {
            prop_assert!((3..=TICKS_HEIGHT).contains(&height(millis)));
            let most = values.iter().map(|(one, other)| one + other).max().unwrap_or(0);
            for (one, other) in &values {
                prop_assert!(scaled(*one, most) + scaled(*other, most) <= SPARK_HEIGHT + 1);
            }
            let drawn = sparkline(&values, "").into_string();
            prop_assert!(!drawn.contains("v--") && !drawn.contains(" -"));
        }
    }
}
