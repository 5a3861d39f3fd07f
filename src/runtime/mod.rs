//! The process and its system: threads for blocking work, memory, descriptors, the free space of the disk, the service manager, and
//! the facts of the build. Also numbers and durations as texts.

pub(crate) mod blocking_pool;
pub(crate) mod build_facts;
pub(crate) mod caught_panics;
pub(crate) mod descriptor_limit;
pub(crate) mod durable_file;
pub(crate) mod free_space;
pub(crate) mod memory_dumps;
pub(crate) mod new_file;
pub(crate) mod open_files;
pub(crate) mod plain_client;
pub(crate) mod readable_text;
pub(crate) mod service_manager;
