//! Messages of a context's actor: those from outside, in one enum, so that a handle need not know the actor type; and those
//! that the actor sends to itself.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use crate::context::machine::{ComposeOutcomes, ContextReply, RecipientReach};
use crate::errors::ContextError;
use crate::limits::ContextLimits;
use crate::model::{
    BadPdu, BridgedMessage, ContextStatus, FetchRequest, Pdu, PduDraft, PduRef, PduVerdict, QuarantinedPduRow,
    RepairOutcome, ServerName, StagedPdu,
};
use crate::supervise::admission::AdmissionPermit;
use crate::supervise::reply_table::{ReadyReply, ReplyTable, drop_in_order};

/// The reply to a request. If its channel is dropped without one, the caller is told that the outcome is unknown.
pub(crate) enum ContextOutcome<R> {
    /// Reply of the state machine.
    Done(R),
    /// The actor is suspended as faulty.
    Faulty,
}

impl<R> From<R> for ContextOutcome<R> {
    fn from(reply: R) -> Self {
        Self::Done(reply)
    }
}

/// The channel of a reply of this type.
pub(crate) type ReplyChannel<R> = oneshot::Sender<ContextOutcome<R>>;

/// The channels of replies of one type.
pub(crate) type ContextReplyTable<R> = ReplyTable<R, ContextOutcome<R>>;

/// The replies that a context's actor owes.
#[derive(Default)]
pub(crate) struct ContextReplies {
    pub(crate) verdicts: ContextReplyTable<Vec<PduVerdict>>,
    pub(crate) verdict: ContextReplyTable<PduVerdict>,
    pub(crate) composed: ContextReplyTable<ComposeOutcomes>,
    pub(crate) set: ContextReplyTable<Result<(), ContextError>>,
    pub(crate) repaired: ContextReplyTable<RepairOutcome>,
}

impl ContextReplies {
    /// Returns the reply to send, or `None` if its channel was taken or dropped before.
    pub(crate) fn ready(&mut self, reply: ContextReply) -> Option<ReadyReply> {
        match reply {
            ContextReply::Verdicts(token, verdicts) => self.verdicts.ready(token, verdicts),
            ContextReply::Verdict(token, verdict) => self.verdict.ready(token, verdict),
            ContextReply::Composed(token, outcomes) => self.composed.ready(token, outcomes),
            ContextReply::Set(token, outcome) => self.set.ready(token, outcome),
            ContextReply::Repaired(token, outcome) => self.repaired.ready(token, outcome),
        }
    }

    /// Returns whether no reply is owed.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { verdicts, verdict, composed, set, repaired } = self;
        verdicts.is_empty() && verdict.is_empty() && composed.is_empty() && set.is_empty() && repaired.is_empty()
    }

    /// Drops all channels, in the order of their requests.
    pub(crate) fn clear(&mut self) {
        let mut dropped = vec![];
        let Self { verdicts, verdict, composed, set, repaired } = self;
        verdicts.drain_into(&mut dropped);
        verdict.drain_into(&mut dropped);
        composed.drain_into(&mut dropped);
        set.drain_into(&mut dropped);
        repaired.drain_into(&mut dropped);
        drop_in_order(dropped);
    }
}

/// A message from outside the actor. [`ContextHandle`](super::ContextHandle) sends it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum ContextMessage {
    /// Accept PDUs from a peer's actor.
    PdusArrived {
        /// Peer that sent the PDUs.
        from: ServerName,
        /// Method by which the sender was authenticated.
        verified: &'static str,
        /// PDUs in the order of the request.
        pdus: Vec<Pdu>,
        /// Channel of the verdicts.
        answer: ReplyChannel<Vec<PduVerdict>>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Validate a quarantined PDU again, at an operator's command.
    Readmit {
        /// Peer that had sent the PDU.
        from: ServerName,
        /// PDU to validate again.
        pdu: Box<Pdu>,
        /// Channel of the verdict.
        answer: ReplyChannel<PduVerdict>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Compose messages of a peer's groups.
    Bridge {
        /// Peer that sent the messages.
        from: ServerName,
        /// Method by which the peer was authenticated.
        verified: &'static str,
        /// Messages in the order of the request.
        messages: Vec<BridgedMessage>,
        /// Channel of the verdicts.
        answer: ReplyChannel<Vec<PduVerdict>>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Compose messages of the local messenger.
    Compose {
        /// Messages to compose, in order.
        drafts: Vec<PduDraft>,
        /// Servers that the messages can reach.
        reach: RecipientReach,
        /// Channel of the outcomes.
        answer: ReplyChannel<ComposeOutcomes>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Set the participants, as the local messenger asks.
    SetParticipants {
        /// Participants of the context beside us.
        servers: Vec<ServerName>,
        /// Channel of the outcome.
        answer: ReplyChannel<Result<(), ContextError>>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Join the context, as the local messenger asks.
    Join {
        /// Participant to fetch the context from.
        via: ServerName,
        /// Number of history PDUs to fetch.
        backfill: u32,
        /// Channel of the outcome.
        answer: ReplyChannel<Result<(), ContextError>>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Fetch PDUs that a comparison of histories found missing here.
    Repair {
        /// Server that has the PDUs.
        via: ServerName,
        /// PDUs that are missing here.
        references: Vec<PduRef>,
        /// Channel of the outcome.
        answer: ReplyChannel<RepairOutcome>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// A history read needs older PDUs than we hold.
    FetchOlder {
        /// Number of PDUs that the read lacks.
        limit: u32,
        /// Channel of the number of PDUs received.
        answer: HistoryReply,
    },
    /// A fetch for this context has finished.
    FetchFinished {
        /// Request that was sent.
        want: FetchRequest,
        /// Server that was asked.
        from: ServerName,
        /// PDUs in the response, or the reason why there was none.
        pdus: Result<Vec<Result<Pdu, BadPdu>>, String>,
    },
    /// A peer's actor has not sent our fetch, because too many requests to the peer are in flight.
    PutOff {
        /// Request that was not sent.
        want: FetchRequest,
        /// Server that was not asked.
        from: ServerName,
        /// The limit that was reached.
        why: String,
    },
    /// A peer's actor has not sent our fetch, because nothing is sent to the peer now.
    Declined {
        /// Request that was not sent.
        want: FetchRequest,
        /// Server that was not asked.
        from: ServerName,
        /// Reason, for people.
        why: String,
    },
    /// PDUs were staged, and are on disk.
    StageFilled,
    /// Intake of items from peers was opened or closed.
    SetIntakeOpen {
        /// True if items of peers are accepted.
        open: bool,
    },
    /// Work with these limits from now on.
    ChangeLimits(Arc<ContextLimits>),
    /// Return the status of the context.
    GetStatus(oneshot::Sender<ContextStatus>),
}

/// The channel of the reply to a history read.
pub(crate) type HistoryReply = oneshot::Sender<Result<u64, ContextError>>;

/// A page of quarantined PDUs of servers that participate now was read.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct QuarantinePage {
    /// Incarnation that requested the page; the page of an earlier one is ignored.
    pub(crate) life: u64,
    /// PDUs of the page.
    pub(crate) page: Vec<QuarantinedPduRow>,
    /// True if more may follow.
    pub(crate) is_full: bool,
}

/// A page of the stage.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StageRead {
    /// Incarnation that requested the page; the page of an earlier one is ignored.
    pub(crate) life: u64,
    /// The first PDUs of the stage.
    pub(crate) page: Vec<StagedPdu>,
}

/// The machine's timer fired.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TimerFired(pub(crate) u64);

/// The idle timer has fired.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct IdleTimerFired(pub(crate) u64);
