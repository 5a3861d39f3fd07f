//! The private keys with which this server signs.

use std::fmt;

use crate::identity::key_id::KeyId;
use crate::identity::public_key::PublicKey;
use ed25519_dalek::{SECRET_KEY_LENGTH, Signer, SigningKey};
use zeroize::Zeroizing;

/// A private Ed25519 key with its id. Its bytes are overwritten when it is dropped, and never printed.
#[derive(Clone)]
pub struct OwnKey {
    id: KeyId,
    key: SigningKey,
}

impl OwnKey {
    /// Returns the key with these 32 secret bytes.
    pub fn from_seed(id: KeyId, seed: &Zeroizing<[u8; SECRET_KEY_LENGTH]>) -> Self {
        Self { id, key: SigningKey::from_bytes(seed) }
    }

    /// Returns its id.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the public half.
    pub fn public(&self) -> PublicKey {
        self.key.verifying_key().into()
    }

    /// Returns the secret bytes, for the key's file.
    pub fn seed(&self) -> Zeroizing<[u8; SECRET_KEY_LENGTH]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// Signs a text.
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.key.sign(text).to_bytes()
    }
}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnKey({}, {:?})", self.id, self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_verifies_under_public_half() {
        let key = OwnKey::from_seed("1".parse().expect("an id"), &Zeroizing::new([7; 32]));
        let signature = key.sign(b"text");
        assert!(key.public().verifies(b"text", &signature));
        assert!(!key.public().verifies(b"other", &signature));
        let mut altered = signature;
        altered[63] ^= 0x20; // S + 2^253 is not below the order of the group
        assert!(!key.public().verifies(b"text", &altered));
        assert_eq!(OwnKey::from_seed("1".parse().expect("an id"), &key.seed()).public(), key.public());
        assert!(!format!("{key:?}").contains("070707"));
    }
}
