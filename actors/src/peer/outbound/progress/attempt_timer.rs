//! The timer of a peer's next attempt, and the time at which an attempt that was brought forward would have come.

use crate::model::Millis;

/// The timer of the outbound half.
#[derive(Debug, Clone, Default)]
pub(super) struct AttemptTimer {
    /// Time that the timer is set to.
    set_to: Option<Millis>,
    /// Original time of the attempt that is about to be made, if it was brought forward.
    original: Option<Millis>,
}

impl AttemptTimer {
    /// Sets the timer to the first of these times; returns it.
    pub(super) fn set(&mut self, times: [Option<Millis>; 2]) -> Option<Millis> {
        self.set_to = times.into_iter().flatten().min();
        self.set_to
    }

    /// Handles the firing of the timer; returns the time that has been reached, which is the one that the timer was set
    /// to even if the wall clock was set back meanwhile.
    pub(super) fn fired(&mut self, now: Millis) -> Millis {
        now.max(self.set_to.take().unwrap_or(now))
    }

    /// Records that the next attempt is made before its time.
    pub(super) const fn bring_forward(&mut self, original: Option<Millis>) {
        self.original = original;
    }

    /// Returns whether the attempt was brought forward.
    pub(super) const fn is_brought_forward(&self) -> bool {
        self.original.is_some()
    }

    /// Ends the attempt; returns its original time if it was brought forward.
    pub(super) const fn take_original(&mut self) -> Option<Millis> {
        self.original.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_fires_despite_clock_set_back() {
        let mut timer = AttemptTimer::default();
        assert_eq!(timer.set([Some(Millis(90)), Some(Millis(50))]), Some(Millis(50)));
        assert_eq!(timer.fired(Millis(10)), Millis(50));
        assert_eq!(timer.fired(Millis(10)), Millis(10), "it is set no more");
        assert_eq!(timer.set([None, None]), None);
        assert_eq!(timer.fired(Millis(70)), Millis(70));
    }
}
