//! Messages of a context's actor. Callers use [`ContextHandle`](super::ContextHandle), which sends them.

use actix::Message;
use tokio::sync::oneshot;

use crate::context::machine::{ContextReply, RecipientReach};
use crate::model::{
    BadPdu, ContextStatus, FetchRequest, Pdu, PduDraft, QuarantinedPduRow, Refusal, ServerName, StagedPdu,
};
use crate::supervise::admission::AdmissionPermit;

/// The channel of a reply. If it is dropped without a reply, the caller learns that the outcome is unknown.
pub(crate) type Answer = oneshot::Sender<ContextOutcome>;

/// The outcome of a request.
pub(crate) enum ContextOutcome {
    /// Reply of the state machine.
    Done(ContextReply),
    /// The actor is suspended as faulty.
    Faulty,
}

/// Accept PDUs from a peer's actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PdusArrived {
    /// Peer that sent the PDUs.
    pub(crate) from: ServerName,
    /// Method by which the sender was authenticated.
    pub(crate) verified: &'static str,
    /// PDUs in the order of the request.
    pub(crate) pdus: Vec<Pdu>,
    /// Channel of the verdicts.
    pub(crate) answer: Answer,
    /// Admission permit of the request.
    pub(crate) permit: AdmissionPermit,
}

/// Validate a quarantined PDU again, at an operator's command.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReadmitQuarantined {
    /// Peer that had sent the PDU.
    pub(crate) from: ServerName,
    /// PDU to validate again.
    pub(crate) pdu: Pdu,
    /// Channel of the verdict.
    pub(crate) answer: Answer,
    /// Admission permit of the request.
    pub(crate) permit: AdmissionPermit,
}

/// Compose messages of the local messenger.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ComposePdus {
    /// Messages to compose, in order.
    pub(crate) drafts: Vec<PduDraft>,
    /// Servers that the messages can reach.
    pub(crate) reach: RecipientReach,
    /// Receiver of the outcome.
    pub(crate) answer: Answer,
    /// The right to be here.
    pub(crate) permit: AdmissionPermit,
}

/// Set the participants, as the local messenger asks.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct UpdateParticipants {
    /// Participants of the context beside us.
    pub(crate) servers: Vec<ServerName>,
    /// Channel of the outcome.
    pub(crate) answer: Answer,
    /// Admission permit of the request.
    pub(crate) permit: AdmissionPermit,
}

/// Join the context, as the local messenger asks.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct JoinContext {
    /// Participant to fetch the context from.
    pub(crate) via: ServerName,
    /// Number of history PDUs to fetch.
    pub(crate) backfill: u32,
    /// Channel of the outcome.
    pub(crate) answer: Answer,
    /// Admission permit of the request.
    pub(crate) permit: AdmissionPermit,
}

/// A history read needs older PDUs than we hold.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FetchOlder {
    /// Number of PDUs that the read lacks.
    pub(crate) limit: u32,
    /// Is told how many PDUs came.
    pub(crate) answer: HistoryReply,
}

/// The receiver of the answer to a history read.
pub(crate) type HistoryReply = oneshot::Sender<Result<u64, Refusal>>;

/// A fetch for this context has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FetchFinished {
    /// Request that was sent.
    pub(crate) want: FetchRequest,
    /// Server that was asked.
    pub(crate) from: ServerName,
    /// PDUs in the response, or the reason why there was none.
    pub(crate) pdus: Result<Vec<Result<Pdu, BadPdu>>, String>,
}

/// A peer's actor has not asked its peer for what we miss, because too many questions to it are open.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PutOff {
    /// Request that was not sent.
    pub(crate) want: FetchRequest,
    /// Server that was not asked.
    pub(crate) from: ServerName,
    /// The limit that was reached.
    pub(crate) why: String,
}

/// A peer's actor has not asked its peer for what we miss, because nothing goes out to the peer now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FetchDeclined {
    /// Request that was not sent.
    pub(crate) want: FetchRequest,
    /// Server that was not asked.
    pub(crate) from: ServerName,
    /// Reason, for people.
    pub(crate) why: String,
}

/// Intake of items from peers was opened or closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SetIntakeOpen {
    /// True if items of peers are accepted.
    pub(crate) open: bool,
}

/// Return the status of the context.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct GetContextStatus(pub(crate) oneshot::Sender<ContextStatus>);

/// A page of quarantined PDUs of servers that participate now was read.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct QuarantinePage {
    /// In which life of the actor the page was asked for; that of an earlier one means nothing.
    pub(crate) life: u64,
    /// PDUs of the page.
    pub(crate) page: Vec<QuarantinedPduRow>,
    /// True if more may follow.
    pub(crate) is_full: bool,
}

/// PDUs were staged, and are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StageFilled;

/// A page of the stage.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StageRead {
    /// In which life of the actor the page was asked for; that of an earlier one means nothing.
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
