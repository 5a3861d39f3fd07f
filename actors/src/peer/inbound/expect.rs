//! The expected number of a peer's next update, set by an operator or by the configuration.
//!
//! The operator corrects a sender that was restored further back than the digests reach, or that cannot go back to 1.

use std::sync::Arc;

use crate::errors::CommandError;
use crate::limits::PeerLimits;
use crate::model::Seq;
use crate::peer::effect::{CommandReply, EffectCollector, PeerEffect};
use crate::peer::inbound::pushes::InboundPushes;
use crate::reply_token::ReplyToken;

/// The numbers from which the sequence of one peer is to continue.
#[derive(Debug, Clone)]
pub(super) struct PendingExpectations {
    limits: Arc<PeerLimits>,
    /// Numbers that an operator has set while a batch is in progress, each with the token of its reply.
    pending: Vec<(ReplyToken<CommandReply>, Seq)>,
    /// Number of the configuration that was applied.
    applied: Option<Seq>,
}

impl PendingExpectations {
    /// Returns the state that was loaded from the store.
    pub(super) const fn new(limits: Arc<PeerLimits>, applied: Option<Seq>) -> Self {
        Self { limits, pending: Vec::new(), applied }
    }

    /// Works with these limits from now on.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.limits = limits.clone();
    }

    /// Returns the number of the configuration that was applied.
    pub(super) const fn applied(&self) -> Option<Seq> {
        self.applied
    }

    /// Returns whether no number waits to be applied.
    pub(super) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Handles the start of the actor. A number from the configuration is applied once, until the configuration names
    /// another.
    pub(super) fn started(&mut self, pushes: &mut InboundPushes, out: &mut EffectCollector) {
        self.apply_configured(pushes, out);
        if pushes.expected() >= Seq::LIMIT {
            let (server, expected, limit) = (pushes.peer(), pushes.expected(), Seq::LIMIT);
            let text = format!(
                "{server}: its next update is expected under number {expected}, and numbers stay below {limit}; set the right one with \
                 `fernpost peer expect {server} NUMBER`"
            );
            out.numbering_notice(server, text);
        }
    }

    /// Applies the number of the configuration, if it is another one than before.
    fn apply_configured(&mut self, pushes: &mut InboundPushes, out: &mut EffectCollector) {
        if let Some(number) = self.take_configured(self.limits.expect_seq) {
            pushes.go_on_from(number, out);
        }
    }

    fn take_configured(&mut self, configured: Option<Seq>) -> Option<Seq> {
        let number = configured.filter(|number| self.applied != Some(*number))?;
        self.applied = Some(number);
        Some(number)
    }

    /// Adds a number that an operator sets. A batch in progress is finished first, because its
    /// numbers precede the command.
    ///
    /// The peer is asked to continue from that number, and skips all updates before it: a number far above needs a
    /// confirmation (`yes`).
    pub(super) fn add(
        &mut self,
        pushes: &InboundPushes,
        token: ReplyToken<CommandReply>,
        number: Seq,
        yes: bool,
        out: &mut EffectCollector,
    ) {
        if number == Seq(0) || number >= Seq::LIMIT {
            return out.effect(PeerEffect::Decline(token, CommandError::NumberOutOfRange { number, count: 1 }));
        }
        let above = number.since(pushes.expected());
        let (server, max) = (pushes.peer().clone(), self.limits.renumber_max);
        if above > max && !yes {
            return out.effect(PeerEffect::Decline(token, CommandError::NumberFarAbove { server, number, above, max }));
        }
        self.pending.push((token, number));
    }

    /// Applies the number of the configuration, then those of commands in the order in which they were set.
    pub(super) fn apply(&mut self, pushes: &mut InboundPushes, out: &mut EffectCollector) {
        self.apply_configured(pushes, out);
        for (token, number) in std::mem::take(&mut self.pending) {
            pushes.go_on_from(number, out);
            out.effect(PeerEffect::Report(token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_number_applies_once() {
        let mut expectations = PendingExpectations::new(Arc::new(PeerLimits::default()), Some(Seq(3)));
        let taken = [None, Some(3), Some(4), Some(4), Some(3)].map(|n| expectations.take_configured(n.map(Seq)));
        assert_eq!(taken, [None, None, Some(Seq(4)), None, Some(Seq(3))]);
        assert_eq!(expectations.applied(), Some(Seq(3)));
    }
}
