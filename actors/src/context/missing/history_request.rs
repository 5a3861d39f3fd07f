//! The history request of a context that is in flight, and the state of its history fetches.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::model::{FetchRequest, Millis, PduRef, ServerName};

/// The history fetches of one context.
#[derive(Default)]
pub(crate) struct HistoryFetch {
    pub(crate) asking: Option<HistoryRequest>,
    /// Largest number of PDUs that a waiting history read lacks; `None`: no read waits.
    pub(crate) lacking: Option<u32>,
    /// Earliest time at which a server that did not respond is asked again.
    pub(crate) again: Option<Millis>,
    /// Number of attempts without a response in a row.
    pub(crate) tries: u32,
    /// Edges that the server of the join does not know; the join does not ask for them again.
    pub(crate) exhausted_edges: HashSet<PduRef>,
    /// Depths of the PDUs that name an edge, as their origins state them: the newest edge is requested first.
    pub(crate) edge_depths: HashMap<PduRef, u64>,
    /// Timeline positions of the PDUs that are being delivered.
    pub(crate) places: Range<i64>,
}

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

impl HistoryFetch {
    /// Returns the time of the next action. While a request is in flight this is its deadline: a retry that is due waits for the
    /// response, and a timer set to the time of the retry would fire again and again until then.
    pub(crate) fn due(&self) -> Option<Millis> {
        self.asking.as_ref().map(|asking| asking.until).or(self.again)
    }
}
