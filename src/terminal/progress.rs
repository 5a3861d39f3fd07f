//! A progress bar for work that takes longer than a second; it is shown on a terminal only, and removed at the end.

use std::sync::mpsc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// Time before the bar is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Work in progress.
pub(crate) struct ProgressLine {
    what: String,
    began: Instant,
    shown: Option<ProgressBar>,
}

impl ProgressLine {
    /// Starts now.
    pub(crate) fn new(what: &str) -> Self {
        Self { what: what.to_owned(), began: Instant::now(), shown: None }
    }

    /// Shows that `done` of `of` units are done.
    pub(crate) fn at(&mut self, done: u64, of: u64) {
        if self.began.elapsed() < PATIENCE {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| bar(&self.what, "{msg}  [{bar:30}] {percent:>3}%"));
        bar.set_length(of.max(1));
        bar.set_position(done.min(of));
    }

    /// Removes the bar, because the work is done.
    pub(crate) fn end(self) {
        if let Some(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Runs work that reports no progress, and shows the elapsed time meanwhile.
pub(crate) fn during<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let (done, finished) = mpsc::channel();
        let worker = scope.spawn(move || {
            let result = work();
            let _ = done.send(());
            result
        });
        let takes_long = finished.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        let shown = takes_long.then(|| {
            let bar = bar(what, "{msg}  {elapsed}").with_elapsed(PATIENCE);
            bar.enable_steady_tick(PATIENCE);
            bar
        });
        let result = worker.join();
        if let Some(bar) = shown {
            bar.finish_and_clear();
        }
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Returns a bar on stderr; it draws nothing if stderr is not a terminal.
fn bar(what: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("a fixed template");
    ProgressBar::no_length().with_style(style.progress_chars("= ")).with_message(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_bar_stays_within_bounds() {
        let mut line = ProgressLine::new("drop");
        line.at(1, 10);
        assert!(line.shown.is_none(), "not within the first second");
        line.began -= PATIENCE;
        let mut shown = |done, of| {
            line.at(done, of);
            line.shown.as_ref().map(|bar| (bar.position(), bar.length()))
        };
        assert_eq!(
            [shown(0, 0), shown(5, 10), shown(12, 10)],
            [Some((0, Some(1))), Some((5, Some(10))), Some((10, Some(10)))]
        );
        line.end();
    }
}
