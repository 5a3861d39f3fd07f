//! `GET /health/live` and `/health/ready`.

use serde::{Deserialize, Serialize};

use super::FixedText;

/// The answer of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// `ok` or `unready`.
    pub status: FixedText,
    /// The conditions that keep the process from being ready, by name; an absent list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<FailingCheck>,
}

/// A condition that keeps the process from being ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingCheck {
    /// Name of the condition, such as `store` or `stopping`.
    pub what: FixedText,
    /// Its reason, for people.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn health_report_round_trips() {
        let unready = assert_round_trip::<HealthReport>(&[
            r#"{"status":"ok"}"#,
            concat!(
                r#"{"status":"unready","failing":[{"what":"stopping","why":"a signal was received"},"#,
                r#"{"what":"store","why":"the disk is full"}]}"#
            ),
        ]);
        assert_eq!((unready.failing.len(), &*unready.failing[1].what), (2, "store"));
    }
}
