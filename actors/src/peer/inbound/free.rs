//! When nothing of what a peer sent is under way, and the store holds all that is known of it.

use super::Inbound;

impl Inbound {
    /// Whether its memory may be given away.
    ///
    /// What is known only here and waits for the peer's next word keeps it: a number that was answered with a hole or with a
    /// conflict, and PDUs that their conversations died on.
    pub fn is_free(&self) -> bool {
        let is_done = self.busy.is_none() && self.waiting.is_empty() && self.expecting.is_empty();
        let in_question = [self.holed, self.told_conflict].contains(&Some(self.expected));
        is_done && !in_question && self.suspects.is_empty()
    }
}
