//! State of contexts, membership, and servers that do not participate.

mod state;
mod strangers;
