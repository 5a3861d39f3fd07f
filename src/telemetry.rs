//! The log of the process: to stderr, one line per state change, by the filter of `FERNPOST_LOG`, else of `log.level`.

pub mod deliveries;
pub mod flow_history;
pub mod limit_counts;
pub mod log_control;
pub mod log_filter;
pub mod log_format;
pub mod logging_journal;
pub mod peer_clocks;
pub mod refused_callers;
mod sink;
pub mod spans;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{registry, reload};

use crate::runtime::caught_panics;
use log_control::LogControl;
use log_filter::check_filter;
use log_format::{LineFormat, LogFormat};
use sink::{LogSink, PROCESS_LOG};

/// Version of the program, for metrics.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Environment variable with the filter, such as `info` or `fernpost=debug,actors=debug`. It is stronger than `log.level`, and holds
/// before the configuration is read, too.
pub const LOG_VARIABLE: &str = "FERNPOST_LOG";

/// The sink of this process's log lines; empty until it logs.
static SINK: OnceLock<LogSink> = OnceLock::new();

/// Maximum time that an ending process waits for its last lines, because a log that is not read may never accept them.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Maximum time that a panicking thread waits for its line, because the process may be about to end.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The control of this process's log; empty until it logs.
static CONTROL: OnceLock<LogControl> = OnceLock::new();

/// Starts logging; the filter is `default` unless [`LOG_VARIABLE`] sets one. The command line calls it once. It fails if
/// the system cannot start a thread.
pub fn start(default: &str) -> io::Result<()> {
    let asked = std::env::var(LOG_VARIABLE).ok().filter(|asked| !asked.is_empty());
    let asked = asked.filter(|asked| match check_filter(asked) {
        Ok(()) => true,
        Err(error) => {
            say(&format!("{LOG_VARIABLE}: {error}; it is not used"));
            false
        }
    });
    let standing = (asked.clone().unwrap_or_else(|| default.to_owned()), asked.is_some());
    // The sink gets its own descriptor, because a write that blocks must not hold the lock of the process's stderr.
    let sink = LogSink::start(PROCESS_LOG, File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    let format = LineFormat::default();
    let rules = log_control::rules(&standing.0, None).expect("the filter was checked");
    let (rules, handle) = reload::Layer::new(rules);
    let lines = tracing_subscriber::fmt::layer()
        .event_format(format.clone())
        .with_writer(SINK.get_or_init(|| sink).clone())
        .with_ansi(io::stderr().is_terminal())
        // Such reports would go to the output that has just failed.
        .log_internal_errors(false);
    CONTROL.get_or_init(|| LogControl::new(handle, format, standing));
    let lines = registry().with(rules).with(lines);
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

/// Logs by the filter and in the form of a configuration from now on, if this process logs.
pub fn follow(level: &str, format: LogFormat) {
    if let Some(control) = CONTROL.get() {
        control.follow(level, format);
    }
}

/// Returns the control of this process's log; `None`: it does not log.
pub fn control() -> Option<&'static LogControl> {
    CONTROL.get()
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
            let line = CONTROL.get().map_or_else(|| format!("{words}\n"), |control| control.format().plain_line(words));
            sink.push(line.as_bytes());
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
