//! Operator commands for the outbound half: suspend, resume, retry.

use crate::change::CommitPriority;
use crate::model::SuspendReason;
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::{Outbound, StepInput};

impl Outbound {
    /// Suspends sending until [`resume`](Self::resume), also across restarts. A request in flight is aborted; whether
    /// the peer accepted it shows when it is sent again.
    pub fn suspend(&mut self, at: StepInput, out: &mut EffectCollector) {
        if matches!(self.progress.state(), OutboundState::Loading | OutboundState::Sending { .. }) {
            out.effect(PeerEffect::Abort);
        }
        self.pause(at, OutboundState::suspended(SuspendReason::Admin, None), CommitPriority::Now, out);
    }

    /// Ends a suspension, whatever its cause. The failures stay counted, so that a peer that is still unreachable is
    /// suspended again at once.
    pub fn resume(&mut self, at: StepInput, out: &mut EffectCollector) {
        let &OutboundState::Suspended { cause, .. } = self.progress.state() else { return };
        self.begin_anew();
        out.effect(PeerEffect::Disarm);
        self.resume_sending(at, out);
        out.moved(CommitPriority::Now);
        // The end of an operator's suspension is announced at once, that of any other when the peer has accepted
        // something.
        if cause == SuspendReason::Admin && self.progress.end_suspension() {
            self.announce_state(self.state(), None, out);
        }
    }

    /// Starts the next attempt now. If it fails, the original time of the attempt stays, even one that the peer asked
    /// for.
    pub fn retry(&mut self, at: StepInput, out: &mut EffectCollector) {
        if !self.progress.retry() {
            return;
        }
        self.begin_anew();
        out.effect(PeerEffect::Disarm);
        self.resume_sending(at, out);
    }

    /// Resets the last hole and the count of rejected items.
    fn begin_anew(&mut self) {
        self.renumbering.forget_holes();
        self.rejected.forget_rejected();
    }
}
