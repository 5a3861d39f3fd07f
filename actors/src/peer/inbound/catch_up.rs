//! Transactions that are pulled from the peer, page by page: those that it named and that never arrived, and, after our
//! store was restored, those that it sent to the lost store.
//!
//! The next transaction shows what is missing, but a peer without new items would never show it. The ids from which pulls
//! start are durable; that after a restore is the backup's, and later transactions do not move it. A peer that answers "not
//! now", or not at all, is asked again with its backoff, also after restarts, until it answers or `peers.keep` has passed,
//! which is announced.

use std::sync::Arc;

use crate::change::CommitPriority;
use crate::limits::PeerLimits;
use crate::model::{InboundRecord, Millis, PullResponse, PushFailure, ServerName, ShortDuration};
use crate::peer::effect::{EffectCollector, PeerEffect, Pull};
use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::catch_up::catch_up_questions::CatchUpQuestions;
use crate::peer::inbound::catch_up::question::{PullQuestion, is_for_now};
use crate::peer::outbound::StepInput;

/// Maximum number of pages of missed transactions that are pulled in a row; what is missing after that shows as gaps in
/// its context.
pub(crate) const PULL_PAGES_MAX: u32 = 10;

/// Number of refusals after which a peer counts as unable to answer; and number of failures of a server of 2014, which is
/// never able to, after which our messenger is notified.
const TRIES_MAX: u32 = 3;

/// Maximum number of pages requested in a row.
const PAGES_MAX: u32 = 100;

/// The pulls of one peer's transactions.
#[derive(Debug, Clone)]
pub(super) struct TransactionPulls {
    server: ServerName,
    limits: Arc<PeerLimits>,
    questions: CatchUpQuestions,
}

impl TransactionPulls {
    /// Returns the pulls that were loaded from the store.
    pub(super) fn new(server: ServerName, limits: Arc<PeerLimits>, record: &InboundRecord) -> Self {
        Self { server, limits, questions: CatchUpQuestions::new(record) }
    }

    /// Works with these limits from now on: the pulls are dropped if the peer cannot be asked any more.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>, out: &mut EffectCollector) {
        self.limits = limits.clone();
        self.started(out);
    }

    /// Writes their part of the record.
    pub(super) fn keep(&self, record: &mut InboundRecord) {
        self.questions.keep(record);
    }

    /// Returns whether the pull after a restore is open.
    pub(super) const fn are_after_a_restore(&self) -> bool {
        self.questions.are_after_a_restore()
    }

    /// Handles the start of the actor: the pulls are dropped if the peer cannot be asked.
    pub(super) fn started(&mut self, out: &mut EffectCollector) {
        if !self.limits.fetches && self.questions.drop_all() {
            out.moved(CommitPriority::Deferred);
        }
    }

    /// Stores the inputs of the step that begins.
    pub(super) const fn begin_step(&mut self, at: StepInput) {
        self.questions.at = at;
    }

    /// Returns the time at which the peer is asked again, or at which a pull expires.
    pub(super) fn ask_at(&self) -> Option<Millis> {
        let date =
            |question: &PullQuestion| [question.again(), question.ends(self.limits.keep)].into_iter().flatten().min();
        let questions = [&self.questions.missed, &self.questions.catch_up];
        questions.into_iter().flatten().filter_map(|question| date(question)).min()
    }

    /// Handles the timer of the pulls.
    pub(super) fn ask_due(&mut self, now: Millis, out: &mut EffectCollector) {
        for catch_up in [false, true] {
            let Some(question) = self.questions.of(catch_up).as_deref_mut() else { continue };
            let (after, is_due) = (question.after, question.again().is_some_and(|again| again <= now));
            if question.ends(self.limits.keep).is_some_and(|ends| ends <= now) {
                self.end_unanswered(catch_up, out);
            } else if is_due && question.ask(now) {
                out.effect(PeerEffect::Pull(Pull { after, page: 1, catch_up }));
            }
        }
    }

    /// Starts a pull, because an accepted transaction names some that never arrived. A pull that waits to be repeated
    /// is merged into it.
    pub(super) fn miss(&mut self, after: u64, out: &mut EffectCollector) {
        let now = self.questions.at.now;
        let question = self.questions.missed.get_or_insert_with(|| Box::new(PullQuestion::new(after, now)));
        let was_asked = question.is_asked();
        question.after = question.after.min(after);
        // Write this in the commit of that transaction, because it will not be accepted a second time.
        out.moved(CommitPriority::Now);
        if was_asked {
            // The request in flight is about other transactions, as far as we know.
            out.effect(PeerEffect::Pull(Pull { after, page: 1, catch_up: false }));
        } else if question.ask(now) {
            out.effect(PeerEffect::Pull(Pull { after: question.after, page: 1, catch_up: false }));
        }
    }

    /// Starts the pulls that are left, because the peer seems to be reachable now.
    pub(super) fn go_on(&mut self, out: &mut EffectCollector) {
        let now = self.questions.at.now;
        for catch_up in [false, true] {
            let Some(question) = self.questions.of(catch_up).as_deref_mut() else { continue };
            let since = question.since;
            if question.ask(now) {
                out.effect(PeerEffect::Pull(Pull { after: question.after, page: 1, catch_up }));
            }
            if question.since != since {
                out.moved(CommitPriority::Deferred);
            }
        }
    }

    /// Handles the response to a pull. Returns its PDUs, which are processed like a batch.
    pub(super) fn answered(
        &mut self,
        asked: Pull,
        answer: Result<PullResponse, PushFailure>,
        out: &mut EffectCollector,
    ) -> Option<InboundBatch> {
        let pulled = match answer {
            Err(failure) if is_for_now(&failure) => {
                self.not_now(asked, &failure, out);
                return None;
            }
            Err(failure) if asked.catch_up => {
                self.on_pull_failed(asked, &failure, out);
                return None;
            }
            // The peer has none of them.
            answer => answer.unwrap_or_default(),
        };
        let further = pulled.upto.filter(|upto| pulled.more && *upto > asked.after);
        Some(InboundBatch::Pulled(pulled.pdus, asked, further))
    }

    /// Handles the end of a page.
    pub(super) fn paged(&mut self, asked: Pull, further: Option<u64>, out: &mut EffectCollector) {
        let (now, pause) = (self.questions.at.now, self.limits.backoff_min);
        let most = if asked.catch_up { PAGES_MAX } else { PULL_PAGES_MAX };
        let next = further.filter(|_| asked.page < most);
        if let Some(question) = self.questions.asked(asked) {
            match (next, further) {
                (Some(next), _) => question.goes_on(next),
                (None, Some(further)) if asked.catch_up => {
                    question.goes_on(further);
                    question.wait(now, pause);
                }
                // PDUs that are still missing after so many pages show as gaps in their contexts.
                (None, _) => *self.questions.of(asked.catch_up) = None,
            }
            // Without other commits, a deferred change of the restore's position might never be written. For the other
            // pull, a lost position costs at most one page that is requested again.
            out.moved(if asked.catch_up { CommitPriority::Now } else { CommitPriority::Deferred });
        }
        if let Some(after) = next {
            out.effect(PeerEffect::Pull(Pull { after, page: asked.page + 1, catch_up: asked.catch_up }));
        }
    }

    /// Handles a pull that was not sent: the next contact sends it.
    pub(super) fn put_off(&mut self, asked: Pull) {
        if let Some(question) = self.questions.asked(asked) {
            question.put_off();
        }
    }

    /// The answer could not be processed: it is requested again.
    pub(super) fn ask_again(&mut self, asked: Pull) {
        let (now, pause) = (self.questions.at.now, self.limits.backoff_min);
        if let Some(question) = self.questions.asked(asked) {
            question.wait(now, pause);
        }
    }

    fn not_now(&mut self, asked: Pull, failure: &PushFailure, out: &mut EffectCollector) {
        let (at, keep) = (self.questions.at, self.limits.keep);
        let Some(question) = self.questions.asked(asked) else { return };
        if question.failed(at, &self.limits, failure) {
            out.effect(PeerEffect::Pull(Pull { after: question.after, page: 1, catch_up: asked.catch_up }));
        }
        let is_over = question.ends(keep).is_some_and(|ends| ends <= at.now);
        // Servers of 2014 always answer like this, so this is announced early; otherwise it would be announced at the end
        // only.
        let is_old =
            self.limits.drops_batch_on_error_status && matches!(failure, PushFailure::Troubled { status: 500, .. });
        question.refusals += u32::from(is_old);
        let is_told = is_old && asked.catch_up && question.refusals == TRIES_MAX;
        if is_over {
            self.end_unanswered(asked.catch_up, out);
        } else if is_told {
            let text =
                format!("{}; the request is repeated for {} (peers.keep)", self.untold(failure), ShortDuration(keep));
            out.notice(&self.server, text);
        }
    }

    /// Handles a refusal of the pull after a restore.
    fn on_pull_failed(&mut self, asked: Pull, failure: &PushFailure, out: &mut EffectCollector) {
        let (now, pause) = (self.questions.at.now, self.limits.backoff_min);
        let Some(question) = self.questions.asked(asked) else { return };
        question.refusals += 1;
        question.wait(now, pause.saturating_mul(question.refusals));
        if question.refusals >= TRIES_MAX {
            self.questions.catch_up = None;
            let text = self.untold(failure);
            out.notice(&self.server, text);
            out.moved(CommitPriority::Now);
        }
    }

    fn untold(&self, failure: &PushFailure) -> String {
        format!(
            "{} does not report what it sent after our backup ({failure}): messages it sent since our backup may be missing; resend \
             important ones",
            self.server
        )
    }

    /// Ends a pull that was repeated for long enough.
    fn end_unanswered(&mut self, catch_up: bool, out: &mut EffectCollector) {
        let Some(question) = self.questions.of(catch_up).take() else { return };
        let (server, after, keep) = (&self.server, question.after, ShortDuration(self.limits.keep));
        let what = if catch_up {
            "messages it sent since our backup"
        } else {
            "transactions that it named and that never arrived"
        };
        let text = format!(
            "{server} did not answer the pull after its transaction {after} for {keep} (peers.keep): {what} may be missing; resend \
             important ones"
        );
        out.notice(&self.server, text);
        out.moved(CommitPriority::Now);
    }
}

mod catch_up_questions;
mod question;
