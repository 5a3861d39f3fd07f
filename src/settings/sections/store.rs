//! `[store]`: the store on disk and its memory.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::maintenance::scheduled_backup::BackupRules;
use crate::settings::check::SettingsCheck;
use crate::settings::values::units::{DurationValue, SizeSetting};

/// Size of the page cache below which the value is probably a mistake.
const CACHE_SMALL: u64 = 1 << 20;

/// Shortest time between two backups: their names state whole seconds.
const BACKUP_EVERY_MIN: Duration = Duration::from_secs(1);

/// The store on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Storage engine of the store.
    pub backend: StoreBackend,
    /// Maximum number of batches in one commit.
    pub group_max: usize,
    /// Maximum number of rows in one commit; a batch is never split.
    pub group_rows: usize,
    /// Number of uncommitted rows from which new requests are told to wait.
    pub queue_rows: u64,
    /// Bytes of the engine's page cache.
    pub cache: usize,
    /// Bytes of recent updates kept in memory for peers that are not behind.
    pub recent: usize,
    /// Free bytes on the disk below which nothing is accepted.
    pub min_free: u64,
    /// Bytes of rows in memory that no checkpoint holds yet.
    pub memtable: u64,
    /// Maximum age of a row that no checkpoint holds.
    pub checkpoint: Duration,
    /// Bytes of the log at which nothing is accepted.
    pub log_max: u64,
    /// If true, each checkpoint costs a little more and a start after a crash is fast.
    pub quick_repair: bool,
    /// Rules of the scheduled backups; `None`: there are none.
    pub backup: Option<BackupRules>,
}

/// The storage engine that keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreBackend {
    /// A redb file and a log in the data folder.
    Redb,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreSection {
    /// Storage engine: "redb" is a file and a log in the data folder.
    backend: StoreBackend,
    /// Maximum number of batches in one commit.
    group_max: u32,
    /// Maximum number of rows in one commit.
    group_rows: u32,
    /// Number of uncommitted rows from which new requests are told to wait.
    queue_rows: u32,
    /// Size of the engine's page cache.
    cache: SizeSetting,
    /// Size of recent updates kept in memory for peers that are not behind.
    recent: SizeSetting,
    /// Free space on the disk below which nothing is accepted; 0B: no limit.
    min_free: SizeSetting,
    /// Size of rows in memory that no checkpoint holds yet; at half of it one begins.
    memtable: SizeSetting,
    /// Time after which what was written is moved from the log into the file.
    checkpoint: DurationValue,
    /// Size of the log at which nothing is accepted; at half of it a checkpoint begins.
    log_max: SizeSetting,
    /// If true, each checkpoint costs a little more and a start after a crash is fast.
    quick_repair: bool,
    /// Scheduled backups.
    backup: BackupSection,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BackupSection {
    /// Folder of the backups; without it none are taken.
    folder: Option<PathBuf>,
    /// Time between two backups.
    every: DurationValue,
    /// Number of backups that are kept.
    keep: u32,
}

impl Default for BackupSection {
    fn default() -> Self {
        Self { folder: None, every: DurationValue::days(1), keep: 7 }
    }
}

impl BackupSection {
    fn check(self, min_free: u64, check: &mut SettingsCheck<'_>) -> Option<BackupRules> {
        check.at_least_one(&["store", "backup"], &[("keep", self.keep.into())]);
        if self.every.0 < BACKUP_EVERY_MIN {
            check.invalid(
                &["store", "backup", "every"],
                "it must be 1s or more, because each backup copies the whole store",
            );
        }
        let folder = check.path(&self.folder?);
        Some(BackupRules { folder, every: self.every.0, keep: self.keep as usize, min_free })
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            backend: StoreBackend::Redb,
            group_max: 256,
            group_rows: 4096,
            queue_rows: 16384,
            cache: SizeSetting::mib(32),
            recent: SizeSetting::mib(16),
            min_free: SizeSetting::mib(1024),
            memtable: SizeSetting::mib(32),
            checkpoint: DurationValue::secs(1),
            log_max: SizeSetting::mib(256),
            quick_repair: true,
            backup: BackupSection::default(),
        }
    }
}

impl StoreSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> StoreSettings {
        let numbers = [
            ("group_max", self.group_max.into()),
            ("group_rows", self.group_rows.into()),
            ("queue_rows", self.queue_rows.into()),
            ("cache", self.cache.0),
            ("memtable", self.memtable.0),
            ("checkpoint", u64::try_from(self.checkpoint.0.as_millis()).unwrap_or(u64::MAX)),
            ("log_max", self.log_max.0),
        ];
        check.at_least_one(&["store"], &numbers);
        if (1..CACHE_SMALL).contains(&self.cache.0) {
            let why = format!(
                "a page cache of {} makes each read go to the disk; the default is 32MiB",
                ByteSize(self.cache.0)
            );
            check.note(&["store", "cache"], why);
        }
        StoreSettings {
            backend: self.backend,
            group_max: self.group_max as usize,
            group_rows: self.group_rows as usize,
            queue_rows: self.queue_rows.into(),
            cache: self.cache.in_memory(),
            recent: self.recent.in_memory(),
            min_free: self.min_free.0,
            memtable: self.memtable.0,
            checkpoint: self.checkpoint.0,
            log_max: self.log_max.0,
            quick_repair: self.quick_repair,
            backup: self.backup.check(self.min_free.0, check),
        }
    }
}
