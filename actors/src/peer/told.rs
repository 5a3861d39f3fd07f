//! What the log says of a peer: one line when trouble begins, changes, or ends.

use crate::model::{Lasting, Millis, PeerState, ServerName};
use crate::peer::machine::Machine;

/// The state that the log knows.
pub(super) struct Told {
    state: PeerState,
    /// When the trouble began that lasts.
    trouble: Millis,
}

impl Told {
    /// As it is after a start: what lasts from before was told then.
    pub(super) fn at_start(machine: &Machine) -> Self {
        Self { state: machine.state(), trouble: machine.status().since }
    }

    /// Nothing yet.
    pub(super) const fn nothing() -> Self {
        Self { state: PeerState::Idle, trouble: Millis(0) }
    }

    /// The peer's state, or its failures, have changed. Tries amid trouble are no news: a thousand dead peers would be a flood.
    /// Neither is work that comes and is done.
    pub(super) fn moved(&mut self, server: &ServerName, now: Millis, machine: &Machine) {
        let (to, failures) = (machine.state(), machine.failures());
        let at_work = |state| matches!(state, PeerState::Idle | PeerState::Sending);
        let told = self.state;
        // Whether what it asked us to wait for goes now is seen when all has gone.
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
        // In the words of the configuration, which the log's own form of a time is not.
        let next = machine.status().next_attempt.map(|due| tracing::field::display(Lasting(now.until(due))));
        let error = || machine.last_error().unwrap_or("none");
        match (to, &next) {
            (PeerState::Suspended(cause), _) => {
                let (reason, last_error) = (cause.as_str(), error());
                tracing::warn!(peer = %server, from = was, to = is, reason, failures, next, last_error, "peer is suspended");
            }
            (PeerState::Waiting, Some(next)) => {
                let why = machine.why_it_asked().map(|why| format!(": {why}")).unwrap_or_default();
                let reason = format!("it asked for time{why}");
                tracing::info!(peer = %server, from = was, to = is, failures, next, reason, "peer changes state");
            }
            (_, Some(next)) => {
                let reason = error();
                tracing::info!(peer = %server, from = was, to = is, failures, next, reason, "peer changes state");
            }
            (_, None) => {
                let lasted = Lasting(self.trouble.until(now));
                tracing::info!(peer = %server, from = was, to = is, %lasted, "peer is served again");
            }
        }
    }
}
