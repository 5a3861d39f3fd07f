//! The walks through quarantine that follow the admission of participants: PDUs that they sent before are accepted then.

/// Position in quarantine at which a walk begins.
const BEGIN: (u64, u64) = (0, 0);

/// The walks that have not ended. Only as long as one is needed the store notes that the context has work.
pub(crate) struct QuarantineWalks {
    /// Number of walks under way. A further admission begins another one, as the walk under way may have passed its PDUs.
    open: u32,
    /// True if participants were admitted and no walk has reached the end since.
    is_needed: bool,
}

impl QuarantineWalks {
    /// Returns the state that was loaded from the store.
    pub(crate) const fn load(is_needed: bool) -> Self {
        Self { open: 0, is_needed }
    }

    /// Records that a walk has reached the end.
    pub(crate) const fn end(&mut self) {
        self.open = self.open.saturating_sub(1);
        self.is_needed &= self.open > 0;
    }

    /// Returns whether a restart has to begin a walk again.
    pub(crate) const fn is_needed(&self) -> bool {
        self.is_needed
    }

    /// Returns the position after which to read in this step. `asked`: the position at which a walk goes on or begins.
    pub(crate) fn next(
        &mut self,
        asked: Option<(u64, u64)>,
        admitted: bool,
        has_participants: bool,
    ) -> Option<(u64, u64)> {
        let mut next = asked;
        if admitted {
            // The new walk replaces one that would have gone on, so that both together end once.
            self.open -= u32::from(self.open > 0 && asked.is_some_and(|next| next != BEGIN));
            next = Some(BEGIN);
            self.is_needed = true;
        }
        let next = next.filter(|_| has_participants);
        self.open += u32::from(next == Some(BEGIN));
        self.is_needed &= self.open > 0;
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_replaces_walk_that_goes_on() {
        let mut walks = QuarantineWalks::load(false);
        assert_eq!(walks.next(None, true, true), Some(BEGIN));
        assert_eq!(walks.next(Some((0, 7)), true, true), Some(BEGIN));
        walks.end();
        assert!(!walks.is_needed(), "both together end once");
    }

    #[test]
    fn walk_amid_another_ends_by_itself() {
        let mut walks = QuarantineWalks::load(false);
        walks.next(None, true, true);
        walks.next(None, true, true);
        walks.end();
        assert!(walks.is_needed(), "the second one is under way");
        walks.end();
        assert!(!walks.is_needed());
    }

    #[test]
    fn context_without_participants_reads_nothing() {
        let mut walks = QuarantineWalks::load(true);
        assert_eq!((walks.next(Some(BEGIN), false, false), walks.is_needed()), (None, false));
    }
}
