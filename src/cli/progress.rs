//! How far something long is, on one line of a terminal that is written over and over.
//! Nothing where standard error goes elsewhere: what a script keeps is no place for it.

use std::io::{IsTerminal as _, Write as _};

/// Cells of the bar.
const WIDTH: usize = 24;

/// See the module.
pub(super) struct ProgressLine {
    is_shown: bool,
    shown: String,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), shown: String::new() }
    }

    /// Shows that this part of it is done, from 0 to 1, if that is known.
    pub(super) fn show(&mut self, part: Option<f64>, what: &str) {
        let line = line_of(part, what);
        if self.is_shown && line != self.shown {
            write(&line);
            self.shown = line;
        }
    }
}

/// What comes next is written on a line of its own.
impl Drop for ProgressLine {
    fn drop(&mut self) {
        if !self.shown.is_empty() {
            write("");
        }
    }
}

/// In the place of what the line has.
fn write(line: &str) {
    // Nobody can be told that it does not work.
    let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K{line}");
}

fn line_of(part: Option<f64>, what: &str) -> String {
    match part {
        None => what.to_owned(),
        Some(part) => {
            let done = (part.clamp(0.0, 1.0) * WIDTH as f64) as usize;
            let percent = (part.clamp(0.0, 1.0) * 100.0) as u32;
            format!("[{}{}] {percent:>3} % {what}", "#".repeat(done), " ".repeat(WIDTH - done))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        assert_eq!(line_of(None, "12 rows"), "12 rows");
        assert_eq!(line_of(Some(0.0), "x"), format!("[{}]   0 % x", " ".repeat(WIDTH)));
        assert_eq!(line_of(Some(0.5), "x"), format!("[{}{}]  50 % x", "#".repeat(12), " ".repeat(12)));
        for beyond in [1.0, 1.5] {
            assert_eq!(line_of(Some(beyond), "x"), format!("[{}] 100 % x", "#".repeat(WIDTH)));
        }
    }
}
