//! What a peer's actor is sent. Callers use [`PeerHandle`](super::PeerHandle); these are its wires.

use actix::Message;
use tokio::sync::oneshot;

use crate::model::{ContextId, Order, PeerStatus, Refusal, ServerName, Taken, Want};
use crate::peer::budget::Spent;
use crate::peer::inbound::Frame;
use crate::peer::machine::Event;
use crate::peer::weak::Fleeting;
use crate::ports::Woken;
use crate::supervise::intake::Permit;

/// Where an answer goes. Dropped unanswered, it tells the caller that the outcome is unknown.
pub(super) type Reply = oneshot::Sender<Result<Taken, Refusal>>;

/// The peer sent a batch.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Accept {
    /// What it sent.
    pub(super) frame: Frame,
    /// Where the answer goes.
    pub(super) reply: Reply,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// Items were queued for the peer. A hint: it may be lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Wake(pub(super) Woken);

/// Our messenger has something ephemeral for the peer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Weak(pub(super) Fleeting);

/// A conversation misses something that a PDU of this peer's names. Nobody waits: the answer goes to the conversation.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Fetch {
    /// Which conversation.
    pub(super) context: ContextId,
    /// What it misses.
    pub(super) want: Want,
    /// Who may have it.
    pub(super) of: ServerName,
}

/// The peer is to be asked for something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ask {
    /// For which conversation.
    pub(super) context: ContextId,
    /// For what.
    pub(super) want: Want,
    /// Whose budget it is charged to.
    pub(super) cause: ServerName,
}

/// A fetch that the peer caused has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Charge(pub(super) Spent);

/// Somebody asks how the peer stands.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Status {
    /// Where the answer goes.
    pub(super) reply: oneshot::Sender<PeerStatus>,
}

/// An operator orders something.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ordered {
    /// What.
    pub(super) order: Order,
    /// Where the answer goes.
    pub(super) reply: Report,
}

/// Where the answer to an order goes.
pub(super) type Report = oneshot::Sender<Result<PeerStatus, Refusal>>;

/// Something the actor itself started has come to an end.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Finished {
    /// In which life of the actor it was started; an earlier one's endings mean nothing.
    pub(super) life: u64,
    /// What it brings.
    pub(super) event: Event,
}
