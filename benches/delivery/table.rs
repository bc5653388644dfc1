//! Words and numbers in columns.

use std::fmt;

/// Writes columns as wide as they need to be; from the one after `words` on they
/// are numbers and stand to the right.
pub fn table(formatter: &mut fmt::Formatter<'_>, titles: &[&str], words: usize, rows: Vec<Vec<String>>) -> fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.chain([titles[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(titles).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        writeln!(formatter, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A number, if there is one, with a comma between thousands.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".into(), |value| grouped(value, decimals))
}

/// A number with a comma between thousands.
pub fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut digits = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            digits.push(',');
        }
        digits.push(digit);
    }
    digits + rest
}
