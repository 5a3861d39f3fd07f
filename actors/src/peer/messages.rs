//! Messages of a peer's actor. Callers use [`PeerHandle`](super::PeerHandle), which sends them.

use actix::Message;
use tokio::sync::oneshot;

use crate::model::{ContextId, Order, PeerStatus, Refusal, ServerName, Taken, Want};
use crate::peer::budget::Spent;
use crate::peer::inbound::Frame;
use crate::peer::machine::Event;
use crate::peer::weak::Fleeting;
use crate::ports::Woken;
use crate::supervise::intake::Permit;

/// The channel of a reply. If it is dropped without a reply, the caller learns that the outcome is unknown.
pub(super) type Reply = oneshot::Sender<Result<Taken, Refusal>>;

/// Accept a batch of the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Accept {
    /// Batch that the peer sent.
    pub(super) frame: Frame,
    /// Channel of the reply.
    pub(super) reply: Reply,
    /// Admission permit of the request.
    pub(super) permit: Permit,
}

/// The peer's outbox has grown. It is a hint that may be lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Wake(pub(super) Woken);

/// Send an ephemeral item to the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Weak(pub(super) Fleeting);

/// A context misses parents of a PDU that this peer sent. Nobody waits for a reply: the result goes to the context.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Fetch {
    /// Context that misses the parents.
    pub(super) context: ContextId,
    /// Request for the parents.
    pub(super) want: Want,
    /// Server that may have them.
    pub(super) of: ServerName,
}

/// Ask the peer for PDUs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ask {
    /// Context that gets the result.
    pub(super) context: ContextId,
    /// Request to send to the server.
    pub(super) want: Want,
    /// Server whose budget is charged.
    pub(super) cause: ServerName,
}

/// A fetch that the peer caused has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Charge(pub(super) Spent);

/// Return the status of the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Status {
    /// Channel of the reply.
    pub(super) reply: oneshot::Sender<PeerStatus>,
}

/// Run an operator's command.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ordered {
    /// Command to run for the peer.
    pub(super) order: Order,
    /// Channel of the reply.
    pub(super) reply: Report,
}

/// The channel of the reply to a command.
pub(super) type Report = oneshot::Sender<Result<PeerStatus, Refusal>>;

/// A task that the actor started has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Finished {
    /// Incarnation that started the task; completions of an earlier incarnation are ignored.
    pub(super) life: u64,
    /// Event that the task results in.
    pub(super) event: Event,
}
