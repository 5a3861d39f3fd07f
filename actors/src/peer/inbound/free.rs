//! Eviction of the inbound half: nothing is in progress, and the store has the whole state.

use super::Inbound;

impl Inbound {
    /// Returns whether the inbound state can be evicted.
    ///
    /// It cannot while it has state that only memory holds and that the peer's next request needs: a number that was
    /// answered with a hole or a conflict, and PDUs on which a context's actor crashed.
    pub fn is_free(&self) -> bool {
        let is_done = self.busy.is_none() && self.waiting.is_empty() && self.expecting.is_empty();
        let in_question = [self.holed, self.announced_conflict].contains(&Some(self.expected));
        is_done && !in_question && self.suspects.is_empty()
    }
}
