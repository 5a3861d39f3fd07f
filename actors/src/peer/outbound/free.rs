//! Eviction of the outbound half: nothing has to be sent, and the store has the whole state.

use crate::model::{Millis, SuspendReason};
use crate::peer::outbound::Outbound;
use crate::peer::outbound::state::OutboundState;

impl Outbound {
    /// Returns the time from which the outbound state can be evicted; `None`: there is something to send, or a time
    /// that only memory keeps.
    ///
    /// A peer with a scheduled attempt or probe is not evicted, because nothing else would start it at that time. A
    /// faulty peer is not evicted either, because a new actor would run into the same fault.
    pub fn free_from(&self) -> Option<Millis> {
        let is_quiet = match self.state {
            OutboundState::Idle => true,
            OutboundState::Suspended { cause, probe_at: None, .. } => cause != SuspendReason::Faulty,
            _ => false,
        };
        let is_done = self.outbox.backlog() == 0 && self.sweeping.is_none();
        // Ephemeral items wait here only while they are too large to be sent along; eviction loses them.
        (is_quiet && is_done).then(|| self.ring.latest_expiry().unwrap_or_default())
    }
}
