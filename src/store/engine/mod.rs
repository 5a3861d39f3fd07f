//! The storage engine: a log that each group is appended to, the newest rows in memory, and the file that checkpoints write.
//!
//! # Map
//! - `log`: the records of groups, the segments, and what an opening reads from them.
//! - `row_tree`, `memtable`: the rows of a generation. `group_write`: the tables as a group writes them. `read_snapshot`,
//!   `merged_range`, `row_guard`: the tables as a reader sees them. `table_directory`: the tables by number.
//! - `file`: the tables in the file, of which some are written in blocks of rows.
//! - `store_engine`: what the writer, the checkpoints and the readers share. `engine_writer`: commits and seals.
//!   `checkpoint`: a sealed generation becomes part of the file. `gathering_backend`: its pages are written side by side.
//!
//! # Order of events
//! A group is written into the working generation and into a record. The record is on disk before the rows become visible,
//! and they are visible before the tickets of the group complete. From time to time the generation is sealed: a checkpoint
//! writes it into the file, together with the number of its last group, while the writer goes on in a new one. Segments of
//! the log are used again only when the file holds their groups. So after a crash the file and the log together hold every
//! group that was acknowledged, and a group is never there by half.
//!
//! Most rows live for milliseconds: queued, sent, acknowledged. A row that is removed before its generation is sealed never
//! reaches the file.

pub(crate) mod checkpoint;
pub(crate) mod engine_writer;
pub(crate) mod file;
pub(crate) mod gathering_backend;
pub(crate) mod group_write;
pub(crate) mod log;
pub(crate) mod memtable;
pub(crate) mod merged_range;
pub(crate) mod read_snapshot;
pub(crate) mod row_guard;
mod row_tree;
pub(crate) mod store_engine;
mod table_directory;
#[cfg(test)]
mod tests;
