//! The log: each group is appended to it, and it is on disk before the group is acknowledged.
//!
//! - `log_record`: the encoding of a group. `log_backend`: the segments. `segment_log`: the log that is written.
//! - `log_position`: from which group on the file needs the log. `recovery`: what an opening reads from it.

pub(crate) mod log_backend;
pub(crate) mod log_position;
pub(crate) mod log_record;
pub(crate) mod recovery;
pub(crate) mod segment_log;
