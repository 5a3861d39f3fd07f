//! Restart intensity: how soon after a crash an actor starts again, and when it is given up. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::RestartLimits;
use crate::model::Millis;

/// Delay after the second crash in the period; it doubles with each further one. The first crash restarts at once,
/// because a single crash is likely to be an accident.
const DELAY_FIRST: Duration = Duration::from_secs(2);

/// The crashes of one actor within the period.
#[derive(Debug, Clone, Default)]
pub struct CrashHistory {
    times: VecDeque<Millis>,
}

/// The decision about a starting actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// Load the actor after this delay.
    Load(Duration),
    /// Load the actor as faulty, because it crashed too often.
    GiveUp,
}

impl CrashHistory {
    /// Records a crash at this time.
    pub fn note(&mut self, now: Millis, limits: RestartLimits) {
        self.times.push_back(now);
        // `verdict` never needs more than these.
        while self.times.len() > limits.max as usize + 1 {
            self.times.pop_front();
        }
    }

    /// Returns the time from which the history is equal to an empty one, because the last crash has left the period.
    pub fn over_at(&self, limits: RestartLimits) -> Millis {
        self.times.iter().max().map_or(Millis(0), |last| last.after(limits.period).after(Duration::from_millis(1)))
    }

    /// Decides how the actor starts now, from the crashes within the period.
    pub fn verdict(&mut self, now: Millis, limits: RestartLimits) -> RestartDecision {
        let period = u64::try_from(limits.period.as_millis()).unwrap_or(u64::MAX);
        self.times.retain(|&time| now.since(time) <= period);
        if self.times.len() > limits.max as usize {
            return RestartDecision::GiveUp;
        }
        let delay = match self.times.len() {
            0 | 1 => Duration::ZERO,
            n => DELAY_FIRST * 2u32.saturating_pow(u32::try_from(n - 2).unwrap_or(u32::MAX).min(16)),
        };
        RestartDecision::Load(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RestartLimits = RestartLimits { max: 5, period: Duration::from_secs(60) };

    #[test]
    fn crash_loop_slows_and_ends() {
        let mut crashes = CrashHistory::default();
        let mut now = Millis(0);
        let mut loads = vec![];
        loop {
            crashes.note(now, LIMITS);
            match crashes.verdict(now, LIMITS) {
                RestartDecision::Load(delay) => now = now.after(delay),
                RestartDecision::GiveUp => break,
            }
            loads.push(now.0 / 1000);
        }
        assert_eq!(loads, [0, 2, 6, 14, 30]);
    }

    #[test]
    fn rare_crashes_never_add_up() {
        let mut crashes = CrashHistory::default();
        for n in 0..100 {
            let now = Millis(n * 61_000);
            crashes.note(now, LIMITS);
            assert_eq!(crashes.verdict(now, LIMITS), RestartDecision::Load(Duration::ZERO));
            assert!(crashes.over_at(LIMITS) > now && crashes.over_at(LIMITS) <= Millis((n + 1) * 61_000));
        }
    }
}
