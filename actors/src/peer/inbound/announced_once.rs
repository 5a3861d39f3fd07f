//! Announcements about a peer that are made once, because the peer can repeat their cause any number of times.

use crate::model::Seq;

/// Announcements made since the actor was loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct AnnouncedOnce {
    /// A push that is too old to compare was announced.
    too_old: bool,
    /// True if it was announced that the peer relays PDUs without permission.
    relayed: bool,
    /// Expected number in the conflict that was announced last; the sender repeats its push until it renumbers.
    conflict: Option<Seq>,
}

impl AnnouncedOnce {
    /// Returns whether a push that is too old to compare is to be announced.
    pub(super) const fn note_too_old(&mut self) -> bool {
        !std::mem::replace(&mut self.too_old, true)
    }

    /// Returns whether it is to be announced that the peer relays PDUs without permission.
    pub(super) const fn note_relayed(&mut self) -> bool {
        !std::mem::replace(&mut self.relayed, true)
    }

    /// Returns whether a conflict is to be announced: another one is expected under another number.
    pub(super) fn note_conflict(&mut self, expected: Seq) -> bool {
        self.conflict.replace(expected) != Some(expected)
    }

    /// Returns whether the conflict that was announced last is still open.
    pub(super) fn is_in_conflict(&self, expected: Seq) -> bool {
        self.conflict == Some(expected)
    }

    /// Resets the announcements about numbers, because the peer continues from another number.
    pub(super) const fn forget_numbers(&mut self) {
        (self.too_old, self.conflict) = (false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_trouble_is_announced_once() {
        let mut announced = AnnouncedOnce::default();
        assert_eq!(
            [3, 3, 4, 4, 3].map(|expected| announced.note_conflict(Seq(expected))),
            [true, false, true, false, true]
        );
        assert!(announced.note_too_old() && !announced.note_too_old());
        assert!(announced.note_relayed() && !announced.note_relayed());
        announced.forget_numbers();
        assert!(!announced.is_in_conflict(Seq(3)) && announced.note_too_old());
        assert!(!announced.note_relayed(), "that says nothing about numbers");
    }
}
