//! One actor per context. It gives submitted messages their position in the graph, and it delivers inbound PDUs to the
//! messenger in an order in which no PDU comes before one that it names as a parent.
//!
//! ```text
//!   unknown ----> held {missing} ----> ready ----> delivered
//!                   |    ^
//!                   |    | the parent comes, by itself or by being asked for
//!                   +----+---- given up: delivered with a gap, and told
//! ```
//!
//! Start reading at [`machine`], whose steps `guarded_step` runs. Its parts own their fields; a stage borrows the graph for one event:
//!
//! ```text
//!   ContextMachine              gives each event to its part, and collects the effects
//!     ContextGraph              delivers PDUs, and gives missing ones up
//!       PendingGraph            what each held PDU waits for; which fetched state PDUs are news
//!         CausalOrder, MissingParents, Gaps, Links
//!       ContextTimeline         positions, PDUs delivered last, heads
//!       ContextState            the current state PDU of each key
//!       ContextParticipants     named by the messenger, or joined by state
//!     HistoryFetch              the join, and reads of older history
//!     RepairFetch               PDUs that a comparison of histories found missing
//!     StageReader               PDUs that arrived while the context was busy
//!     QuarantineWalks           PDUs of servers that became participants
//!   PduAdmission, DraftComposer stages: what is accepted, and what the messenger sends
//!   groups                      contexts that are groups for peers without PDUs
//! ```
//!
//! A peer's actor waits only until a context has *submitted* its batch (see the journal's laws) and commits after it, so
//! one commit covers both. A context never waits for a gap while a caller waits for the context.

pub(crate) mod actor;
mod admit;
mod compose;
mod event;
mod groups;
mod guarded_step;
pub mod machine;
mod messages;
pub(crate) mod metrics;
mod missing;
mod ordering;
mod pages;
mod provenance;
mod quarantine_walks;
mod stage_page;
mod stage_reader;
mod state;
mod step;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use actix::{Recipient, WeakRecipient};
use tokio::sync::oneshot;

use crate::errors::{ContextError, UnavailableError};
use crate::limits::ContextLimits;
use crate::model::{
    BadPdu, BridgedMessage, ContextId, ContextStatus, FetchRequest, Pdu, PduDraft, PduRef, PduVerdict, RepairOutcome,
    ServerName,
};
use crate::peer::inbound::dispatch::DispatchError;
use crate::supervise::admission::AdmissionLimit;
use crate::supervise::mailbox::post_to;
use machine::{ComposeOutcomes, RecipientReach};
use messages::{ContextMessage, ContextOutcome};

pub(crate) use crate::context::ordering::heads::PARENTS_MAX;

/// Admission limits of a context's actor.
#[derive(Clone)]
pub(crate) struct Doors {
    /// PDUs and our messenger's calls.
    requests: AdmissionLimit,
    /// History reads.
    reads: AdmissionLimit,
}

impl Doors {
    pub(crate) fn new(limits: &ContextLimits) -> Self {
        Self {
            requests: AdmissionLimit::new("contexts.intake_max", limits.intake_max),
            reads: AdmissionLimit::new("contexts.history.reads_max", limits.history.reads_max),
        }
    }

    fn change_limits(&self, limits: &ContextLimits) {
        self.requests.change_max(limits.intake_max);
        self.reads.change_max(limits.history.reads_max);
    }
}

/// A handle to a context's actor. Callers fetch it per request and drop it afterwards, because a context with a handle
/// cannot be evicted.
pub struct ContextHandle {
    context: ContextId,
    mailbox: Recipient<ContextMessage>,
    doors: Doors,
}

/// A handle that does not keep a stopping actor alive.
pub(crate) struct WeakContext {
    context: ContextId,
    mailbox: WeakRecipient<ContextMessage>,
    doors: Doors,
}

impl WeakContext {
    /// Returns a handle again, if the actor is still held and runs.
    pub(crate) fn revive(&self) -> Option<Arc<ContextHandle>> {
        let mailbox = self.mailbox.upgrade().filter(Recipient::connected)?;
        Some(Arc::new(ContextHandle::new(self.context.clone(), mailbox, self.doors.clone())))
    }
}

impl ContextHandle {
    pub(crate) fn new(context: ContextId, mailbox: Recipient<ContextMessage>, doors: Doors) -> Self {
        Self { context, mailbox, doors }
    }

    /// Delivers inbound PDUs to the context. It answers once their batch is in the journal's queue; the caller commits
    /// after it.
    pub async fn arrive(
        &self,
        from: ServerName,
        verified: &'static str,
        pdus: Vec<Pdu>,
        patience: Duration,
    ) -> Result<Vec<PduVerdict>, DispatchError> {
        let permit = self.doors.requests.enter().map_err(DispatchError::Busy)?;
        let (answer, verdicts) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::PdusArrived { from, verified, pdus, answer, permit });
        match tokio::time::timeout(patience, verdicts).await {
            Ok(Ok(ContextOutcome::Done(verdicts))) => Ok(verdicts),
            Ok(Ok(ContextOutcome::Faulty)) => Err(DispatchError::Faulty),
            Ok(Err(_)) => Err(DispatchError::Died),
            Err(_elapsed) => Err(DispatchError::Late),
        }
    }

    /// Composes messages of a peer's groups. It answers once their batch is in the journal's queue; the caller commits after it.
    pub async fn bridge(
        &self,
        from: ServerName,
        verified: &'static str,
        messages: Vec<BridgedMessage>,
    ) -> Result<Vec<PduVerdict>, DispatchError> {
        let permit = self.doors.requests.enter().map_err(DispatchError::Busy)?;
        let (answer, verdicts) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::Bridge { from, verified, messages, answer, permit });
        match verdicts.await {
            Ok(ContextOutcome::Done(verdicts)) => Ok(verdicts),
            Ok(ContextOutcome::Faulty) => Err(DispatchError::Faulty),
            Err(_) => Err(DispatchError::Died),
        }
    }

    /// Validates a quarantined PDU again. It answers once its batch is in the journal's queue; the caller commits after
    /// it.
    pub async fn readmit(&self, from: ServerName, pdu: Pdu) -> Result<PduVerdict, ContextError> {
        let permit = self.doors.requests.enter()?;
        let (answer, outcome) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::Readmit { from, pdu: Box::new(pdu), answer, permit });
        self.reply(outcome).await
    }

    /// Composes messages in the context. It answers after the commit, with one outcome per draft.
    pub async fn compose(&self, drafts: Vec<PduDraft>, reach: RecipientReach) -> Result<ComposeOutcomes, ContextError> {
        let permit = self.doors.requests.enter()?;
        let (answer, outcome) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::Compose { drafts, reach, answer, permit });
        self.reply(outcome).await
    }

    /// Sets the participants beside us. It answers after the commit.
    pub async fn set_participants(&self, servers: Vec<ServerName>) -> Result<(), ContextError> {
        let permit = self.doors.requests.enter()?;
        let (answer, outcome) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::SetParticipants { servers, answer, permit });
        self.reply(outcome).await?
    }

    /// Starts a join: fetches the context from a participant, first its state and then `backfill` PDUs of its history.
    /// It answers once the intent is committed; the PDUs go into the feed, and the status shows the progress.
    pub async fn join(&self, via: ServerName, backfill: u32) -> Result<(), ContextError> {
        let permit = self.doors.requests.enter()?;
        let (answer, outcome) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::Join { via, backfill, answer, permit });
        self.reply(outcome).await?
    }

    /// Fetches history from the participants: PDUs that precede what is known here. Returns the number of PDUs
    /// received.
    ///
    /// Reads have a limit of their own (`contexts.history.reads_max`), because a read may wait for a slow server, and PDUs and
    /// messages of the context must not wait for it. The permit stays with the caller, so that it is released when the caller
    /// disconnects.
    pub async fn older(&self, limit: u32) -> Result<u64, ContextError> {
        let _permit = self.doors.reads.enter()?;
        let (answer, came) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::FetchOlder { limit, answer });
        came.await.unwrap_or(Err(UnavailableError::OutcomeUnknown.into()))
    }

    /// Fetches PDUs that a comparison of histories found missing here. It answers when none of them is being fetched any more:
    /// a PDU that nobody gives is asked for until `contexts.gap.give_up` has passed.
    pub async fn repair(&self, via: ServerName, references: Vec<PduRef>) -> Result<RepairOutcome, ContextError> {
        let permit = self.doors.requests.enter()?;
        let (answer, outcome) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::Repair { via, references, answer, permit });
        self.reply(outcome).await
    }

    /// Returns the status of the context.
    pub async fn status(&self) -> Result<ContextStatus, UnavailableError> {
        let (reply, status) = oneshot::channel();
        post_to(&self.mailbox, ContextMessage::GetStatus(reply));
        status.await.map_err(|_| UnavailableError::OutcomeUnknown)
    }

    pub(crate) fn fetched(&self, want: FetchRequest, from: ServerName, pdus: Result<Vec<Result<Pdu, BadPdu>>, String>) {
        post_to(&self.mailbox, ContextMessage::FetchFinished { want, from, pdus });
    }

    pub(crate) fn put_off(&self, want: FetchRequest, from: ServerName, why: String) {
        post_to(&self.mailbox, ContextMessage::PutOff { want, from, why });
    }

    pub(crate) fn declined(&self, want: FetchRequest, from: ServerName, why: String) {
        post_to(&self.mailbox, ContextMessage::Declined { want, from, why });
    }

    /// Notifies the actor that PDUs are staged and on disk.
    pub(crate) fn stage_filled(&self) {
        post_to(&self.mailbox, ContextMessage::StageFilled);
    }

    /// Tells the actor whether items of peers are accepted.
    pub(crate) fn tell_intake(&self, open: bool) {
        post_to(&self.mailbox, ContextMessage::SetIntakeOpen { open });
    }

    /// Applies limits of the configuration.
    pub(crate) fn change_limits(&self, limits: &Arc<ContextLimits>) {
        self.doors.change_limits(limits);
        post_to(&self.mailbox, ContextMessage::ChangeLimits(limits.clone()));
    }

    /// Returns a handle that does not keep the actor alive.
    pub(crate) fn downgrade(&self) -> WeakContext {
        WeakContext { context: self.context.clone(), mailbox: self.mailbox.downgrade(), doors: self.doors.clone() }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.mailbox.connected()
    }

    async fn reply<R>(&self, outcome: oneshot::Receiver<ContextOutcome<R>>) -> Result<R, ContextError> {
        match outcome.await {
            Ok(ContextOutcome::Done(reply)) => Ok(reply),
            Ok(ContextOutcome::Faulty) => Err(ContextError::Faulty(self.context.clone())),
            Err(_) => Err(UnavailableError::OutcomeUnknown.into()),
        }
    }
}
