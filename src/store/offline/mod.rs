//! Work on a store that no gateway uses: backup, restore, export, import and verification.

pub(crate) mod adopt_backup;
pub(crate) mod backup;
pub(crate) mod compact;
pub(crate) mod overlay_backend;
mod replay_offline;
pub(crate) mod restore;
pub(crate) mod row_lines;
pub(crate) mod summary;
pub(crate) mod verify;
