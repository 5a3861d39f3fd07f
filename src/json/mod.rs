//! Strict JSON reading and writing, shared by the wire dialects and the messenger API.

pub(crate) mod canonical;
pub mod canonical_object;
pub mod nesting;
pub mod reader;
pub(crate) mod scanned_update;
pub(crate) mod scanner;
pub(crate) mod serde_errors;
pub(crate) mod writer;
