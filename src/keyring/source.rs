//! Where a store's keys come from: they were given, they are in a file that was named,
//! or in one beside the store that the first start makes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Keyring, KeysProblem, KeysText, RingKeyId, text};

/// A file of keys that is larger is something else.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// What others may do with a file of keys: nothing.
const OTHERS: u32 = 0o077;

/// Where the keys of a store are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Here.
    Given(Arc<Keyring>),
    /// In this file.
    File(PathBuf),
    /// In a file beside the store, which its first start makes. Only a store that one
    /// process has to itself has such a place; any other is written to as it is.
    BesideTheStore,
}

/// How a ring was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// This start made it, in this file.
    Made(PathBuf),
    /// Nobody said anything, and there is no place to make one at.
    Nowhere,
}

/// Keys that cannot be had from their file. The messages never repeat a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is not there, or not to be read.
    #[error("cannot read the key file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "others may read the key file {} (its mode is {mode:04o}): run `chmod 600 {}`",
        .path.display(), .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no file of keys.
    #[error("the key file {}: {problem}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: KeysProblem,
    },
    /// It is none by its size.
    #[error("{} is larger than {MAX_FILE_BYTES} bytes, and so no key file", .0.display())]
    TooLarge(PathBuf),
    /// It was there once: the store has values that are sealed with its keys.
    #[error(
        "the key file {} is missing, and the store has values that are sealed with key `{key}`: bring the file back \
         from its backup, or name the key by `encryption_keys` or `encryption_keys_file`",
        .path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// A key that was in it.
        key: RingKeyId,
    },
    /// It cannot be made.
    #[error("cannot make the key file {}: {source}", .path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl KeySource {
    /// The keys of a store that this process has to itself, with a file for them
    /// `beside` it. None is made where the store has values sealed already, `in_use`.
    pub fn of_one(&self, beside: &Path, in_use: &[RingKeyId]) -> Result<(Arc<Keyring>, Origin), KeyFileError> {
        if !matches!(self, Self::BesideTheStore) {
            return self.of_many();
        }
        match read(beside) {
            Ok(keyring) => return Ok((Arc::new(keyring), Origin::Found)),
            Err(KeyFileError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if let Some(key) = in_use.first() {
            return Err(KeyFileError::Missing { path: beside.to_owned(), key: key.clone() });
        }
        make(beside).map_err(|source| KeyFileError::NotMade { path: beside.to_owned(), source })?;
        Ok((Arc::new(read(beside)?), Origin::Made(beside.to_owned())))
    }

    /// The keys of a store that several nodes share.
    pub fn of_many(&self) -> Result<(Arc<Keyring>, Origin), KeyFileError> {
        match self {
            Self::Given(keyring) => Ok((Arc::clone(keyring), Origin::Found)),
            Self::File(path) => Ok((Arc::new(read(path)?), Origin::Found)),
            Self::BesideTheStore => Ok((Arc::new(Keyring::clear()), Origin::Nowhere)),
        }
    }
}

/// The file of keys beside a store's file.
pub fn beside(store: &Path) -> PathBuf {
    with_ending(store, ".keys")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Keyring, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that was opened, whatever stands there by now.
    let about = file.metadata().map_err(unreadable)?;
    let mode = about.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(KeyFileError::TooLarge(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::with_capacity(about.len() as usize + 1));
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    KeysText::File(&text).keyring().map_err(|problem| KeyFileError::Invalid { path: path.to_owned(), problem })
}

/// Makes a file with one new key: whole or not at all, never in place of another, and
/// on the disk before anybody seals anything with it.
fn make(path: &Path) -> io::Result<()> {
    let key = text::new_key().map_err(io::Error::other)?;
    let unfinished = with_ending(path, ".new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // What a start left that was killed here, or nothing.
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let text = Zeroizing::new(format!(
        "# What posthaste seals the secrets in its database with. Without this file they are lost: keep a copy of it,\n\
         # and not where the copies of the database are. One `id:key` a line; the first one seals, all of them open.\n\
         {}\n",
        key.as_str()
    ));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match fs::hard_link(&unfinished, path) {
        Ok(()) => fs::remove_file(&unfinished)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // There are file systems without links. Nobody else is here to be overtaken: the
        // store is this process's alone, and there was no such file a moment ago.
        Err(_) => fs::rename(&unfinished, path)?,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of a test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("posthaste-keys-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder of our own");
            Self(path)
        }

        fn write(&self, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join("file.keys");
            let _ = fs::remove_file(&path);
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path).expect("a folder of our own");
            file.write_all(text.as_bytes()).expect("a file of our own");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a file of our own");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn key() -> String {
        text::new_key().expect("the system has randomness").to_string()
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = Folder::new("open");
        let secret = key();
        for mode in [0o640, 0o604, 0o644, 0o620, 0o601] {
            let path = folder.write(&secret, mode);
            let refused = KeySource::File(path).of_many().expect_err("it is open to others").to_string();
            assert!(refused.contains("chmod 600") && refused.contains(&format!("{mode:04o}")), "{refused}");
        }
        for mode in [0o600, 0o400] {
            let path = folder.write(&secret, mode);
            assert!(KeySource::File(path).of_many().is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_file_has_a_key_a_line_and_remarks() {
        let folder = Folder::new("lines");
        let (one, other) = (key(), key());
        let path = folder.write(&format!("# ours\n\n  {one}\n{other}  \n#{one}\n"), 0o600);
        let (keyring, origin) = KeySource::File(path).of_many().expect("it is sound");
        let ids: Vec<&str> = keyring.ids().map(RingKeyId::as_str).collect();
        assert_eq!(ids, [one.split(':').next(), other.split(':').next()].map(Option::unwrap_or_default));
        assert_eq!(origin, Origin::Found);

        let path = folder.write(&format!("{one}\nno key\n"), 0o600);
        let refused = KeySource::File(path.clone()).of_many().expect_err("the second line is none").to_string();
        assert!(refused.contains("line 2") && refused.contains("file.keys"), "{refused}");
        let refused = KeySource::File(folder.write("# none\n", 0o600)).of_many().expect_err("empty").to_string();
        assert!(refused.contains("there is no key in it"), "{refused}");
        let refused = KeySource::File(folder.write(&"#".repeat(70_000), 0o600)).of_many().expect_err("no key file");
        assert!(matches!(refused, KeyFileError::TooLarge(_)), "{refused}");
        let refused = KeySource::File(folder.0.join("none")).of_many().expect_err("it is not there").to_string();
        assert!(refused.contains("cannot read the key file"), "{refused}");
    }

    #[test]
    fn the_first_start_makes_a_file_and_the_next_finds_it() {
        let folder = Folder::new("made");
        let path = beside(&folder.0.join("store.db"));
        assert!(path.ends_with("store.db.keys"));
        // A start that was killed half-way left this.
        fs::write(with_ending(&path, ".new"), "k-0").expect("a folder of our own");
        let (made, origin) = KeySource::BesideTheStore.of_one(&path, &[]).expect("it can be made");
        assert_eq!(origin, Origin::Made(path.clone()));
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder.0).expect("it is ours").count(), 1, "nothing else is left");
        let (found, origin) = KeySource::BesideTheStore.of_one(&path, &[]).expect("it is there");
        assert_eq!((found.current(), origin), (made.current(), Origin::Found));

        // Where it is gone, no other takes its place.
        fs::remove_file(&path).expect("it is ours");
        let in_use = [made.current().expect("it seals").clone()];
        let refused = KeySource::BesideTheStore.of_one(&path, &in_use).expect_err("it is missing").to_string();
        assert!(refused.contains(in_use[0].as_str()) && refused.contains("backup"), "{refused}");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_never_written_over() {
        let folder = Folder::new("kept");
        let path = folder.write("theirs", 0o600);
        let refused = make(&path).expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("it is ours"), "theirs");
    }

    #[test]
    fn where_several_nodes_share_a_store_nothing_is_made() {
        let (keyring, origin) = KeySource::BesideTheStore.of_many().expect("nothing is read");
        assert_eq!((keyring.current(), origin), (None, Origin::Nowhere));
    }
}
