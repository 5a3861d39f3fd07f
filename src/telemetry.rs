//! The process's log: to stderr, one line a state change, at the level `FERNPOST_LOG` asks for.

pub mod chronicle;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that holds the filter, such as `info` or `fernpost=debug,actors=debug`. Not a configuration key: it must work
/// before there is a configuration.
pub const LOG_VARIABLE: &str = "FERNPOST_LOG";

/// A library that logs, as an error, each request that is none: whoever reaches a port could fill the disk by it.
const NOISE: &str = "actix_http";

/// The filter, without that noise unless it names it.
fn quietly(filter: &str) -> String {
    if filter.contains(NOISE) { filter.to_owned() } else { format!("{filter},{NOISE}::h1=off") }
}

/// Start logging; `default` holds where [`LOG_VARIABLE`] does not say otherwise. Called once, by the command line.
pub fn start(default: &str) {
    let asked = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(quietly(if asked.is_empty() { default } else { &asked })).unwrap_or_else(|error| {
        eprintln!("{LOG_VARIABLE} = {asked:?} is not a filter ({error}); {default:?} holds");
        EnvFilter::new(quietly(default))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_on_a_port_fills_no_log_unless_it_is_asked_for() {
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
