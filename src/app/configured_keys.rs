//! The keys that verify PDUs: our own, those that the configuration pins for its peers, and those of their key directories.

use std::future::ready;
use std::io;
use std::sync::Arc;

use actors::model::ServerName;

use crate::identity::key_directories::KeyDirectories;
use crate::identity::key_ring::LiveKeyRing;
use crate::identity::origin_keys::{KeyLookup, KeyQuery, NoKeysError, OriginKeys};
use crate::settings::{LiveSettings, PeerTable};
use crate::wire::pdu::relay_judge::{RelayJudge, SignatureRelayJudge};

/// Returns the judge of PDUs that came from another server than their origin. It fails if the system gives no threads.
pub(super) fn relay_judge(
    settings: &LiveSettings,
    own: LiveKeyRing,
    directories: KeyDirectories,
) -> io::Result<Arc<dyn RelayJudge>> {
    let us = settings.current().server.name.clone();
    let keys = ConfiguredOriginKeys { us: us.clone(), own, settings: settings.clone(), directories };
    Ok(Arc::new(SignatureRelayJudge::new(us, Arc::new(keys))?))
}

/// The keys of the configured peers, and ours, also those that no longer sign.
struct ConfiguredOriginKeys {
    /// Our name.
    us: ServerName,
    /// Our keys.
    own: LiveKeyRing,
    /// The peers with their pinned keys.
    settings: LiveSettings,
    /// Keys of the peers without pinned ones, and of strangers.
    directories: KeyDirectories,
}

fn is_stranger(peers: &PeerTable, origin: &ServerName) -> bool {
    peers.is_open_to(origin) && !peers.denied(origin)
}

impl OriginKeys for ConfiguredOriginKeys {
    fn keys_of<'a>(&'a self, query: KeyQuery<'a>) -> KeyLookup<'a> {
        let origin = query.server;
        let peers = self.settings.peers();
        let known = match *origin == self.us {
            true => Some(self.own.current().public_keys()),
            false => peers.origin_keys(origin),
        };
        match known {
            Some(keys) => Box::pin(ready(Ok(keys))),
            None if peers.peer(origin).is_some() || is_stranger(&peers, origin) => self.directories.keys_of(query),
            None => Box::pin(ready(Err(NoKeysError::NotFetched))),
        }
    }
}
