//! Operator commands for the outbound half: suspend, resume, retry.

use super::{Moment, Outbound, State};
use crate::change::{Change, Urgency};
use crate::model::{Cause, FeedItem};
use crate::peer::effect::{Effect, Out};

impl Outbound {
    /// Suspends sending until [`resume`](Self::resume), also across restarts. A request in flight is aborted; whether
    /// the peer accepted it shows when it is sent again.
    pub fn suspend(&mut self, at: Moment, out: &mut Out) {
        if matches!(self.state, State::Loading | State::Sending { .. }) {
            out.effect(Effect::Abort);
        }
        self.rest(at, State::suspended(Cause::Admin, None), Urgency::Now, out);
    }

    /// Ends a suspension, whatever its cause. The failures stay counted, so that a peer that is still unreachable is
    /// suspended again at once.
    pub fn resume(&mut self, at: Moment, out: &mut Out) {
        let State::Suspended { cause, .. } = self.state else { return };
        self.begin_anew();
        out.effect(Effect::Disarm);
        self.go_on(at, out);
        out.moved(Urgency::Now);
        // The end of an operator's suspension is announced at once, that of any other when the peer has accepted
        // something.
        if cause == Cause::Admin && self.told.take().is_some() {
            let (server, state) = (self.server.clone(), self.state().as_str());
            out.change(Change::Fed(FeedItem::Peer { server, state, reason: None }));
        }
    }

    /// Starts the next attempt now. If it fails, the original time of the attempt stays, even one that the peer asked
    /// for.
    pub fn retry(&mut self, at: Moment, out: &mut Out) {
        let date = match self.state {
            State::Waiting { until } | State::BackingOff { until, .. } => Some(until),
            State::Suspended { cause: Cause::Unreachable | Cause::Refused | Cause::AheadOfUs, probe_at, .. } => {
                probe_at
            }
            State::Idle | State::Loading | State::Sending { .. } | State::Suspended { .. } => return,
        };
        self.begin_anew();
        self.forwarded = date;
        out.effect(Effect::Disarm);
        self.go_on(at, out);
    }

    /// Resets the last hole and the count of rejected items.
    fn begin_anew(&mut self) {
        self.holes.forget();
        self.parked_in_a_row = 0;
    }
}
