//! Events that wake a context's machine, and effects that its actor performs. Both lists are closed.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::context::provenance::QuarantinedPdu;
use crate::context::stage_page::StagePage;
use crate::errors::{ContextError, DraftError};
use crate::limits::ContextLimits;
use crate::model::{
    BridgedMessage, ComposedPdu, FetchRequest, Millis, Pdu, PduDraft, PduRef, PduStatus, PduVerdict, RepairOutcome,
    ServerName,
};
use crate::reply_token::ReplyToken;

/// The outcomes of composed messages, one per draft, in order.
pub type ComposeOutcomes = Vec<Result<ComposedPdu, DraftError>>;

/// An event for the state machine.
#[derive(Debug, Clone)]
pub enum ContextEvent {
    /// The actor has loaded.
    Started,
    /// A peer's actor delivers PDUs of this context, in the order of the request.
    Arrive {
        /// Token of the request; it gets the verdicts, one per PDU, as soon as the batch is submitted.
        token: ReplyToken<Vec<PduVerdict>>,
        /// Peer that sent the PDUs.
        from: ServerName,
        /// Method by which the sender was authenticated.
        verified: &'static str,
        /// PDUs in the order of the request.
        pdus: Vec<Pdu>,
        /// Status of the PDUs and of their parents in the store; unknown PDUs have been claimed.
        known: HashMap<PduRef, PduStatus>,
    },
    /// An operator wants a quarantined PDU to be validated again.
    Readmit {
        /// Token of the request; it gets the verdict as soon as the batch is submitted.
        token: ReplyToken<PduVerdict>,
        /// Peer that had sent the PDU.
        from: ServerName,
        /// PDU to validate again.
        pdu: Pdu,
        /// Status of the PDU and its parents, as in [`ContextEvent::Arrive`].
        known: HashMap<PduRef, PduStatus>,
    },
    /// A peer's actor delivers messages of groups that are this context, in the order of the request.
    Bridge {
        /// Token of the request; it gets the verdicts, one per message, as soon as the batch is submitted.
        token: ReplyToken<Vec<PduVerdict>>,
        /// Peer that sent the messages.
        from: ServerName,
        /// Method by which the peer was authenticated.
        verified: &'static str,
        /// Messages in the order of the request.
        messages: Vec<BridgedMessage>,
    },
    /// The local messenger submitted messages, in this order.
    Compose {
        /// Token of the request; it gets the outcome after the commit.
        token: ReplyToken<ComposeOutcomes>,
        /// Messages to compose, in order.
        drafts: Vec<PduDraft>,
        /// Servers that the messages can reach.
        reach: RecipientReach,
    },
    /// The local messenger sets the participants.
    Participants {
        /// Token of the request; it gets the outcome after the commit.
        token: ReplyToken<Result<(), ContextError>>,
        /// Participants of the context beside us.
        servers: Vec<ServerName>,
    },
    /// The local messenger joins: the state and part of the history are to be fetched from a participant.
    Join {
        /// Token of the request; it gets the outcome after the commit.
        token: ReplyToken<Result<(), ContextError>>,
        /// Participant to fetch from.
        via: ServerName,
        /// Number of history PDUs to fetch.
        backfill: u32,
    },
    /// A history read needs older PDUs than we hold. It is answered by the next [`ContextEffect::AnswerReads`].
    Older {
        /// Number of PDUs that the read lacks.
        limit: u32,
    },
    /// A comparison of histories found that PDUs are missing here.
    Repair {
        /// Token of the request; it gets the outcome when none of the PDUs is being fetched any more.
        token: ReplyToken<RepairOutcome>,
        /// Server that has the PDUs; it is asked first, and its budget is charged.
        via: ServerName,
        /// PDUs that are missing here.
        references: Vec<PduRef>,
    },
    /// The response to [`ContextEffect::Fetch`].
    Fetched {
        /// Request that was sent.
        want: FetchRequest,
        /// Server that was asked.
        from: ServerName,
        /// PDUs in the response; empty if the server has none or could not be asked.
        pdus: Vec<Pdu>,
        /// Reason of a failure; an unreachable server has not answered that it has none.
        failed: Option<String>,
        /// Status of the PDUs in the store, as in [`ContextEvent::Arrive`].
        known: HashMap<PduRef, PduStatus>,
    },
    /// [`ContextEffect::Fetch`] was not sent, because too many requests to that peer are open. For a missing parent this is
    /// neither an attempt nor a response. For a join and for history it is a failed attempt, because their caller waits.
    PutOff {
        /// Request that was not sent.
        want: FetchRequest,
        /// Server that was not asked.
        from: ServerName,
        /// The limit that was reached.
        why: String,
    },
    /// [`ContextEffect::Fetch`] was not sent, because nothing goes out to that peer now: it asked us to wait, could not be reached,
    /// is suspended, or has caused too many fetches. For a missing parent this is no attempt, and it is a response only if it
    /// lasts until the parent is given up. For a join and for history it is a failed attempt, because their caller waits.
    Declined {
        /// Request that was not sent.
        want: FetchRequest,
        /// Server that was not asked.
        from: ServerName,
        /// Reason, for people.
        why: String,
    },
    /// Intake of items from peers was opened or closed: while it is closed, a missing parent may be waiting at our own
    /// admission.
    Intake {
        /// True if items of peers are accepted.
        open: bool,
    },
    /// A result of [`ContextEffect::TakeBack`]: one of the PDUs found, if it can be read.
    Kept {
        /// PDU with its quarantine row.
        kept: Option<QuarantinedPdu>,
        /// Status of the PDUs in the store, as in [`ContextEvent::Arrive`].
        known: HashMap<PduRef, PduStatus>,
        /// Position at which the next page begins, if this is the last PDU of a full page.
        next: Option<(u64, u64)>,
    },
    /// PDUs were staged, because they arrived while this context was too busy.
    StageFilled,
    /// The response to [`ContextEffect::ReadStage`]: staged PDUs, or an empty page if there are none.
    Staged {
        /// The page that was read.
        page: StagePage,
        /// Status of the PDUs in the store, as in [`ContextEvent::Arrive`].
        known: HashMap<PduRef, PduStatus>,
    },
    /// All results of [`ContextEffect::TakeBack`] were returned.
    TakenBack,
    /// The configuration has changed the limits.
    LimitsChanged(Arc<ContextLimits>),
    /// The timer has fired.
    Due,
}

/// Servers that a message cannot reach as it should.
#[derive(Debug, Clone, Default)]
pub struct RecipientReach {
    /// Participants that get no row, each with the reason that the messenger is told.
    pub shut: Vec<(ServerName, &'static str)>,
    /// Servers that a message is narrowed to, and that would pass it on to others.
    pub deaf: Vec<ServerName>,
}

/// The reply to a request, with its token.
#[derive(Debug, Clone, PartialEq)]
pub enum ContextReply {
    /// To [`ContextEvent::Arrive`] and [`ContextEvent::Bridge`].
    Verdicts(ReplyToken<Vec<PduVerdict>>, Vec<PduVerdict>),
    /// To [`ContextEvent::Readmit`].
    Verdict(ReplyToken<PduVerdict>, PduVerdict),
    /// To [`ContextEvent::Compose`].
    Composed(ReplyToken<ComposeOutcomes>, ComposeOutcomes),
    /// To [`ContextEvent::Participants`] and [`ContextEvent::Join`].
    Set(ReplyToken<Result<(), ContextError>>, Result<(), ContextError>),
    /// To [`ContextEvent::Repair`].
    Repaired(ReplyToken<RepairOutcome>, RepairOutcome),
}

/// An action for the actor; the effects of a step are performed in order.
#[derive(Debug, Clone)]
pub enum ContextEffect {
    /// Submit this batch to the journal at once.
    Commit(Vec<Change>, CommitPriority),
    /// Send the reply at once: the batch that it depends on is submitted, and the caller commits after it.
    HandedOver(ContextReply),
    /// Send the reply once everything submitted so far is on disk.
    Answer(ContextReply),
    /// Answer all waiting history reads with this number of PDUs, once everything submitted so far is on disk.
    AnswerReads(u64),
    /// Drop these claims, because their PDUs were refused.
    Release(Vec<PduRef>),
    /// Send a fetch to a peer; the response returns as [`ContextEvent::Fetched`].
    Fetch {
        /// Server that will be asked.
        of: ServerName,
        /// Request to send to the server.
        want: FetchRequest,
        /// Peer that sent the PDU which names them; its budget is charged.
        cause: ServerName,
    },
    /// Find quarantined PDUs of servers that participate now. They return as [`ContextEvent::Kept`] one by one, because of
    /// several it is unknown which one crashes the machine.
    TakeBack {
        /// Participants of the context.
        participants: Vec<ServerName>,
        /// Position in the order of arrival after which to read.
        after: (u64, u64),
        /// Maximum number of PDUs per page.
        limit: u32,
    },
    /// Read a page of the stage once everything submitted so far is on disk; it returns as [`ContextEvent::Staged`].
    ReadStage {
        /// Server in the order of names after which to begin.
        after: Option<ServerName>,
    },
    /// Set the timer to this time; it replaces any earlier one.
    Arm(Millis),
    /// Cancel the timer, if it is set.
    Disarm,
}
