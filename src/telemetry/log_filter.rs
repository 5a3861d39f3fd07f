//! The filter of the log's lines: the directives of `tracing`, and beside them the lines about one peer.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer};

/// Field of an event that names the peer that it is about.
const PEER: &str = "peer";

/// Parts of libraries whose lines an operator does not want: the first logs each invalid request as an error, so that anybody who
/// reaches a port could fill the disk; the second names threads.
const NOISE: [(&str, &str); 2] = [("actix_http", "actix_http::h1=off"), ("actix_server", "actix_server=warn")];

/// Error: a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{filter}\" is not a filter such as \"info\" or \"info,actors=debug\": {reason}")]
pub struct BadLogFilter {
    filter: String,
    reason: String,
}

impl BadLogFilter {
    pub(super) fn of(filter: &str, reason: impl Into<String>) -> Self {
        Self { filter: filter.to_owned(), reason: reason.into() }
    }
}

/// Returns the filter without the lines of those libraries, unless it names them.
fn without_noise(filter: &str) -> String {
    let quiet = NOISE.iter().filter(|(library, _)| !filter.contains(library)).map(|(_, directive)| *directive);
    std::iter::once(filter).chain(quiet).collect::<Vec<_>>().join(",")
}

/// Parses a filter of the log.
pub(super) fn parse_filter(text: &str) -> Result<EnvFilter, BadLogFilter> {
    if text.trim().is_empty() {
        return Err(BadLogFilter::of(text, "it is empty"));
    }
    EnvFilter::try_new(without_noise(text)).map_err(|error| BadLogFilter::of(text, error.to_string()))
}

/// Checks a filter of the log.
pub fn check_filter(text: &str) -> Result<(), BadLogFilter> {
    parse_filter(text).map(drop)
}

/// The lines about one peer that are logged beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeerLines {
    pub(super) peer: String,
    pub(super) level: LevelFilter,
}

impl PeerLines {
    /// Returns whether an event of this kind may be one of these lines; its peer is known only once the event is recorded.
    fn may_have(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.fields().field(PEER).is_some()
    }
}

/// The rules of the log in force.
#[derive(Debug)]
pub(super) struct LogRules {
    pub(super) filter: EnvFilter,
    pub(super) peer_lines: Option<PeerLines>,
}

impl<S: Subscriber> Layer<S> for LogRules {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.peer_lines.as_ref().is_some_and(|lines| lines.may_have(metadata)) {
            true => Interest::sometimes(),
            false => Layer::<S>::register_callsite(&self.filter, metadata),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.peer_lines.as_ref().is_some_and(|lines| lines.may_have(metadata))
            || Layer::<S>::enabled(&self.filter, metadata, context)
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        let Some(lines) = self.peer_lines.as_ref().filter(|lines| lines.may_have(event.metadata())) else {
            return true;
        };
        let mut sought = SoughtPeer { peer: &lines.peer, is_found: false };
        event.record(&mut sought);
        sought.is_found || Layer::<S>::enabled(&self.filter, event.metadata(), context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let own = Layer::<S>::max_level_hint(&self.filter);
        match &self.peer_lines {
            // Without a hint of the filter every level may be logged.
            Some(lines) => own.map(|own| own.max(lines.level)),
            None => own,
        }
    }
}

/// Looks for a peer in the fields of an event.
struct SoughtPeer<'a> {
    peer: &'a str,
    is_found: bool,
}

impl Visit for SoughtPeer<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.is_found |= field.name() == PEER && value == self.peer;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == PEER {
            self.is_found |= format!("{value:?}") == self.peer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_noise_is_off() {
        for (filter, whole) in [
            ("info", "info,actix_http::h1=off,actix_server=warn"),
            ("debug,actors=info", "debug,actors=info,actix_http::h1=off,actix_server=warn"),
            ("info,actix_http=debug", "info,actix_http=debug,actix_server=warn"),
            ("actix_http=debug,actix_server=info", "actix_http=debug,actix_server=info"),
        ] {
            assert_eq!(without_noise(filter), whole);
            assert!(parse_filter(filter).is_ok());
        }
    }

    #[test]
    fn bad_filters_are_refused() {
        assert!(["info,actors=loud", " "].iter().all(|text| check_filter(text).is_err()));
        let words = check_filter("info,actors=loud").expect_err("no filter").to_string();
        assert!(words.starts_with("\"info,actors=loud\" is not a filter such as"), "{words}");
    }
}
