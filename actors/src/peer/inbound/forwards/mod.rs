//! Forwards: updates of one server for another that a peer passes on to us. We are their destination, or one more server on
//! their way; see `docs/protocol.md#third-servers`.
//!
//! A forward for us belongs into the sequence of its origin, so the actor of the sender gives it to the actor of the origin, and
//! accepts its own batch once that has answered. A forward for another peer is appended to that peer's
//! outbox by the commit of the batch.

pub mod forward_run;
pub(super) mod held_forwards;
pub mod judge_forward;
pub mod progress;
pub mod relay_metrics;
#[cfg(test)]
mod tests;

use crate::change::Change;
use crate::limits::PeerLimits;
use crate::model::{ForwardMemory, ForwardOutcome, ForwardedUpdate, Millis, ParkedWhat, RelayCode, Seq, StrongUpdate};
use crate::peer::effect::{EffectCollector, PeerEffect, RelayRole};
use crate::peer::inbound::parked::PeerQuarantine;

/// Writes what becomes of a forward that came under this number; returns the code that its sender is answered, if it goes
/// nowhere.
pub(super) fn settle(
    (forward, strong): (&ForwardedUpdate, &StrongUpdate),
    seq: Seq,
    (limits, quarantine): (&PeerLimits, &PeerQuarantine),
    out: &mut EffectCollector,
) -> Option<&'static str> {
    let role = if forward.facts.is_for_us { RelayRole::Destination } else { RelayRole::Relay };
    let memory = memory(limits, out.now);
    let (result, code) = match forward.outcome.as_ref()? {
        ForwardOutcome::PassOn => {
            let (route, id) = (forward.route.clone(), forward.id.clone());
            let (sent, text) = (forward.sent, forward.onward.clone());
            out.change(Change::ForwardPassedOn { route, id, sent, text, memory });
            ("queued", None)
        }
        ForwardOutcome::Taken => {
            out.change(Change::ForwardTaken { origin: forward.route.origin.clone(), id: forward.id.clone(), memory });
            ("taken", None)
        }
        ForwardOutcome::Known => ("duplicate", None),
        ForwardOutcome::Refused(code, reason) => {
            park(forward, strong, seq, (*code, reason), quarantine, out);
            ("refused", Some(code.as_str()))
        }
    };
    out.effect(PeerEffect::CountForward(role, result));
    code
}

/// Returns how many forwards of one origin are remembered, and since when.
pub(crate) fn memory(limits: &PeerLimits, now: Millis) -> ForwardMemory {
    let retain = u64::try_from(limits.retain.as_millis()).unwrap_or(u64::MAX);
    ForwardMemory { items: limits.retain_items, before: Millis(now.0.saturating_sub(retain)) }
}

/// Quarantines a refused forward, if its code is one for which that is done.
fn park(
    forward: &ForwardedUpdate,
    strong: &StrongUpdate,
    seq: Seq,
    (code, reason): (RelayCode, &str),
    quarantine: &PeerQuarantine,
    out: &mut EffectCollector,
) {
    if let Some(parked) = code.parked() {
        let what = ParkedWhat::Forward(seq, forward.route.origin.clone());
        quarantine.park(what, parked, reason.to_owned(), &strong.bytes, out);
    }
}
