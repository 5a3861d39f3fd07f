//! The sweep for idle peers: when the router looks, and which peers leave memory after it.
//!
//! A peer leaves memory once [`LOOKS`] looks in a row have found it idle, so after `peers.idle_after` and at most a quarter more.
//! Counting looks costs a step of a peer one store to an atomic; a timer for each peer would cost memory for each.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::ServerName;
use crate::supervise::alarm::TimerSlot;

/// Number of looks in a row that find a peer idle before it leaves memory. The first one comes at any time after its last step.
pub(super) const LOOKS: u8 = 5;

/// Number of peers that leave memory at once. Each stops an actor on the thread that all actors share.
const LEAVE_AT_ONCE: usize = 256;

/// Pause before the next ones leave.
const LEAVE_PAUSE: Duration = Duration::from_millis(20);

/// Minimum time between two looks, because each reads the state of every peer in memory.
const LOOK_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The sweep for idle peers. It runs while any peer is in memory.
#[derive(Debug, Default)]
pub(super) struct IdleSweep {
    pub(super) timer: TimerSlot,
    /// True while the timer is set.
    pub(super) runs: bool,
    /// Peers that the last look found idle for long enough, and that have not left yet.
    rested: VecDeque<ServerName>,
}

impl IdleSweep {
    /// Returns whether all peers of the last look have been tried, so that the next look is due.
    pub(super) fn is_look_due(&self) -> bool {
        self.rested.is_empty()
    }

    /// Takes over the peers that a look has found.
    pub(super) fn found(&mut self, rested: Vec<ServerName>) {
        self.rested = rested.into();
    }

    /// Returns the peers that leave now.
    pub(super) fn next_to_leave(&mut self) -> Vec<ServerName> {
        let count = self.rested.len().min(LEAVE_AT_ONCE);
        let leaving = self.rested.drain(..count).collect();
        if self.rested.is_empty() {
            self.rested = VecDeque::new();
        }
        leaving
    }

    /// Returns the time until the sweep continues.
    pub(super) fn pause(&self, idle_after: Duration) -> Duration {
        if self.is_look_due() { (idle_after / u32::from(LOOKS - 1)).max(LOOK_PAUSE_MIN) } else { LEAVE_PAUSE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rested_peers_leave_in_parts() {
        let mut sweep = IdleSweep::default();
        let minute = Duration::from_secs(60);
        assert_eq!(sweep.pause(minute), Duration::from_secs(15));
        assert_eq!(sweep.pause(Duration::from_millis(1)), LOOK_PAUSE_MIN);
        sweep.found((0..300).map(|n| format!("p{n}.example").parse().expect("valid")).collect());
        assert_eq!((sweep.next_to_leave().len(), sweep.pause(minute)), (256, LEAVE_PAUSE));
        assert!(!sweep.is_look_due());
        assert_eq!((sweep.next_to_leave().len(), sweep.pause(minute)), (44, Duration::from_secs(15)));
        assert!(sweep.is_look_due() && sweep.next_to_leave().is_empty());
    }
}
