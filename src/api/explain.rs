//! The answer of `fernpost peer explain`.

pub mod reach_report;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;

/// The steps by which a peer is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerExplanation {
    /// Name of the peer.
    pub server: String,
    /// `ok` or `failed`.
    pub verdict: FixedText,
    /// Code of the step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The steps, up to the first that fails. An address that fails is followed by the steps of the next one.
    pub steps: Vec<ExplainedStep>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedStep {
    /// `name`, `record`, `address`, `connection`, `sni`, `certificate`, `key`, `clock`, `identity` or `directory`.
    pub step: FixedText,
    /// False if it failed.
    pub ok: bool,
    /// Time that it took, in milliseconds.
    pub ms: f64,
    /// Finding, or reason of the failure.
    pub detail: String,
    /// `warning` for a step that works and may cause trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<FixedText>,
    /// Code of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Remedy of a failure, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl PeerExplanation {
    /// Returns the explanation with these steps; the last one decides.
    pub fn of(server: impl Into<String>, steps: Vec<ExplainedStep>) -> Self {
        let code = steps.last().filter(|step| !step.ok).and_then(|step| step.code.clone());
        let is_ok = steps.last().is_some_and(|step| step.ok);
        let verdict = if is_ok { "ok" } else { "failed" };
        Self { server: server.into(), verdict: verdict.into(), code, steps }
    }

    /// Returns whether the peer was reached and accepts us.
    pub fn is_ok(&self) -> bool {
        self.verdict == "ok"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn peer_explanation_round_trips() {
        let failed = assert_round_trip::<PeerExplanation>(&[concat!(
            r#"{"server":"blue.example","verdict":"failed","code":"CONNECT_REFUSED","steps":["#,
            r#"{"step":"name","ok":true,"ms":0.1,"detail":"it states its port"},"#,
            r#"{"step":"clock","ok":true,"ms":0.0,"detail":"60 s ahead","level":"warning"},"#,
            r#"{"step":"connection","ok":false,"ms":1.5,"detail":"refused","code":"CONNECT_REFUSED","#,
            r#""fix":"start the peer"}]}"#
        )]);
        assert!(!failed.is_ok());
        assert_eq!(PeerExplanation::of("blue.example", failed.steps.clone()), failed);
        let reached = PeerExplanation::of("blue.example", failed.steps[..2].to_vec());
        assert!(reached.is_ok() && reached.code.is_none());
        assert!(!PeerExplanation::of("blue.example", vec![]).is_ok(), "nothing was tried");
    }
}
