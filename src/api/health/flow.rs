//! `/admin/v1/flow`: the flow of items, minute by minute.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The flow of the last minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowReport {
    /// Time of the answer.
    pub time: String,
    /// The minutes, oldest first; the last one is still running.
    pub minutes: Vec<FlowRow>,
}

/// The flow of one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowRow {
    /// Begin of the minute.
    pub minute: String,
    /// Number of items that our messenger submitted.
    #[serde(default)]
    pub accepted: u64,
    /// Number of items that peers acknowledged.
    #[serde(default)]
    pub delivered: u64,
    /// Number of requests to peers with items that failed.
    #[serde(default)]
    pub failed: u64,
    /// Number of items that peers sent.
    #[serde(default)]
    pub received: u64,
    /// Number of items that went to quarantine or became dead letters.
    #[serde(default)]
    pub quarantined: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn flow_report_round_trips() {
        let report = assert_round_trip::<FlowReport>(&[
            r#"{"time":"2026-12-01T00:00:07.000Z","minutes":[]}"#,
            concat!(
                r#"{"time":"2026-12-01T00:00:07.000Z","minutes":[{"minute":"2026-12-01T00:00:00.000Z","accepted":1,"#,
                r#""delivered":2,"failed":3,"received":4,"quarantined":5}]}"#
            ),
        ]);
        assert_eq!(report.minutes[0].quarantined, 5);
    }
}
