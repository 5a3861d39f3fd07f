//! Limits the notices about one peer's numbering to one an hour, so that a peer cannot fill the feed with them.

use std::time::Duration;

use crate::model::Millis;

/// Minimum time between two notices.
const BETWEEN: Duration = Duration::from_secs(60 * 60);

/// The time of the last notice, and the number of notices suppressed since.
#[derive(Debug, Clone, Copy, Default)]
pub struct HourlyNotice {
    raised: Option<Millis>,
    left_out: u64,
}

impl HourlyNotice {
    /// Counts a notice. `Some`: it is raised, and this many were suppressed before it. `None`: it is suppressed.
    pub fn admit(&mut self, now: Millis) -> Option<u64> {
        if self.quiet_until().is_some_and(|until| now < until) {
            // After a clock was set back, the hour begins at the new time.
            self.raised = self.raised.map(|raised| raised.min(now));
            self.left_out += 1;
            return None;
        }
        self.raised = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }

    /// Returns the time until which notices are suppressed.
    pub fn quiet_until(&self) -> Option<Millis> {
        Some(self.raised?.after(BETWEEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn notice_within_the_hour_is_counted() {
        let mut notice = HourlyNotice::default();
        assert_eq!(notice.quiet_until(), None);
        let admitted = [0, 1, HOUR - 1, HOUR, HOUR + 1, 3 * HOUR].map(|now| notice.admit(Millis(now)));
        assert_eq!(admitted, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn clock_set_back_silences_one_hour() {
        let mut notice = HourlyNotice::default();
        assert_eq!(notice.admit(Millis(100 * HOUR)), Some(0));
        assert_eq!([0, HOUR - 1, HOUR].map(|now| notice.admit(Millis(now))), [None, None, Some(2)]);
    }
}
