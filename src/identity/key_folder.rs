//! The folder of signing keys: one file per key, readable by its owner only.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::identity::key_id::KeyId;
use crate::identity::key_ring::{KeyRing, StoredKey};
use crate::identity::signing_key::OwnKey;
use crate::runtime::durable_file;

/// Ending of the name of a key's file.
const ENDING: &str = "key";

/// Maximum bytes of a key's file.
const FILE_MAX: u64 = 4096;

/// Maximum number of keys. All are published, and peers read no more from a directory.
pub const KEYS_MAX: usize = 32;

/// Permissions that nobody but the owner may have.
const OTHERS: u32 = 0o077;

/// Permissions by which others could put files into the folder.
const WRITABLE: u32 = 0o022;

/// The folder of signing keys.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    path: PathBuf,
}

/// Error: the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFolderError {
    /// The folder or a file of it cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// Reason of the system.
        #[source]
        error: std::io::Error,
    },
    /// Others than the owner may read a key.
    #[error("{}: its mode is {mode:04o}, so others can read this signing key; run chmod 600 {}", path.display(), path.display())]
    OpenMode {
        /// File of the key.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others than the owner may put keys into the folder.
    #[error("{}: its mode is {mode:04o}, so others can put signing keys into it; run chmod 700 {}", path.display(), path.display())]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is no signing key.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// File of the key.
        path: PathBuf,
        /// Fault of the file.
        why: String,
    },
    /// A key with this id exists.
    #[error("a key with the id {0} exists; choose another one with --id")]
    Exists(KeyId),
    /// There is no room in the key directory.
    #[error(
        "there are {count} keys, and peers read {KEYS_MAX} at most; an old key stays published while something that it signed is \
         kept, here or at a peer: if that is over for {}, the oldest one, remove this file", oldest.display()
    )]
    TooMany {
        /// Number of keys.
        count: usize,
        /// File of the key that has signed least recently.
        oldest: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandom(String),
}

/// A key's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    created: String,
    signs_from: String,
    secret: Zeroizing<String>,
}

impl KeyFolder {
    /// Returns the folder of keys in the data folder; it need not exist.
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self { path: data_dir.join("keys") }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all keys. One that cannot be read is an error: a server that loses a key without a word would sign with another one,
    /// and its peers would refuse it.
    ///
    /// `allow_open`: a key that others may read is reported and used. Returns the keys and the reports.
    pub fn load(&self, allow_open: bool) -> Result<(KeyRing, Vec<KeyFolderError>), KeyFolderError> {
        let (mut keys, mut open) = (vec![], vec![]);
        match std::fs::metadata(&self.path) {
            Ok(state) if state.permissions().mode() & WRITABLE != 0 => {
                let mode = state.permissions().mode() & 0o7777;
                return Err(KeyFolderError::OpenFolder { path: self.path.clone(), mode });
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&self.path)(error)),
            _ => {}
        }
        for path in self.files()? {
            let state = std::fs::metadata(&path).map_err(io(&path))?;
            if !state.is_file() {
                return Err(KeyFolderError::Malformed { path, why: "it is no file".to_owned() });
            }
            let mode = state.permissions().mode() & 0o7777;
            if mode & OTHERS != 0 {
                let found = KeyFolderError::OpenMode { path: path.clone(), mode };
                if !allow_open {
                    return Err(found);
                }
                open.push(found);
            }
            keys.push(read(&path)?);
        }
        Ok((KeyRing::new(keys), open))
    }

    /// Makes the first key, if the folder has none; returns all.
    pub fn load_or_begin(
        &self,
        allow_open: bool,
        now: SystemTime,
    ) -> Result<(KeyRing, Vec<KeyFolderError>), KeyFolderError> {
        if self.files()?.is_empty() {
            match self.create(None, now, now) {
                // Another process was faster; its key is the first one.
                Ok(_) | Err(KeyFolderError::Exists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.load(allow_open)
    }

    /// Makes a key and writes it to disk. Without an id it gets the next free number.
    pub fn create(
        &self,
        id: Option<KeyId>,
        now: SystemTime,
        signs_from: SystemTime,
    ) -> Result<StoredKey, KeyFolderError> {
        self.make_folder()?;
        self.check_room()?;
        let id = match id {
            Some(id) => id,
            None => self.next_number()?,
        };
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|error| KeyFolderError::NoRandom(error.to_string()))?;
        let key = OwnKey::from_seed(id, &seed);
        self.write(&key, now, signs_from)?;
        Ok(StoredKey { key, created: whole(now), signs_from: whole(signs_from) })
    }

    /// Checks that one more key can be published. None is removed here, because nobody knows what the peers still keep.
    fn check_room(&self) -> Result<(), KeyFolderError> {
        let files = self.files()?;
        if files.len() < KEYS_MAX {
            return Ok(());
        }
        let (ring, _) = self.load(true)?;
        let oldest = ring.keys().first().map(|key| self.file_of(&key.key)).unwrap_or_default();
        Err(KeyFolderError::TooMany { count: files.len(), oldest })
    }

    /// Lets a key sign from this time on.
    pub fn set_signs_from(&self, key: &StoredKey, signs_from: SystemTime) -> Result<StoredKey, KeyFolderError> {
        let path = self.file_of(&key.key);
        let draft = self.draft(&path, &key.key, key.created, signs_from)?;
        durable_file::replace(draft, &path).map_err(io(&path))?;
        Ok(StoredKey { signs_from: whole(signs_from), ..key.clone() })
    }

    fn write(&self, key: &OwnKey, created: SystemTime, signs_from: SystemTime) -> Result<(), KeyFolderError> {
        let path = self.file_of(key);
        let draft = self.draft(&path, key, created, signs_from)?;
        durable_file::publish(draft, &path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => KeyFolderError::Exists(key.id().clone()),
            _ => io(&path)(error),
        })
    }

    fn file_of(&self, key: &OwnKey) -> PathBuf {
        self.path.join(format!("{}.{ENDING}", key.id()))
    }

    /// Writes a key into a temporary file, which has the mode 0600.
    fn draft(
        &self,
        path: &Path,
        key: &OwnKey,
        created: SystemTime,
        signs_from: SystemTime,
    ) -> Result<tempfile::NamedTempFile, KeyFolderError> {
        let secret = Zeroizing::new(STANDARD.encode(*key.seed()));
        let text = Zeroizing::new(format!(
            "# A signing key of this Fernpost. Whoever can read it can act as this server.\n\
             created = \"{}\"\nsigns_from = \"{}\"\nsecret = \"{}\"\n",
            humantime::format_rfc3339_seconds(created),
            humantime::format_rfc3339_seconds(signs_from),
            *secret
        ));
        let mut draft = durable_file::draft_beside(path).map_err(io(&self.path))?;
        draft.write_all(text.as_bytes()).map_err(io(path))?;
        Ok(draft)
    }

    fn make_folder(&self) -> Result<(), KeyFolderError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(io(&self.path))?;
        std::fs::set_permissions(&self.path, Permissions::from_mode(0o700)).map_err(io(&self.path))?;
        durable_file::sync_folder_of(&self.path).map_err(io(&self.path))
    }

    fn next_number(&self) -> Result<KeyId, KeyFolderError> {
        let numbers = self.files()?.into_iter().filter_map(|path| path.file_stem()?.to_str()?.parse::<u64>().ok());
        let number = numbers.max().unwrap_or(0).saturating_add(1);
        Ok(number.to_string().parse().expect("a number is an id"))
    }

    /// Returns the files of keys, by name.
    fn files(&self) -> Result<Vec<PathBuf>, KeyFolderError> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(io(&self.path)(error)),
        };
        let mut files = vec![];
        for entry in entries {
            let path = entry.map_err(io(&self.path))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn read(path: &Path) -> Result<StoredKey, KeyFolderError> {
    let malformed = |why: String| KeyFolderError::Malformed { path: path.to_owned(), why };
    let length = std::fs::metadata(path).map_err(io(path))?.len();
    if length > FILE_MAX {
        return Err(malformed(format!("it has {length} bytes; a signing key has {FILE_MAX} at most")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io(path))?);
    // The library's own message would show the line, and with it the secret.
    let file: KeyFile =
        toml::from_str(&text).map_err(|error| malformed(format!("it is no signing key: {}", error.message())))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let id: KeyId = stem.parse().map_err(|error| malformed(format!("its name is no key id: {error}")))?;
    let time = |key: &str, text: &str| {
        humantime::parse_rfc3339(text).map_err(|error| malformed(format!("{key} is no time: {error}")))
    };
    let (created, signs_from) = (time("created", &file.created)?, time("signs_from", &file.signs_from)?);
    let bytes = STANDARD.decode(&*file.secret).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| malformed("secret is not base64".to_owned()))?;
    let exact: [u8; 32] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| malformed(format!("secret has {} bytes instead of 32", bytes.len())))?;
    Ok(StoredKey { key: OwnKey::from_seed(id, &Zeroizing::new(exact)), created, signs_from })
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> KeyFolderError {
    let path = path.to_owned();
    move |error| KeyFolderError::Io { path, error }
}

/// Returns the time in whole seconds, as a file holds it.
fn whole(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests;
