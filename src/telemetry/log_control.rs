//! The level of the log while the process runs: the standing filter, and another one that ends by itself.

use std::sync::Arc;
use std::time::Duration;

use actors::model::Millis;
use parking_lot::Mutex;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::reload;

use crate::telemetry::log_filter::{BadLogFilter, LogRules, PeerLines, parse_filter};
use crate::telemetry::log_format::{LineFormat, LogFormat};

/// Replaces the rules of the log.
type ReplaceRules = Box<dyn Fn(LogRules) + Send + Sync>;

/// The control of the log's level and form. Clones share one.
#[derive(Clone)]
pub struct LogControl(Arc<SharedControl>);

struct SharedControl {
    replace: ReplaceRules,
    format: LineFormat,
    state: Mutex<LogState>,
}

/// The levels of the log.
#[derive(Debug)]
struct LogState {
    /// Filter outside of a passing level.
    standing: String,
    /// True if the environment has set the standing filter, so that the configuration does not.
    is_fixed: bool,
    passing: Option<PassingLevel>,
    /// Number of the newest passing level: the end of an older one has no effect.
    newest: u64,
}

/// A level that was set for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassingLevel {
    /// Filter; or with a peer, the level of the lines about it.
    pub level: String,
    /// Peer whose lines are logged beside those of the standing filter; `None`: the filter replaces the standing one.
    pub peer: Option<String>,
    /// Time at which the level ends.
    pub until: Millis,
}

/// The levels in force, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevels {
    /// Filter outside of a passing level.
    pub standing: String,
    /// Level that was set for a time.
    pub passing: Option<PassingLevel>,
    /// Form of the lines.
    pub format: LogFormat,
}

impl LogControl {
    /// Returns a control of these rules, which log by `standing`; `is_fixed`: the configuration does not change it.
    pub(super) fn new<S: Subscriber>(
        rules: reload::Handle<LogRules, S>,
        format: LineFormat,
        (standing, is_fixed): (String, bool),
    ) -> Self {
        let replace: ReplaceRules = Box::new(move |new| {
            // It fails only if the subscriber is gone, and then nothing is logged.
            let _ = rules.reload(new);
        });
        let state = Mutex::new(LogState { standing, is_fixed, passing: None, newest: 0 });
        Self(Arc::new(SharedControl { replace, format, state }))
    }

    /// Uses the filter and the form of a configuration, which were checked, from now on. A passing level stays until its end.
    pub fn follow(&self, level: &str, format: LogFormat) {
        self.0.format.set(format);
        let mut state = self.0.state.lock();
        if !state.is_fixed && state.standing != level {
            level.clone_into(&mut state.standing);
            self.apply(&state);
        }
    }

    /// Logs by another filter until a time; `time` is how long that is. It replaces a level that was set before.
    ///
    /// A task of the calling runtime ends it.
    pub fn pass(&self, level: PassingLevel, time: Duration) -> Result<(), BadLogFilter> {
        rules("off", Some(&level))?;
        let number = {
            let mut state = self.0.state.lock();
            state.passing = Some(level);
            state.newest += 1;
            self.apply(&state);
            state.newest
        };
        let control = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            control.end(number);
        });
        Ok(())
    }

    fn end(&self, number: u64) {
        let mut state = self.0.state.lock();
        if state.newest != number {
            return;
        }
        state.passing = None;
        self.apply(&state);
        let level = state.standing.clone();
        drop(state);
        tracing::info!(level, "the level of the log is the standing one again");
    }

    /// Returns the levels in force.
    pub fn levels(&self) -> LogLevels {
        let state = self.0.state.lock();
        LogLevels { standing: state.standing.clone(), passing: state.passing.clone(), format: self.0.format.current() }
    }

    pub(super) fn format(&self) -> &LineFormat {
        &self.0.format
    }

    fn apply(&self, state: &LogState) {
        (self.0.replace)(rules(&state.standing, state.passing.as_ref()).expect("the filters were checked"));
    }
}

/// Returns the rules of a standing filter and a passing level.
pub(super) fn rules(standing: &str, passing: Option<&PassingLevel>) -> Result<LogRules, BadLogFilter> {
    match passing {
        None => Ok(LogRules { filter: parse_filter(standing)?, peer_lines: None }),
        Some(PassingLevel { level, peer: None, .. }) => Ok(LogRules { filter: parse_filter(level)?, peer_lines: None }),
        Some(PassingLevel { level, peer: Some(peer), .. }) => {
            let lines = PeerLines { peer: peer.clone(), level: only_level(level)? };
            Ok(LogRules { filter: parse_filter(standing)?, peer_lines: Some(lines) })
        }
    }
}

/// Parses a level without targets.
fn only_level(text: &str) -> Result<LevelFilter, BadLogFilter> {
    let level = text.parse::<LevelFilter>().ok();
    level.ok_or_else(|| BadLogFilter::of(text, "with a peer it is one of error, warn, info, debug and trace"))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    use super::*;

    /// Lines that were written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Written {
        /// Takes the lines, each without its time.
        fn take(&self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock())).expect("text");
            let without_time = |line: &str| line.split_once(' ').expect("a time").1.trim_start().to_owned();
            text.lines().map(without_time).collect()
        }
    }

    /// Runs `work` with a log whose standing filter is "info".
    async fn logged(work: impl AsyncFnOnce(LogControl, Written)) {
        let (written, format) = (Written::default(), LineFormat::default());
        let (layer, handle) = reload::Layer::new(rules("info", None).expect("a filter"));
        let lines = tracing_subscriber::fmt::layer().event_format(format.clone()).with_writer(written.clone());
        let subscriber = registry().with(layer).with(lines.with_ansi(false));
        let _guard = tracing::subscriber::set_default(subscriber);
        work(LogControl::new(handle, format, ("info".to_owned(), false)), written).await;
    }

    /// Logs a line of each kind, and returns the messages that were written.
    fn told(written: &Written) -> String {
        tracing::debug!(peer = "blue", "a");
        tracing::debug!(peer = %"green", "b");
        tracing::info!(peer = "blue", "c");
        tracing::debug!("d");
        tracing::trace!(peer = %"blue", "e");
        let lines = written.take();
        lines.iter().map(|line| line.split(": ").nth(1).expect("a message")[..1].to_owned()).collect()
    }

    fn passing(level: &str, peer: Option<&str>) -> PassingLevel {
        PassingLevel { level: level.to_owned(), peer: peer.map(str::to_owned), until: Millis(0) }
    }

    #[tokio::test(start_paused = true)]
    async fn passing_level_reverts_by_itself() {
        const MINUTE: Duration = Duration::from_secs(60);
        logged(async |control, written| {
            assert_eq!(told(&written), "c");
            control.pass(passing("debug", None), MINUTE).expect("a filter");
            assert_eq!(told(&written), "abcd");
            tokio::time::sleep(MINUTE / 2).await;
            // A newer level replaces the one before, whose end has no effect.
            control.pass(passing("trace", Some("blue")), MINUTE).expect("a level");
            assert_eq!(told(&written), "ace");
            tokio::time::sleep(MINUTE / 2 + Duration::from_secs(1)).await;
            assert_eq!(told(&written), "ace");
            tokio::time::sleep(MINUTE / 2).await;
            let end = written.take();
            assert!(end[0].contains("the level of the log is the standing one again level=\"info\""), "{end:?}");
            assert_eq!(told(&written), "c");
            assert_eq!(control.levels().passing, None);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn configured_level_waits_beneath_passing_one() {
        logged(async |control, written| {
            control.pass(passing("off", None), Duration::from_secs(60)).expect("a filter");
            control.follow("debug", LogFormat::Text);
            assert_eq!(told(&written), "");
            tokio::time::sleep(Duration::from_secs(61)).await;
            written.take();
            assert_eq!(told(&written), "abcd");
            let refused = control.pass(passing("debug,actors=info", Some("blue")), Duration::from_secs(60));
            assert!(refused.is_err_and(|error| error.to_string().contains("one of error, warn, info")));
        })
        .await;
    }

    #[tokio::test]
    async fn json_lines_hold_fields() {
        logged(async |control, written| {
            control.follow("info", LogFormat::Json);
            tracing::warn!(peer = %"blue", count = 3, "told \"so\"");
            let line = control.format().plain_line("fernpost ends: a reason");
            let lines = String::from_utf8(std::mem::take(&mut *written.0.lock())).expect("text") + &line;
            let lines: Vec<serde_json::Value> =
                lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let fields = serde_json::json!({ "message": "told \"so\"", "peer": "blue", "count": 3 });
            assert_eq!((&lines[0]["level"], &lines[0]["fields"]), (&"WARN".into(), &fields));
            assert_eq!(lines[1]["fields"]["message"], "fernpost ends: a reason");
            assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["target"].is_string()));
        })
        .await;
    }
}
