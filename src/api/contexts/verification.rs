//! The answer to `POST /admin/v1/contexts/{context}/verify`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::FixedText;
use crate::api::pdus::PduPair;

/// The result of a comparison of histories.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextVerification {
    /// Id of the context.
    pub context: String,
    /// Server that it was compared with.
    pub with: String,
    /// `equal`, `differs`, or `incomplete`: no difference was found before `contexts.verify.calls_max` was reached.
    pub result: FixedText,
    /// Begin of the window that was compared, by the times that the origins state.
    pub from: String,
    /// End of the window.
    pub to: String,
    /// Begin of the window that was asked for, if it is earlier than `from`: a side keeps less, joined later, or has more PDUs than
    /// `contexts.verify.pdus_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_from: Option<String>,
    /// Number of PDUs in the window here.
    pub here: u64,
    /// Number of PDUs in the window there.
    pub there: u64,
    /// Number of calls to the peer.
    pub calls: u32,
    /// PDUs that the peer has and this server has not.
    pub missing_here: MissingPdus,
    /// PDUs that this server has and the peer has not. The peer fetches them when it compares.
    pub missing_there: MissingPdus,
    /// Fate of the PDUs that are missing here, if there are any and they were to be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<VerifyRepair>,
}

/// PDUs that a side lacks.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct MissingPdus {
    /// Number of PDUs.
    pub count: u64,
    /// The first ones.
    pub pdus: Vec<PduPair>,
}

/// The fetch of PDUs that are missing here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct VerifyRepair {
    /// Number of PDUs that are here now.
    pub arrived: u64,
    /// Number of PDUs that no server gave.
    pub absent: u64,
    /// Number of PDUs that are still being fetched.
    pub fetching: u64,
    /// PDUs that were refused.
    pub refused: Vec<RefusedPdu>,
    /// Reason for which none was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A PDU that was refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefusedPdu {
    /// The PDU.
    pub pdu: PduPair,
    /// Code of the reason.
    pub code: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn context_verification_round_trips() {
        let read = assert_round_trip::<ContextVerification>(&[
            concat!(
                r##"{"context":"#room","with":"blue","result":"equal","from":"1970-01-01T00:00:00.000Z","##,
                r##""to":"1970-01-11T00:00:00.000Z","here":7,"there":7,"calls":1,"missing_here":{"count":0,"pdus":[]},"##,
                r##""missing_there":{"count":0,"pdus":[]}}"##
            ),
            concat!(
                r##"{"context":"#room","with":"blue","result":"differs","from":"1970-01-02T00:00:00.000Z","##,
                r##""to":"1970-01-11T00:00:00.000Z","asked_from":"1970-01-01T00:00:00.000Z","here":7,"there":8,"calls":3,"##,
                r##""missing_here":{"count":2,"pdus":[["blue","a"],["green","b"]]},"missing_there":{"count":1,"##,
                r##""pdus":[["red","c"]]},"repair":{"arrived":1,"absent":0,"fetching":0,"refused":[{"pdu":["green","b"],"##,
                r##""code":"NOT_A_PARTICIPANT"}],"reason":"none"}}"##
            ),
        ]);
        let repair = read.repair.expect("a repair");
        assert_eq!((read.missing_here.count, repair.arrived, repair.refused.len()), (2, 1, 1));
    }
}
