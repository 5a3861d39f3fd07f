//! Proofs of PDUs: what their origins sign, and what servers that get them from others accept.

mod relayed;
mod signed;
