//! PDUs that the peer hands over without having made them and without taking part in their conversation.

use super::Inbound;
use crate::peer::effect::EffectCollector;

impl Inbound {
    /// Such a PDU takes its number in the push, and is not kept: a copy that lies here would stand in the way of the one that its
    /// origin sends. The answer to a push names no PDU, so our messenger is told; once, for a peer may send any number of them.
    pub(super) fn refuse_relayed(&mut self, reason: &str, out: &mut EffectCollector) {
        if !std::mem::replace(&mut self.told_relayed, true) {
            let text = format!("handed over a PDU that is refused and not kept, and so is every further one: {reason}");
            self.notice(&text, out);
        }
    }
}
