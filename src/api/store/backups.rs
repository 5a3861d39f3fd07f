//! `/admin/v1/store/backups`: the scheduled backups.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The scheduled backups: the rules, the files and the last failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledBackups {
    /// Folder of the files; absent: there is no schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Time between two backups, such as `1day`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Number of backups that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u64>,
    /// True: one is being taken.
    pub running: bool,
    /// Time of the next one; absent: it is due, or there is no schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The fault, for people; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The verified backups, the oldest first.
    pub files: Vec<BackupRow>,
}

/// A verified backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupRow {
    /// Path of the file.
    pub path: PathBuf,
    /// Time of the state that it contains.
    pub taken: String,
    /// Size of the file.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn scheduled_backups_round_trip() {
        let backups = assert_round_trip::<ScheduledBackups>(&[
            concat!(
                r#"{"folder":"/b","every":"1day","keep":7,"running":true,"next":"2026-12-01T00:00:00.000Z","#,
                r#""problem":"the last backup failed: no space","files":[{"path":"/b/red-20261130T000000Z.backup","#,
                r#""taken":"2026-11-30T00:00:00.000Z","bytes":4096}]}"#
            ),
            r#"{"running":false,"files":[]}"#,
        ]);
        assert_eq!((backups.files.len(), backups.folder), (0, None));
    }
}
