//! Secrets of push mode: one, or two while the messenger changes from one to the other.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::settings::values::secret::SecretValue;

/// Start of a secret that is written in base64, as Standard Webhooks defines it.
const BASE64_PREFIX: &str = "whsec_";

/// Maximum number of secrets at a time: the new one and the old one.
const SECRETS_MAX: usize = 2;

/// The key of the signatures of pushes. Its `Debug` shows none of it, and its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// Reads the secrets of a text: one or two lines, of which the first is the new one.
    pub(crate) fn read_all(text: &SecretValue) -> Result<Vec<Self>, String> {
        let lines: Vec<&str> = text.expose().trim().lines().map(str::trim).collect();
        if lines.len() > SECRETS_MAX {
            return Err(format!(
                "it has {} lines; there are at most two secrets, one a line, the new one first",
                lines.len()
            ));
        }
        if lines.is_empty() {
            return Err("it is empty; write the secret into it, or remove the key".to_owned());
        }
        lines.into_iter().map(Self::read).collect()
    }

    /// Returns the bytes, for the code that signs.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    fn read(line: &str) -> Result<Self, String> {
        let Some(encoded) = line.strip_prefix(BASE64_PREFIX) else {
            return match line.is_empty() {
                true => Err("a line is empty; there is one secret a line".to_owned()),
                false => Ok(Self(Zeroizing::new(line.as_bytes().to_vec()))),
            };
        };
        let bytes = STANDARD
            .decode(encoded)
            .or_else(|_| STANDARD_NO_PAD.decode(encoded))
            .map_err(|_| format!("a secret that begins with {BASE64_PREFIX} is no base64 after it"))?;
        match bytes.is_empty() {
            true => Err(format!("there is nothing after {BASE64_PREFIX}")),
            false => Ok(Self(Zeroizing::new(bytes))),
        }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Vec<u8>>, String> {
        let all = WebhookSecret::read_all(&text.into())?;
        Ok(all.iter().map(|secret| secret.expose().to_vec()).collect())
    }

    #[test]
    fn one_or_two_secrets_are_read() {
        assert_eq!(read("  a word \n"), Ok(vec![b"a word".to_vec()]));
        assert_eq!(read("whsec_AQID\r\n old\n"), Ok(vec![vec![1, 2, 3], b"old".to_vec()]));
        assert_eq!(read("whsec_AQIDBA"), Ok(vec![vec![1, 2, 3, 4]]), "without padding");
        for bad in ["", " \n", "a\nb\nc", "a\n\nb", "whsec_", "whsec_??", "a\nwhsec_x"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn webhook_secret_is_not_printed() {
        let all = WebhookSecret::read_all(&"sesame".into()).expect("a secret");
        assert_eq!(format!("{all:?}"), "[WebhookSecret([REDACTED])]");
        let wrong = read("whsec_se?same").expect_err("no base64");
        assert!(!wrong.contains("same"), "{wrong}");
    }
}
