//! The failure of a command: printed once on stderr, as text or with `--json` as `{"error","code"}`, and its exit code.
//!
//! In both forms a response is on stdout and a failure on stderr, so that a script never reads one as the other.

use crate::settings::SettingsProblems;
use crate::terminal::exit_code::{COULD_NOT_RUN, WRONG};
use crate::terminal::output::complain;

/// Error: a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFailure {
    /// The configuration cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The arguments of the command are invalid.
    #[error("{0}")]
    Misused(String),
    /// The gateway does not respond.
    #[error("{0}")]
    Silent(String),
    /// Another gateway than the expected one responded.
    #[error("{0}")]
    Another(String),
    /// The gateway refused the call.
    #[error("{words}")]
    Refused {
        /// Code of the error.
        code: String,
        /// Message of the error.
        words: String,
    },
    /// A check found a problem, or the requested action is not possible.
    #[error("{words}")]
    Wrong {
        /// Code of the problem.
        code: &'static str,
        /// Message about the problem.
        words: String,
    },
    /// The response is not that of a gateway of this version.
    #[error("{0}")]
    Odd(String),
    /// A file operation or a system call failed.
    #[error("{words}")]
    Broken {
        /// Code of the failure.
        code: &'static str,
        /// Message about the failure.
        words: String,
    },
}

impl From<&SettingsProblems> for CommandFailure {
    fn from(problems: &SettingsProblems) -> Self {
        Self::Settings(problems.to_string())
    }
}

impl CommandFailure {
    /// The code for programs.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Settings(_) => "CONFIGURATION",
            Self::Misused(_) => "USAGE",
            Self::Silent(_) => "NO_ANSWER",
            Self::Another(_) => "ANOTHER_GATEWAY",
            Self::Refused { code, .. } => code,
            Self::Wrong { code, .. } | Self::Broken { code, .. } => code,
            Self::Odd(_) => "UNEXPECTED_ANSWER",
        }
    }

    /// Prints the failure and returns the exit code.
    pub(crate) fn tell(&self, json: bool) -> u8 {
        complain(self.code(), self, json);
        match self {
            Self::Wrong { .. } => WRONG,
            _ => COULD_NOT_RUN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_code_and_exit() {
        let refused = CommandFailure::Refused { code: "UNKNOWN_PEER".to_owned(), words: "bleu is no peer".to_owned() };
        let wrong = CommandFailure::Wrong { code: "STAYS", words: "it stays".to_owned() };
        assert_eq!((refused.code(), refused.tell(true)), ("UNKNOWN_PEER", COULD_NOT_RUN));
        assert_eq!((wrong.code(), wrong.tell(false)), ("STAYS", WRONG));
        assert_eq!(CommandFailure::Silent(String::new()).code(), "NO_ANSWER");
    }
}
