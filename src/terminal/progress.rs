//! A progress bar for work that takes longer than a second; it is shown on a terminal only, and removed at the end.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc;
use std::time::Duration;

use tokio::time::Instant;

/// Time before the bar is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Width of the bar in characters.
const WIDTH: u64 = 30;

/// Work in progress.
pub(crate) struct ProgressLine {
    what: String,
    began: Instant,
    shown: bool,
}

impl ProgressLine {
    /// Starts now.
    pub(crate) fn new(what: &str) -> Self {
        Self { what: what.to_owned(), began: Instant::now(), shown: false }
    }

    /// Shows that `done` of `of` is done.
    pub(crate) fn at(&mut self, done: u64, of: u64) {
        if self.began.elapsed() < PATIENCE || !stderr().is_terminal() {
            return;
        }
        self.shown = true;
        // A failed progress output must not end the work.
        let _ = write!(stderr(), "\r{}", line(&self.what, done, of));
        let _ = stderr().flush();
    }

    /// Removes the bar, because the work is done.
    pub(crate) fn end(self) {
        if self.shown {
            clear();
        }
    }
}

/// Runs work that reports no progress, and shows the elapsed time meanwhile.
pub(crate) fn during<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let (done, finished) = mpsc::channel();
        let worker = scope.spawn(move || {
            let result = work();
            // The receiver may be gone.
            let _ = done.send(());
            result
        });
        let mut seconds = 0;
        while stderr().is_terminal() && finished.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            seconds += 1;
            let _ = write!(stderr(), "\r{what}  {seconds} s");
            let _ = stderr().flush();
        }
        if seconds > 0 {
            clear();
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn clear() {
    let _ = write!(stderr(), "\r\x1b[K");
    let _ = stderr().flush();
}

fn line(what: &str, done: u64, of: u64) -> String {
    let (done, of) = (done.min(of), of.max(1));
    let full = usize::try_from(done * WIDTH / of).unwrap_or(0);
    let empty = usize::try_from(WIDTH).unwrap_or(0) - full;
    format!("{what}  [{}{}] {:>3}%", "=".repeat(full), " ".repeat(empty), done * 100 / of)
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn progress_bar_stays_within_bounds() {
        assert_eq!(line("drop", 0, 0), format!("drop  [{}]   0%", " ".repeat(30)));
        assert_eq!(line("drop", 5, 10), format!("drop  [{}{}]  50%", "=".repeat(15), " ".repeat(15)));
        assert_eq!(line("drop", 12, 10), format!("drop  [{}] 100%", "=".repeat(30)));
    }
}
