//! What a peer's actor is sent. Callers use [`PeerHandle`](super::PeerHandle); these are its wires.

use actix::Message;
use tokio::sync::oneshot;

use crate::model::{Ack, InboundPush, PeerStatus, Refusal};
use crate::peer::machine::Event;
use crate::ports::Woken;
use crate::supervise::intake::Permit;

/// Where an answer goes. Dropped unanswered, it tells the caller that the outcome is unknown.
pub(super) type Reply = oneshot::Sender<Result<Ack, Refusal>>;

/// The peer pushed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Accept {
    /// What it pushed.
    pub(super) push: InboundPush,
    /// Where the answer goes.
    pub(super) reply: Reply,
    /// The right to be here.
    pub(super) permit: Permit,
}

/// Items were queued for the peer. A hint: it may be lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Wake(pub(super) Woken);

/// Somebody asks how the peer stands.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Status(pub(super) oneshot::Sender<PeerStatus>);

/// Something the actor itself started has come to an end.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Finished {
    /// In which life of the actor it was started; an earlier one's endings mean nothing.
    pub(super) life: u64,
    /// What it brings.
    pub(super) event: Event,
}

/// The timer fired.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Fired(pub(super) u64);
