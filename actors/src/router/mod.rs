//! The router (being written).
use std::sync::Arc;

use crate::model::{Refusal, ServerName};
use crate::peer::PeerHandle;
use crate::ports::Woken;

/// Who runs.
#[derive(Clone, Default)]
pub struct Routes {}

impl Routes {
    /// The handle of a peer.
    pub async fn peer(&self, _server: &ServerName) -> Result<Arc<PeerHandle>, Refusal> {
        Err(Refusal::Stopping)
    }
    /// Work was queued for a peer. Any thread may call this.
    pub fn woken(&self, _woken: Woken) {}
}
