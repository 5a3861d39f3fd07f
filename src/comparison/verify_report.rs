//! The result of a verification, and the reasons why there is none.

use actors::errors::{AdmissionError, ContextError, PeerError};
use actors::model::{ContextId, Millis, PduRef, RepairOutcome, ServerName};

/// PDUs of a result: the first ones by name, and their number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedPdus {
    /// The first PDUs.
    pub listed: Vec<PduRef>,
    /// Number of all.
    pub count: u64,
}

/// The fate of PDUs that are missing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairState {
    /// Nothing was to be fetched.
    NotNeeded,
    /// The caller wanted none.
    Left,
    /// The fetch has ended.
    Ended(RepairOutcome),
    /// This number of PDUs is still being fetched.
    Fetching(u64),
    /// The context took no order to fetch.
    Refused(ContextError),
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparisonReport {
    /// Context that was compared.
    pub context: ContextId,
    /// Server that it was compared with.
    pub peer: ServerName,
    /// Begin of the window that was asked for.
    pub asked_from: Millis,
    /// Begin of the window that was compared: later if one side keeps less, joined later, or has too many PDUs.
    pub from: Millis,
    /// End of the window.
    pub to: Millis,
    /// Number of PDUs in the window here.
    pub here: u64,
    /// Number of PDUs in the window there.
    pub there: u64,
    /// Number of calls to the peer.
    pub calls: u32,
    /// False if `contexts.verify.calls_max` ended the comparison.
    pub is_complete: bool,
    /// PDUs that the peer has and we have not.
    pub missing_here: ListedPdus,
    /// PDUs that we have and the peer has not.
    pub missing_there: ListedPdus,
    /// Fate of those that are missing here.
    pub repair: RepairState,
}

impl ComparisonReport {
    /// Returns the result in one word.
    pub const fn result(&self) -> ComparisonVerdict {
        if self.missing_here.count > 0 || self.missing_there.count > 0 {
            ComparisonVerdict::Differs
        } else if self.is_complete {
            ComparisonVerdict::Equal
        } else {
            ComparisonVerdict::Incomplete
        }
    }

    /// Returns the number of PDUs that were missing and are here now.
    pub const fn repaired(&self) -> u64 {
        match &self.repair {
            RepairState::Ended(outcome) => outcome.arrived.len() as u64,
            RepairState::NotNeeded | RepairState::Left | RepairState::Fetching(_) | RepairState::Refused(_) => 0,
        }
    }
}

/// The result of a verification in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonVerdict {
    /// Both sides have the same PDUs.
    Equal,
    /// One side lacks PDUs of the other.
    Differs,
    /// No difference was found before a limit ended the comparison.
    Incomplete,
    /// There is no result.
    Failed,
}

impl ComparisonVerdict {
    /// All results.
    pub const ALL: [Self; 4] = [Self::Equal, Self::Differs, Self::Incomplete, Self::Failed];

    /// Returns the result as it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// Error: a context cannot be verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFailure {
    /// The context is unknown, or it cannot be read.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The server is no peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The peer has another profile than `fernpost`.
    #[error("{0} has another profile than \"fernpost\", and such servers do not compare histories")]
    NotFernpost(ServerName),
    /// The peer takes no part in the context.
    #[error("{server} takes no part in {context}")]
    NotAParticipant {
        /// Server that was named.
        server: ServerName,
        /// Context that was named.
        context: ContextId,
    },
    /// The context is being verified, or too many are.
    #[error("{0}")]
    Busy(AdmissionError),
    /// The peer is suspended.
    #[error("{0}")]
    Suspended(String),
    /// The peer cannot be reached.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// Server that was called.
        server: ServerName,
        /// Reason, for people.
        why: String,
    },
    /// The peer did not answer in time.
    #[error("{0} did not answer within contexts.verify.timeout")]
    TimedOut(ServerName),
    /// The peer refuses to compare.
    #[error("{server} refuses to compare ({code}): {words}")]
    Refused {
        /// Server that was called.
        server: ServerName,
        /// Its code.
        code: String,
        /// Its words.
        words: String,
    },
    /// The peer's answer makes no sense.
    #[error("{server} cannot be compared with: {why}")]
    BadAnswer {
        /// Server that was called.
        server: ServerName,
        /// Reason, for people.
        why: String,
    },
}
