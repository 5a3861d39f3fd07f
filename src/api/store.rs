//! `/admin/v1/store`: the size of the store, and the backup of the running store.

pub mod backups;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;

/// The size of the store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StoreDetails {
    /// Version of the schema.
    pub schema: u32,
    /// Number of times that the store was opened.
    pub epoch: u64,
    /// Bytes of the file; absent for a store in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Bytes of pages that hold rows.
    pub live_bytes: u64,
    /// Bytes of the file that hold no row; absent for a store in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_bytes: Option<u64>,
    /// Number of PDUs of which only the ids are kept.
    #[serde(default)]
    pub pdus_forgotten: u64,
    /// Size of each table.
    pub tables: Vec<TableSize>,
    /// The work done since the store was opened.
    pub counts: StoreCounters,
}

/// The size of a table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TableSize {
    /// Name of the table.
    pub name: String,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the table's pages, including unused space in them.
    pub bytes: u64,
}

/// The work done since the store was opened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StoreCounters {
    /// Number of commits.
    pub commits: u64,
    /// Number of rows written.
    pub rows_written: u64,
    /// Number of rows read.
    pub rows_read: u64,
    /// Number of rows trimmed.
    pub rows_trimmed: u64,
}

/// The body of `POST /admin/v1/store/backup`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BackupRequest {
    /// File to write, as an absolute path on the gateway's machine.
    pub path: PathBuf,
}

/// The running backup, or the last one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BackupProgress {
    /// File that is written.
    pub path: PathBuf,
    /// [`BackupProgress::RUNNING`], [`BackupProgress::DONE`] or [`BackupProgress::FAILED`].
    pub state: FixedText,
    /// Time of its start.
    pub began: String,
    /// Number of rows copied.
    pub rows: u64,
    /// Number of rows to copy; 0 until they are counted.
    pub rows_total: u64,
    /// Bytes of rows copied.
    pub bytes: u64,
    /// Of a finished backup: the time of the state that it contains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
    /// Of a failed backup: what went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl BackupProgress {
    /// The state of a backup that is being written.
    pub const RUNNING: &str = "running";
    /// The state of a complete backup.
    pub const DONE: &str = "done";
    /// The state of a backup that could not be written.
    pub const FAILED: &str = "failed";

    /// Returns whether the backup is being written.
    pub fn is_running(&self) -> bool {
        self.state == Self::RUNNING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn store_details_round_trip() {
        let memory = concat!(
            r#"{"schema":3,"epoch":1,"live_bytes":512,"pdus_forgotten":0,"#,
            r#""tables":[{"name":"outbox","rows":2,"bytes":40}],"#,
            r#""counts":{"commits":4,"rows_written":9,"rows_read":12,"rows_trimmed":0}}"#
        );
        let file =
            memory.replace(r#""live"#, r#""file_bytes":4096,"live"#).replace(r#""pdus"#, r#""dead_bytes":3584,"pdus"#);
        let details = assert_round_trip::<StoreDetails>(&[memory, &file]);
        assert_eq!((details.dead_bytes, details.tables[0].rows, details.counts.commits), (Some(3584), 2, 4));
    }

    #[test]
    fn backup_texts_round_trip() {
        assert_round_trip::<BackupRequest>(&[r#"{"path":"/backups/red.backup"}"#]);
        let begun = concat!(
            r#"{"path":"/backups/red.backup","state":"running","began":"1970-01-11T00:00:00.000Z","#,
            r#""rows":0,"rows_total":0,"bytes":0}"#
        );
        assert!(assert_round_trip::<BackupProgress>(&[begun]).is_running());
        let done = begun.replace("running", "done").replace(r#"0}"#, r#"0,"taken":"1970-01-11T00:00:00.000Z"}"#);
        let failed = begun.replace("running", "failed").replace(r#"0}"#, r#"0,"error":"the disk is full"}"#);
        assert!(!assert_round_trip::<BackupProgress>(&[&done, &failed]).is_running());
    }
}
