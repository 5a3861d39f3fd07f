//! The address of a private listener: an IP address and a port, or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{self, Deserialize, Deserializer};

/// The place at which a private listener accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenTarget {
    /// An address and a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A socket file, with the mode that it gets.
    Unix {
        /// Path of the file.
        path: PathBuf,
        /// Permissions of the file: who may write it may connect.
        mode: u32,
    },
}

impl ListenTarget {
    /// Returns the address, unless the listener is a socket file.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }
}

impl fmt::Display for ListenTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The written form of a target: `127.0.0.1:9881` or `unix:/run/fernpost/messenger.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WrittenTarget {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl WrittenTarget {
    /// Returns a port of the loopback address.
    pub(crate) fn loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Returns the address, unless this is a socket file.
    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for WrittenTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                false => Ok(Self::Unix(path.into())),
                true => Err(de::Error::custom("\"unix:\" is followed by the path of a socket file")),
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            de::Error::custom(format_args!(
                "\"{text}\" is neither an IP address and a port such as \"127.0.0.1:9881\" nor \"unix:/path\""
            ))
        })
    }
}

/// Permissions of a socket file, written in octal as for chmod: "0660".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileModeValue(pub(crate) u32);

impl<'de> Deserialize<'de> for FileModeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Self(mode)),
            _ => Err(de::Error::custom(format_args!("\"{text}\" is not a file mode such as \"0660\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'de, T: Deserialize<'de>>(toml: &'de str) -> Result<T, String> {
        let value = toml::de::ValueDeserializer::parse(toml).expect("TOML");
        T::deserialize(value).map_err(|why| why.message().to_owned())
    }

    #[test]
    fn target_is_address_or_socket() {
        assert_eq!(read("\"127.0.0.1:9881\""), Ok(WrittenTarget::loopback(9881)));
        assert_eq!(read("\"unix:/run/x.sock\""), Ok(WrittenTarget::Unix("/run/x.sock".into())));
        for bad in ["\"unix:\"", "\"localhost:1\"", "\"127.0.0.1\"", "\"/run/x.sock\""] {
            assert!(read::<WrittenTarget>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_mode_is_octal_text() {
        assert_eq!(read("\"0660\""), Ok(FileModeValue(0o660)));
        assert_eq!(read("\"600\""), Ok(FileModeValue(0o600)));
        for bad in ["\"66\"", "\"0668\"", "\"07777\"", "\"-660\"", "\"+660\"", "\"1777\""] {
            assert!(read::<FileModeValue>(bad).is_err(), "{bad}");
        }
    }
}
