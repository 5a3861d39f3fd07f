//! Threads for blocking work, and the free space of the disk.

pub(crate) mod blocking_pool;
pub(crate) mod caught_panics;
pub(crate) mod durable_file;
pub(crate) mod free_space;
pub(crate) mod memory_dumps;
pub(crate) mod open_files;
