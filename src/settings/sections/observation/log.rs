//! `[log]`: the log of the process.

use std::path::PathBuf;

use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::telemetry::deliveries::DeliveryLogOutput;
use crate::telemetry::log_filter::check_filter;
use crate::telemetry::log_format::LogFormat;

/// The log of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    /// Filter of the lines.
    pub level: String,
    /// Output of the log of deliveries; `None`: there is none.
    pub deliveries: Option<DeliveryLogOutput>,
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

/// The output of the log of deliveries, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeliveriesValue {
    /// None.
    Off,
    /// The stderr of the process.
    Stderr,
    /// A file.
    File,
}

/// Name of the log of deliveries in the data folder.
const DELIVERIES_FILE: &str = "deliveries.log";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSection {
    /// Form of the lines.
    format: LogFormatValue,
    /// Filter of the lines.
    level: String,
    /// Output of the log of deliveries.
    deliveries: DeliveriesValue,
    /// File of the log of deliveries.
    deliveries_file: Option<PathBuf>,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: LogFormatValue::Text,
            level: "info".to_owned(),
            deliveries: DeliveriesValue::Off,
            deliveries_file: None,
        }
    }
}

impl LogSection {
    /// Checks the section; `data_dir` is the folder of the file that is not named.
    pub(crate) fn check(self, data_dir: Option<&PathBuf>, check: &mut SettingsCheck<'_>) -> LogSettings {
        if let Err(error) = check_filter(&self.level) {
            check.invalid(&["log", "level"], error);
        }
        let format = match self.format {
            LogFormatValue::Text => LogFormat::Text,
            LogFormatValue::Json => LogFormat::Json,
        };
        let named = self.deliveries_file.map(|path| check.path(&path));
        let deliveries = match self.deliveries {
            DeliveriesValue::Off => None,
            DeliveriesValue::Stderr => Some(DeliveryLogOutput::Stderr),
            DeliveriesValue::File => {
                // Without a data folder the configuration is refused anyway.
                let file = named.or_else(|| Some(data_dir?.join(DELIVERIES_FILE))).unwrap_or_default();
                Some(DeliveryLogOutput::File(file))
            }
        };
        LogSettings { format, level: self.level, deliveries }
    }
}
