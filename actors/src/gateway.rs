//! `Gateway`: the typed calls adapters may make. Cheap to clone; every HTTP worker holds one.

use std::sync::Arc;
use std::time::Duration;

use crate::change::Change;
use crate::model::{Ack, InboundPush, PeerStatus, Refusal, ServerName, Submission};
use crate::peer::PeerHandle;
use crate::ports::{Ports, Urgency};
use crate::router::Routes;

/// The door of the core.
#[derive(Clone)]
pub struct Gateway {
    routes: Routes,
    ports: Ports,
}

/// How long a caller is asked to stay away when the journal's queue is full: it drains in tens of milliseconds, but the one
/// unit that both HTTP and the dialects have for this is the second.
const JOURNAL_WAIT: Duration = Duration::from_secs(1);

impl Gateway {
    /// A gateway over a running router.
    pub fn new(routes: Routes, ports: Ports) -> Self {
        Self { routes, ports }
    }

    /// Take a peer's push. Answers after the commit of everything the answer rests on.
    pub async fn accept(&self, from: &ServerName, push: InboundPush) -> Result<Ack, Refusal> {
        self.door()?;
        self.peer_handle(from).await?.accept(push).await
    }

    /// Take a messenger's submission. Answers after the commit; nothing is taken on any refusal but
    /// [`Refusal::OutcomeUnknown`].
    ///
    /// The caller has made sure that the id is new and that nobody else submits it meanwhile.
    pub async fn submit(&self, submission: Submission) -> Result<(), Refusal> {
        self.door()?;
        let Some(first) = submission.servers.first() else { return Ok(()) };
        let fence = self.ports.ownership.claim(first).ok_or_else(|| Refusal::UnknownPeer(first.clone()))?;
        for server in &submission.servers {
            self.peer_handle(server).await?.has_room(submission.updates.len())?;
        }
        let ticket = self.ports.journal.submit(fence, vec![Change::Submitted(submission)], Urgency::Now);
        ticket.committed().await.map_err(|_| Refusal::OutcomeUnknown)
    }

    /// One peer as it stands.
    pub async fn peer(&self, server: &ServerName) -> Result<PeerStatus, Refusal> {
        self.peer_handle(server).await?.status().await
    }

    /// The listed peers, in the order of the configuration.
    pub fn peers(&self) -> Vec<ServerName> {
        self.ports.roster.listed()
    }

    /// What the surroundings supply; adapters read the feed and submissions through it.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    fn door(&self) -> Result<(), Refusal> {
        let pressure = self.ports.journal.pressure();
        if pressure.is_high() {
            return Err(Refusal::Busy { limit: "store.queue_rows", value: pressure.rows_max, wait: JOURNAL_WAIT });
        }
        Ok(())
    }

    async fn peer_handle(&self, server: &ServerName) -> Result<Arc<PeerHandle>, Refusal> {
        self.routes.peer(server).await
    }
}
