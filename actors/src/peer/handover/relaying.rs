//! The work for delivery through third servers: rows of the outbox are read, and become forwards in the outbox of a relay.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::model::{
    ForwardRoute, HeldForward, Index, Item, OutboxRow, PduText, ServerName, StoredForward, StrongBody, StrongUpdate,
};
use crate::peer::effect::RelayRole;
use crate::peer::outbound::relay::{RelayEvent, RelayWork, ViaState};
use crate::ports::{Fence, Ports};
use crate::router::registry::ActorRegistry;

/// Does the work of one peer.
pub(crate) struct Relaying {
    server: ServerName,
    ports: Arc<Ports>,
    routes: ActorRegistry,
    fence: Fence,
}

impl Relaying {
    pub(crate) const fn new(server: ServerName, ports: Arc<Ports>, routes: ActorRegistry, fence: Fence) -> Self {
        Self { server, ports, routes, fence }
    }

    /// Does it; `vias` are the servers of the route, and `page` is the size of the rows to read.
    pub(crate) async fn run(self, work: RelayWork, vias: Vec<ServerName>, (items, bytes): (u32, u64)) -> RelayEvent {
        match work {
            RelayWork::Load(from) => {
                let rows = self.ports.archive.peers.outbox_from(&self.server, from, items, bytes).await;
                let mut states: Vec<ViaState> = vias.into_iter().map(|via| self.state(via)).collect();
                for via in states.iter_mut().filter(|via| via.is_usable && !via.has_numbers) {
                    via.shared = self.shared(&via.server, rows.as_deref().unwrap_or_default()).await;
                }
                RelayEvent::Loaded(from, rows.map_err(|error| error.to_string()), states)
            }
            RelayWork::Queue(via, items, upto) => {
                let Ports { us, text, journal, .. } = &*self.ports;
                let has_numbers = self.has_numbers(&via);
                let written = items.iter().filter_map(|item| match (&item.item, has_numbers) {
                    (item_text, true) => text.forward(us, &self.server, item.number, item_text),
                    // A transaction names the server to which its PDUs are passed on.
                    (Item::Pdu(pdu, bytes), false) => Some((pdu.id.as_str().into(), bytes.clone())),
                    (Item::Update(_) | Item::Forward(..), false) => None,
                });
                let forwards: Vec<_> = written.collect();
                forwards.iter().for_each(|_| self.routes.relays().count(RelayRole::Origin, "queued"));
                let route = ForwardRoute { origin: us.clone(), destination: self.server.clone() };
                let queued = Change::ForwardsQueued { via: via.clone(), route, forwards };
                // If the journal has stopped, the process exits.
                let _ = journal.submit(self.fence, vec![queued], CommitPriority::Now).committed().await;
                RelayEvent::Queued(via, upto)
            }
        }
    }

    /// Returns what a server of the route can take now. One that is not in memory has nothing to send, and so it has room.
    fn state(&self, server: ServerName) -> ViaState {
        let limits = self.ports.roster.limits(&server);
        let takes = limits.as_ref().is_some_and(|limits| limits.suspension().is_none());
        let has_numbers = self.has_numbers(&server);
        let is_calm = !self.ports.journal.pressure().is_high();
        let (state, room) = match self.routes.published_peer(&server) {
            Some(peer) => (peer.state_and_backlog().0, peer.room()),
            None => ("idle", limits.map_or(0, |limits| limits.outbox_items)),
        };
        let is_usable = takes && is_calm && matches!(state, "idle" | "sending" | "waiting");
        ViaState { server, is_usable, has_numbers, room, shared: Vec::new() }
    }

    /// Returns the indexes of the PDUs that are for this server as well. What cannot be read waits for the peer itself.
    async fn shared(&self, via: &ServerName, rows: &[OutboxRow]) -> Vec<Index> {
        let contexts = &self.ports.archive.contexts;
        let (mut seen, mut shared) = (HashMap::new(), Vec::new());
        for row in rows {
            let (Item::Pdu(reference, _), Some(context)) = (&row.item, &row.context) else { continue };
            let takes_part = match seen.get(context) {
                Some(takes_part) => *takes_part,
                None => {
                    let record = contexts.context_record(context).await.ok().flatten();
                    let takes_part = record.is_some_and(|record| record.participants.contains(via));
                    seen.insert(context, takes_part);
                    takes_part
                }
            };
            if !takes_part {
                continue;
            }
            let pdu = contexts.pdu(reference).await.ok().flatten();
            if pdu.is_some_and(|pdu| pdu.is_for(via)) {
                shared.push(row.index);
            }
        }
        shared
    }

    /// Returns whether the server takes numbered updates.
    fn has_numbers(&self, server: &ServerName) -> bool {
        self.ports.roster.limits(server).is_some_and(|limits| limits.dialect.numbers_items())
    }
}

/// Returns a forwarded update of this server that waits, as it was before it was stored; `None`: its PDU is not valid by the
/// current rules.
pub(crate) fn held(stored: &StoredForward, from: &ServerName, text: &dyn PduText) -> Option<HeldForward> {
    let StoredForward { number, digest, is_pdu, bytes } = stored.clone();
    let body = match is_pdu {
        true => StrongBody::Pdu(Box::new(text.read(from, &bytes)?)),
        false => StrongBody::Plain,
    };
    Some(HeldForward { number, update: StrongUpdate { bytes, digest, body } })
}
