//! The forwards of one batch: their verdicts, and those that the actors of their origins are taking.

use crate::errors::{BatchError, PeerError, UnavailableError};
use crate::model::{Ack, ForwardedUpdate, InboundPush, Millis, RelayCode, Seq, ServerName, StrongBody, StrongUpdate};
use crate::peer::effect::PushReply;
use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::forwards::VERIFIED_BY_FORWARD;
use crate::peer::inbound::forwards::judge_forward::{ForwardStep, judge};

/// The outcome of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardOutcome {
    /// It goes to the outbox of its destination.
    PassOn,
    /// The sequence of its origin has it.
    Taken,
    /// It was taken or passed on before.
    Known,
    /// It goes nowhere, with the code and the reason.
    Refused(RelayCode, String),
}

/// Forwards of one origin for us, with consecutive numbers.
#[derive(Debug, Clone)]
pub struct ForwardRun {
    /// Their origin.
    pub origin: ServerName,
    /// Position of the first in the batch.
    pub place: usize,
    /// Their updates, as a push of their origin.
    pub push: InboundPush,
}

/// The forwards of a batch.
#[derive(Debug, Clone, Default)]
pub struct ForwardsInProgress {
    /// Outcomes by position; those of runs under way are absent.
    outcomes: Vec<(usize, ForwardOutcome)>,
    /// Runs under way: the position of the first forward, and those of all.
    out: Vec<(usize, Vec<usize>)>,
    give_back: Option<UnavailableError>,
}

impl ForwardsInProgress {
    /// Judges the forwards at these positions of a batch, and returns the runs to hand over.
    pub(in crate::peer::inbound) fn begin(
        batch: &InboundBatch,
        fresh: &[usize],
        sender: &ServerName,
        now: Millis,
    ) -> (Self, Vec<ForwardRun>) {
        let (mut begun, mut runs) = (Self::default(), Vec::<ForwardRun>::new());
        for &place in fresh {
            let Some(forward) = batch.forward(place) else { continue };
            match judge(forward, sender, now) {
                ForwardStep::PassOn => begun.outcomes.push((place, ForwardOutcome::PassOn)),
                ForwardStep::Known => begun.outcomes.push((place, ForwardOutcome::Known)),
                ForwardStep::Refuse(code, reason) => {
                    begun.outcomes.push((place, ForwardOutcome::Refused(code, reason)));
                }
                ForwardStep::Take => begun.add(&mut runs, place, forward),
            }
        }
        (begun, runs)
    }

    /// Adds a forward for us to the last run, or begins another one.
    fn add(&mut self, runs: &mut Vec<ForwardRun>, place: usize, forward: &ForwardedUpdate) {
        let Some(update) = forward.update.as_deref().cloned() else {
            let reason = "it has no update".to_owned();
            return self.outcomes.push((place, ForwardOutcome::Refused(RelayCode::BadForward, reason)));
        };
        let follows =
            |run: &&mut ForwardRun| run.origin == forward.route.origin && run.push.seq.next() == forward.number;
        match (runs.last_mut().filter(follows), self.out.last_mut()) {
            (Some(run), Some((_, places))) => {
                run.push.seq = forward.number;
                run.push.strong.push(update);
                places.push(place);
            }
            _ => {
                let push = forwarded_push(forward.number, vec![update]);
                runs.push(ForwardRun { origin: forward.route.origin.clone(), place, push });
                self.out.push((place, vec![place]));
            }
        }
    }

    /// Handles the answer of the origin's actor to the run that begins at this position.
    pub(in crate::peer::inbound) fn back(&mut self, place: usize, answer: PushReply) {
        let Some(at) = self.out.iter().position(|(first, _)| *first == place) else { return };
        let (_, places) = self.out.remove(at);
        let outcome = match answer {
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
            Err(BatchError::Peer(PeerError::Unavailable(error))) => {
                self.give_back = Some(error);
                return;
            }
        };
        self.outcomes.extend(places.into_iter().map(|place| (place, outcome.clone())));
    }

    /// Returns whether no run is under way.
    pub(in crate::peer::inbound) fn is_done(&self) -> bool {
        self.out.is_empty()
    }

    /// Returns the reason for which the whole batch is rejected, if it is.
    pub(in crate::peer::inbound) const fn rejection(&self) -> Option<&UnavailableError> {
        self.give_back.as_ref()
    }

    /// Returns the outcome of the forward at this position.
    pub(in crate::peer::inbound) fn outcome(&self, place: usize) -> Option<&ForwardOutcome> {
        self.outcomes.iter().find(|(other, _)| *other == place).map(|(_, outcome)| outcome)
    }
}

/// Returns updates with consecutive numbers, the first of them `first`, as a push of their origin.
pub(crate) fn forwarded_push(first: Seq, strong: Vec<StrongUpdate>) -> InboundPush {
    debug_assert!(strong.iter().all(|update| !matches!(update.body, StrongBody::Forward(_))), "a forward in a forward");
    InboundPush {
        from_seq: Some(first),
        seq: Seq(first.0 + strong.len() as u64 - 1),
        strong,
        weak: 0,
        ephemeral: vec![],
        verified: VERIFIED_BY_FORWARD,
        nonce: None,
    }
}
