//! The ways in which a push fails, and which of them speak about the content of the batch.

use std::time::Duration;

/// A push that the messenger did not acknowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PushFault {
    /// The messenger refused this content: 400, 413 or 422.
    Refused {
        /// Status of the answer.
        status: u16,
        /// Start of the answer's body.
        reason: String,
    },
    /// The content may be the cause: 500, or an answer that was cut off after the request was written.
    Suspect(String),
    /// There was no answer within `messenger.push.timeout`.
    TimedOut,
    /// The content is not the cause: no connection, or a status that speaks of the messenger's own state.
    Unavailable {
        /// Description of the failure.
        words: String,
        /// Wait that the messenger asked for.
        retry_after: Option<Duration>,
    },
}

impl PushFault {
    /// Returns the fault of a status outside 200 to 299.
    pub(crate) fn of_status(status: u16, reason: String, retry_after: Option<Duration>) -> Self {
        match status {
            400 | 413 | 422 => Self::Refused { status, reason },
            500 => Self::Suspect(format!("status 500: {reason}")),
            _ => {
                // A wait is asked for by these two alone; elsewhere the header means something else.
                let retry_after = retry_after.filter(|_| matches!(status, 429 | 503));
                Self::Unavailable { words: format!("status {status}: {reason}"), retry_after }
            }
        }
    }

    /// Returns the fault in words, for the log and the quarantine.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Refused { status, reason } => format!("status {status}: {reason}"),
            Self::Suspect(words) | Self::Unavailable { words, .. } => words.clone(),
            Self::TimedOut => "no answer within messenger.push.timeout".to_owned(),
        }
    }

    /// Returns the word under which the batch is counted.
    pub(crate) const fn result(&self) -> BatchResult {
        match self {
            Self::Refused { .. } => BatchResult::Refused,
            Self::Suspect(_) => BatchResult::Failed,
            Self::TimedOut => BatchResult::TimedOut,
            Self::Unavailable { .. } => BatchResult::Unavailable,
        }
    }
}

/// The result of a batch, as the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchResult {
    /// The messenger acknowledged it.
    Acknowledged,
    /// The messenger refused its content.
    Refused,
    /// Status 500, or an answer that was cut off.
    Failed,
    /// There was no answer in time.
    TimedOut,
    /// The messenger could not be reached, or said that it takes nothing now.
    Unavailable,
}

impl BatchResult {
    /// All results, each with its word.
    pub(crate) const WORDS: [(Self, &'static str); 5] = [
        (Self::Acknowledged, "acknowledged"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
        (Self::TimedOut, "timed_out"),
        (Self::Unavailable, "unavailable"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_decides_kind_of_fault() {
        let wait = Some(Duration::from_secs(7));
        for (status, expected, waits) in [
            (301, BatchResult::Unavailable, None),
            (400, BatchResult::Refused, None),
            (401, BatchResult::Unavailable, None),
            (404, BatchResult::Unavailable, None),
            (413, BatchResult::Refused, None),
            (422, BatchResult::Refused, None),
            (429, BatchResult::Unavailable, wait),
            (500, BatchResult::Failed, None),
            (501, BatchResult::Unavailable, None),
            (502, BatchResult::Unavailable, None),
            (503, BatchResult::Unavailable, wait),
        ] {
            let fault = PushFault::of_status(status, "why".into(), wait);
            assert_eq!(fault.result(), expected, "{status}");
            assert_eq!(fault.words(), format!("status {status}: why"));
            let asked = if let PushFault::Unavailable { retry_after, .. } = fault { retry_after } else { None };
            assert_eq!(asked, waits, "{status}");
        }
    }
}
