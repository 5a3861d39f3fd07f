//! Actors: crashes, replacement, admission, residency and commands.

mod config_change;
mod crashes;
mod deaths;
mod doors;
mod idle;
mod listing;
mod orders;
mod resident;
mod strangers;
