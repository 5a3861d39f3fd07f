//! `[log]`: the log of the process.

use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::telemetry::log_filter::check_filter;
use crate::telemetry::log_format::LogFormat;

/// The log of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    /// Filter of the lines.
    pub level: String,
}

/// The form of the log's lines, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogFormatValue {
    /// Lines of text.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSection {
    /// Form of the lines.
    format: LogFormatValue,
    /// Filter of the lines.
    level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormatValue::Text, level: "info".to_owned() }
    }
}

impl LogSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> LogSettings {
        if let Err(error) = check_filter(&self.level) {
            check.invalid(&["log", "level"], error);
        }
        let format = match self.format {
            LogFormatValue::Text => LogFormat::Text,
            LogFormatValue::Json => LogFormat::Json,
        };
        LogSettings { format, level: self.level }
    }
}
