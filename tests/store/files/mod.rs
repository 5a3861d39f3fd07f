//! The file of the store: power loss, damage, markers, backup and restore.

mod compacted;
mod crash;
mod damaged;
mod lines;
mod logged;
mod marked;
mod opening;
mod restored;
mod upgraded;
pub(crate) mod whole;
