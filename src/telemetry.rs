//! The process's log: to stderr, one line a state change, at the level `FERNPOST_LOG` asks for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that holds the filter, such as `info` or `fernpost=debug,actors=debug`. Not a configuration key: it must work
/// before there is a configuration.
pub const LOG_VARIABLE: &str = "FERNPOST_LOG";

/// Start logging; `default` holds where [`LOG_VARIABLE`] does not say otherwise. Called once, by the command line.
pub fn start(default: &str) {
    let asked = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(if asked.is_empty() { default } else { &asked }).unwrap_or_else(|error| {
        eprintln!("{LOG_VARIABLE} = {asked:?} is not a filter ({error}); {default:?} holds");
        EnvFilter::new(default)
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start would be a bug of a test harness, and harmless.
    let _ = lines.try_init();
    // A panic that a guard catches is reported by the guard, with its subject; the default report has only a line number.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic")));
}
