//! Periodic jobs: pruning of the feed, of submissions and of history.

pub mod feed_and_submissions;
pub mod history_retention;
pub mod periodic;
