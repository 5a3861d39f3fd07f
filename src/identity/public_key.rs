//! Public Ed25519 keys of servers.

use std::fmt;
use std::sync::Arc;

use crate::identity::key_id::KeyId;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{PUBLIC_KEY_LENGTH, Signature, VerifyingKey};

/// The standard alphabet, with or without padding: keys and signatures are written without it and read with or without.
pub(crate) const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A public key that can identify a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The public keys of one server, with their ids.
pub type PeerKeys = Arc<[(KeyId, PublicKey)]>;

/// Error: a text or its bytes are no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// The text is not base64 in the standard alphabet.
    #[error("the key is not base64")]
    NotBase64,
    /// The key has another length.
    #[error("the key has {0} bytes; an Ed25519 key has {PUBLIC_KEY_LENGTH}")]
    WrongLength(usize),
    /// The bytes are not the canonical form of a point.
    #[error("the key is not the canonical form of a point on the curve")]
    NotCanonical,
    /// The key is of small order, so that one signature fits many texts.
    #[error("the key is of small order, so it proves nothing")]
    SmallOrder,
}

impl PublicKey {
    /// Reads a key of 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let exact: [u8; PUBLIC_KEY_LENGTH] = bytes.try_into().map_err(|_| PublicKeyError::WrongLength(bytes.len()))?;
        let key = VerifyingKey::from_bytes(&exact).map_err(|_| PublicKeyError::NotCanonical)?;
        if key.is_weak() {
            return Err(PublicKeyError::SmallOrder);
        }
        // The library accepts a y-coordinate of 2^255-19 and more; two texts would then be the same key.
        match key.to_edwards().compress().to_bytes() == exact {
            true => Ok(Self(key)),
            false => Err(PublicKeyError::NotCanonical),
        }
    }

    /// Reads a key in base64.
    pub fn from_base64(text: &str) -> Result<Self, PublicKeyError> {
        Self::from_bytes(&LENIENT_BASE64.decode(text).map_err(|_| PublicKeyError::NotBase64)?)
    }

    /// Returns the 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        self.0.as_bytes()
    }

    /// Returns the key in base64, without padding.
    pub fn to_base64(self) -> String {
        STANDARD_NO_PAD.encode(self.0.as_bytes())
    }

    /// Returns whether the signature is that of this text. The check is strict: S must be canonical, and neither R nor the key may
    /// be of small order, so that all servers judge a signature alike.
    pub fn verifies(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(text, &Signature::from_bytes(signature)).is_ok()
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", STANDARD.encode(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `test-key-ed25519` of RFC 9421, appendix B.1.4.
    const KEY: &str = "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs";

    #[test]
    fn base64_padding_is_optional() {
        let key = PublicKey::from_base64(KEY).expect("a key");
        assert_eq!(PublicKey::from_base64(&format!("{KEY}=")), Ok(key));
        assert_eq!(key.to_base64(), KEY);
        assert_eq!(
            PublicKey::from_base64("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"),
            Err(PublicKeyError::NotBase64)
        );
        assert_eq!(PublicKey::from_base64("AAAA"), Err(PublicKeyError::WrongLength(3)));
    }

    #[test]
    fn weak_and_alternate_keys_are_refused() {
        // The eight points of small order, in their canonical form.
        for hex in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        ] {
            assert_eq!(PublicKey::from_bytes(&bytes(hex)), Err(PublicKeyError::SmallOrder), "{hex}");
        }
        // y = p + 3, another form of y = 3, which is a point; y = 2, which is none.
        let other = "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
        assert_eq!(PublicKey::from_bytes(&bytes(other)), Err(PublicKeyError::NotCanonical));
        let none = "0200000000000000000000000000000000000000000000000000000000000000";
        assert_eq!(PublicKey::from_bytes(&bytes(none)), Err(PublicKeyError::NotCanonical));
        let same = "0300000000000000000000000000000000000000000000000000000000000000";
        assert!(PublicKey::from_bytes(&bytes(same)).is_ok());
    }

    #[test]
    fn lax_signatures_are_refused() {
        let key = PublicKey::from_bytes(&bytes("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"));
        let key = key.expect("a key");
        let r = "d999358ccf9867a10d0f843651b9881f50dfaed3926bc0ca3b6eeb1c1d335f02";
        let identity = "0100000000000000000000000000000000000000000000000000000000000000";
        let verifies = |r: &str, s: &str| {
            let signature = [bytes(r), bytes(s)].concat();
            key.verifies(b"any text", &signature.try_into().expect("64 bytes"))
        };
        assert!(verifies(r, "716bdb9f947d434ad74b5040a0105de1b01cd66a65d210d05cd0a92a64c2d20d"));
        // S + L satisfies the same equation.
        assert!(!verifies(r, "5e3fd1fcaee055a2ade847e37e0a3cf6b01cd66a65d210d05cd0a92a64c2d21d"));
        // R is the identity, a point of small order, and the equation holds.
        assert!(!verifies(identity, "b400cd69a99ecc5f8efa74b42a46ef4c2d535709c6666e2b04e5ea165aa6f005"));
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(byte).collect()
    }
}
