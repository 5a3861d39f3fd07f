//! PDUs that arrived while their context was too busy. They are staged on disk, are read page by page, processed as if they
//! had just arrived, and removed in the same commit.

use std::collections::{BTreeSet, HashMap};

use crate::change::Change;
use crate::context::admit::PduAdmission;
use crate::context::event::ContextEffect;
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::provenance::Provenance;
use crate::context::stage_page::StagePage;
use crate::context::step::{ContextStep, PduOutcome};
use crate::model::{
    FeedItem, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduProof, PduRef, PduStatus, PduVerdict, ServerName, StagedPdu,
};

/// Maximum number of servers remembered for which a refusal was reported. Refusals of further servers are not reported in
/// this incarnation, because a notice per PDU would let one peer fill the feed.
const TOLD_SERVERS_MAX: usize = 64;

/// Progress of reading the stage.
#[derive(Debug, Default)]
pub(crate) struct StageReader {
    /// True while a page is read.
    is_reading: bool,
    /// True if more PDUs were staged meanwhile.
    has_more: bool,
    /// Server of the last page's last PDU; the next page begins after it.
    last_server: Option<ServerName>,
    /// Servers for which a notice reported that their PDUs are refused and not kept.
    told_servers: BTreeSet<ServerName>,
}

impl StageReader {
    pub(crate) const fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Reads the stage if PDUs may be there. One page is read at a time: processed PDUs have left the stage before the next
    /// page is read.
    pub(crate) fn read_on(&mut self, step: &mut ContextStep<'_>) {
        self.has_more = self.is_reading;
        if !std::mem::replace(&mut self.is_reading, true) {
            step.effects.push(ContextEffect::ReadStage { after: self.last_server.clone() });
        }
    }

    /// Processes a page of staged PDUs. An empty page is the last one.
    pub(crate) async fn take_staged(
        &mut self,
        step: &mut ContextStep<'_>,
        graph: &mut ContextGraph,
        page: StagePage,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        self.is_reading = false;
        let has_more = std::mem::take(&mut self.has_more) || !page.pdus.is_empty();
        self.last_server = page.pdus.last().map(|(staged, _)| staged.from.clone());
        let mut rest = page.pdus.into_iter().peekable();
        while let Some((first, pdu)) = rest.next() {
            // PDUs of one server and one authentication method form one batch, as they did when they arrived.
            let mut batch = vec![(first, pdu)];
            let is_like =
                |(staged, _): &(StagedPdu, _)| staged.from == batch[0].0.from && staged.verified == batch[0].0.verified;
            let like: Vec<_> = std::iter::from_fn(|| rest.next_if(is_like)).collect();
            batch.extend(like);
            self.take_batch(step, graph, batch, known).await;
        }
        if has_more {
            self.read_on(step);
        }
    }

    /// Reports once per server that its PDUs are refused and not kept.
    fn tell_refused(&mut self, step: &mut ContextStep<'_>, from: &ServerName, reason: &str) {
        let told = &mut self.told_servers;
        if told.len() < TOLD_SERVERS_MAX && told.insert(from.clone()) {
            let text = format!("PDUs from {from} were refused and not kept; the first one: {reason}");
            step.changes.push(Change::FeedAppended(FeedItem::Notice { text, server: Some(from.clone()) }));
        }
    }

    async fn take_batch(
        &mut self,
        step: &mut ContextStep<'_>,
        graph: &mut ContextGraph,
        batch: Vec<(StagedPdu, Result<Pdu, ParkedCode>)>,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let (from, verified) = (batch[0].0.from.clone(), batch[0].0.verified);
        let way = Provenance::arrived(&from, verified);
        let proved = |pdu: &Pdu| Pdu { proof: PduProof::of_word(verified), ..pdu.clone() };
        let pdus: Vec<Pdu> = batch.iter().filter_map(|(_, pdu)| pdu.as_ref().ok().map(proved)).collect();
        let mut fates = PduAdmission::new(graph, way, known).admit(step, pdus).await.into_iter();
        for (staged, pdu) in batch {
            let context = graph.context.clone();
            let refused = match pdu.map(|_| fates.next()) {
                Err(code) => Some((code, code.as_str().to_owned())),
                // A stored copy would block the copy that its origin sends.
                Ok(Some(PduOutcome::Told(PduVerdict::Refused {
                    code: PduVerdict::SENDER_NOT_A_PARTICIPANT,
                    reason,
                }))) => {
                    self.tell_refused(step, &from, &reason);
                    None
                }
                Ok(Some(PduOutcome::Told(PduVerdict::Refused { code: PduVerdict::NOT_FOR_US, .. }))) => None,
                // The sender was told that the PDU is held and will not send it again, so it must not be lost.
                Ok(Some(PduOutcome::Told(PduVerdict::Refused { code, reason }))) => {
                    Some((ParkedCode::of_refusal(code), reason))
                }
                Ok(_) => None,
            };
            if let Some((code, reason)) = refused {
                let PduRef { origin, id } = &staged.reference;
                let (origin, id) = (Some(origin.to_string()), Some(id.to_string()));
                let what = ParkedWhat::Pdu { origin, id, context: Some(context.clone()) };
                let parked =
                    ParkedItem { from: staged.from.clone(), what, code, reason, verified: None, bytes: staged.bytes };
                step.changes.push(Change::Quarantined { parked, keep: graph.limits.quarantine_items });
            }
            let (from, number, reference) = (staged.from, staged.number, staged.reference);
            step.changes.push(Change::StageLeft { context, from, number, reference });
        }
    }
}

#[cfg(test)]
mod tests;
