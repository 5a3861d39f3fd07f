//! The number a peer's next update must carry, set from outside: by an operator, or by the configuration.
//!
//! A sender that was restored further back than we can compare, or that cannot go back to 1, is set right by whoever knows. What
//! was taken under the numbers before is no longer compared with what comes.

use super::Inbound;
use crate::change::{Change, Urgency};
use crate::model::{Refusal, Seq};
use crate::peer::effect::{Effect, Out, Token};

impl Inbound {
    /// The actor has loaded: a number that the configuration names is applied once, and not again until it names another.
    pub fn started(&mut self, out: &mut Out) {
        if !self.limits.fetches && self.questions.drop_all() {
            out.moved(Urgency::Rides);
        }
        if let Some(number) = self.limits.expect_seq
            && self.expect_applied != Some(number)
        {
            self.expect_applied = Some(number);
            self.set_expected(number, out);
        }
        if self.expected >= Seq::LIMIT {
            let (server, expected, limit) = (&self.server, self.expected, Seq::LIMIT);
            let text = format!(
                "{server}: its next update is expected under number {expected}, and numbers stay below {limit}; set the right one with \
                 `fernpost peer expect {server} NUMBER`"
            );
            out.numbering_notice(server, text);
        }
    }

    /// An operator says which number comes next. A batch under way is finished first: its numbers are those from before.
    ///
    /// The peer is asked to go on from that number, and skips all before it: one far above needs a confirmation (`yes`).
    pub fn expect(&mut self, token: Token, number: Seq, yes: bool, out: &mut Out) {
        if number == Seq(0) || number >= Seq::LIMIT {
            return out.effect(Effect::Decline(token, Refusal::NumberOutOfRange { number, count: 1 }));
        }
        let (server, above, max) = (self.server.clone(), number.since(self.expected), self.limits.renumber_max);
        if above > max && !yes {
            return out.effect(Effect::Decline(token, Refusal::NumberFarAbove { server, number, above, max }));
        }
        self.expecting.push((token, number));
        if self.busy.is_none() {
            self.expect_at_last(out);
        }
    }

    /// No batch is under way: what was ordered meanwhile is done.
    pub(super) fn expect_at_last(&mut self, out: &mut Out) {
        for (token, number) in std::mem::take(&mut self.expecting) {
            self.set_expected(number, out);
            out.effect(Effect::Report(token));
        }
    }

    fn set_expected(&mut self, number: Seq, out: &mut Out) {
        let number = number.clamp(Seq(1), Seq(Seq::LIMIT.0 - 1));
        let before = std::mem::replace(&mut self.expected, number);
        self.digests.clear();
        self.told_too_old = false;
        self.holed = None;
        self.told_conflict = None;
        // It may be another program by now; whether it states ranges will show.
        self.ranges = false;
        let (from, digests) = (self.server.clone(), vec![]);
        out.change(Change::Taken { from, first: Seq(1), digests, forget_below: number });
        self.notice(&format!("is expected to go on from number {number}, as ordered; it was {before}"), out);
        out.moved(Urgency::Now);
    }
}
