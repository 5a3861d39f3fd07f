//! A peer that was taken out of the configuration: what waits for it stays, its time goes on, and nothing is sent.
//!
//! It is suspended for as long as the process runs. What the disk says of it stays as it was, so a peer that is listed again goes on
//! where it stood. The messenger is told of both, once.

use crate::change::CommitPriority;
use crate::model::PeerState;
use crate::peer::effect::EffectCollector;
use crate::peer::outbound::Outbound;

impl Outbound {
    /// The actor has loaded: tell where the configuration has changed since the messenger was told last.
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
