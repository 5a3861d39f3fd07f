//! The process and its system: threads for blocking work, memory, descriptors, and the free space of the disk.

pub(crate) mod blocking_pool;
pub(crate) mod caught_panics;
pub(crate) mod descriptor_limit;
pub(crate) mod durable_file;
pub(crate) mod free_space;
pub(crate) mod memory_dumps;
pub(crate) mod open_files;
