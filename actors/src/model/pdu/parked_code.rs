//! The codes of quarantined items.

use crate::word_enum::word_enum;

word_enum! {
    /// The reason for which an item is in quarantine; the words are the codes that messengers and operators see.
    pub enum ParkedCode {
        /// The strong update is not a JSON object.
        NotAnObject = "NOT_AN_OBJECT",
        /// The strong update nests too deep for the messenger's parsers.
        TooDeep = "TOO_DEEP",
        /// The PDU came as a strong update, or was staged, and is invalid or refused.
        BadPdu = "BAD_PDU",
        /// The origin of the PDU is not a participant of its context. A sender that is none gets a refusal instead.
        NotAParticipant = "NOT_A_PARTICIPANT",
        /// The context's actor crashed twice on the PDU.
        Poison = "POISON",
        /// The actor of the PDU's context is suspended as faulty.
        ContextFaulty = "CONTEXT_FAULTY",
        /// The PDU is not of its sender, from which PDUs of others are not accepted.
        RelayedNotAccepted = "RELAYED_NOT_ACCEPTED",
        /// The PDU is not of its sender, and its origin has not signed it.
        PduNotSigned = "PDU_NOT_SIGNED",
        /// The PDU is not of its sender, and no key that signed it is known here.
        UnknownKey = "UNKNOWN_KEY",
        /// The PDU is not of its sender, and its signature or its hash is wrong.
        BadPduSignature = "BAD_PDU_SIGNATURE",
        /// The update has not the form of a forward.
        BadForward = "BAD_FORWARD",
        /// The signature of the forward is not that of its origin.
        BadSignature = "BAD_SIGNATURE",
        /// No key of the forward's origin is known here.
        KeysUnknown = "KEYS_UNKNOWN",
    }
}

impl ParkedCode {
    /// Returns the code under which a PDU is quarantined that is refused with this code.
    pub fn of_refusal(code: &str) -> Self {
        Self::from_word(code).unwrap_or(Self::BadPdu)
    }
}
