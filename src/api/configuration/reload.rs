//! The outcome of a reload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The outcome of a reload: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadReport {
    /// True if the configuration is in force; false: nothing has changed.
    pub ok: bool,
    /// Keys that changed and are in force. A server that is new or gone is named without its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Vec<String>>,
    /// Keys that changed and wait for a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Vec<String>>,
    /// All reasons for which the configuration is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<String>>,
}

impl ReloadReport {
    /// Returns the report of a configuration that is in force.
    pub fn done(changed: Vec<String>, restart: Vec<String>) -> Self {
        Self { ok: true, changed: Some(changed), restart: Some(restart), problems: None }
    }

    /// Returns the report of a configuration that is refused.
    pub fn refused(problems: Vec<String>) -> Self {
        Self { ok: false, changed: None, restart: None, problems: Some(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn reload_report_round_trips() {
        let done = assert_round_trip::<ReloadReport>(&[
            r#"{"ok":true,"changed":["peers.server.\"x\""],"restart":["server.name"]}"#,
            r#"{"ok":false,"problems":["`store.cache`: it has no unit"]}"#,
        ]);
        assert!(done.ok || done.problems.is_some());
    }
}
