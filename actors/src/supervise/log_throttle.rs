//! Rate-limited logging for lines that a remote server can cause: at most one a minute for each subject, with a count.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

/// Time after a line during which further events of its subject are only counted.
pub const PERIOD: Duration = Duration::from_secs(60);

/// Maximum number of subjects that are tracked; events of further subjects share one line.
const SUBJECTS_MAX: usize = 1000;

/// Subject of the events beyond [`SUBJECTS_MAX`].
const OTHERS: &str = "others";

/// Logs the first event of a subject at once; then, after each [`PERIOD`], the number of further events and the last
/// one. Clones share their state.
#[derive(Clone)]
pub struct LogThrottle(Arc<ThrottleState>);

type Say = dyn Fn(&str, u64, &str) + Send + Sync;

struct ThrottleState {
    /// Writes a line: the subject, the number of events since its last line, and the text of the last event.
    say: Box<Say>,
    /// Events per subject since its last line, for the subjects that had a line within the period.
    silent: Mutex<HashMap<String, SuppressedCount>>,
}

#[derive(Default)]
struct SuppressedCount {
    count: u64,
    last: String,
}

impl LogThrottle {
    /// Returns a throttle that writes its lines with `say`.
    pub fn new(say: impl Fn(&str, u64, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(ThrottleState { say: Box::new(say), silent: Mutex::default() }))
    }

    /// Records `count` events of a subject. It must be called on a tokio runtime, whose clock ends the silent period.
    pub fn note(&self, subject: &str, count: u64, what: &str) {
        let subject = {
            let mut silent = self.0.silent();
            let is_beyond = silent.len() >= SUBJECTS_MAX && !silent.contains_key(subject);
            let subject = if is_beyond { OTHERS } else { subject };
            if let Some(since) = silent.get_mut(subject) {
                since.count += count;
                return what.clone_into(&mut since.last);
            }
            silent.insert(subject.to_owned(), SuppressedCount::default());
            subject.to_owned()
        };
        (self.0.say)(&subject, count, what);
        tokio::spawn(self.0.clone().keep_silent(subject));
    }
}

impl ThrottleState {
    fn silent(&self) -> MutexGuard<'_, HashMap<String, SuppressedCount>> {
        // The lock does not poison, which is safe: each change is complete before anything can panic.
        self.silent.lock()
    }

    async fn keep_silent(self: Arc<Self>, subject: String) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let SuppressedCount { count, last } = {
                let mut silent = self.silent();
                match silent.get_mut(&subject) {
                    Some(since) if since.count > 0 => std::mem::take(since),
                    _ => {
                        silent.remove(&subject);
                        return;
                    }
                }
            };
            (self.say)(&subject, count, &last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> (LogThrottle, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = lines.clone();
        let say = move |subject: &str, count: u64, last: &str| {
            into.lock().push(format!("{subject} {count} {last}"));
        };
        (LogThrottle::new(say), lines)
    }

    #[tokio::test(start_paused = true)]
    async fn log_throttle_counts_per_minute() {
        let (seldom, lines) = book();
        let said = || std::mem::take(&mut *lines.lock());
        for n in 0..300 {
            seldom.note("blue", 1, &n.to_string());
        }
        seldom.note("red", 2, "x");
        assert_eq!(said(), ["blue 1 0", "red 2 x"]);
        tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
        assert_eq!(said(), ["blue 299 299"]);
        seldom.note("red", 1, "y");
        seldom.note("blue", 1, "z");
        assert_eq!(said(), ["red 1 y"], "its minute is over, and the other was spoken of just now");
        tokio::time::sleep(PERIOD).await;
        assert_eq!(said(), ["blue 1 z"]);
        tokio::time::sleep(2 * PERIOD).await;
        assert_eq!((said().len(), seldom.0.silent().len()), (0, 0), "nothing is kept of what is over");
    }

    #[tokio::test(start_paused = true)]
    async fn excess_throttle_subjects_share_line() {
        let (seldom, lines) = book();
        for n in 0..SUBJECTS_MAX + 5 {
            seldom.note(&n.to_string(), 1, "x");
        }
        assert_eq!(lines.lock().last().map(String::as_str), Some("others 1 x"));
        tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
        assert_eq!(lines.lock().last().map(String::as_str), Some("others 4 x"));
        assert_eq!(lines.lock().len(), SUBJECTS_MAX + 2);
    }
}
