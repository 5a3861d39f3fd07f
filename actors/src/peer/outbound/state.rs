//! The state of the outbound half of a peer's machine.

use crate::model::{BatchId, DeliveryState, Millis, SuspendReason};
use crate::peer::outbound::outbox_window::IndexSpan;

#[derive(Debug, Clone)]
pub(crate) enum OutboundState {
    Idle,
    /// The next rows are being read; nothing is in flight.
    Loading,
    /// A request is in flight. `bare`: it carries no ephemeral items. `forwarded`: the original time of the attempt, if
    /// contact brought it forward.
    Sending {
        attempt: u64,
        label: BatchId,
        span: Option<IndexSpan>,
        without_ephemeral: bool,
        original_retry_at: Option<Millis>,
    },
    Waiting {
        until: Millis,
    },
    /// `contacted`: the peer has contacted us in this period; only the first contact brings the attempt forward.
    BackingOff {
        until: Millis,
        contacted: bool,
    },
    /// `beneath`: the state that the store keeps meanwhile, if the cause lies in this process or its configuration.
    Suspended {
        cause: SuspendReason,
        probe_at: Option<Millis>,
        contacted: bool,
        underlying: Option<DeliveryState>,
    },
}

impl OutboundState {
    /// Returns a suspension that contact from the peer does not end.
    pub(crate) const fn suspended(cause: SuspendReason, probe_at: Option<Millis>) -> Self {
        Self::Suspended { cause, probe_at, contacted: true, underlying: None }
    }
}
