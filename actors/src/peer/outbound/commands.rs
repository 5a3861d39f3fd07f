//! Operator commands for the outbound half: suspend, resume, retry.

use crate::change::{Change, CommitPriority};
use crate::model::{FeedItem, SuspendReason};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::state::OutboundState;
use crate::peer::outbound::{Outbound, StepInput};

impl Outbound {
    /// Suspends sending until [`resume`](Self::resume), also across restarts. A request in flight is aborted; whether
    /// the peer accepted it shows when it is sent again.
    pub fn suspend(&mut self, at: StepInput, out: &mut EffectCollector) {
        if matches!(self.state, OutboundState::Loading | OutboundState::Sending { .. }) {
            out.effect(PeerEffect::Abort);
        }
        self.pause(at, OutboundState::suspended(SuspendReason::Admin, None), CommitPriority::Now, out);
    }

    /// Ends a suspension, whatever its cause. The failures stay counted, so that a peer that is still unreachable is
    /// suspended again at once.
    pub fn resume(&mut self, at: StepInput, out: &mut EffectCollector) {
        let OutboundState::Suspended { cause, .. } = self.state else { return };
        self.begin_anew();
        out.effect(PeerEffect::Disarm);
        self.resume_sending(at, out);
        out.moved(CommitPriority::Now);
        // The end of an operator's suspension is announced at once, that of any other when the peer has accepted
        // something.
        if cause == SuspendReason::Admin && self.announced_suspension.take().is_some() {
            let (server, state) = (self.server.clone(), self.state().as_str());
            out.change(Change::FeedAppended(FeedItem::Peer { server, state, reason: None }));
        }
    }

    /// Starts the next attempt now. If it fails, the original time of the attempt stays, even one that the peer asked
    /// for.
    pub fn retry(&mut self, at: StepInput, out: &mut EffectCollector) {
        let date = match self.state {
            OutboundState::Waiting { until } | OutboundState::BackingOff { until, .. } => Some(until),
            OutboundState::Suspended {
                cause: SuspendReason::Unreachable | SuspendReason::Refused | SuspendReason::AheadOfUs,
                probe_at,
                ..
            } => probe_at,
            OutboundState::Idle
            | OutboundState::Loading
            | OutboundState::Sending { .. }
            | OutboundState::Suspended { .. } => return,
        };
        self.begin_anew();
        self.forwarded = date;
        out.effect(PeerEffect::Disarm);
        self.resume_sending(at, out);
    }

    /// Resets the last hole and the count of rejected items.
    fn begin_anew(&mut self) {
        self.holes.forget();
        self.parked_in_a_row = 0;
    }
}
