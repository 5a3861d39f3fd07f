//! The updates dialect in Protobuf, by `config/fernpost.proto`. Each update stays JSON text.
//!
//! `push` is read by hand: generated code would keep every update of a push before the limit on their number is known. The other
//! messages are small. Calls are in `rpc/call_message`, errors in `http/body/encoded_errors`.

pub mod answer;
pub mod messages;
pub mod push;
