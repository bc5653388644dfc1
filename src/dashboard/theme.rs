//! The portal's colour: one accent for light pages and one for dark ones, as configured,
//! with its lightness moved until links and buttons can be read. States keep their colours,
//! whoever's portal it is. Pure.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// What text of the accent stands on, as `style.css` has it: page, surface, raised.
const LIGHT: [Rgb; 3] = [[0xF5, 0xF7, 0xFA], [0xFF, 0xFF, 0xFF], [0xEC, 0xEF, 0xF4]];
const DARK: [Rgb; 3] = [[0x0E, 0x12, 0x17], [0x16, 0x1B, 0x22], [0x1F, 0x26, 0x30]];
/// What stands on the accent, and the accent where none is configured.
const ON_LIGHT: Rgb = [0xFF, 0xFF, 0xFF];
const ON_DARK: Rgb = [0x0B, 0x1A, 0x2B];
const OWN_LIGHT: Rgb = [0x0A, 0x5A, 0xB0];
const OWN_DARK: Rgb = [0x79, 0xB8, 0xFF];

/// WCAG AA, of text.
const CONTRAST: f64 = 4.5;
/// How far lightness is moved at once.
const STEP: f64 = 0.005;

/// The style sheet of these accents; `None` where neither is given.
pub fn style(light: Option<Rgb>, dark: Option<Rgb>) -> Option<String> {
    if light.is_none() && dark.is_none() {
        return None;
    }
    let light = light.map_or(OWN_LIGHT, on_light);
    let dark = dark.map_or(OWN_DARK, on_dark);
    Some(format!(
        ":root{{--primary:light-dark({},{});--on-primary:light-dark({},{})}}\n",
        hex(light),
        hex(dark),
        hex(ON_LIGHT),
        hex(ON_DARK)
    ))
}

/// An accent, as dark as it must be on light pages.
fn on_light(accent: Rgb) -> Rgb {
    moved(accent, -STEP, &[LIGHT[0], LIGHT[1], LIGHT[2], ON_LIGHT])
}

/// An accent, as light as it must be on dark pages.
fn on_dark(accent: Rgb) -> Rgb {
    moved(accent, STEP, &[DARK[0], DARK[1], DARK[2], ON_DARK])
}

/// Moves lightness, step by step, until there is contrast to all of these. Black and white
/// at the ends have enough.
fn moved(accent: Rgb, step: f64, grounds: &[Rgb]) -> Rgb {
    let is_read = |colour: Rgb| grounds.iter().all(|ground| contrast(colour, *ground) >= CONTRAST);
    let (hue, saturation, mut lightness) = to_hsl(accent);
    let mut colour = accent;
    while !is_read(colour) && (0.0..=1.0).contains(&lightness) {
        lightness += step;
        colour = from_hsl(hue, saturation, lightness.clamp(0.0, 1.0));
    }
    colour
}

/// The contrast of two colours, from 1 to 21 (WCAG 2.2).
fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: Rgb) -> f64 {
    let linear = |channel: u8| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = colour.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Hue in sixths of the circle, saturation, lightness.
fn to_hsl(colour: Rgb) -> (f64, f64, f64) {
    let [red, green, blue] = colour.map(|channel| f64::from(channel) / 255.0);
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let (lightness, span) = (f64::midpoint(most, least), most - least);
    if span == 0.0 {
        return (0.0, 0.0, lightness);
    }
    let saturation = span / (1.0 - (2.0 * lightness - 1.0).abs());
    let hue = if most == red {
        ((green - blue) / span).rem_euclid(6.0)
    } else if most == green {
        (blue - red) / span + 2.0
    } else {
        (red - green) / span + 4.0
    };
    (hue, saturation, lightness)
}

fn from_hsl(hue: f64, saturation: f64, lightness: f64) -> Rgb {
    let span = (1.0 - (2.0 * lightness - 1.0).abs()) * saturation;
    let second = span * (1.0 - (hue % 2.0 - 1.0).abs());
    let (red, green, blue) = match hue {
        hue if hue < 1.0 => (span, second, 0.0),
        hue if hue < 2.0 => (second, span, 0.0),
        hue if hue < 3.0 => (0.0, span, second),
        hue if hue < 4.0 => (0.0, second, span),
        hue if hue < 5.0 => (second, 0.0, span),
        _ => (span, 0.0, second),
    };
    let least = lightness - span / 2.0;
    [red, green, blue].map(|share| to_channel(share + least))
}

/// A share as a byte has it.
fn to_channel(share: f64) -> u8 {
    (share * 255.0).round().clamp(0.0, 255.0) as u8
}

fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both colours of a token of the style sheet.
    fn token(name: &str) -> (String, String) {
        let css = include_str!("assets/style.css");
        let (_, rest) = css.split_once(&format!("  --{name}: light-dark(")).expect("the token is there");
        let (light, rest) = rest.split_once(", ").expect("it has two colours");
        (long(light), long(rest.split_once(')').expect("it ends").0))
    }

    /// A colour with six digits: `#FFF` is `#FFFFFF`.
    fn long(colour: &str) -> String {
        match colour.len() {
            4 => {
                colour.chars().flat_map(|digit| std::iter::repeat_n(digit, if digit == '#' { 1 } else { 2 })).collect()
            }
            _ => colour.to_owned(),
        }
    }

    #[test]
    fn the_grounds_are_those_of_the_style_sheet() {
        for (name, at) in [("page", 0), ("surface", 1), ("raised", 2)] {
            assert_eq!(token(name), (hex(LIGHT[at]), hex(DARK[at])), "{name}");
        }
        assert_eq!(token("primary"), (hex(OWN_LIGHT), hex(OWN_DARK)));
        assert_eq!(token("on-primary"), (hex(ON_LIGHT), hex(ON_DARK)));
    }

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        assert_eq!((on_light(OWN_LIGHT), on_dark(OWN_DARK)), (OWN_LIGHT, OWN_DARK));
        assert_eq!(style(None, None), None);
        let style = style(Some([0xFF, 0xD4, 0x00]), None).expect("one is given");
        assert!(style.contains("#79B8FF") && !style.contains("#FFD400"), "yellow is darkened, blue stays: {style}");
        for state in ["delivered", "pending", "retrying", "exhausted", "held", "discarded"] {
            assert!(!style.contains(state));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_can_be_read(accent in any::<Rgb>()) {
            let (light, dark) = (on_light(accent), on_dark(accent));
            for ground in LIGHT.into_iter().chain([ON_LIGHT]) {
                prop_assert!(contrast(light, ground) >= CONTRAST, "{} on {}", hex(light), hex(ground));
            }
            for ground in DARK.into_iter().chain([ON_DARK]) {
                prop_assert!(contrast(dark, ground) >= CONTRAST, "{} on {}", hex(dark), hex(ground));
            }
        }

        #[test]
        fn only_lightness_is_moved(accent in any::<Rgb>()) {
            let (hue, saturation, lightness) = to_hsl(accent);
            let there = from_hsl(hue, saturation, lightness);
            for (one, other) in there.into_iter().zip(accent) {
                prop_assert!(one.abs_diff(other) <= 1, "{accent:?} is read back as {there:?}");
            }
            let (moved, _, _) = to_hsl(on_light(accent));
            let is_colourful = saturation > 0.3 && (0.2..0.8).contains(&lightness);
            let apart = (moved - hue).abs().min(6.0 - (moved - hue).abs());
            prop_assert!(!is_colourful || apart < 0.2, "the hue went from {hue} to {moved}");
        }
    }
}
