//! The identity of servers: Ed25519 keys, HTTP Message Signatures (RFC 9421) over requests, see `docs/protocol.md#signatures`, and
//! signatures of PDUs, see `docs/protocol.md#signed-pdus`.
//!
//! This folder decides what a signature proves. It knows no listener and no configuration: the key of a caller, the time and the
//! body are arguments.

pub mod content_digest;
pub mod join_token;
pub mod key_directories;
pub mod key_directory;
pub mod key_folder;
pub mod key_id;
pub mod key_ring;
pub mod nonce_memory;
pub mod origin_keys;
pub mod pdu_signature;
pub mod public_key;
pub mod request_signature;
pub mod signature_base;
pub mod signature_fields;
pub mod signing_key;
