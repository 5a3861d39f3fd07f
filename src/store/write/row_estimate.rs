//! The estimated number of rows of a batch, which bounds the size of a group.

use actors::change::Change;
use actors::model::SubmittedContent;

use crate::store::write::peer::forwards::FORWARDS_TRIMMED;
use crate::store::write::peer::inbound::NONCES_TRIMMED;

/// Returns the estimated number of rows of a batch: rows written, and for trimming the rows that it may remove.
pub(crate) fn estimate_rows(changes: &[Change]) -> u64 {
    let rows = |change: &Change| match change {
        Change::Submitted(submission) => match &submission.what {
            SubmittedContent::Updates(updates) => (updates.len() * (submission.servers.len() + 1) + 1) as u64,
            SubmittedContent::Pdu(..) => submission.servers.len() as u64 + 1,
        },
        Change::SubmittedToGroups(given) => (given.submission.servers.len() + 2 * given.copies.len()) as u64 + 1,
        Change::PduStored(_) => 3,
        Change::PduDelivered { .. } => 4,
        Change::PduHeld { .. }
        | Change::StateEventStored { .. }
        | Change::CurrentStateChanged { .. }
        | Change::StateReemitted { .. }
        | Change::ContextRecordUpdated(_)
        | Change::ContextWork { .. }
        | Change::GapOpened { .. }
        | Change::GapClosed { .. } => 1,
        Change::TransactionSeen { .. }
        | Change::MissingPrevStateAdded { .. }
        | Change::MissingPrevStateResolved { .. }
        | Change::StageLeft { .. } => 2,
        Change::Staged { pdus, .. } => 2 * pdus.len() as u64,
        Change::AttemptFailed { .. } | Change::EventRefused { .. } | Change::RefusedEventReleased { .. } => 2,
        Change::ForwardPassedOn { .. } => 4 + 2 * FORWARDS_TRIMMED as u64,
        Change::ForwardTaken { .. } => 2 + 2 * FORWARDS_TRIMMED as u64,
        Change::ForwardsQueued { forwards, .. } => 2 * forwards.len() as u64,
        Change::ForwardsHeld { updates, .. } => updates.len() as u64,
        Change::HeldForwardsDropped { .. } => 1,
        Change::NonceUsed(_) => 1 + u64::from(NONCES_TRIMMED),
        Change::PeerRecordUpdated(_)
        | Change::Delivered { .. }
        | Change::TransactionSent { .. }
        | Change::FeedAppended(_)
        | Change::FeedAcked { .. }
        | Change::PushIdsReserved { .. }
        | Change::FeedRewound { .. }
        | Change::RefusedEventDropped { .. }
        | Change::ReleasedEventsPushed { .. }
        | Change::InboundDigestsStored { .. } => 1,
        Change::OverflowHeadsChanged { added, gone, .. } => (added.len() + gone.len()) as u64,
        Change::Quarantined { .. } => 3,
        Change::OutboxMoved { first, last, .. } => 3 * (last.since(*first) + 1) + 1,
        Change::OutboxDeadLettered { first, last, .. } => 2 * (last.since(*first) + 1),
        // Most items have no row for a receipt; a long range is that of a peer that was away.
        Change::ItemsHandedOver { spans, .. } => spans.len() as u64,
        Change::ItemRejected { .. } => 4,
        Change::QuarantineRemoved { .. } | Change::DeadLetterDeleted { .. } => 1,
        Change::DeadLetterRequeued { .. }
        | Change::SkippedRecipientQueued { .. }
        | Change::SkippedCopyQueued { .. } => 3,
        Change::OutboxTrimmed { rows_max, .. }
        | Change::FeedTrimmed { rows_max, .. }
        | Change::DeliveriesForgotten { rows_max, .. } => u64::from(*rows_max),
        Change::SubmissionsPruned(ids) => ids.len() as u64,
        Change::PduContentPruned { pdus, .. } => 2 * pdus.len() as u64,
    };
    changes.iter().map(rows).sum()
}
