//! A copy of the file while a node has it open: whole as of one moment, checked, on the
//! disk, and marked, so that a node that is started on it holds what it would send.
//!
//! `VACUUM INTO` reads one snapshot and writes the pages anew. Whoever writes meanwhile
//! waits for nothing, but its log cannot begin anew before the snapshot is given up: how
//! far it may grow is bounded, and so is the harm of a copy that takes too long.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde_json::json;

use super::{BUSY_TIMEOUT, is_there, marks, no_store, read_only, stored_id_secret, text_of, translate};
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::marks::RESTORED;

/// Between two looks at how far the copy and the log are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Who may read a copy: secrets in it are sealed, what else is in it is not.
const MODE: u32 = 0o600;

/// What a copy may do.
#[derive(Debug, Clone, Copy)]
pub struct BackupOptions {
    /// Take the place of a file that is there.
    pub replaces: bool,
    /// So far the log of whoever writes may grow on its account.
    pub log_growth_bytes: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupStep {
    /// So much has been written, of about so much.
    Copying {
        /// Bytes so far.
        bytes: u64,
        /// Bytes of the store, free pages included.
        of: u64,
    },
    /// The copy is being read.
    Checking,
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// How large it is.
    pub bytes: u64,
    /// Everything that was committed before is in it.
    pub taken_at: Timestamp,
}

/// Copies the store at `from`, which a node may have open, to `to`. Nothing stands at
/// `to` before all of it is on the disk. Blocks.
pub fn backup(
    from: &Path,
    to: &Path,
    options: BackupOptions,
    now: Timestamp,
    progress: &mut dyn FnMut(BackupStep),
) -> Result<Copied, StoreError> {
    is_there(from)?;
    is_free(from, to, options.replaces)?;
    let part = with_ending(to, ".part");
    let part_file = claim(&part)?;
    let done = copy(from, &part, options, progress).and_then(|()| {
        progress(BackupStep::Checking);
        mark(&part, now)?;
        part_file.sync_all().map_err(|error| not_written(&part, &error))?;
        let bytes = part_file.metadata().map_err(|error| not_written(&part, &error))?.len();
        fs::rename(&part, to).map_err(|error| not_written(to, &error))?;
        flush_folder_of(to)?;
        Ok(Copied { bytes, taken_at: now })
    });
    if done.is_err() {
        // Whatever stays of it is overwritten the next time.
        let _ = fs::remove_file(&part);
    }
    done
}

fn is_free(from: &Path, to: &Path, replaces: bool) -> Result<(), StoreError> {
    if fs::canonicalize(to).is_ok_and(|to| fs::canonicalize(from).is_ok_and(|from| from == to)) {
        return Err(StoreError::Configuration(format!("{} is the store itself: name another file", to.display())));
    }
    if to.exists() && !replaces {
        let reason = format!("{} is there already: name another file, or replace it with --force", to.display());
        return Err(StoreError::Configuration(reason));
    }
    let log = with_ending(to, "-wal");
    if log.exists() {
        // It would be taken for the copy's own.
        return Err(StoreError::Configuration(format!(
            "{} is there, so {} is or was a store that somebody has open: name another file, or remove it",
            log.display(),
            to.display()
        )));
    }
    Ok(())
}

/// The file that the copy grows in, empty, and ours alone.
fn claim(part: &Path) -> Result<File, StoreError> {
    let refuse = |error: &std::io::Error| not_written(part, error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(part);
    let file = file.map_err(|error| refuse(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Configuration(format!("another backup writes to {}", part.display())));
        }
        Err(TryLockError::Error(error)) => return Err(refuse(&error)),
    }
    // What a backup left that was killed.
    file.set_len(0)
        .and_then(|()| file.set_permissions(Permissions::from_mode(MODE)))
        .map_err(|error| refuse(&error))?;
    let _ = fs::remove_file(with_ending(part, "-journal"));
    Ok(file)
}

fn not_written(path: &Path, error: &std::io::Error) -> StoreError {
    let reason = format!("cannot write {}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(reason),
        _ => StoreError::Configuration(reason),
    }
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

fn copy(
    from: &Path,
    part: &Path,
    options: BackupOptions,
    progress: &mut dyn FnMut(BackupStep),
) -> Result<(), StoreError> {
    let log = with_ending(from, "-wal");
    let most = size_of(&log) + options.log_growth_bytes;
    let (name, into) = (read_only(from)?, text_of(part)?.replace('\'', "''"));
    let source = from.to_owned();
    let (done, copied) = channel();
    let (sized, size) = channel();
    // On a thread of its own: one statement, in the middle of which nothing else is done.
    let copying = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        let run = || {
            let mut connection = SqliteConnection::establish(&name)
                .map_err(|error| StoreError::Configuration(format!("cannot open {}: {error}", source.display())))?;
            connection
                .batch_execute(&format!("PRAGMA busy_timeout = {}; PRAGMA mmap_size = 0", BUSY_TIMEOUT.as_millis()))
                .map_err(translate)?;
            stored_id_secret(&mut connection)?.ok_or_else(|| no_store(&source))?;
            let Size { bytes } =
                diesel::sql_query("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size")
                    .get_result(&mut connection)
                    .map_err(translate)?;
            // Nobody listens once the log has grown too far.
            let _ = sized.send(bytes.unsigned_abs());
            connection.batch_execute(&format!("VACUUM INTO '{into}'")).map_err(translate)
        };
        let _ = done.send(run());
    });
    copying.map_err(|error| StoreError::Unavailable(format!("no thread to copy on: {error}")))?;
    let mut of = 0;
    loop {
        match copied.recv_timeout(LOOK_EVERY) {
            Ok(ended) => return ended,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(StoreError::Stopped("the copying panicked".into())),
        }
        of = size.try_recv().unwrap_or(of);
        progress(BackupStep::Copying { bytes: size_of(part), of });
        if size_of(&log) > most {
            // The snapshot goes with this process, which has nothing else to do.
            return Err(StoreError::Configuration(format!(
                "{} has grown by more than {} MiB while the copy was made, which takes too long for what is written \
                 meanwhile: copy to a faster disk, at a quieter time, or allow more with --log-growth-mib",
                log.display(),
                options.log_growth_bytes >> 20
            )));
        }
    }
}

#[derive(QueryableByName)]
struct Problem {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

/// Marks the copy as one, and reads it.
fn mark(part: &Path, now: Timestamp) -> Result<(), StoreError> {
    let mut connection = SqliteConnection::establish(text_of(part)?)
        .map_err(|error| StoreError::Configuration(format!("cannot open {}: {error}", part.display())))?;
    // One file, without a log beside it.
    connection.batch_execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL").map_err(translate)?;
    let taken = json!({ "taken_at": now.as_millis() });
    marks::write(&mut connection, RESTORED, taken.to_string().as_bytes())?;
    let problems: Vec<Problem> = diesel::sql_query("PRAGMA quick_check(5)").load(&mut connection).map_err(translate)?;
    match problems.as_slice() {
        [Problem { quick_check }] if quick_check == "ok" => Ok(()),
        found => {
            let found: Vec<&str> = found.iter().map(|problem| problem.quick_check.as_str()).collect();
            Err(StoreError::Corrupt(format!("the copy is not whole: {}", found.join("; "))))
        }
    }
}

/// A name is on the disk when its folder is.
fn flush_folder_of(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| not_written(path, &error))
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
