//! Roles of the operator's tokens: each contains the ones before it.

use std::fmt;

use serde::Deserialize;

/// The part of the operator's API that a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperatorRole {
    /// Reads state; changes nothing, and sees no text of a message.
    Read,
    /// Also makes changes that lose nothing, and sees items in quarantine.
    Operate,
    /// Everything.
    Administer,
}

impl OperatorRole {
    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Administer => "administer",
        }
    }

    /// Returns the code of the refusal of a caller that lacks this role.
    pub const fn code(self) -> &'static str {
        match self {
            // Each token has this role, so no caller lacks it.
            Self::Read => "FORBIDDEN",
            Self::Operate => "NEEDS_OPERATE",
            Self::Administer => "NEEDS_ADMINISTER",
        }
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
