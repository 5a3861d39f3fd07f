//! The keys that verify PDUs: our own, and those that the configuration pins for its peers.

use std::future::ready;
use std::io;
use std::sync::Arc;

use actors::model::ServerName;

use crate::identity::key_ring::KeyRing;
use crate::identity::origin_keys::{KeyLookup, OriginKeys};
use crate::settings::{PeerTable, Settings};
use crate::wire::pdu::relay_judge::{RelayJudge, SignatureRelayJudge};

/// Returns the judge of PDUs that came from another server than their origin. It fails if the system gives no threads.
pub(super) fn relay_judge(settings: &Settings, own: Arc<KeyRing>) -> io::Result<Arc<dyn RelayJudge>> {
    let us = settings.server.name.clone();
    let keys = ConfiguredOriginKeys { us: us.clone(), own, peers: settings.peers.clone() };
    Ok(Arc::new(SignatureRelayJudge::new(us, Arc::new(keys))?))
}

/// The keys of the configured peers, and ours, also those that no longer sign.
struct ConfiguredOriginKeys {
    /// Our name.
    us: ServerName,
    /// Our keys.
    own: Arc<KeyRing>,
    /// The peers with their pinned keys.
    peers: Arc<PeerTable>,
}

impl OriginKeys for ConfiguredOriginKeys {
    fn keys_of<'a>(&'a self, origin: &'a ServerName) -> KeyLookup<'a> {
        let keys = match *origin == self.us {
            true => Some(self.own.public_keys()),
            false => self.peers.origin_keys(origin),
        };
        Box::pin(ready(keys))
    }
}
