//! Messages of mapped groups that go to quarantine: their peer does not participate in the context, or the context cannot
//! take them.

use bytes::Bytes;

use crate::model::{ParkedCode, ParkedWhat, PduVerdict, Seq};
use crate::peer::effect::EffectCollector;
use crate::peer::inbound::parked::{PeerQuarantine, words};

impl PeerQuarantine {
    /// Quarantines a message that its context has not composed, by the verdict of the context or the code of the peer's actor.
    pub(in crate::peer::inbound) fn park_message(
        &self,
        seq: Seq,
        update: &Bytes,
        verdict: Option<&PduVerdict>,
        code: Option<ParkedCode>,
        out: &mut EffectCollector,
    ) {
        let code = code.or(match verdict {
            Some(PduVerdict::Parked { code }) => ParkedCode::from_word(code),
            _ => None,
        });
        let Some(code) = code else { return };
        let reason = match code {
            ParkedCode::NotAParticipant => format!(
                "{} is not a participant of the context that this group is mapped to; the message is composed once it is one of \
                 the context's servers",
                self.peer()
            ),
            other => words(other),
        };
        self.park(ParkedWhat::Update(seq), code, reason, update, out);
    }
}
