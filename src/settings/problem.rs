//! The problems of a configuration: all at once, each on one line with its place and the remedy.

use std::fmt;

/// The place where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemPlace {
    /// A line of a file, named relative to the configuration's folder.
    File {
        /// Name: `fernpost.toml` or `conf.d/10-peers.toml`.
        name: String,
        /// Line, counted from 1; 0 for the whole file.
        line: usize,
    },
    /// The name of an environment variable.
    Variable(String),
    /// An override given on the command line.
    Flag,
}

impl fmt::Display for ProblemPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0 } => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}, line {line}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Flag => f.write_str("a flag"),
        }
    }
}

/// One reason for which a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsProblem {
    /// Full key; empty for a whole file.
    pub key: String,
    /// Place of the value; `None`: the compiled default is invalid.
    pub place: Option<ProblemPlace>,
    /// Fault of the value.
    pub fault: ProblemKind,
}

/// A fault of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// The key does not exist. The list has the valid keys, the most similar first, or only that one if it is very similar.
    Unknown(Vec<String>),
    /// The key is planned and not implemented.
    Unavailable,
    /// The value is invalid, with the reason.
    Invalid(String),
    /// Others can read the secret of this file, with its mode and the remedy.
    OpenSecret(String),
    /// A file is not TOML.
    File(String),
    /// A file or folder cannot be read.
    Unreadable(String),
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, fault } = self;
        let within = place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
        match fault {
            ProblemKind::Unknown(known) => match known.as_slice() {
                [] => write!(f, "unknown key `{key}`{within}"),
                [nearest] => write!(f, "unknown key `{key}`{within}; did you mean `{nearest}`?"),
                known => write!(f, "unknown key `{key}`{within}; known there: `{}`", known.join("`, `")),
            },
            ProblemKind::Unavailable => {
                write!(f, "`{key}` is not available in this version")?;
                place.as_ref().map_or(Ok(()), |place| write!(f, " ({place})"))
            }
            ProblemKind::Invalid(why) | ProblemKind::OpenSecret(why) => write!(f, "`{key}`{within}: {why}"),
            ProblemKind::File(why) | ProblemKind::Unreadable(why) => match place {
                Some(place) => write!(f, "{place}: {why}"),
                None => f.write_str(why),
            },
        }
    }
}

/// All problems, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsProblems(pub Vec<SettingsProblem>);

impl SettingsProblems {
    /// Returns whether a part of the configuration could not be read, so that its validity is unknown.
    pub fn is_unread(&self) -> bool {
        self.0.iter().any(|problem| matches!(problem.fault, ProblemKind::Unreadable(_)))
    }

    /// Returns whether the configuration is sound but for secrets that others can read.
    pub fn is_open_secrets(&self) -> bool {
        self.0.iter().all(|problem| matches!(problem.fault, ProblemKind::OpenSecret(_)))
    }

    /// Returns whether all problems are those of pairs of certificate and key, whose files may be half written.
    pub fn are_of_pairs(&self) -> bool {
        self.0
            .iter()
            .all(|problem| problem.key.ends_with(".tls.cert") && matches!(problem.fault, ProblemKind::Invalid(_)))
    }

    /// Returns the text of each problem.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for SettingsProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
