//! The body of every answer with an error status, and with `--json` the failure of a command.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody<S = String> {
    /// Message for people.
    pub error: S,
    /// Code for programs. It never changes, and is in capitals except in the gateway's answers to calls of a peer.
    pub code: S,
    /// With `GONE`: the oldest position that the feed keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// With `BEYOND_TAIL`: the position of the newest event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// With `TOO_OLD` and `TOO_NEW`: the time of the caller's clock less ours, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// If a call of a peer meets no messenger: the seconds after which to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
}

impl<S> ErrorBody<S> {
    /// Returns an error without positions.
    pub const fn new(error: S, code: S) -> Self {
        Self { error, code, oldest: None, tail: None, skew_ms: None, wait: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn error_body_round_trips() {
        let last = assert_round_trip::<ErrorBody>(&[
            r#"{"error":"there is no submission \"m\"","code":"UNKNOWN_ID"}"#,
            r#"{"error":"events before 4 are no longer kept","code":"GONE","oldest":4}"#,
            r#"{"error":"the signature is too old","code":"TOO_OLD","skew_ms":-301000}"#,
            r#"{"error":"no messenger","code":"NO_MESSENGER","wait":5}"#,
            r#"{"error":"position 9 is beyond the newest event, 7","code":"BEYOND_TAIL","tail":7}"#,
        ]);
        assert_eq!((last.code.as_str(), last.tail), ("BEYOND_TAIL", Some(7)));
        let more = serde_json::from_str::<ErrorBody>(r#"{"error":"a","hint":{},"code":"B"}"#).expect("known keys");
        assert_eq!(more, ErrorBody::new("a".to_owned(), "B".to_owned()));
    }
}
