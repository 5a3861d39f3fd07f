//! Logs state transitions of a peer: one line when trouble begins, changes, or ends.

use crate::model::{Millis, PeerState, ServerName, ShortDuration};
use crate::peer::machine::PeerMachine;

/// The state of a peer that was last logged.
pub(crate) struct StateLogger {
    state: PeerState,
    /// Time at which the current trouble began.
    trouble: Millis,
}

impl StateLogger {
    /// Returns a logger in the loaded state, because a state from before the restart was logged then.
    pub(crate) fn at_start(machine: &PeerMachine) -> Self {
        Self { state: machine.state(), trouble: machine.status().since }
    }

    /// Returns a logger that has logged nothing.
    pub(crate) const fn nothing() -> Self {
        Self { state: PeerState::Idle, trouble: Millis(0) }
    }

    /// Logs a change of the peer's state or failures. Attempts during an outage go to the debug level only, because a
    /// thousand dead peers would flood the log; normal work does too.
    pub(crate) fn log_transition(&mut self, server: &ServerName, now: Millis, machine: &PeerMachine) {
        let (to, failures) = (machine.state(), machine.failures());
        let at_work = |state| matches!(state, PeerState::Idle | PeerState::Sending);
        let told = self.state;
        // After a `wait`, do not log recovery at the first attempt, only when the queue has drained.
        let amid =
            at_work(to) && !at_work(told) && (failures > 0 || (told == PeerState::Waiting && to == PeerState::Sending));
        let (was, is) = (told.as_str(), to.as_str());
        if to == told || amid || (at_work(to) && at_work(told)) {
            tracing::debug!(peer = %server, from = was, to = is, failures, "peer at work");
            return;
        }
        if at_work(told) {
            self.trouble = now;
        }
        self.state = to;
        // The delay is logged in the units of the configuration, not in the log's own format of a time.
        let next = machine.status().next_attempt.map(|due| tracing::field::display(ShortDuration(now.until(due))));
        let error = || machine.last_error().unwrap_or("none");
        match (to, &next) {
            (PeerState::Suspended(cause), _) => {
                let (reason, last_error) = (cause.as_str(), error());
                tracing::warn!(peer = %server, from = was, to = is, reason, failures, next, last_error, "peer is suspended");
            }
            (PeerState::Waiting, Some(next)) => {
                let why = machine.why_it_asked().map(|why| format!(": {why}")).unwrap_or_default();
                let reason = format!("the peer asked us to wait{why}");
                tracing::info!(peer = %server, from = was, to = is, failures, next, reason, "peer changes state");
            }
            (_, Some(next)) => {
                let reason = error();
                tracing::info!(peer = %server, from = was, to = is, failures, next, reason, "peer changes state");
            }
            (_, None) => {
                let lasted = ShortDuration(self.trouble.until(now));
                tracing::info!(peer = %server, from = was, to = is, %lasted, "peer is served again");
            }
        }
    }
}
