//! The environment of a gateway under test: its configuration, and a client that writes and reads what the real one does.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actors::limits::{ContextLimits, OverloadLimits, PeerLimits};
use actors::model::{
    BadPdu, DialectSpec, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines,
    ServerName,
};
use actors::ports::{PeerConfig, Task, Transport};
use fernpost::http::authentication::PeerAuthPolicy;
use fernpost::wire::pdu::reference_context::StoreReferenceContext;
use fernpost::wire::pdu::{PduReader, ReferenceContext};

use crate::network::Network;
use crate::toy_dialect::TEST_DIALECTS;

/// The server `<name>.example`.
pub fn server(name: &str) -> ServerName {
    format!("{name}.example").parse().unwrap()
}

/// Returns the compiled defaults without jitter.
pub fn limits(dialect: DialectSpec) -> PeerLimits {
    PeerLimits { jitter: 0.0, dialect, ..PeerLimits::default() }
}

/// All servers; each calls from an address of its own.
const EVERYBODY: [&str; 5] = ["red", "green", "blue", "grey", "pink"];

/// Returns the address from which a server calls.
pub fn address(name: &ServerName) -> IpAddr {
    let place = EVERYBODY.iter().position(|other| server(other) == *name).expect("one of us");
    Ipv4Addr::new(10, 0, 0, u8::try_from(place).unwrap() + 1).into()
}

/// The configuration of one gateway.
#[derive(Clone)]
pub struct TestConfig {
    /// Peers by name.
    pub peers: Vec<(ServerName, Arc<PeerLimits>)>,
    /// The limits of every context.
    pub contexts: Arc<ContextLimits>,
    /// The thresholds of overload.
    pub overload: OverloadLimits,
}

impl TestConfig {
    /// Returns the usual configuration: updates with red and blue, transactions if green is one of the two.
    pub fn usual(us: &str) -> Self {
        let dialect = |other: &str| match us == "green" || other == "green" {
            true => DialectSpec::TRANSACTIONS,
            false => DialectSpec::UPDATES,
        };
        let others = EVERYBODY.iter().filter(|other| **other != us);
        let peers = others.map(|other| (server(other), Arc::new(limits(dialect(other))))).collect();
        Self { peers, contexts: Arc::default(), overload: OverloadLimits::default() }
    }

    /// Changes the limits of one peer.
    pub fn with_peer(mut self, name: &str, change: impl FnOnce(&mut PeerLimits)) -> Self {
        let peer = self.peers.iter_mut().find(|(other, _)| *other == server(name)).expect("a peer");
        change(Arc::make_mut(&mut peer.1));
        self
    }

    /// Sets the number of unread events from which peers have to wait, and the number below which they are accepted again.
    pub fn with_water(mut self, high: u64, low: u64) -> Self {
        self.overload = OverloadLimits { feed_high: high, feed_low: low, ..self.overload };
        self
    }

    /// Changes the limits of contexts.
    pub fn with_contexts(mut self, change: impl FnOnce(&mut ContextLimits)) -> Self {
        change(Arc::make_mut(&mut self.contexts));
        self
    }
}

impl PeerConfig for TestConfig {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.peers.iter().find(|(other, _)| other == server).map(|(_, limits)| limits.clone())
    }

    fn listed(&self) -> Vec<ServerName> {
        self.peers.iter().map(|(name, _)| name.clone()).collect()
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        self.contexts.clone()
    }

    fn overload(&self) -> OverloadLimits {
        self.overload
    }
}

impl PeerAuthPolicy for TestConfig {
    fn denied(&self, _: &ServerName) -> bool {
        false
    }

    fn allows_address(&self, server: &ServerName, from: IpAddr) -> bool {
        self.peer_by_address(from).as_ref() == Some(server)
    }

    fn peer_by_address(&self, from: IpAddr) -> Option<ServerName> {
        self.peers.iter().map(|(name, _)| name).find(|name| address(name) == from).cloned()
    }

    fn is_peer_address(&self, from: IpAddr) -> bool {
        self.peer_by_address(from).is_some()
    }

    fn listed(&self, server: &ServerName) -> bool {
        self.limits(server).is_some()
    }
}

/// The transport of one gateway.
pub struct Wire {
    /// Where it leads.
    pub network: Arc<Network>,
    /// What the gateway knows of servers and PDUs.
    pub knowledge: StoreReferenceContext,
}

impl Transport for Wire {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let (network, us) = (self.network.clone(), self.knowledge.us.clone());
        let dialect = TEST_DIALECTS.of(frame.dialect);
        let request = dialect.encode_push(&us, &frame, self.knowledge.habits(&frame.to));
        Box::pin(async move {
            let body = network.send((us, frame.to.clone()), request?, frame.deadlines).await?;
            dialect.decode_answer(&frame, &body)
        })
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        let (network, knowledge, from) = (self.network.clone(), self.knowledge.clone(), from.clone());
        let dialect = TEST_DIALECTS.of(knowledge.dialect(&from));
        Box::pin(async move {
            let way = (knowledge.us.clone(), from.clone());
            match network.send(way, dialect.encode_fetch(&want, knowledge.habits(&from)), deadlines).await {
                Ok(body) => dialect.decode_fetched(&want, &body, &PduReader::new(&from, &knowledge)).await,
                Err(PushFailure::Refused { status, .. }) if dialect.means_not_found(&want, status) => Ok(vec![]),
                Err(failure) => Err(failure),
            }
        })
    }

    fn pull(
        &self,
        from: &ServerName,
        after: u64,
        deadlines: RequestDeadlines,
    ) -> Task<Result<PullResponse, PushFailure>> {
        let (network, knowledge, from) = (self.network.clone(), self.knowledge.clone(), from.clone());
        let dialect = TEST_DIALECTS.of(knowledge.dialect(&from));
        Box::pin(async move {
            let way = (knowledge.us.clone(), from.clone());
            let body = network.send(way, dialect.encode_pull(&knowledge.us, after), deadlines).await?;
            dialect.decode_pull(&body, &PduReader::new(&from, &knowledge)).await
        })
    }
}
