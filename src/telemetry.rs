//! The log of the process: to stderr, one line per state change, at the level that `FERNPOST_LOG` sets.

pub mod limit_counts;
pub mod logging_journal;
pub mod peer_clocks;
mod sink;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::runtime::caught_panics;
use sink::LogSink;

/// Environment variable with the filter, such as `info` or `fernpost=debug,actors=debug`. It is not a configuration
/// key, because it must work before the configuration is read.
pub const LOG_VARIABLE: &str = "FERNPOST_LOG";

/// Library that logs each invalid request as an error: anybody who reaches a port could fill the disk with its lines.
const NOISE: &str = "actix_http";

/// Returns the filter without that library's lines, unless it names the library.
fn quietly(filter: &str) -> String {
    if filter.contains(NOISE) { filter.to_owned() } else { format!("{filter},{NOISE}::h1=off") }
}

/// The sink of this process's log lines; empty until it logs.
static SINK: OnceLock<LogSink> = OnceLock::new();

/// Maximum time that an ending process waits for its last lines, because a log that is not read may never accept them.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Maximum time that a panicking thread waits for its line, because the process may be about to end.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Starts logging; the filter is `default` unless [`LOG_VARIABLE`] sets one. The command line calls it once. It fails if
/// the system cannot start a thread.
pub fn start(default: &str) -> io::Result<()> {
    let asked = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(quietly(if asked.is_empty() { default } else { &asked })).unwrap_or_else(|error| {
        say(&format!("{LOG_VARIABLE} = {asked:?} is not a filter ({error}); {default:?} is used"));
        EnvFilter::new(quietly(default))
    });
    // The sink gets its own descriptor, because a write that blocks must not hold the lock of the process's stderr.
    let sink = LogSink::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(SINK.get_or_init(|| sink).clone())
        .with_ansi(io::stderr().is_terminal())
        // Such reports would go to the output that has just failed.
        .log_internal_errors(false);
    // A second start can only come from a bug in a test harness, and is harmless.
    let _ = lines.try_init();
    // A caught panic is reported by the code that catches it, with its subject; the default report has only a line
    // number.
    let report = |panic: &PanicHookInfo<'_>| {
        tracing::error!(%panic, "panic");
        wait(LAST_WORDS);
    };
    caught_panics::report_by(report, last_words);
    Ok(())
}

/// Waits for the lines that were logged so far.
pub fn flush() {
    wait(LAST_LINES);
}

/// Prints the reason why the process ends, after all lines that were logged so far.
pub fn last_words(words: &str) {
    match SINK.get() {
        // The log's thread writes it, because a pipe that nobody reads must not delay the end of the process.
        Some(sink) => {
            sink.push(format!("{words}\n").as_bytes());
            flush();
        }
        None => say(words),
    }
}

/// Prints a line that is no log event. A line that cannot be written is lost.
fn say(words: &str) {
    let _ = writeln!(io::stderr().lock(), "{words}");
}

fn wait(patience: Duration) {
    if let Some(sink) = SINK.get() {
        sink.flush(patience);
    }
}

/// Returns the number of log lines that were lost since the process started.
pub fn lost() -> u64 {
    SINK.get().map_or(0, LogSink::lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parser_log_noise_is_off() {
        for (filter, whole) in [
            ("info", "info,actix_http::h1=off"),
            ("debug,actors=info", "debug,actors=info,actix_http::h1=off"),
            ("info,actix_http=debug", "info,actix_http=debug"),
        ] {
            assert_eq!(quietly(filter), whole);
            assert!(EnvFilter::try_new(whole).is_ok());
        }
    }
}
