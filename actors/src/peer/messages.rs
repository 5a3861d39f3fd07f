//! Messages of a peer's actor. Callers use [`PeerHandle`](super::PeerHandle), which sends them.

use actix::Message;
use tokio::sync::oneshot;

use crate::model::{BatchOutcome, ContextId, FetchRequest, PeerCommand, PeerStatus, Refusal, ServerName};
use crate::peer::fetch_budget::FetchCost;
use crate::peer::inbound::InboundBatch;
use crate::peer::machine::PeerEvent;
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::ports::OutboxGrown;
use crate::supervise::admission::AdmissionPermit;

/// The channel of a reply. If it is dropped without a reply, the caller learns that the outcome is unknown.
pub(crate) type Reply = oneshot::Sender<Result<BatchOutcome, Refusal>>;

/// Accept a batch of the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AcceptBatch {
    /// Batch that the peer sent.
    pub(crate) frame: InboundBatch,
    /// Channel of the reply.
    pub(crate) reply: Reply,
    /// Admission permit of the request.
    pub(crate) permit: AdmissionPermit,
}

/// The peer's outbox has grown. It is a hint that may be lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WakePeer(pub(crate) OutboxGrown);

/// Send an ephemeral item to the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SendEphemeral(pub(crate) EphemeralItem);

/// A context misses parents of a PDU that this peer sent. Nobody waits for a reply: the result goes to the context.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FetchPdus {
    /// Context that misses the parents.
    pub(crate) context: ContextId,
    /// Request for the parents.
    pub(crate) want: FetchRequest,
    /// Server that may have them.
    pub(crate) of: ServerName,
}

/// Ask the peer for PDUs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskForPdus {
    /// Context that gets the result.
    pub(crate) context: ContextId,
    /// Request to send to the server.
    pub(crate) want: FetchRequest,
    /// Server whose budget is charged.
    pub(crate) cause: ServerName,
}

/// A fetch that the peer caused has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FetchCompleted(pub(crate) FetchCost);

/// Return the status of the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct GetPeerStatus {
    /// Channel of the reply.
    pub(crate) reply: oneshot::Sender<PeerStatus>,
}

/// Run an operator's command.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RunPeerCommand {
    /// Command to run for the peer.
    pub(crate) order: PeerCommand,
    /// Channel of the reply.
    pub(crate) reply: Report,
}

/// The channel of the reply to a command.
pub(crate) type Report = oneshot::Sender<Result<PeerStatus, Refusal>>;

/// A task that the actor started has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TaskFinished {
    /// Incarnation that started the task; completions of an earlier incarnation are ignored.
    pub(crate) life: u64,
    /// Event that the task results in.
    pub(crate) event: PeerEvent,
}
