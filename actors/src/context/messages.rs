//! What a conversation's actor is sent. Callers use [`ContextHandle`](super::ContextHandle).

use actix::Message;
use tokio::sync::oneshot;

use crate::context::machine::{Reach, Reply};
use crate::model::{BadPdu, ContextStatus, Draft, Pdu, Refusal, ServerName, StagedPdu, StrangersPdu, Want};
use crate::supervise::intake::Permit;

/// Where an answer goes. Dropped unanswered, it tells the caller that the outcome is unknown.
pub(super) type Answer = oneshot::Sender<Outcome>;

/// What a caller gets.
pub(super) enum Outcome {
    /// The machine's answer.
    Done(Reply),
    /// The actor has been given up.
    Faulty,
}

/// A peer's actor hands over PDUs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Arrive {
    /// Who sent them.
    pub(super) from: ServerName,
    /// How it was proved.
    pub(super) verified: &'static str,
    /// The PDUs.
    pub(super) pdus: Vec<Pdu>,
    /// Where the verdicts go.
    pub(super) answer: Answer,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// An operator gives back a PDU that lies in quarantine.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Readmit {
    /// Who sent it, then.
    pub(super) from: ServerName,
    /// The PDU.
    pub(super) pdu: Pdu,
    /// Where the verdict goes.
    pub(super) answer: Answer,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// Our messenger says something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Compose {
    /// What.
    pub(super) drafts: Vec<Draft>,
    /// Whom it can reach.
    pub(super) reach: Reach,
    /// Where the outcome goes.
    pub(super) answer: Answer,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// Our messenger sets the participants.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SetParticipants {
    /// Who takes part beside us.
    pub(super) servers: Vec<ServerName>,
    /// Where the outcome goes.
    pub(super) answer: Answer,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// Our messenger joins.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Join {
    /// From whom the conversation is fetched.
    pub(super) via: ServerName,
    /// PDUs of its past that are wanted.
    pub(super) backfill: u32,
    /// Where the outcome goes.
    pub(super) answer: Answer,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// A history read needs older PDUs than we hold.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Older {
    /// How many PDUs the read lacks.
    pub(super) limit: u32,
    /// Is told how many PDUs came.
    pub(super) answer: Read,
}

/// Where the answer to a history read goes.
pub(super) type Read = oneshot::Sender<Result<u64, Refusal>>;

/// A peer's actor has asked its peer for what we miss.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Fetched {
    /// What was asked for.
    pub(super) want: Want,
    /// Who was asked.
    pub(super) from: ServerName,
    /// What came, or why it gave no answer.
    pub(super) pdus: Result<Vec<Result<Pdu, BadPdu>>, String>,
}

/// A peer's actor has not asked its peer for what we miss, because too many questions to it are open.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PutOff {
    /// What was to be asked for.
    pub(super) want: Want,
    /// Who was to be asked.
    pub(super) from: ServerName,
    /// Which limit.
    pub(super) why: String,
}

/// What peers send is taken, or is not.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct IntakeIs {
    /// It is.
    pub(super) open: bool,
}

/// Somebody asks how the conversation stands.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Status(pub(super) oneshot::Sender<ContextStatus>);

/// What lies in quarantine of servers that take part now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TakenBack {
    /// In which life of the actor the page was asked for; that of an earlier one means nothing.
    pub(super) life: u64,
    /// A page of it.
    pub(super) page: Vec<StrangersPdu>,
    /// More may follow.
    pub(super) is_full: bool,
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
    pub(super) life: u64,
    /// What lies there, the first of it.
    pub(super) page: Vec<StagedPdu>,
}

/// The machine's timer fired.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Fired(pub(super) u64);

/// Nothing has happened for a while.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Quiet(pub(super) u64);
