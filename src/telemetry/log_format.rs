//! The form of the log's lines: text for people, or one JSON object a line. A running process can change it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{self, Format, Full, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text.
    Text,
    /// A JSON object in a line: `timestamp`, `level`, `target`, and `fields` with `message`.
    Json,
}

/// Writes events in the form that is set now. Clones share the setting.
#[derive(Debug, Clone)]
pub(super) struct LineFormat {
    is_json: Arc<AtomicBool>,
    text: Format<Full>,
    json: Format<Json>,
}

impl Default for LineFormat {
    fn default() -> Self {
        let json = format::json().with_current_span(false).with_span_list(false);
        Self { is_json: Arc::default(), text: format::format(), json }
    }
}

impl LineFormat {
    pub(super) fn set(&self, format: LogFormat) {
        self.is_json.store(format == LogFormat::Json, Ordering::Relaxed);
    }

    pub(super) fn current(&self) -> LogFormat {
        if self.is_json.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Text }
    }

    /// Returns the line of words that are no event of the log, such as the reason for which the process ends.
    pub(super) fn plain_line(&self, words: &str) -> String {
        match self.current() {
            LogFormat::Text => format!("{words}\n"),
            LogFormat::Json => {
                let mut timestamp = String::new();
                // Writing to a string cannot fail.
                let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
                let fields = serde_json::json!({ "message": words });
                let line = serde_json::json!({
                    "timestamp": timestamp, "level": "ERROR", "fields": fields, "target": "fernpost"
                });
                format!("{line}\n")
            }
        }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        match self.current() {
            LogFormat::Text => self.text.format_event(context, writer, event),
            LogFormat::Json => self.json.format_event(context, writer, event),
        }
    }
}
