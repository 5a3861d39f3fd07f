//! Messages of other servers reach the peers for which the context is a group through us: such a peer knows no PDUs, so
//! their origins cannot send them there.

use bytes::Bytes;

use crate::change::Change;
use crate::context::groups::plain_copies::GroupRecipients;
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::step::ContextStep;
use crate::model::{Digest, PduRef, PduState, PduText, ServerName, Submission, SubmittedContent};

/// A message that this step delivers.
struct DeliveredMessage {
    reference: PduRef,
    /// Peer that sent it, as far as the step knows it.
    sender: Option<ServerName>,
    /// Its bytes and recipients; `None`: they are in the store.
    text: Option<(Bytes, Option<Vec<ServerName>>)>,
}

/// Queues updates for the messages of other servers that this step delivers, in the order of their delivery and in the
/// same commit. History is not passed on, because the peer would show it as news.
pub(crate) async fn pass_on(step: &mut ContextStep<'_>, graph: &ContextGraph, text: &dyn PduText) {
    let groups = graph.limits.groups.of_context(&graph.context);
    let takes_part = |(server, _): &&(ServerName, _)| graph.participants.contains(server);
    let groups: Vec<_> = groups.iter().filter(takes_part).cloned().collect();
    if groups.is_empty() {
        return;
    }
    let delivered: Vec<DeliveredMessage> = step.changes.iter().filter_map(|change| delivered(change, graph)).collect();
    for DeliveredMessage { reference, sender, text: known } in delivered {
        let (bytes, to) = match known {
            Some(known) => known,
            None => match step.reads.stored(&reference).await {
                Some(stored) => (stored.bytes, stored.to),
                None => continue,
            },
        };
        let is_meant = |server: &ServerName| {
            *server != reference.origin
                && sender.as_ref() != Some(server)
                && to.as_ref().is_none_or(|to| to.contains(server))
        };
        let mut audience: Vec<ServerName> =
            groups.iter().map(|(server, _)| server).filter(|server| is_meant(server)).cloned().collect();
        let mut recipients = GroupRecipients::take(&groups, &mut audience);
        let shut = |server: &ServerName| Some((server.clone(), step.reads.shut(server, bytes.len())?));
        let left_out: Vec<_> = recipients.servers().filter_map(shut).collect();
        recipients.retain(|server| left_out.iter().all(|(other, _)| other != server));
        let copies = recipients.copies(text, &reference, &bytes);
        if copies.is_empty() && left_out.is_empty() {
            continue;
        }
        let id = text.copies_id(&reference);
        step.report_left_out(&id, &left_out);
        let left_out = left_out.into_iter().map(|(server, _)| server).collect();
        let what = SubmittedContent::Pdu(reference, graph.context.clone(), bytes);
        let (accepted, digest) = (step.now, Digest([0; 16]));
        copies.submit(step, Submission { id, digest, accepted, servers: vec![], left_out, receipt: false, what });
    }
}

/// Returns the message that a change delivers as news, unless it is ours: those were queued when they were composed.
fn delivered(change: &Change, graph: &ContextGraph) -> Option<DeliveredMessage> {
    let (reference, delivery) = match change {
        Change::PduStored(stored) => match &stored.standing {
            PduState::Delivered(delivery) if stored.pdu.state.is_none() => (&stored.pdu.reference, delivery),
            _ => return None,
        },
        Change::PduDelivered { reference, delivery, .. } => (reference, delivery),
        _ => return None,
    };
    if delivery.is_history() || graph.participants.is_us(&reference.origin) {
        return None;
    }
    let (sender, text) = match change {
        Change::PduStored(stored) => (stored.sender.clone(), Some((stored.pdu.bytes.clone(), stored.pdu.to.clone()))),
        _ => (None, None),
    };
    Some(DeliveredMessage { reference: reference.clone(), sender, text })
}
