//! The digest that identifies an update, a submission or the PDUs of a transaction.

use std::fmt;

use highway::{HighwayHash, HighwayHasher, Key};
use sha2::{Digest as _, Sha256};

/// The identity of some bytes for the detection of repeats within one store.
///
/// The adapters compute it; the core only compares it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Returns the first half of the SHA-256 of some bytes.
    pub fn sha256(bytes: &[u8]) -> Self {
        let whole = Sha256::digest(bytes);
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Self(half)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The secret key of the digests of one store.
///
/// The digests of updates and of submissions are compared with those that the same store keeps, and nobody else sees them. So a hash
/// with a secret key does: who does not know the key cannot find two texts with one digest. It takes a fifth of the time of SHA-256.
/// HighwayHash is frozen, so a digest stays valid for as long as the store keeps it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u64; 4]);

impl DigestKey {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// Returns the key with these bytes.
    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        let (words, _) = bytes.as_chunks();
        let mut key = [0; 4];
        key.iter_mut().zip(words).for_each(|(part, word)| *part = u64::from_le_bytes(*word));
        Self(key)
    }

    /// Returns the digest of some bytes.
    pub fn digest(&self, bytes: &[u8]) -> Digest {
        let [low, high] = HighwayHasher::new(Key(self.0)).hash128(bytes);
        Digest((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    /// Returns whether a stored digest is that of these bytes, which have the digest `keyed` under this key. Rows of a store that had
    /// no key yet hold the half of a SHA-256.
    pub fn is_digest_of(kept: Digest, keyed: Digest, bytes: &[u8]) -> bool {
        kept == keyed || kept == Digest::sha256(bytes)
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unkeyed_digest_is_half_sha256() {
        let half = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23];
        assert_eq!(Digest::sha256(b"abc").0, half);
    }

    /// A vector of the reference implementation: the bytes 0 to 31 as key, and no bytes or these as text.
    #[test]
    fn keyed_digest_never_changes() {
        let bytes: [u8; 32] = std::array::from_fn(|at| at as u8);
        let key = DigestKey::new(&bytes);
        let words = |digest: Digest| {
            let (words, _) = digest.0.as_chunks();
            [0, 1].map(|at: usize| u64::from_le_bytes(words[at]))
        };
        assert_eq!(words(key.digest(b"")), [0x0fed_268f_9d8f_fec7, 0x3356_5e76_7f09_3e6f]);
        assert_ne!(key.digest(&bytes), DigestKey::new(&[0; 32]).digest(&bytes), "the key counts");
        assert_eq!(format!("{key:?}"), "DigestKey(..)", "it is in no log");
    }

    #[test]
    fn digest_of_unkeyed_store_is_recognized() {
        let key = DigestKey::new(&[7; 32]);
        for kept in [key.digest(b"abc"), Digest::sha256(b"abc")] {
            assert!(DigestKey::is_digest_of(kept, key.digest(b"abc"), b"abc"));
            assert!(!DigestKey::is_digest_of(kept, key.digest(b"abd"), b"abd"));
        }
    }
}
