//! The level of the log: `fernpost log`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::FixedText;

/// A level for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLevelRequest {
    /// Filter that replaces the standing one; or with a peer, the level of the lines about it.
    pub level: String,
    /// Peer whose lines are logged beside those of the standing filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Time after which the level ends, such as "10m".
    #[serde(rename = "for")]
    pub time: String,
}

/// The levels of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLevelDetails {
    /// Filter of the configuration or of the environment.
    pub standing: String,
    /// Form of the lines: `text` or `json`.
    pub format: FixedText,
    /// Level that was set for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passing: Option<PassingLevelDetails>,
}

/// A level of the log that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PassingLevelDetails {
    /// Filter that replaces the standing one; or with a peer, the level of the lines about it.
    pub level: String,
    /// Peer whose lines are logged beside those of the standing filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Time at which the level ends.
    pub until: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn log_levels_round_trip() {
        let levels = assert_round_trip::<LogLevelDetails>(&[
            r#"{"standing":"info","format":"text"}"#,
            concat!(
                r#"{"standing":"info","format":"json","passing":{"level":"debug","peer":"blue.example","#,
                r#""until":"2026-01-02T03:04:05.678Z"}}"#
            ),
        ]);
        assert_eq!(levels.standing, "info");
        let asked = assert_round_trip::<LogLevelRequest>(&[r#"{"level":"debug","peer":"blue","for":"10m"}"#]);
        assert_eq!(asked.time, "10m");
    }
}
