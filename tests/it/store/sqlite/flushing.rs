//! Watches SQLite's own calls to the file system, which is the only way to
//! tell a commit that is flushed from one that merely was written: every
//! store that is opened after [`watch`] goes through it.
//!
//! SQLite reaches files through a table of C functions. This puts a table in
//! its place that counts the writes and flushes of each file and passes
//! everything on.
#![allow(unsafe_code, reason = "SQLite's file layer is C")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, OnceLock};

use libsqlite3_sys as ffi;

/// What happened to one file.
#[derive(Default, Clone, Copy)]
struct Tally {
    /// Writes since the last flush.
    unflushed: usize,
    flushes: usize,
}

/// What happened to the file of this name.
pub struct Flushes(PathBuf);

impl Flushes {
    pub fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Writes since the last flush.
    pub fn unflushed(&self) -> usize {
        self.tally().unflushed
    }

    /// Flushes so far.
    pub fn count(&self) -> usize {
        self.tally().flushes
    }

    fn tally(&self) -> Tally {
        watched().tallies.get(&self.0).copied().unwrap_or_default()
    }
}

#[derive(Default)]
struct Watched {
    tallies: HashMap<PathBuf, Tally>,
    /// The names of open files, by their place in memory.
    names: HashMap<usize, PathBuf>,
    /// Our tables and the ones they stand for, each by its place in memory.
    originals: HashMap<usize, usize>,
    ours: HashMap<usize, usize>,
}

fn watched() -> MutexGuard<'static, Watched> {
    static WATCHED: OnceLock<Mutex<Watched>> = OnceLock::new();
    WATCHED.get_or_init(Mutex::default).lock().expect("no holder of this lock panics")
}

static SYSTEM: OnceLock<usize> = OnceLock::new();

/// Has every file that SQLite opens from now on counted.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the system's table is never freed, and ours is leaked, so
        // both outlive every connection. SQLite starts itself in `vfs_find`.
        unsafe {
            let system = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!system.is_null(), "SQLite knows its system");
            SYSTEM.set(system as usize).expect("set once");
            let mut ours: ffi::sqlite3_vfs = *system;
            ours.zName = c"counted".as_ptr();
            ours.pNext = std::ptr::null_mut();
            ours.xOpen = Some(open);
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1), ffi::SQLITE_OK);
        }
    });
}

/// SAFETY: called by SQLite, with what it would call the system's with.
unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let system = *SYSTEM.get().expect("set before this is registered") as *mut ffi::sqlite3_vfs;
    // SAFETY: the arguments are passed on untouched; a file whose opening
    // succeeded has a table, and a name that is not null is a C string.
    unsafe {
        let system_open = (*system).xOpen.expect("every system can open files");
        let answer = system_open(system, name, file, flags, flags_out);
        if answer == ffi::SQLITE_OK && !name.is_null() {
            let name = PathBuf::from(CStr::from_ptr(name).to_str().expect("a test's path is UTF-8"));
            let mut watched = watched();
            let original = (*file).pMethods as usize;
            let ours = match watched.ours.get(&original) {
                Some(ours) => *ours,
                None => {
                    let mut table: ffi::sqlite3_io_methods = *(*file).pMethods;
                    table.xWrite = Some(write);
                    table.xSync = Some(sync);
                    let ours = Box::leak(Box::new(table)) as *const ffi::sqlite3_io_methods as usize;
                    watched.ours.insert(original, ours);
                    watched.originals.insert(ours, original);
                    ours
                }
            };
            (*file).pMethods = ours as *const ffi::sqlite3_io_methods;
            watched.names.insert(file as usize, name);
        }
        answer
    }
}

/// The table that the system gave this file.
fn original(file: *mut ffi::sqlite3_file) -> *const ffi::sqlite3_io_methods {
    // SAFETY: SQLite calls a file's functions only while the file is open.
    let ours = unsafe { (*file).pMethods } as usize;
    watched().originals[&ours] as *const ffi::sqlite3_io_methods
}

fn note(file: *mut ffi::sqlite3_file, change: impl FnOnce(&mut Tally)) {
    let mut watched = watched();
    let name = watched.names[&(file as usize)].clone();
    change(watched.tallies.entry(name).or_default());
}

/// SAFETY: called by SQLite, with what it would call the system's with.
unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    note(file, |tally| tally.unflushed += 1);
    // SAFETY: passed on untouched to the function this stands for.
    unsafe { (*original(file)).xWrite.expect("every file can be written")(file, bytes, amount, offset) }
}

/// SAFETY: called by SQLite, with what it would call the system's with.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: passed on untouched to the function this stands for.
    let answer = unsafe { (*original(file)).xSync.expect("every file can be flushed")(file, flags) };
    if answer == ffi::SQLITE_OK {
        note(file, |tally| {
            tally.unflushed = 0;
            tally.flushes += 1;
        });
    }
    answer
}
