//! Receipts of one peer, in both directions.
//!
//! `receipt_queue`: what our messenger has acknowledged of the peer's items, until the peer is told. `settled_items`: which
//! of our items the peer's messenger has acknowledged. `sent_numbers`: the numbers under which the peer sent PDUs. The feed is
//! read for all peers together, by `router/receipt_teller.rs`.

pub(crate) mod receipt_queue;
pub(crate) mod sent_numbers;
pub mod settled_items;
