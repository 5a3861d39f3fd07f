//! Causal order: which PDUs are held, which are delivered, and the heads they leave.

pub(crate) mod causal_order;
pub(crate) mod context_graph;
pub(crate) mod heads;
pub(crate) mod pending_graph;
pub(crate) mod recent_pdus;
pub(crate) mod timeline;
