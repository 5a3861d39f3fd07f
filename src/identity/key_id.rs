//! Names of keys: the id of a key within its server, and the name with the server in front.

use std::fmt;
use std::str::FromStr;

use actors::model::ServerName;

/// Maximum number of characters of a key id.
const KEY_ID_MAX: usize = 64;

/// The id of a key within its server: 1 to 64 of `A-Za-z0-9._-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Box<str>);

/// Error: a text is no key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 1 to {KEY_ID_MAX} characters of A-Z, a-z, 0-9, \".\", \"_\" and \"-\"")]
pub struct KeyIdError;

impl KeyId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (1..=KEY_ID_MAX).contains(&text.len()) && text.bytes().all(is_allowed) {
            true => Ok(Self(text.into())),
            false => Err(KeyIdError),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a key in a signature: `<server>/<key id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// Server that the key belongs to.
    pub server: ServerName,
    /// Id of the key within the server.
    pub id: KeyId,
}

/// Error: a text is no name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a key is \"<server>/<key id>\"")]
pub struct KeyNameError;

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        let (server, id) = text.split_once('/').ok_or(KeyNameError)?;
        Ok(Self { server: server.parse().map_err(|_| KeyNameError)?, id: id.parse().map_err(|_| KeyNameError)? })
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_bounded_words() {
        let long = "k".repeat(KEY_ID_MAX);
        for text in ["1", "2026-11", "a.b_C-9", &long] {
            assert_eq!(text.parse::<KeyId>().map(|id| id.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "a/b", "a b", "ä", "a:b", &format!("{long}k")] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text:?}");
        }
    }

    #[test]
    fn key_names_hold_server_and_id() {
        let name: KeyName = "Blue.Example:9880/1".parse().expect("valid");
        assert_eq!((name.server.as_str(), name.id.as_str()), ("blue.example:9880", "1"));
        assert_eq!(name.to_string(), "blue.example:9880/1");
        for text in ["blue.example", "/1", "blue.example/", "blue.example/1/2", "blue..example/1"] {
            assert_eq!(text.parse::<KeyName>(), Err(KeyNameError), "{text:?}");
        }
    }
}
