//! The commands that work on the file of the store.

mod backups;
mod lines;
