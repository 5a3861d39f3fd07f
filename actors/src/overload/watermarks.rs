//! The watermarks of overload: each resource has a high and a low mark, so that admission does not flap with every
//! event.

use crate::limits::OverloadLimits;

/// The conditions that block requests; admission is open if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Congestion {
    /// Number of unacknowledged feed events, if it is too high: peers are told to wait.
    pub unread: Option<u64>,
    /// Number of free bytes on the disk, if it is too low: everybody is told to wait.
    pub free: Option<u64>,
}

impl Congestion {
    /// Returns whether items of peers are accepted.
    pub const fn is_open(&self) -> bool {
        self.unread.is_none() && self.free.is_none()
    }
}

/// The last measurements, compared with their watermarks.
#[derive(Debug, Clone, Copy)]
pub struct Watermarks {
    limits: OverloadLimits,
    now: Congestion,
}

impl Watermarks {
    /// Returns levels that are open until something is measured.
    pub fn new(limits: OverloadLimits) -> Self {
        Self { limits, now: Congestion::default() }
    }

    /// Returns the current conditions.
    pub const fn now(&self) -> Congestion {
        self.now
    }

    /// Updates the number of unacknowledged events: closes at the high mark, and opens below the low mark.
    pub fn unread(&mut self, events: u64) {
        let mark = if self.now.unread.is_some() { self.limits.feed_low } else { self.limits.feed_high };
        self.now.unread = (events >= mark).then_some(events);
    }

    /// Updates the number of free bytes: closes below the minimum, and opens once an eighth more is free.
    pub fn free(&mut self, bytes: u64) {
        let least = self.limits.min_free;
        let mark = if self.now.free.is_some() { least.saturating_add(least / 8) } else { least };
        self.now.free = (bytes < mark).then_some(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> Watermarks {
        Watermarks::new(OverloadLimits { feed_high: 10, feed_low: 8, min_free: 800 })
    }

    #[test]
    fn feed_watermarks_gate_admission() {
        let mut levels = levels();
        let mut trace = vec![];
        for events in [0, 9, 10, 9, 8, 7, 9, 10, 11, 0] {
            levels.unread(events);
            trace.push((events, levels.now().is_open()));
        }
        let closed: Vec<u64> = trace.iter().filter(|(_, open)| !open).map(|(events, _)| *events).collect();
        assert_eq!(closed, [10, 9, 8, 10, 11], "{trace:?}");
    }

    #[test]
    fn disk_watermarks_gate_admission() {
        let mut levels = levels();
        let mut trace = vec![];
        for bytes in [801, 800, 799, 800, 899, 900, 800, 0] {
            levels.free(bytes);
            trace.push((bytes, levels.now().is_open()));
        }
        let closed: Vec<u64> = trace.iter().filter(|(_, open)| !open).map(|(bytes, _)| *bytes).collect();
        assert_eq!(closed, [799, 800, 899, 0], "{trace:?}");
    }

    #[test]
    fn overload_ends_when_both_clear() {
        let mut levels = levels();
        levels.unread(10);
        levels.free(1);
        levels.unread(0);
        assert_eq!(levels.now(), Congestion { unread: None, free: Some(1) });
        levels.free(u64::MAX);
        assert!(levels.now().is_open());
    }
}
