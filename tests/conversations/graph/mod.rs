//! The graph of a context: order, depth, identity and cost of its PDUs.

mod depths;
mod identity;
mod long;
mod mixed;
mod narrowed;
mod order;
mod storm;
mod toy_dialect;
mod traced;
