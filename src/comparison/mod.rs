//! Comparisons of histories: this server and a peer find out which PDUs of a context one of them lacks.
//!
//! ```text
//!   admin, nightly ---> ContextVerifier ---> CompareMachine      decides what is asked about next
//!                          |       |
//!                          |       +-------> CompareLine ---> peer (fernpost.compare)
//!                          +---> Gateway::repair ---> context actor: fetched as missing parents are
//!
//!   peer ---> rpc ---> CompareAnswerer ---> range_answers        one set of each peer, for a minute
//! ```
//!
//! Both sides compute the same `compared_set` of a window, whatever the order of arrival was. `set_reader` reads it from the
//! timeline, page by page. The protocol is described in `docs/protocol.md#comparison-of-histories`.

pub mod compare_answerer;
mod compare_machine;
mod compare_wire;
mod compared_set;
pub mod context_verifier;
pub mod nightly_plan;
pub mod nightly_verifier;
mod open_sets;
mod range_answers;
mod set_reader;
pub mod verify_metrics;
pub mod verify_report;

pub use crate::comparison::compare_answerer::{CompareAnswerer, CompareRefusal};
pub use crate::comparison::context_verifier::{CompareLine, CompareLineFault, ContextVerifier, PeerReply, VerifyOrder};
pub use crate::comparison::nightly_plan::NightlyCounts;
pub use crate::comparison::nightly_verifier::NightlyVerifier;
pub use crate::comparison::open_sets::ComparisonsFull;
pub use crate::comparison::verify_metrics::VerifyMetrics;
pub use crate::comparison::verify_report::{
    ComparisonReport, ComparisonVerdict, ListedPdus, RepairState, VerifyFailure,
};
