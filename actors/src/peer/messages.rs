//! Messages of a peer's actor: those from outside, which are one enum, so that a handle need not know the actor; and that of the tasks
//! that the actor starts.

use actix::Message;
use tokio::sync::oneshot;

use crate::errors::{BatchError, CommandError};
use crate::model::{BatchOutcome, ContextId, FetchRequest, PeerCommand, PeerStatus, ServerName};
use crate::peer::fetch_budget::FetchCost;
use crate::peer::inbound::InboundBatch;
use crate::peer::machine::PeerEvent;
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::ports::OutboxGrown;
use crate::supervise::admission::AdmissionPermit;

/// The channel of a reply. If it is dropped without a reply, the caller learns that the outcome is unknown.
pub(crate) type Reply = oneshot::Sender<Result<BatchOutcome, BatchError>>;

/// A message from outside the actor. [`PeerHandle`](super::PeerHandle) sends it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum PeerMessage {
    /// Accept a batch of the peer.
    Accept {
        /// Batch that the peer sent.
        frame: InboundBatch,
        /// Channel of the reply.
        reply: Reply,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// The peer's outbox has grown. It is a hint that may be lost.
    OutboxGrown(OutboxGrown),
    /// Send an ephemeral item to the peer.
    SendEphemeral(EphemeralItem),
    /// A context misses parents of a PDU that this peer sent. Nobody waits for a reply: the result goes to the context.
    FetchPdus {
        /// Context that misses the parents.
        context: ContextId,
        /// Request for the parents.
        want: FetchRequest,
        /// Server that may have them.
        of: ServerName,
    },
    /// Ask the peer for PDUs.
    AskForPdus {
        /// Context that gets the result.
        context: ContextId,
        /// Request to send to the server.
        want: FetchRequest,
        /// Server whose budget is charged.
        cause: ServerName,
    },
    /// A fetch that the peer caused has finished.
    FetchCompleted(FetchCost),
    /// Return the status of the peer.
    GetStatus {
        /// Channel of the reply.
        reply: oneshot::Sender<PeerStatus>,
    },
    /// Run an operator's command.
    RunCommand {
        /// Command to run for the peer.
        order: PeerCommand,
        /// Channel of the reply.
        reply: Report,
    },
}

/// The channel of the reply to a command.
pub(crate) type Report = oneshot::Sender<Result<PeerStatus, CommandError>>;

/// A task that the actor started has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TaskFinished {
    /// Incarnation that started the task; completions of an earlier incarnation are ignored.
    pub(crate) life: u64,
    /// Event that the task results in.
    pub(crate) event: PeerEvent,
}
