//! Takes over certificates whose files change, and warns of those that end.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::model::Millis;
use actors::ports::Clock;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::tls::key_pair::{KeyPairError, KeyPairFiles};
use crate::tls::live_pair::LiveKeyPair;

/// Interval of looks at the files. Looks are used rather than events of the kernel, because there are none on network file systems,
/// and because a look follows symbolic links that a container swaps.
const LOOK: Duration = Duration::from_secs(2);

/// Time for which a pair that does not fit is looked at again before it is reported: the two files are written one after the other.
const SETTLES: Duration = Duration::from_secs(5);

/// Remaining validity below which a certificate is warned of.
pub const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Interval of warnings of a certificate that ends soon.
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// A pair of files whose changes are taken over.
#[derive(Debug, Clone)]
pub struct WatchedPair {
    /// Configuration key of the pair, such as `federation.tls`.
    pub subject: &'static str,
    /// Files of the pair.
    pub files: KeyPairFiles,
    /// Pair in use.
    pub live: LiveKeyPair,
}

/// A certificate that ends soon, or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Configuration key of the certificate.
    pub subject: &'static str,
    /// End of its validity.
    pub ends: Millis,
    /// Whole days until then; negative: it has ended.
    pub days: i64,
}

impl WatchedPair {
    /// Reads the pair for the first time.
    pub fn load(subject: &'static str, files: KeyPairFiles) -> Result<Self, KeyPairError> {
        let live = LiveKeyPair::new(files.load()?);
        Ok(Self { subject, files, live })
    }

    /// Returns the end of the certificate in use.
    pub fn end(&self, now: Millis) -> CertificateEnd {
        let ends = self.live.current().certificate.not_after();
        let left = i64::try_from(ends.0).unwrap_or(i64::MAX) - i64::try_from(now.0).unwrap_or(i64::MAX);
        CertificateEnd { subject: self.subject, ends, days: left.div_euclid(86_400_000) }
    }

    /// Returns the end of the certificate in use if it is near.
    pub fn end_soon(&self, now: Millis) -> Option<CertificateEnd> {
        let end = self.end(now);
        (end.ends.0 < now.after(ENDS_SOON).0).then_some(end)
    }
}

/// The state of one pair between two looks.
struct PairState {
    pair: WatchedPair,
    /// Marks of the files that were read last, whether they fit or not.
    tried: Option<u64>,
    /// Start of the time in which a pair that does not fit is read again; `None`: it fits, or was reported.
    unfit_since: Option<Instant>,
    warned: Option<Instant>,
}

/// Looks at the files until the task is aborted. `look_now` makes it look at once.
pub async fn watch(pairs: Vec<WatchedPair>, look_now: Arc<Notify>, clock: Arc<dyn Clock>) {
    let mut states: Vec<PairState> = pairs
        .into_iter()
        .map(|pair| PairState { tried: Some(marks(&pair.files)), pair, unfit_since: None, warned: None })
        .collect();
    loop {
        for state in &mut states {
            state.warn_of_end(clock.now());
        }
        let told = tokio::select! {
            () = sleep(LOOK) => false,
            () = look_now.notified() => true,
        };
        for state in &mut states {
            state.look(told).await;
        }
    }
}

impl PairState {
    async fn look(&mut self, told: bool) {
        let files = self.pair.files.clone();
        let found = tokio::task::spawn_blocking(move || (marks(&files), files)).await;
        let Ok((marks, files)) = found else { return };
        let again = self.unfit_since.is_some();
        if self.tried == Some(marks) && !again && !told {
            return;
        }
        if self.tried != Some(marks) && !again {
            self.unfit_since = Some(Instant::now());
        }
        self.tried = Some(marks);
        let subject = self.pair.subject;
        let Ok(loaded) = tokio::task::spawn_blocking(move || files.load()).await else { return };
        match loaded {
            Ok(pair) => {
                self.unfit_since = None;
                if self.pair.live.current().certificate.chain() == pair.certificate.chain() {
                    return;
                }
                let ends = humantime::format_rfc3339_seconds(
                    std::time::UNIX_EPOCH + Duration::from_millis(pair.certificate.not_after().0),
                );
                tracing::info!(subject, names = pair.certificate.names_text(), %ends, "certificate replaced");
                self.warned = None;
                self.pair.live.replace(pair);
            }
            Err(error) if self.unfit_since.is_some_and(|since| since.elapsed() >= SETTLES) || told => {
                self.unfit_since = None;
                tracing::error!(subject, %error, "the changed certificate cannot be used; the one before stays in use");
            }
            Err(_) => {}
        }
    }

    fn warn_of_end(&mut self, now: Millis) {
        let Some(CertificateEnd { subject, days, .. }) = self.pair.end_soon(now) else { return };
        if self.warned.is_some_and(|warned| warned.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        let names = self.pair.live.current().certificate.names_text();
        match days {
            0.. => tracing::warn!(subject, names, days, "the certificate ends soon; replace its files"),
            _ => tracing::error!(subject, names, days, "the certificate has ended; peers refuse it; replace its files"),
        }
    }
}

/// Returns marks that change when either file does, also when a symbolic link on the way is swapped.
fn marks(files: &KeyPairFiles) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in [&files.cert, &files.key] {
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

    struct AnyTime;

    impl Clock for AnyTime {
        fn now(&self) -> Millis {
            crate::tls::certificate::tests::at(10)
        }
    }

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
        let pair = WatchedPair::load("federation.tls", files.clone()).expect("it fits");
        let live = pair.live.clone();
        let task = tokio::spawn(watch(vec![pair], Arc::default(), Arc::new(AnyTime)));
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
        let pair = WatchedPair::load("federation.tls", linked).expect("it fits");
        let live = pair.live.clone();
        let task = tokio::spawn(watch(vec![pair], Arc::default(), Arc::new(AnyTime)));
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
