//! The expected number of a peer's next update, set by an operator or by the configuration.
//!
//! The operator corrects a sender that was restored further back than the digests reach, or that cannot go back to 1.
//! Digests of earlier updates are dropped, so they are no longer compared.

use super::Inbound;
use crate::change::{Change, CommitPriority};
use crate::errors::CommandError;
use crate::model::Seq;
use crate::peer::effect::{CommandReply, EffectCollector, PeerEffect};
use crate::reply_token::ReplyToken;

impl Inbound {
    /// Handles the start of the actor. A number from the configuration is applied once, until the configuration names
    /// another. Pending pulls are dropped if the peer cannot be asked.
    pub fn started(&mut self, out: &mut EffectCollector) {
        if !self.limits.fetches && self.questions.drop_all() {
            out.moved(CommitPriority::Deferred);
        }
        if let Some(number) = self.expectations.take_configured(self.limits.expect_seq) {
            self.set_expected(number, out);
        }
        if self.sequence.expected() >= Seq::LIMIT {
            let (server, expected, limit) = (&self.server, self.sequence.expected(), Seq::LIMIT);
            let text = format!(
                "{server}: its next update is expected under number {expected}, and numbers stay below {limit}; set the right one with \
                 `fernpost peer expect {server} NUMBER`"
            );
            out.numbering_notice(server, text);
        }
    }

    /// Sets the number of the next update by an operator's command. A batch in progress is finished first, because its
    /// numbers precede the command.
    ///
    /// The peer is asked to continue from that number, and skips all updates before it: a number far above needs a
    /// confirmation (`yes`).
    pub fn expect(&mut self, token: ReplyToken<CommandReply>, number: Seq, yes: bool, out: &mut EffectCollector) {
        if number == Seq(0) || number >= Seq::LIMIT {
            return out.effect(PeerEffect::Decline(token, CommandError::NumberOutOfRange { number, count: 1 }));
        }
        let above = number.since(self.sequence.expected());
        let (server, max) = (self.server.clone(), self.limits.renumber_max);
        if above > max && !yes {
            return out.effect(PeerEffect::Decline(token, CommandError::NumberFarAbove { server, number, above, max }));
        }
        self.expectations.add(token, number);
        if !self.batches.is_busy() {
            self.apply_pending_expectations(out);
        }
    }

    /// Applies the numbers that were set while a batch was in progress.
    pub(super) fn apply_pending_expectations(&mut self, out: &mut EffectCollector) {
        for (token, number) in self.expectations.take_pending() {
            self.set_expected(number, out);
            out.effect(PeerEffect::Report(token));
        }
    }

    fn set_expected(&mut self, number: Seq, out: &mut EffectCollector) {
        let number = number.clamp(Seq(1), Seq(Seq::LIMIT.0 - 1));
        let before = self.sequence.go_on_from(number);
        self.announced.forget_numbers();
        let (from, digests) = (self.server.clone(), vec![]);
        out.change(Change::InboundDigestsStored { from, first: Seq(1), digests, forget_below: number });
        self.notice(&format!("is expected to continue with number {number}, by command; the number was {before}"), out);
        out.moved(CommitPriority::Now);
    }
}

pub(super) mod pending_expectations;
