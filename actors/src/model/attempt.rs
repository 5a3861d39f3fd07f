//! Delivery attempts, as kept for the trace of a message.

pub(super) mod push_failure;

use super::{FailureCode, Index, Millis, PushFailure};

/// A delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Time at which the response or the failure arrived.
    pub time: Millis,
    /// Index of the first item in the batch.
    pub first: Index,
    /// Index of the last item in the batch.
    pub last: Index,
    /// Result of the attempt as text.
    pub result: String,
    /// Code of a failure, if it has one.
    pub code: Option<FailureCode>,
}

/// The error of a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The error, for people.
    pub words: Box<str>,
    /// Code of the failure, if it has one.
    pub code: Option<FailureCode>,
}

impl From<String> for AttemptError {
    fn from(words: String) -> Self {
        Self { words: words.into_boxed_str(), code: None }
    }
}

impl From<&PushFailure> for AttemptError {
    fn from(failure: &PushFailure) -> Self {
        Self { words: failure.to_string().into_boxed_str(), code: failure.code() }
    }
}

/// Items of a peer's outbox that the peer accepted in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveredSpan {
    /// Time at which the response arrived.
    pub time: Millis,
    /// Index of the first item.
    pub first: Index,
    /// Index of the last item.
    pub last: Index,
    /// True if the response was not JSON, so that its status alone counts.
    pub blind: bool,
}

/// Number of deliveries that share a row. Until there are as many, they are in the peer's record, which each delivery
/// writes anyway: a row for each delivery would be a fifth of the cost of a message that is sent alone.
pub const DELIVERED_SPANS_IN_ROW: usize = 16;

impl From<DeliveredSpan> for Attempt {
    fn from(DeliveredSpan { time, first, last, blind }: DeliveredSpan) -> Self {
        let result = if blind { "acknowledged, by a response that is not JSON" } else { "acknowledged" };
        Self { time, first, last, result: result.to_owned(), code: None }
    }
}
