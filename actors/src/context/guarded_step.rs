//! Runs one step of a context's machine under the guard, with its reads of the store: the lookup of arriving PDUs, and the
//! reads of the step itself.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::context::machine::{ContextEffect, ContextEvent, ContextMachine};
use crate::context::state::set_cache::{StateRead, StateReader};
use crate::limits::PeerListing;
use crate::model::{ContextId, Pdu, PduRef, PduStatus, ServedPdu, ServerName, StateEntry, StateKey};
use crate::ports::{ArchiveError, Ports, StoreReaders, Task};
use crate::router::registry::ActorRegistry;
use crate::supervise::catch_panic::{StepPanicked, guard_future};

/// The status of PDUs that were looked up.
pub(crate) type KnownPdus = HashMap<PduRef, PduStatus>;

/// An event for the machine, with the PDUs that are looked up for it first.
pub(crate) struct PendingEvent {
    /// PDUs to look up; `None`: none.
    arriving: Option<Vec<Pdu>>,
    event: Box<dyn FnOnce(Vec<Pdu>, KnownPdus) -> ContextEvent>,
}

impl PendingEvent {
    /// Returns an event that needs no lookup.
    pub(crate) fn plain(event: ContextEvent) -> Self {
        Self { arriving: None, event: Box::new(|_, _| event) }
    }

    /// Returns an event that is built from these PDUs and the status of the PDUs and their parents. Unknown ones are
    /// claimed.
    pub(crate) fn of_pdus(pdus: Vec<Pdu>, event: impl FnOnce(Vec<Pdu>, KnownPdus) -> ContextEvent + 'static) -> Self {
        Self { arriving: Some(pdus), event: Box::new(event) }
    }
}

/// The reason why a step has no effects: the machine is dropped and loaded again from the store.
pub(crate) enum StepFailure {
    /// The lookup of the arriving PDUs failed, or a read of the step.
    Unreadable(ArchiveError),
    /// The machine panicked while it processed these PDUs.
    Panicked(StepPanicked, Vec<PduRef>),
}

/// The effects of a step.
pub(crate) type StepOutcome = Result<Vec<ContextEffect>, StepFailure>;

/// Looks up the PDUs of the event and runs the machine's step under the guard.
pub(crate) async fn take_step(
    machine: &mut ContextMachine,
    pending: PendingEvent,
    ports: &Ports,
    routes: &ActorRegistry,
    context: &ContextId,
) -> StepOutcome {
    let PendingEvent { arriving, event } = pending;
    let known = match &arriving {
        Some(pdus) => {
            let (arriving, parents) = machine.refs_to_look_up(pdus);
            ports.archive.contexts.look_up(context, arriving, parents).await.map_err(StepFailure::Unreadable)?
        }
        None => KnownPdus::new(),
    };
    let event = event(arriving.unwrap_or_default(), known);
    let brought = brought(&event);
    let reads = StoreStateReader::new(ports, routes, context.clone());
    let step = guard_future(async { machine.step(ports.clock.now(), event, &reads).await }).await;
    let effects = step.map_err(|panicked| StepFailure::Panicked(panicked, brought))?;
    match reads.failed() {
        Some(error) => Err(StepFailure::Unreadable(error)),
        None => Ok(effects),
    }
}

/// Returns the PDUs of an event that may be tried again with them. Of several pushed or fetched PDUs it is unknown which
/// one crashes the machine, and the peer's actor dispatches them one by one.
fn brought(event: &ContextEvent) -> Vec<PduRef> {
    match event {
        ContextEvent::Kept { kept: Some(kept), .. } => kept.pdu.iter().map(|pdu| pdu.reference.clone()).collect(),
        ContextEvent::Arrive { pdus, .. } | ContextEvent::Fetched { pdus, .. } if pdus.len() == 1 => {
            vec![pdus[0].reference.clone()]
        }
        ContextEvent::Staged { page, .. } => page.pdus.iter().map(|(staged, _)| staged.reference.clone()).collect(),
        _ => vec![],
    }
}

/// The reads of one step. If one of them fails, the result of the step is discarded.
pub(crate) struct StoreStateReader<'a> {
    ports: &'a Ports,
    routes: &'a ActorRegistry,
    archive: StoreReaders,
    context: ContextId,
    failed: RefCell<Option<ArchiveError>>,
}

impl<'a> StoreStateReader<'a> {
    pub(crate) fn new(ports: &'a Ports, routes: &'a ActorRegistry, context: ContextId) -> Self {
        Self { ports, routes, archive: ports.archive.clone(), context, failed: RefCell::new(None) }
    }

    /// Returns the error of the last failed read.
    pub(crate) fn failed(self) -> Option<ArchiveError> {
        self.failed.into_inner()
    }

    async fn read<T: Default>(&self, read: Task<Result<T, ArchiveError>>) -> T {
        read.await.unwrap_or_else(|error| {
            self.failed.replace(Some(error));
            T::default()
        })
    }
}

impl StateReader for StoreStateReader<'_> {
    fn current<'a>(&'a self, key: &'a StateKey) -> StateRead<'a, Option<StateEntry>> {
        Box::pin(self.read(self.archive.contexts.state_holder(&self.context, key)))
    }

    fn set<'a>(&'a self, key: &'a StateKey) -> StateRead<'a, Vec<StateEntry>> {
        Box::pin(self.read(self.archive.contexts.state_set(&self.context, key)))
    }

    fn known<'a>(&'a self, reference: &'a PduRef) -> StateRead<'a, Option<PduStatus>> {
        let known = self.archive.contexts.look_up(&self.context, vec![], vec![reference.clone()]);
        Box::pin(async move { self.read(known).await.remove(reference) })
    }

    fn is_kept<'a>(&'a self, reference: &'a PduRef, from: &'a ServerName) -> StateRead<'a, bool> {
        Box::pin(self.read(self.archive.peers.is_quarantined(&self.context, reference, from)))
    }

    fn stored<'a>(&'a self, reference: &'a PduRef) -> StateRead<'a, Option<ServedPdu>> {
        // A PDU that waited for parents may have been submitted a moment ago.
        let settled = self.ports.journal.barrier();
        let stored = async {
            settled.committed().await.map_err(|_| ArchiveError("the journal has stopped".to_owned()))?;
            self.archive.contexts.pdu(reference).await
        };
        Box::pin(async {
            stored.await.unwrap_or_else(|error| {
                self.failed.replace(Some(error));
                None
            })
        })
    }

    fn shut(&self, server: &ServerName, bytes: usize) -> Option<&'static str> {
        match self.ports.roster.limits_of(server).listing {
            PeerListing::Listed | PeerListing::Stranger => {}
            PeerListing::NotListed => return Some("not_a_peer"),
            PeerListing::Denied => return Some("denied"),
        }
        // A peer with a backlog is in memory, except during the first moments after a start.
        let full = self.routes.published_peer(server)?.has_room(1, bytes).err()?;
        tracing::debug!(%server, %full, "a recipient is skipped");
        Some("outbox_full")
    }
}
