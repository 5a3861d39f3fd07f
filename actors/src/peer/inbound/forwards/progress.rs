//! The forwards of batches: their verdicts, and those that the actors of their origins are taking.

use crate::errors::{BatchError, PeerError, UnavailableError};
use crate::model::{Ack, ForwardOutcome, ForwardedUpdate, RelayCode, ServerName};
use crate::peer::effect::{EffectCollector, PeerEffect, PushReply};
use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::batch_queue::WaitingBatch;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::forwards::forward_run::{ForwardRun, RunPlace, forwarded_push};
use crate::peer::inbound::forwards::judge_forward::{ForwardStep, judge};

/// A batch whose forwards for us are with the actors of their origins.
#[derive(Debug, Clone)]
struct HandedBatch {
    number: u64,
    batch: InboundBatch,
    strange: UnknownContexts,
    /// Runs under way: the position of the first forward, and those of all.
    out: Vec<(usize, Vec<usize>)>,
    give_back: Option<UnavailableError>,
}

/// The batches of a peer whose forwards for us are with the actors of their origins.
///
/// They do not count as in progress: two actors that wait for each other's forwards would wait for ever otherwise. A forward may
/// be taken before the push that brings it is, or although that push is refused, because the sequence of its origin tells a
/// repeat.
#[derive(Debug, Clone, Default)]
pub(in crate::peer::inbound) struct HandedBatches {
    batches: Vec<HandedBatch>,
    next: u64,
}

impl HandedBatches {
    /// Returns whether there are none.
    pub(in crate::peer::inbound) const fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Judges the forwards of a batch that have no outcome yet. Returns the batch, unless runs of it have to be handed over first.
    pub(in crate::peer::inbound) fn judge(
        &mut self,
        mut batch: InboundBatch,
        strange: UnknownContexts,
        sender: &ServerName,
        out: &mut EffectCollector,
    ) -> Option<WaitingBatch> {
        let mut runs = Vec::<ForwardRun>::new();
        let mut places = Vec::<(usize, Vec<usize>)>::new();
        let number = self.next;
        for (place, forward) in batch.forwards_mut().filter(|(_, forward)| forward.outcome.is_none()) {
            forward.outcome = match judge(forward, sender, out.now) {
                ForwardStep::PassOn => Some(ForwardOutcome::PassOn),
                ForwardStep::Known => Some(ForwardOutcome::Known),
                ForwardStep::Refuse(code, reason) => Some(ForwardOutcome::Refused(code, reason)),
                ForwardStep::Take => add(&mut runs, &mut places, RunPlace { batch: number, first: place }, forward),
            };
        }
        if runs.is_empty() {
            return Some((batch, strange));
        }
        self.next += 1;
        self.batches.push(HandedBatch { number, batch, strange, out: places, give_back: None });
        runs.into_iter().for_each(|run| out.effect(PeerEffect::HandOver(run)));
        None
    }

    /// Handles the answer of an origin's actor to a run. Returns the batch once all of its runs are answered; `Err`: it is given
    /// back for this reason.
    pub(in crate::peer::inbound) fn back(
        &mut self,
        place: RunPlace,
        answer: PushReply,
    ) -> Option<Result<WaitingBatch, (InboundBatch, UnavailableError)>> {
        let at = self.batches.iter().position(|batch| batch.number == place.batch)?;
        let handed = &mut self.batches[at];
        let run = handed.out.iter().position(|(first, _)| *first == place.first)?;
        let (_, places) = handed.out.remove(run);
        match outcome(answer) {
            Ok(outcome) => {
                let of_run = handed.batch.forwards_mut().filter(|(place, _)| places.contains(place));
                of_run.for_each(|(_, forward)| forward.outcome = Some(outcome.clone()));
            }
            Err(error) => handed.give_back = Some(error),
        }
        if !handed.out.is_empty() {
            return None;
        }
        let HandedBatch { batch, strange, give_back, .. } = self.batches.remove(at);
        Some(match give_back {
            None => Ok((batch, strange)),
            Some(error) => Err((batch, error)),
        })
    }
}

/// Adds a forward for us to the last run, or begins another one; returns its outcome if it can be neither.
fn add(
    runs: &mut Vec<ForwardRun>,
    places: &mut Vec<(usize, Vec<usize>)>,
    place: RunPlace,
    forward: &ForwardedUpdate,
) -> Option<ForwardOutcome> {
    let Some(update) = forward.update.as_deref().cloned() else {
        return Some(ForwardOutcome::Refused(RelayCode::BadForward, "it has no update".to_owned()));
    };
    let follows = |run: &&mut ForwardRun| run.origin == forward.route.origin && run.push.seq.next() == forward.number;
    match (runs.last_mut().filter(follows), places.last_mut()) {
        (Some(run), Some((_, of_run))) => {
            run.push.seq = forward.number;
            run.push.strong.push(update);
            of_run.push(place.first);
        }
        _ => {
            let push = forwarded_push(forward.number, vec![update]);
            runs.push(ForwardRun { origin: forward.route.origin.clone(), place, push });
            places.push((place.first, vec![place.first]));
        }
    }
    None
}

/// Returns the outcome of forwards to which the actor of their origin has answered so; `Err`: nothing is known of them.
fn outcome(answer: PushReply) -> Result<ForwardOutcome, UnavailableError> {
    Ok(match answer {
        Ok(receipt) if matches!(receipt.ack, Ack::Ok(_)) => ForwardOutcome::Taken,
        Ok(_) => {
            let reason = "more updates of its origin wait than relay.held_max allows".to_owned();
            ForwardOutcome::Refused(RelayCode::NotKept, reason)
        }
        // The origin still has them, so a fault that concerns it alone does not stop the link of the relay.
        Err(error @ (BatchError::Faulty(_) | BatchError::TooManyItems { .. } | BatchError::Misnumbered { .. })) => {
            ForwardOutcome::Refused(RelayCode::NotKept, error.to_string())
        }
        Err(BatchError::Peer(error @ (PeerError::UnknownPeer(_) | PeerError::Denied(_)))) => {
            ForwardOutcome::Refused(RelayCode::KeysUnknown, error.to_string())
        }
        Err(BatchError::Peer(PeerError::Unavailable(error))) => return Err(error),
    })
}
