//! Encodes and decodes rows. serde is used only here: rich, rare rows are JSON, frequent ones are plain columns.

mod attempt;
pub(crate) mod columns;
mod context;
mod delivered;
mod feed;
mod pdu;
mod peer;
mod state;
pub(crate) mod text;
mod value;

pub(crate) use attempt::{attempt_result_from_row, attempt_result_to_row};
pub(crate) use context::{context_from_row, context_to_row, seen_from_row, verdicts_to_row};
pub(crate) use delivered::{spans_from_row, spans_to_row};
pub(crate) use feed::{DecodedFeedRow, FeedRow, feed_from_row, feed_to_row, is_event, parked_code, shown_to_row};
pub(crate) use pdu::{
    OwnedPdu, fed, forgotten, held, hold_depth, is_forgotten, is_news, known, parents, pdu_to_row, served, unmarked,
    what_from_row, what_to_row,
};
pub(crate) use peer::*;
pub(crate) use state::{
    holder_from_row, holder_to_row, keys_from_row, keys_to_row, piece_from_row, piece_to_row, slot_to_row,
};
pub(crate) use text::{narrowed_to, stated_depth, stated_time};
pub(crate) use value::*;
