//! Numbers that operators set while a batch is in progress, and the one of the configuration that was applied last.

use crate::model::Seq;
use crate::peer::effect::CommandReply;
use crate::reply_token::ReplyToken;

/// The numbers from which the sequence is to continue.
#[derive(Debug, Clone)]
pub(crate) struct PendingExpectations {
    /// Numbers that an operator has set while a batch is in progress, each with the token of its reply.
    pending: Vec<(ReplyToken<CommandReply>, Seq)>,
    /// Number of the configuration that was applied.
    applied: Option<Seq>,
}

impl PendingExpectations {
    /// Returns the state that was loaded from the store.
    pub(crate) const fn new(applied: Option<Seq>) -> Self {
        Self { pending: Vec::new(), applied }
    }

    /// Returns the number of the configuration that was applied.
    pub(crate) const fn applied(&self) -> Option<Seq> {
        self.applied
    }

    /// Returns whether no number waits to be applied.
    pub(crate) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns the number of the configuration to apply now: each is applied once, until the configuration names another.
    pub(crate) fn take_configured(&mut self, configured: Option<Seq>) -> Option<Seq> {
        let number = configured.filter(|number| self.applied != Some(*number))?;
        self.applied = Some(number);
        Some(number)
    }

    /// A number is to be applied.
    pub(crate) fn add(&mut self, token: ReplyToken<CommandReply>, number: Seq) {
        self.pending.push((token, number));
    }

    /// Returns the numbers to apply now, in the order in which they were set.
    pub(crate) fn take_pending(&mut self) -> Vec<(ReplyToken<CommandReply>, Seq)> {
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_number_applies_once() {
        let mut expectations = PendingExpectations::new(Some(Seq(3)));
        let taken = [None, Some(3), Some(4), Some(4), Some(3)].map(|n| expectations.take_configured(n.map(Seq)));
        assert_eq!(taken, [None, None, Some(Seq(4)), None, Some(Seq(3))]);
        assert_eq!(expectations.applied(), Some(Seq(3)));
    }
}
