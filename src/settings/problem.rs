//! What is wrong with a configuration: every problem at once, each on one line that says where and what to do.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, named relative to the configuration's folder.
    File {
        /// `fernpost.toml` or `conf.d/10-peers.toml`.
        name: String,
        /// Counted from 1; 0 where the whole file is meant.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// An override given on the command line.
    Flag,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0 } => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}, line {line}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Flag => f.write_str("a flag"),
        }
    }
}

/// One reason why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The full key; empty where a whole file is meant.
    pub key: String,
    /// Where it was written; `None`: nowhere, the compiled default is what is wrong.
    pub place: Option<Place>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no such key; a list of what to write instead, the nearest first and alone where it is near.
    Unknown(Vec<String>),
    /// The key, or this value of it, is planned and not built; with what to do meanwhile, where there is something.
    Unavailable {
        /// The value as written, where other values of the key are available.
        value: Option<String>,
        /// What to do meanwhile.
        instead: Option<&'static str>,
    },
    /// The value cannot be used, and why.
    Invalid(String),
    /// A file is not TOML.
    File(String),
    /// A file or folder cannot be read.
    Unreadable(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, fault } = self;
        let within = place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
        match fault {
            Fault::Unknown(known) => match known.as_slice() {
                [] => write!(f, "unknown key `{key}`{within}"),
                [nearest] => write!(f, "unknown key `{key}`{within}; did you mean `{nearest}`?"),
                known => write!(f, "unknown key `{key}`{within}; known there: `{}`", known.join("`, `")),
            },
            Fault::Unavailable { value, instead } => {
                write!(f, "`{key}`")?;
                if let Some(value) = value {
                    write!(f, " = \"{value}\"")?;
                }
                f.write_str(" is not available in this version")?;
                if let Some(place) = place {
                    write!(f, " ({place})")?;
                }
                instead.map_or(Ok(()), |instead| write!(f, "; {instead}"))
            }
            Fault::Invalid(why) => write!(f, "`{key}`{within}: {why}"),
            Fault::File(why) | Fault::Unreadable(why) => match place {
                Some(place) => write!(f, "{place}: {why}"),
                None => f.write_str(why),
            },
        }
    }
}

/// Everything that is wrong, in the order it was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Something of the configuration cannot be read, so that it is not known whether it is right.
    pub fn is_unread(&self) -> bool {
        self.0.iter().any(|problem| matches!(problem.fault, Fault::Unreadable(_)))
    }
}

impl fmt::Display for Problems {
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
