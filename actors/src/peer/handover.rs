//! PDUs of a peer's batch on their way to one context, or to its stage if it cannot process them in time.

pub(crate) mod asking;
pub(super) mod item_search;
pub(crate) mod relaying;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::errors::UnavailableError;
use crate::limits::PeerLimits;
use crate::model::{BridgedMessage, ContextId, Pdu, PduRef, PduVerdict, ServerName};
use crate::peer::inbound::InboundBatch;
use crate::peer::inbound::dispatch::{DispatchError, PeerStage};
use crate::ports::{ContextReader, PeerReader, Ports};
use crate::router::registry::ActorRegistry;

/// Interval at which a held request checks whether the stage has room.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Hands the PDUs of one peer over.
pub(crate) struct Handover {
    from: ServerName,
    ports: Arc<Ports>,
    routes: ActorRegistry,
    /// Maximum time to wait for room in a full stage, for a peer that takes every refusal as final; after it the limit is
    /// exceeded.
    hold: Option<Duration>,
}

impl Handover {
    pub(crate) fn new(from: ServerName, ports: Arc<Ports>, routes: ActorRegistry, limits: &PeerLimits) -> Self {
        Self { from, ports, routes, hold: limits.never_refuse.then_some(limits.hold_max) }
    }

    /// Delivers PDUs to their context. `after_staged`: earlier PDUs of this peer were staged; if they still are, these are
    /// staged after them as far as there is room, without waiting for the context.
    pub(crate) async fn run(
        &self,
        context: &ContextId,
        verified: &'static str,
        pdus: Vec<Pdu>,
        after_staged: bool,
    ) -> Result<Vec<PduVerdict>, DispatchError> {
        let references: Vec<PduRef> = pdus.iter().map(|pdu| pdu.reference.clone()).collect();
        if after_staged {
            let stage = self.stage(context, &references).await?;
            // A full stage may be that of a faulty context, and only the context can report that.
            if !stage.is_empty() && stage.has_room(references.len()) {
                return Err(DispatchError::Slow(stage));
            }
        }
        let patience = self.ports.roster.contexts().arrive_timeout;
        match self.routes.deliver_to_context(context, self.from.clone(), verified, pdus, patience).await {
            Err(busy @ (DispatchError::Late | DispatchError::Busy(_))) => {
                let (peer, why) = (&self.from, format!("{busy:?}"));
                tracing::info!(%peer, %context, pdus = references.len(), %why, "a context is busy: its PDUs are staged");
                Err(self.room(context, &references).await?)
            }
            done => done,
        }
    }

    /// Delivers messages of groups to their context, which composes them. They are never staged: if the context is busy, or holds
    /// staged PDUs of the peer that came before them, the peer is told to come again.
    pub(crate) async fn run_messages(
        &self,
        context: &ContextId,
        verified: &'static str,
        messages: Vec<BridgedMessage>,
        after_staged: bool,
    ) -> Result<Vec<PduVerdict>, DispatchError> {
        if after_staged && !self.stage(context, &[]).await?.is_empty() {
            return Err(DispatchError::Late);
        }
        let patience = self.ports.roster.contexts().arrive_timeout;
        let bridged = async {
            match self.routes.context(context).await {
                Ok(handle) => handle.bridge(self.from.clone(), verified, messages).await,
                Err(UnavailableError::Admission(busy)) => Err(DispatchError::Busy(busy)),
                Err(UnavailableError::OutcomeUnknown | UnavailableError::Stopping) => Err(DispatchError::Late),
            }
        };
        tokio::time::timeout(patience, bridged).await.unwrap_or(Err(DispatchError::Late))
    }

    /// Returns the stage once it has room, or after the maximum wait.
    async fn room(&self, context: &ContextId, references: &[PduRef]) -> Result<DispatchError, DispatchError> {
        let begun = Instant::now();
        loop {
            let stage = self.stage(context, references).await?;
            let Some(hold) = self.hold.filter(|_| !stage.has_room(references.len())) else {
                return Ok(DispatchError::Slow(stage));
            };
            if begun.elapsed() >= hold {
                return Ok(DispatchError::Slow(PeerStage { max: u64::MAX, ..stage }));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn stage(&self, context: &ContextId, references: &[PduRef]) -> Result<PeerStage, DispatchError> {
        // PDUs that were submitted before are staged too.
        self.ports.journal.barrier().committed().await.map_err(|_| DispatchError::Late)?;
        let max = self.ports.roster.contexts().stage_max;
        let read = self.ports.archive.contexts.stage(context, &self.from, references.to_vec()).await;
        let (count, staged) = read.map_err(|error| {
            tracing::error!(peer = %self.from, %context, %error, "the stage cannot be read; the peer is asked to retry");
            DispatchError::Late
        })?;
        Ok(PeerStage { count, max, staged })
    }
}

/// Returns the contexts without a record, each once. If the store cannot be read they count as known, because a limit
/// on new contexts is no reason to refuse PDUs of existing ones.
pub(crate) fn unknown_contexts<'a>(
    reader: Arc<dyn ContextReader>,
    contexts: impl Iterator<Item = &'a ContextId>,
) -> impl Future<Output = Vec<ContextId>> + 'static {
    let mut seen = HashSet::new();
    let contexts: Vec<ContextId> = contexts.filter(|context| seen.insert(*context)).cloned().collect();
    async move {
        let mut unknown = vec![];
        for context in contexts {
            if reader.has_context(&context).await.is_ok_and(|is_known| !is_known) {
                unknown.push(context);
            }
        }
        unknown
    }
}

/// Returns for each forward of the batch whether it was taken or passed on before. If the store cannot be read they count as new:
/// the sequence of their origin, and the commit, recognise them too.
pub(crate) fn known_forwards(
    reader: Arc<dyn PeerReader>,
    batch: &mut InboundBatch,
) -> impl Future<Output = Vec<bool>> + 'static {
    let forwards: Vec<_> = batch.forwards_mut().map(|(_, one)| (one.route.origin.clone(), one.id.clone())).collect();
    async move {
        if forwards.is_empty() {
            return vec![];
        }
        reader.are_known_forwards(forwards).await.unwrap_or_default()
    }
}

/// Marks the forwards of the batch that were taken or passed on before.
pub(crate) fn mark_known(batch: &mut InboundBatch, known: Vec<bool>) {
    batch.forwards_mut().zip(known).for_each(|((_, forward), is_known)| forward.is_known = is_known);
}
