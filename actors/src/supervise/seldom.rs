//! A line of the log that anybody could make come ten thousand times: at most one a minute for each subject, with a count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A subject that was spoken of is silent for so long.
pub const PERIOD: Duration = Duration::from_secs(60);

/// Subjects told apart at once; whatever comes beyond them shares one line.
const SUBJECTS_MAX: usize = 1000;

/// The subject of what is beyond [`SUBJECTS_MAX`].
const OTHERS: &str = "others";

/// Says the first of something at once, and of what follows within [`PERIOD`] how much it was, and the last. Clones share one
/// book.
#[derive(Clone)]
pub struct Seldom(Arc<Book>);

type Say = dyn Fn(&str, u64, &str) + Send + Sync;

struct Book {
    /// Writes the line: the subject, how much since the last line of it, and what was said last.
    say: Box<Say>,
    /// Who was spoken of within a period, with what has come since.
    silent: Mutex<HashMap<String, Since>>,
}

#[derive(Default)]
struct Since {
    count: u64,
    last: String,
}

impl Seldom {
    /// Something that is said by `say`.
    pub fn new(say: impl Fn(&str, u64, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Book { say: Box::new(say), silent: Mutex::default() }))
    }

    /// It happened `count` times to this subject. Has to be called on a runtime, whose clock ends the silence.
    pub fn note(&self, subject: &str, count: u64, what: &str) {
        let subject = {
            let mut silent = self.0.silent();
            let is_beyond = silent.len() >= SUBJECTS_MAX && !silent.contains_key(subject);
            let subject = if is_beyond { OTHERS } else { subject };
            if let Some(since) = silent.get_mut(subject) {
                since.count += count;
                return what.clone_into(&mut since.last);
            }
            silent.insert(subject.to_owned(), Since::default());
            subject.to_owned()
        };
        (self.0.say)(&subject, count, what);
        tokio::spawn(self.0.clone().keep_silent(subject));
    }
}

impl Book {
    fn silent(&self) -> MutexGuard<'_, HashMap<String, Since>> {
        // Each change is whole before anything can panic.
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_silent(self: Arc<Self>, subject: String) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let Since { count, last } = {
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

    fn book() -> (Seldom, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = lines.clone();
        let say = move |subject: &str, count: u64, last: &str| {
            into.lock().expect("sound").push(format!("{subject} {count} {last}"));
        };
        (Seldom::new(say), lines)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_said_at_once_and_the_rest_once_a_minute_with_a_count() {
        let (seldom, lines) = book();
        let said = || std::mem::take(&mut *lines.lock().expect("sound"));
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
    async fn subjects_beyond_a_thousand_share_a_line() {
        let (seldom, lines) = book();
        for n in 0..SUBJECTS_MAX + 5 {
            seldom.note(&n.to_string(), 1, "x");
        }
        assert_eq!(lines.lock().expect("sound").last().map(String::as_str), Some("others 1 x"));
        tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
        assert_eq!(lines.lock().expect("sound").last().map(String::as_str), Some("others 4 x"));
        assert_eq!(lines.lock().expect("sound").len(), SUBJECTS_MAX + 2);
    }
}
