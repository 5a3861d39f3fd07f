//! Actors: crashes, replacement, admission, residency and commands.

mod crashes;
mod deaths;
mod doors;
mod listing;
mod orders;
mod resident;
