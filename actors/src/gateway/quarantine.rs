//! An operator's actions on quarantined items and dead letters. Each answers after the commit.

use crate::change::Change;
use crate::errors::{CommandError, ContextError, PeerError, UnavailableError};
use crate::gateway::Gateway;
use crate::model::{Index, Pdu, PduVerdict, ServerName, SubmissionId};
use crate::ports::{CommitPriority, Direction, QuarantineKey};
use crate::router::registry::LookupPurpose;

impl Gateway {
    /// Deletes a quarantined item or a dead letter.
    pub async fn forget_parked(&self, place: &QuarantineKey) -> Result<(), PeerError> {
        let QuarantineKey { server, direction, number } = place.clone();
        let change = match direction {
            Direction::In => Change::QuarantineRemoved { server, number },
            Direction::Out => Change::DeadLetterDeleted { server, index: Index(number) },
        };
        self.change_parked(&place.server, change).await
    }

    /// Requeues a dead letter at the end of its peer's outbox.
    pub async fn requeue(&self, server: &ServerName, index: Index) -> Result<(), CommandError> {
        self.check_overload()?;
        self.routes.peer(server, LookupPurpose::Deliver).await?.has_room(1, 0)?;
        Ok(self.change_parked(server, Change::DeadLetterRequeued { server: server.clone(), index }).await?)
    }

    /// Queues a PDU of this size for a recipient that was skipped, at the end of that peer's outbox.
    pub(super) async fn queue_left_out(
        &self,
        server: &ServerName,
        message: &SubmissionId,
        bytes: usize,
    ) -> Result<(), CommandError> {
        self.check_overload()?;
        self.routes.peer(server, LookupPurpose::Deliver).await?.has_room(1, bytes)?;
        let (server, submission) = (server.clone(), message.clone());
        Ok(self.change_parked(&server.clone(), Change::SkippedRecipientQueued { server, submission }).await?)
    }

    /// Passes a quarantined PDU to its context, which validates it like an inbound PDU. It answers after the commit of
    /// the result; the caller decides whether to keep the quarantine row.
    pub async fn admit_parked(&self, from: &ServerName, pdu: Pdu) -> Result<PduVerdict, ContextError> {
        self.check_overload()?;
        let context = pdu.context.clone();
        let verdict = self.routes.context(&context).await?.readmit(from.clone(), pdu).await?;
        self.ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
        Ok(verdict)
    }

    async fn change_parked(&self, server: &ServerName, change: Change) -> Result<(), PeerError> {
        let fence = self.ports.ownership.claim(server).ok_or_else(|| PeerError::UnknownPeer(server.clone()))?;
        let ticket = self.ports.journal.submit(fence, vec![change], CommitPriority::Now);
        ticket.committed().await.map_err(|_| UnavailableError::OutcomeUnknown.into())
    }
}
