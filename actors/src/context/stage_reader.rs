//! PDUs that came while their conversation was too busy to take them. They lie on disk, in its stage, page by page are taken
//! from there as if they came then, and leave it in the same commit.

use std::collections::HashMap;

use crate::change::Change;
use crate::context::machine::{ContextEffect, ContextMachine};
use crate::context::provenance::Provenance;
use crate::context::stage_page::StagePage;
use crate::context::step::{ContextStep, PduOutcome};
use crate::model::{
    FeedItem, ParkedCode, ParkedItem, ParkedWhat, Pdu, PduRef, PduStatus, PduVerdict, ServerName, StagedPdu,
};

/// Servers remembered whose refused PDUs were told of. Beyond them nothing more is told in this life of the actor: a notice for
/// each PDU would let one peer fill the feed.
const TOLD_SERVERS_MAX: usize = 64;

impl ContextMachine {
    /// Something may be staged. One page is read at a time: what was taken has left the stage before the next one is read.
    pub(crate) fn read_stage(&mut self, step: &mut ContextStep<'_>) {
        self.stage.has_more = self.stage.is_reading;
        if !std::mem::replace(&mut self.stage.is_reading, true) {
            step.effects.push(ContextEffect::ReadStage { after: self.stage.last_server.clone() });
        }
    }

    /// Take a page of staged PDUs. An empty one is the last.
    pub(crate) async fn take_staged(
        &mut self,
        step: &mut ContextStep<'_>,
        page: StagePage,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        self.stage.is_reading = false;
        let has_more = std::mem::take(&mut self.stage.has_more) || !page.pdus.is_empty();
        self.stage.last_server = page.pdus.last().map(|(staged, _)| staged.from.clone());
        let mut rest = page.pdus.into_iter().peekable();
        while let Some((first, pdu)) = rest.next() {
            // Those that came from one server in one way are one batch, as they would have been.
            let mut batch = vec![(first, pdu)];
            let is_like =
                |(staged, _): &(StagedPdu, _)| staged.from == batch[0].0.from && staged.verified == batch[0].0.verified;
            let like: Vec<_> = std::iter::from_fn(|| rest.next_if(is_like)).collect();
            batch.extend(like);
            self.take_batch(step, batch, known).await;
        }
        if has_more {
            self.read_stage(step);
        }
    }

    /// Tell once of a server that hands over what is refused and not kept.
    fn tell_refused(&mut self, step: &mut ContextStep<'_>, from: &ServerName, reason: &str) {
        let told = &mut self.stage.told_servers;
        if told.len() < TOLD_SERVERS_MAX && told.insert(from.clone()) {
            let text = format!("PDUs from {from} were refused and not kept; the first one: {reason}");
            step.changes.push(Change::FeedAppended(FeedItem::Notice { text, server: Some(from.clone()) }));
        }
    }

    async fn take_batch(
        &mut self,
        step: &mut ContextStep<'_>,
        batch: Vec<(StagedPdu, Result<Pdu, ParkedCode>)>,
        known: &HashMap<PduRef, PduStatus>,
    ) {
        let (from, verified) = (batch[0].0.from.clone(), batch[0].0.verified);
        let way = Provenance { from: &from, verified: Some(verified), walked: 0, past: false };
        let pdus: Vec<Pdu> = batch.iter().filter_map(|(_, pdu)| pdu.as_ref().ok().cloned()).collect();
        let mut fates = self.admit(step, way, pdus, known).await.into_iter();
        for (staged, pdu) in batch {
            let context = self.record.context.clone();
            let refused = match pdu.map(|_| fates.next()) {
                Err(code) => Some((code, code.as_str().to_owned())),
                // Kept, it would stand in the way of the copy that its origin sends.
                Ok(Some(PduOutcome::Told(PduVerdict::Refused {
                    code: PduVerdict::SENDER_NOT_A_PARTICIPANT,
                    reason,
                }))) => {
                    self.tell_refused(step, &from, &reason);
                    None
                }
                Ok(Some(PduOutcome::Told(PduVerdict::Refused { code: PduVerdict::NOT_FOR_US, .. }))) => None,
                // Its sender was told that it is held, and will not send it again: it must not vanish.
                Ok(Some(PduOutcome::Told(PduVerdict::Refused { reason, .. }))) => Some((ParkedCode::BadPdu, reason)),
                Ok(_) => None,
            };
            if let Some((code, reason)) = refused {
                let PduRef { origin, id } = &staged.reference;
                let (origin, id) = (Some(origin.to_string()), Some(id.to_string()));
                let what = ParkedWhat::Pdu { origin, id, context: Some(context.clone()) };
                let parked = ParkedItem { from: staged.from.clone(), what, code, reason, bytes: staged.bytes };
                step.changes.push(Change::Quarantined { parked, keep: self.limits.quarantine_items });
            }
            let (from, number, reference) = (staged.from, staged.number, staged.reference);
            step.changes.push(Change::StageLeft { context, from, number, reference });
        }
    }
}

#[cfg(test)]
mod tests;
