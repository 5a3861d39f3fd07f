//! Causal order: which PDUs are held, which are delivered, and the heads they leave.

pub(crate) mod causal_order;
pub(crate) mod deliver;
pub(crate) mod heads;
pub(crate) mod recent_pdus;
