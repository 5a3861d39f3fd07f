//! The proof that a PDU is of its origin.

use crate::model::pdu::parked_code::ParkedCode;

/// The word for a PDU of our own messenger, as the messenger sees it.
pub const VERIFIED_AS_OWN: &str = "own";

/// The word for a PDU that carries a valid signature of its origin.
pub const VERIFIED_BY_PDU_SIGNATURE: &str = "pdu-signature";

/// The word for a PDU of another origin than its sender that is accepted without a proof.
pub const VERIFIED_AS_RELAYED: &str = "relayed";

/// The proof that a PDU is of its origin. It is found when the PDU arrives, before it enters the core.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PduProof {
    /// The word of its sender alone: the sender is the origin itself, or a server whose word is enough.
    #[default]
    Sender,
    /// A valid signature of its origin.
    Signature,
    /// A proof is required, and there is none.
    Missing(Box<MissingProof>),
}

/// The reason for which a PDU of another origin than its sender is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingProof {
    /// Reason as an error code.
    pub code: ParkedCode,
    /// Reason as a message.
    pub reason: String,
}

impl PduProof {
    /// Returns the proof of a PDU that is refused for this reason.
    pub fn missing(code: ParkedCode, reason: String) -> Self {
        Self::Missing(Box::new(MissingProof { code, reason }))
    }

    /// Returns the word under which a PDU is stored before its context takes it. `sender`: the method by which the sender was
    /// authenticated.
    pub const fn word(&self, sender: &'static str) -> &'static str {
        match self {
            Self::Sender => sender,
            Self::Signature => VERIFIED_BY_PDU_SIGNATURE,
            Self::Missing(missing) => missing.code.as_str(),
        }
    }

    /// Returns the proof that was stored under this word. The verdict stays that of the arrival, because keys change.
    pub fn of_word(word: &str) -> Self {
        match ParkedCode::from_word(word) {
            Some(code) => Self::missing(code, "it was staged with this verdict".to_owned()),
            None if word == VERIFIED_BY_PDU_SIGNATURE => Self::Signature,
            None => Self::Sender,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_word_keeps_verdict() {
        let missing = PduProof::missing(ParkedCode::PduNotSigned, "no signature".to_owned());
        assert_eq!((PduProof::Sender.word("mtls"), missing.word("mtls")), ("mtls", "PDU_NOT_SIGNED"));
        for proof in [PduProof::Sender, PduProof::Signature] {
            assert_eq!(PduProof::of_word(proof.word("network")), proof);
        }
        let PduProof::Missing(stored) = PduProof::of_word(missing.word("mtls")) else { panic!("it is refused") };
        assert_eq!(stored.code, ParkedCode::PduNotSigned);
    }
}
