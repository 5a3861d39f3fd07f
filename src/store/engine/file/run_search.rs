//! The search for runs of rows that are written next to each other.

/// Maximum number of rows that are written one by one before a run is looked for again.
const RUN_PAUSE_MAX: u32 = 64;

/// The search for runs in a table. A table whose keys are scattered has none, so the search pauses for longer each time that
/// it finds none.
#[derive(Debug, Default)]
pub(crate) struct RunSearch {
    pause: u32,
    left: u32,
}

impl RunSearch {
    /// Returns whether a run is to be looked for at the next row.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_due
    }

    /// Notes whether there was a run, and returns it.
    pub(crate) fn note(&mut self, found: bool) -> bool {
        self.pause = if found { 0 } else { (2 * self.pause + 1).min(RUN_PAUSE_MAX) };
        self.left = self.pause;
        found
    }
}
