//! Takes over files of certificates and roots that change.
//!
//! The files are looked at rather than watched through the kernel: there are no events on network file systems, and a look follows
//! symbolic links that a container swaps.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Interval of looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// Time for which files that do not fit are read again before it is reported: a certificate and its key are written one after the
/// other.
pub const SETTLES: Duration = Duration::from_secs(5);

/// Content of files that was read and checked, and is not in use yet.
pub struct FilesChange {
    /// Description of the change, for the log.
    pub words: String,
    /// Puts it to use.
    pub apply: Box<dyn FnOnce() + Send>,
}

/// Reads the files again; `None`: their content is in use already.
pub type ReadFiles = Arc<dyn Fn() -> Result<Option<FilesChange>, String> + Send + Sync>;

/// Files that are taken over when one of them changes.
#[derive(Clone)]
pub struct WatchedFiles {
    /// Configuration key of the files, such as `federation.tls`.
    pub subject: &'static str,
    /// Returns the paths of the files, which the configuration may change.
    pub paths: Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
    /// Reads them.
    pub read: ReadFiles,
}

/// The state of one set of files between two looks.
struct FilesState {
    files: WatchedFiles,
    /// Marks of the files that were read last, whether they fit or not.
    tried: u64,
    /// Start of the time in which files that do not fit are read again; `None`: they fit, or were reported.
    unfit_since: Option<Instant>,
}

/// Looks at the files until the task is aborted.
pub async fn watch(files: Vec<WatchedFiles>) {
    let begin = |files: WatchedFiles| FilesState { tried: marks(&(files.paths)()), files, unfit_since: None };
    let mut states: Vec<FilesState> = files.into_iter().map(begin).collect();
    loop {
        sleep(LOOK).await;
        for state in &mut states {
            state.look().await;
        }
    }
}

impl FilesState {
    async fn look(&mut self) {
        let WatchedFiles { subject, paths, read } = self.files.clone();
        let (tried, again) = (self.tried, self.unfit_since.is_some());
        // A disk may be slow, and this is the thread that answers signals.
        let looked = tokio::task::spawn_blocking(move || {
            let found = marks(&paths());
            (found, (found != tried || again).then(|| read()))
        });
        let Ok((found, outcome)) = looked.await else { return };
        if found != self.tried {
            self.tried = found;
            self.unfit_since = Some(Instant::now());
        }
        match outcome {
            None => {}
            Some(Ok(changed)) => {
                self.unfit_since = None;
                if let Some(FilesChange { words, apply }) = changed {
                    apply();
                    tracing::info!(subject, changed = words, "files replaced");
                }
            }
            Some(Err(error)) if self.unfit_since.is_some_and(|since| since.elapsed() >= SETTLES) => {
                self.unfit_since = None;
                tracing::error!(subject, error, "the changed files cannot be used; what was read before stays in use");
            }
            Some(Err(_)) => {}
        }
    }
}

/// Returns marks that change when one of the files does, also when a symbolic link on the way is swapped.
fn marks(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        file_marks(path).hash(&mut hasher);
    }
    hasher.finish()
}

fn file_marks(path: &Path) -> Option<[i64; 5]> {
    let state = std::fs::metadata(path).ok()?;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Some([signed(state.dev()), signed(state.ino()), signed(state.size()), state.mtime(), state.mtime_nsec()])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::generate_simple_self_signed;

    use super::*;
    use crate::tls::key_pair::KeyPairFiles;
    use crate::tls::live_pair::LiveKeyPair;
    use crate::tls::own_certificate::OwnCertificate;

    fn write(files: &KeyPairFiles, name: &str) {
        let made = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        fs::write(&files.cert, made.cert.pem()).expect("written");
        fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    }

    fn names(live: &LiveKeyPair) -> String {
        live.current().certificate.names_text()
    }

    #[tokio::test(start_paused = true)]
    async fn changed_pair_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = KeyPairFiles { cert: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        write(&files, "one.example");
        let pair = OwnCertificate::load("federation.tls", files.clone()).expect("it fits");
        let live = pair.live.clone();
        let task = tokio::spawn(watch(vec![pair.watched()]));
        let after = async |wanted: &str| {
            let deadline = Instant::now() + Duration::from_secs(5);
            while names(&live) != wanted && Instant::now() < deadline {
                sleep(Duration::from_millis(100)).await;
            }
            names(&live)
        };
        tokio::task::yield_now().await;
        write(&files, "two.example");
        assert_eq!(after("two.example").await, "two.example");

        // A certificate without its key is not used, and the pair is once both are there.
        let three = generate_simple_self_signed(["three.example".to_owned()]).expect("a certificate");
        fs::write(&files.cert, three.cert.pem()).expect("written");
        assert_eq!(after("three.example").await, "two.example");
        fs::write(&files.key, three.signing_key.serialize_pem()).expect("written");
        assert_eq!(after("three.example").await, "three.example");

        // A container swaps a symbolic link to a folder.
        for version in ["a", "b"] {
            let version = folder.path().join(version);
            fs::create_dir(&version).expect("made");
            let files = KeyPairFiles { cert: version.join("c.pem"), key: version.join("k.pem") };
            write(&files, &format!("{}.example", version.file_name().expect("a name").display()));
        }
        task.abort();
        let link = folder.path().join("now");
        std::os::unix::fs::symlink("a", &link).expect("a link");
        let linked = KeyPairFiles { cert: link.join("c.pem"), key: link.join("k.pem") };
        let pair = OwnCertificate::load("federation.tls", linked).expect("it fits");
        let live = pair.live.clone();
        let task = tokio::spawn(watch(vec![pair.watched()]));
        tokio::task::yield_now().await;
        std::os::unix::fs::symlink("b", folder.path().join("next")).expect("a link");
        fs::rename(folder.path().join("next"), &link).expect("swapped");
        let deadline = Instant::now() + Duration::from_secs(5);
        while names(&live) != "b.example" && Instant::now() < deadline {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(names(&live), "b.example");
        task.abort();
    }
}
