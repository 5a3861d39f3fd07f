//! A peer (being written).
use crate::model::{Ack, InboundPush, PeerStatus, Refusal};

/// The way to a peer's actor.
pub struct PeerHandle {}

impl PeerHandle {
    /// Take a push.
    pub async fn accept(&self, _push: InboundPush) -> Result<Ack, Refusal> {
        Err(Refusal::Stopping)
    }
    /// As it stands.
    pub async fn status(&self) -> Result<PeerStatus, Refusal> {
        Err(Refusal::Stopping)
    }
    /// Whether so many items more may be queued.
    pub fn has_room(&self, _items: usize) -> Result<(), Refusal> {
        Ok(())
    }
}
