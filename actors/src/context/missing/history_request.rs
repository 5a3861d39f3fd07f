//! The history request of a context that is in flight, and its purpose.

use crate::model::{FetchRequest, Millis, ServerName};

/// The request in flight.
pub(crate) struct HistoryRequest {
    pub(crate) of: ServerName,
    pub(crate) want: FetchRequest,
    pub(crate) purpose: FetchPurpose,
    /// Deadline of the response: an actor may crash with a request in hand.
    pub(crate) until: Millis,
}

/// The purpose of a history request.
pub(crate) enum FetchPurpose {
    /// A join continues.
    Join,
    /// History reads wait for the PDUs.
    Read {
        /// Servers to ask next if this one has no PDUs, the last one first.
        then: Vec<ServerName>,
        /// Number of PDUs to fetch.
        limit: u32,
    },
}
