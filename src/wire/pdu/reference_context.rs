//! Facts about servers and PDUs that decide the element order of a pair: implementations over the core and over its
//! parts.

use std::sync::Arc;

use actors::gateway::Gateway;
use actors::limits::{InteropQuirks, PeerListing, RelayPolicy};
use actors::model::{ContextId, DialectSpec, Digest, ForwardFacts, ForwardRoute, PduRef, ServerName};
use actors::ports::{ArchiveError, ContextReader, PeerConfig, Ports, Task};

use crate::wire::pdu::ReferenceContext;

/// Facts from the configuration and the store.
#[derive(Clone)]
pub struct StoreReferenceContext {
    /// Name of this server.
    pub us: ServerName,
    /// Reader of stored and uncommitted PDUs.
    pub contexts: Arc<dyn ContextReader>,
    /// The configured peers; their names distinguish servers from ids.
    pub roster: Arc<dyn PeerConfig>,
}

impl ReferenceContext for StoreReferenceContext {
    fn is_server(&self, name: &ServerName) -> bool {
        is_server(&self.us, &*self.roster, name)
    }

    fn habits(&self, server: &ServerName) -> InteropQuirks {
        habits(&*self.roster, server)
    }

    fn dialect(&self, server: &ServerName) -> DialectSpec {
        dialect(&*self.roster, server)
    }

    fn relay_policy(&self, server: &ServerName) -> RelayPolicy {
        relay_policy(&*self.roster, server)
    }

    fn maps_groups(&self, server: &ServerName) -> bool {
        maps_groups(&*self.roster, server)
    }

    fn forward_facts(&self, route: &ForwardRoute) -> ForwardFacts {
        forward_facts(&self.us, &*self.roster, route)
    }

    fn known(&self, context: &ContextId, pdus: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        known(&*self.contexts, context, pdus)
    }

    fn takes_part(&self, context: &ContextId, server: &ServerName) -> Task<Result<bool, ArchiveError>> {
        takes_part(&*self.contexts, context, server)
    }
}

impl ReferenceContext for Gateway {
    fn is_server(&self, name: &ServerName) -> bool {
        let Ports { us, roster, .. } = self.ports();
        is_server(us, &**roster, name)
    }

    fn habits(&self, server: &ServerName) -> InteropQuirks {
        habits(&*self.ports().roster, server)
    }

    fn dialect(&self, server: &ServerName) -> DialectSpec {
        dialect(&*self.ports().roster, server)
    }

    fn relay_policy(&self, server: &ServerName) -> RelayPolicy {
        relay_policy(&*self.ports().roster, server)
    }

    fn maps_groups(&self, server: &ServerName) -> bool {
        maps_groups(&*self.ports().roster, server)
    }

    fn forward_facts(&self, route: &ForwardRoute) -> ForwardFacts {
        let Ports { us, roster, .. } = self.ports();
        forward_facts(us, &**roster, route)
    }

    fn digest(&self, bytes: &[u8]) -> Digest {
        self.ports().archive.submissions.digest_key().digest(bytes)
    }

    fn known(&self, context: &ContextId, pdus: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        known(&*self.ports().archive.contexts, context, pdus)
    }

    fn takes_part(&self, context: &ContextId, server: &ServerName) -> Task<Result<bool, ArchiveError>> {
        takes_part(&*self.ports().archive.contexts, context, server)
    }
}

fn is_server(us: &ServerName, roster: &dyn PeerConfig, name: &ServerName) -> bool {
    // Every text of a name's form could be a stranger, so only listed names tell servers from ids.
    name == us || roster.limits(name).is_some_and(|limits| limits.listing == PeerListing::Listed)
}

fn habits(roster: &dyn PeerConfig, server: &ServerName) -> InteropQuirks {
    roster.limits(server).map(|limits| limits.habits).unwrap_or_default()
}

fn relay_policy(roster: &dyn PeerConfig, server: &ServerName) -> RelayPolicy {
    roster.limits(server).map(|limits| limits.accept_relayed).unwrap_or_default()
}

fn maps_groups(roster: &dyn PeerConfig, server: &ServerName) -> bool {
    roster.limits(server).is_some_and(|limits| !limits.groups.is_empty())
}

fn forward_facts(
    us: &ServerName,
    roster: &dyn PeerConfig,
    ForwardRoute { origin, destination }: &ForwardRoute,
) -> ForwardFacts {
    let limits = roster.limits(destination);
    ForwardFacts {
        is_from_us: origin == us,
        is_for_us: destination == us,
        is_allowed: roster.allows_relay(origin, destination),
        is_listed: limits.is_some(),
        is_peer: limits.is_some_and(|limits| limits.dialect.numbers_items()),
    }
}

fn dialect(roster: &dyn PeerConfig, server: &ServerName) -> DialectSpec {
    roster.limits(server).map_or(DialectSpec::UPDATES, |limits| limits.dialect)
}

/// Returns the PDUs that are known. The lookup passes no arriving PDUs, so it claims nothing.
fn known(
    contexts: &dyn ContextReader,
    context: &ContextId,
    pdus: Vec<PduRef>,
) -> Task<Result<Vec<PduRef>, ArchiveError>> {
    let found = contexts.look_up(context, vec![], pdus);
    Box::pin(async move { Ok(found.await?.into_keys().collect()) })
}

fn takes_part(
    contexts: &dyn ContextReader,
    context: &ContextId,
    server: &ServerName,
) -> Task<Result<bool, ArchiveError>> {
    let (record, server) = (contexts.context_record(context), server.clone());
    Box::pin(async move { Ok(record.await?.is_some_and(|record| record.participants.contains(&server))) })
}
