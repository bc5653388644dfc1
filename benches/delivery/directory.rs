//! A directory for one store, gone when it is dropped, and the room that is left
//! beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one below `parent`.
    pub fn create(parent: &Path) -> io::Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let path = std::path::absolute(parent)?.join(format!("delivery-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Bytes that may still be written there; `None` where that cannot be found
    /// out. The standard library cannot tell, but POSIX has a command that can.
    pub fn free_bytes(&self) -> Option<u64> {
        let printed = Command::new("df").arg("-Pk").arg(&self.0).output().ok()?.stdout;
        let line = String::from_utf8(printed).ok()?.lines().nth(1)?.to_owned();
        let kibibytes: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
        Some(kibibytes * 1024)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} could not be removed: {error}", self.0.display());
        }
    }
}
