//! The updates dialect in Protobuf, by `config/fernpost.proto`. Each update stays JSON text.
//!
//! `push` is read by hand: generated code would keep every update of a push before the limit on their number is known. The other
//! messages are small.

pub mod answer;
pub mod errors;
pub mod messages;
pub mod push;
