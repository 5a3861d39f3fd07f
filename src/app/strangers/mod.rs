//! Servers that are peers because the federation is open: what is remembered of them, and the bounds on all of them together.
//!
//! A stranger costs nothing until it has proved its name: requests of an address are limited before, and so is the work of proofs in
//! all. What it then may cause is bounded by the limits of every peer, by its own rate, and by the rows of all strangers.

mod address_rates;
mod open_roster;
mod row_estimate;
mod row_watch;
mod strangers_book;

pub(super) use crate::app::strangers::open_roster::OpenRoster;
pub(super) use crate::app::strangers::row_watch::watch_rows;
pub(super) use crate::app::strangers::strangers_book::StrangersBook;
