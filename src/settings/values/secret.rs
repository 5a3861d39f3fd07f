//! Secrets: read from a key or from the file that its `_file` key names, never printed.

use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, Deserialize, Deserializer};

use crate::runtime::open_files::mode_for_others;
use crate::settings::check::SettingsCheck;

/// A bearer token. Its `Debug` shows none of it, and its memory is overwritten when it is dropped.
#[derive(Debug, Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// Returns the secret, for the code that sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for SecretValue {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretValue {}

impl From<&str> for SecretValue {
    fn from(secret: &str) -> Self {
        Self(secret.into())
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message would print the value that it found.
        String::deserialize(deserializer)
            .map(|token| Self(token.into()))
            .map_err(|_| de::Error::custom("a token is a text"))
    }
}

/// Returns the token of `[section]`, from `token` or `token_file`.
pub(crate) fn token(
    check: &mut SettingsCheck<'_>,
    section: &str,
    token: Option<SecretValue>,
    token_file: Option<PathBuf>,
) -> Option<SecretValue> {
    let key = if token_file.is_some() { "token_file" } else { "token" };
    if token.is_some() && token_file.is_some() {
        check.invalid(&[section, key], format!("`{section}.token` is set too; keep one of them"));
        return None;
    }
    given_token(check, &[section, key], token, token_file).unwrap_or_else(|why| {
        check.invalid(&[section, key], why);
        None
    })
}

/// Returns the token that is written, or that a file has; an error says why it is no token. `key` is the key of the file.
pub(crate) fn given_token(
    check: &mut SettingsCheck<'_>,
    key: &[&str],
    token: Option<SecretValue>,
    token_file: Option<PathBuf>,
) -> Result<Option<SecretValue>, String> {
    let secret = match (token, token_file) {
        (Some(token), _) => token,
        (None, None) => return Ok(None),
        (None, Some(file)) => {
            let text = file_text(check, key, &file)?;
            if text.expose().trim().is_empty() {
                let path = check.path(&file);
                return Err(format!("{} is empty; write the token into it, or remove the key", path.display()));
            }
            text
        }
    };
    let secret = secret.expose().trim();
    if secret.is_empty() {
        Err("the token is empty; remove the key or give a token".to_owned())
    } else if !secret.bytes().all(|b| b.is_ascii_graphic()) {
        Err("a token must be one word of printable ASCII, because a header carries it".to_owned())
    } else {
        Ok(Some(secret.into()))
    }
}

/// Returns the words about a file of a secret that others can read: its path, its mode and the remedy.
pub(crate) fn open_words(file: &Path, mode: u32) -> String {
    let file = file.display();
    format!("{file} has the mode {mode:04o}, so every user of this machine can use this secret; run chmod o= {file}")
}

/// Returns the text of a file of secrets, and reports that others can read it.
pub(crate) fn file_text(check: &mut SettingsCheck<'_>, key: &[&str], file: &Path) -> Result<SecretValue, String> {
    let path = check.path(file);
    let text = std::fs::read_to_string(&path).map(Zeroizing::new);
    let text = text.map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
    if check.to_run
        && let Some(mode) = mode_for_others(&path)
    {
        check.open_secret(key, open_words(&path, mode));
    }
    Ok(text.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_not_printed() {
        let secret = SecretValue::from("sesame");
        assert_eq!(format!("{secret:?}"), "SecretValue(SecretBox<str>([REDACTED]))");
        assert_eq!(secret.expose(), "sesame");
    }
}
