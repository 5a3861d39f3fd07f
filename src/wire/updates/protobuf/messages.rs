//! The answer to a push, and its parts, as messages of `config/fernpost.proto`.

/// The answer to a push.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AnswerMessage {
    /// `ok`, `hole_detected` or `wait`.
    #[prost(string, tag = "1")]
    pub receive: String,
    /// Newest number that is taken, or the one that is expected.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Seconds to wait.
    #[prost(uint32, tag = "3")]
    pub wait: u32,
    /// Number of strong updates that a push may have; 0 says nothing.
    #[prost(uint32, tag = "4")]
    pub window: u32,
    /// True if the number was taken with other content.
    #[prost(bool, tag = "5")]
    pub conflict: bool,
    /// Updates of the push that lie in quarantine.
    #[prost(message, repeated, tag = "6")]
    pub parked: Vec<ReasonMessage>,
    /// Numbers that the peer's messenger has acknowledged.
    #[prost(message, repeated, tag = "7")]
    pub delivered: Vec<RangeMessage>,
    /// Updates that the peer's messenger has refused.
    #[prost(message, repeated, tag = "8")]
    pub rejected: Vec<ReasonMessage>,
}

/// Numbers from `first` to `last`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeMessage {
    /// First number.
    #[prost(uint64, tag = "1")]
    pub first: u64,
    /// Last number.
    #[prost(uint64, tag = "2")]
    pub last: u64,
}

/// A strong update and why it was not taken over.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReasonMessage {
    /// Number of the update.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Code or words.
    #[prost(string, tag = "2")]
    pub code: String,
}
