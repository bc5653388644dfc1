//! What `strace -f -y -xx` writes, read back: system calls by where they began
//! and where they ended, in the order of both over all threads. What they mean
//! is left to others.

use std::borrow::Cow;
use std::collections::HashMap;

/// One end of a call.
pub enum Step<'a> {
    /// With what is known until then: a result, and what was read, is not.
    Began(Call<'a>),
    Ended(Call<'a>),
}

/// One call as it is written down: `name(arguments) = result`.
#[derive(Clone)]
pub struct Call<'a> {
    pub thread: u32,
    text: Cow<'a, str>,
}

/// Everything in a trace that is a call.
pub fn steps(trace: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    // Others are written down between the two halves of a call that waits.
    let mut halves: HashMap<u32, &str> = HashMap::new();
    for line in trace.lines() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let (Ok(thread), text) = (thread.parse(), text.trim_start()) else { continue };
        if text.starts_with("+++") || text.starts_with("---") {
            continue;
        }
        if let Some(first) = text.strip_suffix("<unfinished ...>") {
            halves.insert(thread, first);
            steps.push(Step::Began(Call { thread, text: first.into() }));
        } else if let Some(resumed) = text.strip_prefix("<... ") {
            let second = resumed.split_once(" resumed>").map(|(_, second)| second);
            if let (Some(first), Some(second)) = (halves.remove(&thread), second) {
                steps.push(Step::Ended(Call { thread, text: format!("{first}{second}").into() }));
            }
        } else {
            let call = Call { thread, text: text.into() };
            steps.extend([Step::Began(call.clone()), Step::Ended(call)]);
        }
    }
    steps
}

impl Call<'_> {
    /// Whether it is one of these.
    pub fn is(&self, names: &[&str]) -> bool {
        self.text.split_once('(').is_some_and(|(name, _)| names.contains(&name))
    }

    /// What its first argument, a descriptor, stands for: `socket:[INODE]`, or
    /// a file's path. Empty when that is not known.
    pub fn file(&self) -> String {
        let described = self.text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        described.map(|(name, _)| String::from_utf8_lossy(&unescaped(name)).into_owned()).unwrap_or_default()
    }

    /// What it read or wrote, its parts joined.
    pub fn bytes(&self) -> Vec<u8> {
        self.text.split('"').skip(1).step_by(2).flat_map(unescaped).collect()
    }

    /// What it answered; `None` when that is no number.
    pub fn result(&self) -> Option<i64> {
        let (_, result) = self.text.rsplit_once(" = ")?;
        result.split(' ').next()?.parse().ok()
    }
}

/// `\x41` is an A; whatever is not written so stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let escaped = rest.strip_prefix(b"\\x").and_then(|digits| digits.split_at_checked(2));
        let escaped = escaped.and_then(|(digits, others)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, others))
        });
        let (byte, others) = escaped.unwrap_or((*first, others));
        bytes.push(byte);
        rest = others;
    }
    bytes
}
