//! When nothing is to be done for a peer, and the store holds all that is known of it.

use super::{Outbound, State};
use crate::model::{Cause, Millis};

impl Outbound {
    /// From when on its memory may be given away; `None`: there is something to send, or a date that only memory keeps.
    ///
    /// A peer that is tried or looked in on at a date stays: nobody else would wake it then. One that was given up as faulty
    /// stays, too: started anew it would begin where it failed.
    pub fn free_from(&self) -> Option<Millis> {
        let is_quiet = match self.state {
            State::Idle => true,
            State::Suspended { cause, probe_at: None, .. } => cause != Cause::Faulty,
            _ => false,
        };
        let is_done = self.outbox.backlog() == 0 && self.sweeping.is_none();
        // What is ephemeral waits here only while it is too large to go along; it is lost if its peer leaves.
        (is_quiet && is_done).then(|| self.ring.until().unwrap_or_default())
    }
}
