//! `GET /health/live` and `/health/ready`.

pub mod flow;
pub mod status;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;

/// The answer of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// `ok` or `unready`.
    pub status: FixedText,
    /// The conditions that keep the process from being ready, by name; an absent list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<FailingCheck>,
    /// Warnings, which do not keep the process from being ready; an absent list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<HealthWarning>,
    /// State of push mode, if it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messenger: Option<MessengerHealth>,
}

/// The push of the feed to the messenger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessengerHealth {
    /// `delivering`, `backing_off` or `stuck`.
    pub state: FixedText,
    /// Time at which this state began (RFC 3339).
    pub since: String,
    /// Number of events that the messenger has not acknowledged.
    pub unread: u64,
}

/// A certificate that ends within 14 days or has ended, or scheduled backups that fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthWarning {
    /// Kind of the warning: `certificate` or `backup`.
    pub what: FixedText,
    /// Configuration key of the part, such as `federation.tls`.
    pub subject: FixedText,
    /// Of a certificate: the end of its validity (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// Of a certificate: whole days until then; negative: it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<i64>,
    /// Of backups: the reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A condition that keeps the process from being ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
                r#"{"status":"ok","messenger":{"state":"backing_off","since":"2026-12-01T00:00:00.000Z","#,
                r#""unread":3}}"#
            ),
            concat!(
                r#"{"status":"unready","failing":[{"what":"stopping","why":"a signal was received"},"#,
                r#"{"what":"store","why":"the disk is full"}]}"#
            ),
            r#"{"status":"ok","warnings":[{"what":"backup","subject":"store.backup","why":"no space"}]}"#,
            concat!(
                r#"{"status":"ok","warnings":[{"what":"certificate","subject":"federation.tls","#,
                r#""ends":"2026-12-01T00:00:00Z","days":2}]}"#
            ),
        ]);
        assert_eq!((unready.failing.len(), unready.warnings[0].days), (0, Some(2)));
    }
}
