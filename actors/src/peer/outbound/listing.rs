//! A peer that was taken out of the configuration: what waits for it stays, its time goes on, and nothing is sent.
//!
//! It is suspended for as long as the process runs. What the disk says of it stays as it was, so a peer that is listed again goes on
//! where it stood. The messenger is told of both, once.

use crate::change::{Change, CommitPriority};
use crate::model::{DeliveryState, FeedItem, PeerState, SuspendReason};
use crate::peer::effect::EffectCollector;
use crate::peer::outbound::Outbound;
use crate::peer::outbound::state::OutboundState;

impl OutboundState {
    /// Left alone for as long as the configuration says so; `beneath` is what the disk says.
    pub(super) const fn by_configuration(cause: SuspendReason, beneath: DeliveryState) -> Self {
        Self::Suspended { cause, probe_at: None, contacted: true, underlying: Some(beneath) }
    }
}

impl Outbound {
    /// The actor has loaded: tell where the configuration has changed since the messenger was told last.
    pub(super) fn tell_listing(&mut self, out: &mut EffectCollector) {
        let is_gone = !self.limits.listed && self.outbox.backlog() > 0;
        if is_gone == self.told_not_listed || (!is_gone && !self.limits.listed) {
            return;
        }
        self.told_not_listed = is_gone;
        let reason = match self.state() {
            PeerState::Suspended(cause) => Some(cause.as_str()),
            PeerState::Idle | PeerState::Sending | PeerState::Waiting | PeerState::BackingOff => None,
        };
        let (server, state) = (self.server.clone(), self.state().as_str());
        out.change(Change::FeedAppended(FeedItem::Peer { server, state, reason }));
        out.moved(CommitPriority::Now);
    }
}
