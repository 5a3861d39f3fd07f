//! What a command could not do: said once, on stderr, in words or with `--json` as `{"error","code"}`; and the exit code.
//!
//! An answer stands on stdout and a failure on stderr, in both forms, so that a script that reads the one never meets the other.

use std::fmt::Display;

use serde::Serialize;

use super::output::remark_line;
use super::{COULD_NOT_RUN, WRONG};
use crate::settings::Problems;

/// Why a command could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration cannot be used.
    #[error("{0}")]
    Settings(String),
    /// What was asked for cannot be done as it was asked.
    #[error("{0}")]
    Misused(String),
    /// Nobody answers.
    #[error("{0}")]
    Silent(String),
    /// Another gateway answers than the one that was meant.
    #[error("{0}")]
    Another(String),
    /// The gateway answers, and says no.
    #[error("{words}")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        words: String,
    },
    /// It was asked whether something is right, or to do something, and it is not.
    #[error("{words}")]
    Wrong {
        /// The code of what is wrong.
        code: &'static str,
        /// What is wrong.
        words: String,
    },
    /// What answers is no gateway, or one of another version.
    #[error("{0}")]
    Odd(String),
    /// A file, or the machine, does not let it.
    #[error("{words}")]
    Broken {
        /// The code of what failed.
        code: &'static str,
        /// What failed.
        words: String,
    },
}

impl From<&Problems> for Failure {
    fn from(problems: &Problems) -> Self {
        Self::Settings(problems.to_string())
    }
}

impl Failure {
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

    /// Say it; gives the exit code.
    pub(super) fn tell(&self, json: bool) -> u8 {
        complain(self.code(), self, json);
        match self {
            Self::Wrong { .. } => WRONG,
            _ => COULD_NOT_RUN,
        }
    }
}

#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    code: &'a str,
}

/// Say on stderr what failed.
pub(super) fn complain(code: &str, words: &dyn Display, json: bool) {
    let words = words.to_string();
    let words = words.trim_end();
    if json {
        remark_line(&serde_json::to_string(&Told { error: words, code }).expect("texts always serialize"));
    } else {
        remark_line(words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_code_and_exit() {
        let refused = Failure::Refused { code: "UNKNOWN_PEER".to_owned(), words: "bleu is no peer".to_owned() };
        let wrong = Failure::Wrong { code: "STAYS", words: "it stays".to_owned() };
        assert_eq!((refused.code(), refused.tell(true)), ("UNKNOWN_PEER", COULD_NOT_RUN));
        assert_eq!((wrong.code(), wrong.tell(false)), ("STAYS", WRONG));
        assert_eq!(Failure::Silent(String::new()).code(), "NO_ANSWER");
    }
}
