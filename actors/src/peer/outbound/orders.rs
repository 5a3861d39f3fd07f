//! What operators order: leave the peer alone, take it up again, try now.

use super::{Moment, Outbound, State};
use crate::change::{Change, Urgency};
use crate::model::{Cause, FeedItem};
use crate::peer::effect::{Effect, Out};

impl Outbound {
    /// Write nothing until [`resume`](Self::resume), also after a restart. What is in flight is given up: whether the peer took it
    /// is learnt when it is sent again.
    pub fn suspend(&mut self, at: Moment, out: &mut Out) {
        if matches!(self.state, State::Loading | State::Sending { .. }) {
            out.effect(Effect::Abort);
        }
        self.rest(at, State::suspended(Cause::Admin, None), Urgency::Now, out);
    }

    /// End a suspension, whatever its cause. Failures stay counted: a peer that is still not there is given up again at once.
    pub fn resume(&mut self, at: Moment, out: &mut Out) {
        let State::Suspended { cause, .. } = self.state else { return };
        self.begin_anew();
        out.effect(Effect::Disarm);
        self.go_on(at, out);
        out.moved(Urgency::Now);
        // That an operator is done with it is true at once. Any other cause has gone when the peer has taken something.
        if cause == Cause::Admin && self.told.take().is_some() {
            let (server, state) = (self.server.clone(), self.state().as_str());
            out.change(Change::Fed(FeedItem::Peer { server, state, reason: None }));
        }
    }

    /// Try now what a clock would try later. Where nothing comes of it, the date stays what it was, a peer's own included.
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

    /// What was held against the peer's last answers no longer is.
    fn begin_anew(&mut self) {
        self.holes.forget();
        self.parked_in_a_row = 0;
    }
}
