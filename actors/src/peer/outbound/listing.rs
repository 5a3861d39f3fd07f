//! A peer that was taken out of the configuration: what waits for it stays, its time goes on, and nothing is sent.
//!
//! It is suspended for as long as the process runs. What the disk says of it stays as it was, so a peer that is listed again goes on
//! where it stood. The messenger is told of both, once.

use super::{Outbound, State};
use crate::change::{Change, Urgency};
use crate::model::{Cause, FeedItem, PeerState, Rest};
use crate::peer::effect::Out;

impl State {
    /// Left alone for as long as the configuration says so; `beneath` is what the disk says.
    pub(super) const fn by_configuration(cause: Cause, beneath: Rest) -> Self {
        Self::Suspended { cause, probe_at: None, contacted: true, beneath: Some(beneath) }
    }
}

impl Outbound {
    /// The actor has loaded: tell where the configuration has changed since the messenger was told last.
    pub(super) fn tell_listing(&mut self, out: &mut Out) {
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
        out.change(Change::Fed(FeedItem::Peer { server, state, reason }));
        out.moved(Urgency::Now);
    }
}
