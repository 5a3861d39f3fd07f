//! The open pulls of a peer: for transactions that were named and never arrived, and for those sent before a restore.

use crate::model::{InboundRecord, Millis};
use crate::peer::effect::Pull;
use crate::peer::inbound::catch_up::question::PullQuestion;
use crate::peer::outbound::StepInput;

/// The open pulls of one peer.
#[derive(Debug, Clone)]
pub(crate) struct CatchUpQuestions {
    /// Inputs of the current step.
    pub(crate) at: StepInput,
    /// Pull of transactions that were named and never arrived. Boxed like the other, because most peers have none.
    pub(crate) missed: Option<Box<PullQuestion>>,
    /// Pull of transactions that were sent before the store was restored from a backup.
    pub(crate) catch_up: Option<Box<PullQuestion>>,
    /// Number of the restore that this pull belongs to.
    pub(crate) restored: u64,
}

impl CatchUpQuestions {
    pub(crate) fn new(record: &InboundRecord) -> Self {
        let question = |after: Option<u64>, since| after.map(|after| Box::new(PullQuestion::new(after, since)));
        Self {
            at: StepInput { now: Millis(0), jitter_roll: 0.5 },
            missed: question(record.missed, record.missed_since),
            catch_up: question(record.catch_up, record.catch_up_since),
            restored: record.restored,
        }
    }

    /// Writes their part of the record.
    pub(crate) fn keep(&self, record: &mut InboundRecord) {
        let since =
            |question: &Option<Box<PullQuestion>>| question.as_ref().map_or(Millis(0), |question| question.since);
        let after = |question: &Option<Box<PullQuestion>>| question.as_ref().map(|question| question.after);
        record.missed = after(&self.missed);
        record.missed_since = since(&self.missed);
        record.catch_up = after(&self.catch_up);
        record.catch_up_since = since(&self.catch_up);
        record.restored = self.restored;
    }

    /// Returns whether the pull after a restore is open.
    pub(crate) const fn are_after_a_restore(&self) -> bool {
        self.catch_up.is_some()
    }

    /// Drops all pulls, because the peer can never be asked; returns whether there were any.
    pub(crate) fn drop_all(&mut self) -> bool {
        self.catch_up.take().is_some() | self.missed.take().is_some()
    }

    pub(crate) const fn of(&mut self, catch_up: bool) -> &mut Option<Box<PullQuestion>> {
        if catch_up { &mut self.catch_up } else { &mut self.missed }
    }

    /// Returns the pull to which this request belongs, unless it has moved to another position.
    pub(crate) fn asked(&mut self, asked: Pull) -> Option<&mut PullQuestion> {
        self.of(asked.catch_up).as_deref_mut().filter(|question| question.after == asked.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_any_question_is_reported() {
        let drops = |missed, catch_up| {
            let record = InboundRecord { missed, catch_up, ..InboundRecord::default() };
            let mut questions = CatchUpQuestions::new(&record);
            let dropped = questions.drop_all();
            (dropped, questions.missed.is_none() && questions.catch_up.is_none())
        };
        assert_eq!(drops(Some(1), None), (true, true));
        assert_eq!(drops(None, Some(1)), (true, true));
        assert_eq!(drops(Some(1), Some(2)), (true, true));
        assert_eq!(drops(None, None), (false, true));
    }
}
