//! Periodic jobs: pruning of the feed, of submissions and of history, and backups by a schedule.

pub mod feed_and_submissions;
pub mod history_retention;
pub mod periodic;
pub mod scheduled_backup;
