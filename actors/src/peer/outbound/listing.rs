//! A peer that was removed from the configuration: its items stay pending until they expire, and nothing is sent.
//!
//! It is suspended for as long as the process runs. Its stored state stays unchanged, so a peer that is listed again
//! continues from there. The messenger is notified of both, once.

use crate::change::CommitPriority;
use crate::model::PeerState;
use crate::peer::effect::EffectCollector;
use crate::peer::outbound::Outbound;

impl Outbound {
    /// Announces a change of the configuration since the last announcement, when the actor has loaded.
    pub(super) fn tell_listing(&mut self, out: &mut EffectCollector) {
        if !self.progress.note_listing(self.limits.listed, self.outbox.backlog() > 0) {
            return;
        }
        let reason = match self.state() {
            PeerState::Suspended(cause) => Some(cause),
            PeerState::Idle | PeerState::Sending | PeerState::Waiting | PeerState::BackingOff => None,
        };
        self.announce_state(self.state(), reason, out);
        out.moved(CommitPriority::Now);
    }
}
