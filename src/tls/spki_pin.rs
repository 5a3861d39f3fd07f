//! Pins of public keys: the SHA-256 of a certificate's SubjectPublicKeyInfo.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A pinned public key, written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpkiPin([u8; 32]);

/// Error: a text is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is \"sha256:\" and 64 hex digits, the SHA-256 of the certificate's public key (SPKI)")]
pub struct SpkiPinError;

impl SpkiPin {
    /// Returns the pin of a public key in DER.
    pub fn of(spki_der: &[u8]) -> Self {
        Self(Sha256::digest(spki_der).into())
    }
}

impl FromStr for SpkiPin {
    type Err = SpkiPinError;

    /// Reads a pin. Colons between the digits are accepted, because openssl prints them.
    fn from_str(text: &str) -> Result<Self, SpkiPinError> {
        let digits: Vec<u8> =
            text.strip_prefix("sha256:").ok_or(SpkiPinError)?.bytes().filter(|b| *b != b':').collect();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(SpkiPinError);
        }
        let mut pin = [0; 32];
        for (byte, pair) in pin.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SpkiPinError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SpkiPinError)?;
        }
        Ok(Self(pin))
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_reads_what_it_prints() {
        let pin = SpkiPin::of(b"key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        let upper = pin.to_string().replace("sha256:", "").to_uppercase();
        let colons: Vec<&str> = (0..32).map(|at| &upper[2 * at..2 * at + 2]).collect();
        assert_eq!(format!("sha256:{}", colons.join(":")).parse(), Ok(pin));
        for bad in [
            "",
            "sha256:",
            "sha1:00",
            &pin.to_string()[..70],
            &format!("{pin}0"),
            &pin.to_string().replace('a', "g")[7..],
        ] {
            assert_eq!(bad.parse::<SpkiPin>(), Err(SpkiPinError), "{bad}");
        }
    }
}
