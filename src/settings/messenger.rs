//! `[messenger]`: the listener of our own messenger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::check::Check;
use super::secret::{self, Secret};
use super::units::{Listen, Size, Span};

/// The listener of our own messenger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messenger {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The bearer token; `None`: open to whoever reaches the listener.
    pub token: Option<Secret>,
    /// How long a submission is remembered: a repeat is the same submission, and its trace can be read.
    pub submissions_keep: Duration,
    /// Submissions being committed at once.
    pub submissions_max: usize,
    /// Reads of the feed waiting for an event at once.
    pub reads_max: usize,
    /// The largest request body, in bytes.
    pub body_max: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MessengerSection {
    /// The address and port that the messenger reaches.
    pub(super) listen: Listen,
    /// The bearer token itself; better in a file.
    token: Option<Secret>,
    /// A file with the bearer token; without one the listener is open to whoever reaches it.
    token_file: Option<PathBuf>,
    /// How long a submission is remembered, for repeats and for its trace.
    submissions_keep: Span,
    /// Submissions being committed at once; the next is told to wait.
    submissions_max: u32,
    /// Reads of the feed waiting for an event at once; the next is told to come again.
    reads_max: u32,
    /// The largest request body the messenger may send.
    body_max: Size,
}

impl Default for MessengerSection {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(9881),
            token: None,
            token_file: None,
            submissions_keep: Span::days(7),
            submissions_max: 1024,
            reads_max: 64,
            body_max: Size::mib(8),
        }
    }
}

impl MessengerSection {
    pub(super) fn check(self, check: &mut Check<'_>) -> Messenger {
        check.loopback("messenger", self.listen.0);
        let numbers = [
            ("submissions_max", self.submissions_max.into()),
            ("reads_max", self.reads_max.into()),
            ("body_max", self.body_max.0),
        ];
        check.at_least_one(&["messenger"], &numbers);
        if self.submissions_keep.0.is_zero() {
            check.invalid(
                &["messenger", "submissions_keep"],
                "a repeat would not be recognised; it has to be more than 0s",
            );
        }
        Messenger {
            listen: self.listen.0,
            token: secret::token(check, "messenger", self.token, self.token_file),
            submissions_keep: self.submissions_keep.0,
            submissions_max: self.submissions_max as usize,
            reads_max: self.reads_max as usize,
            body_max: self.body_max.in_memory(),
        }
    }
}
