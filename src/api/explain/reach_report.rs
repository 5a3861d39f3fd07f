//! The report of a peer that has looked us up and called us as a server would that knows only our name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExplainedStep;
use crate::api::FixedText;

/// The report of a peer about a server that asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReachReport {
    /// `fernpost.reach`.
    pub method: FixedText,
    /// Name that was looked up: that of the server that asked.
    pub server: String,
    /// Server that looked it up and called it.
    pub by: String,
    /// `reached` if every address answered as it should, `partly` if some did, else `failed`.
    pub verdict: FixedText,
    /// Code of the first step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// `system` or `configured`: the roots by which the certificates were judged.
    pub roots: FixedText,
    /// Steps of the lookup.
    pub lookup: Vec<ExplainedStep>,
    /// Addresses that were called.
    pub places: Vec<ReachedPlace>,
    /// Number of addresses that were found and not called, because there were more than eight.
    pub uncalled: u32,
    /// Addresses that the configuration of the other server has for this one. It uses them instead of the lookup, so that it may
    /// reach a server that others do not.
    pub configured: Vec<String>,
}

/// One address that was called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReachedPlace {
    /// Host and port that the name led to.
    pub host: String,
    /// Address and port that were called.
    pub address: String,
    /// True if every step succeeded.
    pub ok: bool,
    /// Certificate that was presented, accepted or not; absent if there was no handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<SeenCertificate>,
    /// Steps, up to the first that failed.
    pub steps: Vec<ExplainedStep>,
}

/// A certificate as it was presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeenCertificate {
    /// Its names, at most twenty.
    pub names: Vec<String>,
    /// Its issuer.
    pub issuer: String,
    /// Begin of its validity.
    pub begins: String,
    /// End of its validity.
    pub ends: String,
    /// Fingerprint of its public key, as `fingerprints` of a peer pins it.
    pub fingerprint: String,
}

impl ReachReport {
    /// Returns whether every address answered as it should.
    pub fn is_reached(&self) -> bool {
        self.verdict == "reached"
    }

    /// Returns the verdict and the code of these steps.
    pub fn judged(lookup: &[ExplainedStep], places: &[ReachedPlace]) -> (&'static str, Option<String>) {
        let steps = lookup.iter().chain(places.iter().flat_map(|place| &place.steps));
        let code = steps.filter(|step| !step.ok).find_map(|step| step.code.clone());
        let is_whole = lookup.iter().all(|step| step.ok) && places.iter().all(|place| place.ok);
        let verdict = match places.iter().any(|place| place.ok) {
            true if is_whole => "reached",
            true => "partly",
            false => "failed",
        };
        (verdict, code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    const STEPS: &str = concat!(
        r#"{"step":"connection","ok":true,"ms":1.5,"detail":"192.0.2.1:9880"},"#,
        r#"{"step":"certificate","ok":false,"ms":3.0,"detail":"it names nobody","code":"CERTIFICATE_WRONG_NAME","fix":"replace it"}"#
    );

    #[test]
    fn reach_report_round_trips() {
        let text = format!(
            concat!(
                r#"{{"method":"fernpost.reach","server":"red.example","by":"blue.example","verdict":"failed","#,
                r#""code":"CERTIFICATE_WRONG_NAME","roots":"system","lookup":[{{"step":"name","ok":true,"ms":0.0,"detail":"x"}}],"#,
                r#""places":[{{"host":"a.red.example:9880","address":"192.0.2.1:9880","ok":false,"#,
                r#""certificate":{{"names":["green.example"],"issuer":"CN=Test CA","begins":"2024-01-01T00:00:00.000Z","#,
                r#""ends":"2040-01-01T00:00:00.000Z","fingerprint":"sha256:00"}},"steps":[{}]}}],"uncalled":0,"configured":[]}}"#
            ),
            STEPS
        );
        let report = assert_round_trip::<ReachReport>(&[&text]);
        assert!(!report.is_reached());
        let judged = ReachReport::judged(&report.lookup, &report.places);
        assert_eq!(judged, ("failed", Some("CERTIFICATE_WRONG_NAME".to_owned())));
    }

    #[test]
    fn every_address_has_to_answer() {
        let step = |ok: bool| ExplainedStep {
            step: "connection".into(),
            ok,
            ms: 0.0,
            detail: String::new(),
            level: None,
            code: (!ok).then(|| "CONNECT_REFUSED".to_owned()),
            fix: None,
        };
        let place = |ok| {
            let (host, address) = ("a".to_owned(), "b".to_owned());
            ReachedPlace { host, address, ok, certificate: None, steps: vec![step(ok)] }
        };
        let refused = Some("CONNECT_REFUSED".to_owned());
        assert_eq!(ReachReport::judged(&[step(true)], &[place(true)]), ("reached", None));
        assert_eq!(ReachReport::judged(&[], &[place(true), place(false)]), ("partly", refused.clone()));
        assert_eq!(
            ReachReport::judged(&[step(false)], &[place(true)]),
            ("partly", refused.clone()),
            "one host is not found"
        );
        assert_eq!(ReachReport::judged(&[step(false)], &[]), ("failed", refused));
        assert_eq!(ReachReport::judged(&[], &[]), ("failed", None));
    }
}
