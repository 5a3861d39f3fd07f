//! The identity of a PDU in its forms: as an object, as an object that may lack a part, and as a pair in lists.

use actors::model::PduRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The identity of a PDU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PduName<S = String> {
    /// Server that composed the PDU.
    pub origin: S,
    /// Id that the origin gave it.
    pub pdu_id: S,
}

/// The identity of a PDU that could not be read, as far as it was readable. What was not readable is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartialPduName {
    /// Server that composed the PDU.
    pub origin: Option<String>,
    /// Id that the origin gave it.
    pub pdu_id: Option<String>,
}

/// The identity of a PDU in a list: `[origin, pdu_id]`.
pub type PduPair<S = String> = [S; 2];

impl<'a> From<&'a PduRef> for PduName<&'a str> {
    fn from(reference: &'a PduRef) -> Self {
        Self { origin: reference.origin.as_str(), pdu_id: reference.id.as_str() }
    }
}

impl From<&PduRef> for PduName {
    fn from(reference: &PduRef) -> Self {
        Self { origin: reference.origin.to_string(), pdu_id: reference.id.to_string() }
    }
}

impl From<&PduRef> for PartialPduName {
    fn from(reference: &PduRef) -> Self {
        Self { origin: Some(reference.origin.to_string()), pdu_id: Some(reference.id.to_string()) }
    }
}

/// Returns the identity of a PDU as a pair.
pub fn pair(reference: &PduRef) -> PduPair<&str> {
    [reference.origin.as_str(), reference.id.as_str()]
}

/// Returns the identities of PDUs as pairs, in their order.
pub fn pairs<'a>(references: impl IntoIterator<Item = &'a PduRef>) -> Vec<PduPair<&'a str>> {
    references.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn pdu_names_round_trip() {
        let reference = PduRef { origin: "red".parse().expect("valid"), id: "0190a1b2".parse().expect("valid") };
        let name = assert_round_trip::<PduName>(&[r#"{"origin":"red","pdu_id":"0190a1b2"}"#]);
        assert_eq!(name, PduName::from(&reference));
        let partial = assert_round_trip::<PartialPduName>(&[
            r#"{"origin":null,"pdu_id":null}"#,
            r#"{"origin":"red","pdu_id":"0190a1b2"}"#,
        ]);
        assert_eq!(partial, PartialPduName::from(&reference));
        assert_eq!(assert_round_trip::<Vec<PduPair>>(&[r#"[["red","0190a1b2"]]"#]), pairs([&reference]));
    }
}
