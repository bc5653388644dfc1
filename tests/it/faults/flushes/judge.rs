//! Follows each event through a trace: from its request through the log and a
//! flush to its 202. Decides whether that 202 came too early.
//!
//! The order of `strace`'s lines is enough to judge by. A thread is stopped
//! where a call begins and where it ends, so a call that is made because
//! another has ended always stands behind that end.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::trace::{Call, Step, steps};

/// The first of the numbers that stand in nothing but these tests' events.
pub const FIRST: u64 = 8_472_000_000;
/// What stands before and behind a number in an event's body.
const AROUND_NUMBER: [&[u8]; 2] = [b"\"id\":", b","];

/// What a trace must have of all threads.
pub const CALLS: [&[&str]; 4] = [READS, WRITES, LOGS, FLUSHES];
const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg"];
const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg"];
const LOGS: &[&str] = &["pwrite64", "pwritev"];
const FLUSHES: &[&str] = &["fsync", "fdatasync"];

/// Follows every event from its request through the log and a flush to its
/// 202. Answers the number of that flush for each; an error is a 202 that
/// came too early.
pub fn judge(trace: &str) -> Result<BTreeMap<u64, usize>, String> {
    let mut account = Account::default();
    for (now, step) in steps(trace).iter().enumerate() {
        match step {
            Step::Began(call) if call.is(FLUSHES) && is_log(call) => account.flush_begins(call.thread),
            Step::Began(call) if call.is(WRITES) && is_socket(call) => account.sent(call)?,
            Step::Ended(call) if call.is(READS) && is_socket(call) => account.received(call, now),
            Step::Ended(call) if call.is(LOGS) && is_log(call) => account.logged(&call.bytes(), now),
            Step::Ended(call) if call.is(FLUSHES) && is_log(call) => {
                account.flush_ends(call.thread, call.result() == Some(0));
            }
            Step::Began(_) | Step::Ended(_) => {}
        }
    }
    Ok(account.acknowledged)
}

fn is_log(call: &Call<'_>) -> bool {
    call.file().ends_with("-wal")
}

fn is_socket(call: &Call<'_>) -> bool {
    call.file().starts_with("socket:")
}

/// How SQLite's log begins a page: with its number and, where a transaction
/// ends with it, how large the database is then.
const FRAME_HEADER_BYTES: usize = 24;
const DATABASE_PAGES: Range<usize> = 4..8;

/// What is known of an event from the log.
enum Stage {
    /// It is there, and its transaction has not ended.
    Written,
    /// So has its transaction, and no flush that began later has ended.
    Committed,
    /// Such a flush has: which one.
    Flushed(usize),
}

/// A request that was read and not answered yet.
#[derive(Default)]
struct Request {
    bytes: Vec<u8>,
    /// Which step its first bytes came with.
    begun: usize,
}

/// What a trace shows so far.
#[derive(Default)]
struct Account {
    /// By connection.
    requests: HashMap<String, Request>,
    /// Each event with the step that wrote it.
    events: BTreeMap<u64, (usize, Stage)>,
    /// The page to come ends its transaction.
    ends_transaction: bool,
    /// What the flush that a thread waits for covers.
    flushing: HashMap<u32, Vec<u64>>,
    flushes: usize,
    acknowledged: BTreeMap<u64, usize>,
}

impl Account {
    fn received(&mut self, call: &Call<'_>, now: usize) {
        let bytes = call.bytes();
        let request = self.requests.entry(call.file()).or_default();
        if request.bytes.is_empty() {
            request.begun = now;
        }
        request.bytes.extend(bytes);
    }

    fn logged(&mut self, bytes: &[u8], now: usize) {
        if bytes.len() == FRAME_HEADER_BYTES {
            self.ends_transaction = bytes[DATABASE_PAGES].iter().any(|byte| *byte != 0);
            return;
        }
        for number in numbers(bytes) {
            // A page is written again with whatever is added to it.
            self.events.entry(number).or_insert((now, Stage::Written));
        }
        if std::mem::take(&mut self.ends_transaction) {
            let written = self.events.values_mut().filter(|(_, stage)| matches!(stage, Stage::Written));
            written.for_each(|(_, stage)| *stage = Stage::Committed);
        }
    }

    fn flush_begins(&mut self, thread: u32) {
        let committed = self.events.iter().filter(|(_, (_, stage))| matches!(stage, Stage::Committed));
        self.flushing.insert(thread, committed.map(|(number, _)| *number).collect());
    }

    fn flush_ends(&mut self, thread: u32, succeeded: bool) {
        let covered = self.flushing.remove(&thread).unwrap_or_default();
        if !succeeded {
            return;
        }
        self.flushes += 1;
        for number in covered {
            if let Some((_, stage @ Stage::Committed)) = self.events.get_mut(&number) {
                *stage = Stage::Flushed(self.flushes);
            }
        }
    }

    fn sent(&mut self, call: &Call<'_>) -> Result<(), String> {
        let bytes = call.bytes();
        if !bytes.starts_with(b"HTTP/1.1 ") {
            return Ok(());
        }
        let request = self.requests.remove(&call.file()).unwrap_or_default();
        if !bytes.starts_with(b"HTTP/1.1 202 ") {
            return Ok(());
        }
        for number in numbers(&request.bytes) {
            let too_early = |why| Err(format!("the 202 of event {number} left too early: {why}"));
            match self.events.get(&number) {
                None => return too_early("nothing of it was written to the log"),
                Some((_, Stage::Written)) => return too_early("its transaction was still being written to the log"),
                Some((_, Stage::Committed)) => return too_early("its commit was not flushed"),
                Some((written, _)) if *written < request.begun => {
                    return Err(format!("event {number} was in the log before it was posted"));
                }
                Some((_, Stage::Flushed(flush))) => self.acknowledged.insert(number, *flush),
            };
        }
        Ok(())
    }
}

/// The numbers of our events in some bytes, whatever else is there.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let [before, behind] = AROUND_NUMBER;
    let digits = FIRST.to_string().len();
    let at = |position: usize| {
        let rest = bytes[position..].strip_prefix(before)?;
        let (number, rest) = rest.split_at_checked(digits)?;
        rest.starts_with(behind).then_some(())?;
        std::str::from_utf8(number).ok()?.parse().ok()
    };
    (0..bytes.len()).filter_map(at).filter(|number| *number >= FIRST).collect()
}

/// What comes of one event, its calls made in this order.
fn judged(calls: &[&str]) -> Result<Vec<(u64, usize)>, String> {
    judge(&calls.join("\n")).map(|acknowledged| acknowledged.into_iter().collect())
}

#[test]
fn a_202_is_too_early_until_a_flush_of_the_whole_commit_has_ended() {
    const READ: &str = r#"11    recvfrom(5<socket:[1]>, "\x22id\x22:8472000000,", 99, 0, NULL, NULL) = 16"#;
    const FRAME: &str = r#"12    pwrite64(6</a-wal>, "1234\x00\x00\x00\x009abcdefghijklmno", 24, 32) = 24"#;
    const LAST_FRAME: &str = r#"12    pwrite64(6</a-wal>, "1234\x00\x00\x00\x079abcdefghijklmno", 24, 32) = 24"#;
    const PAGE: &str = r#"12    pwrite64(6</a-wal>, "\x22id\x22:8472000000,", 4096, 56) = 4096"#;
    const OTHER_PAGE: &str = r#"12    pwrite64(6</a-wal>, "\x0d", 4096, 4176) = 4096"#;
    const FLUSH: &str = "12    fdatasync(6</a-wal> <unfinished ...>";
    const FLUSHED: &str = "12    <... fdatasync resumed>) = 0";
    const FAILED: &str = "12    <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)";
    const OTHER_FILE: &str = "13    fdatasync(7</a>) = 0";
    const ANSWER: &str = r#"11    sendto(5<socket:[1]>, "HTTP/1.1 202 Accepted", 21, MSG_NOSIGNAL, NULL, 0) = 21"#;
    let refused = |why: &str, calls: &[&str]| {
        let error = judged(calls).expect_err(why);
        assert!(error.contains(why), "{error}");
    };

    let in_order = [READ, FRAME, PAGE, LAST_FRAME, OTHER_PAGE, FLUSH, FLUSHED, ANSWER];
    assert_eq!(judged(&in_order), Ok(vec![(FIRST, 1)]));
    refused("before it was posted", &[&in_order[..], &[READ, ANSWER]].concat());
    refused("nothing of it", &[READ, ANSWER]);
    refused("still being written", &[READ, FRAME, PAGE, FLUSH, FLUSHED, ANSWER]);
    refused("still being written", &[READ, FRAME, PAGE, FLUSH, FLUSHED, LAST_FRAME, ANSWER]);
    let committed = [READ, LAST_FRAME, PAGE];
    let then = |calls: &[&'static str]| [&committed[..], calls].concat();
    refused("not flushed", &then(&[ANSWER]));
    refused("not flushed", &then(&[OTHER_FILE, ANSWER]));
    refused("not flushed", &then(&[FLUSH, ANSWER, FLUSHED]));
    refused("not flushed", &then(&[FLUSH, FAILED, ANSWER]));
    refused("not flushed", &[READ, FLUSH, LAST_FRAME, PAGE, FLUSHED, ANSWER]);
    assert_eq!(judged(&then(&[FLUSH, FAILED, FLUSH, FLUSHED, ANSWER])), Ok(vec![(FIRST, 1)]));
}
