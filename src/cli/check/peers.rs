//! `fernpost check peers` and `check dns`: whether each listed peer is found, reached, and accepts us.

use actors::model::ServerName;
use actors::ports::PeerConfig;
use futures_util::stream::{self, StreamExt};

use crate::api::checks::CheckFinding;
use crate::api::explain::PeerExplanation;
use crate::app::peer_explainer::PeerExplainer;
use crate::settings::Settings;

/// Maximum number of peers that are asked at the same time.
pub(super) const AT_ONCE: usize = 16;

/// Returns a finding for each listed peer: it is reached and accepts us, or why not.
pub(super) async fn findings(settings: &Settings) -> Vec<CheckFinding> {
    explained("peers", settings, async |explainer, server| explainer.explain(server).await).await
}

/// Returns a finding for each listed peer: its addresses are found and permitted, or why not.
pub(super) async fn dns_findings(settings: &Settings) -> Vec<CheckFinding> {
    explained("dns", settings, async |explainer, server| explainer.find(server).await).await
}

async fn explained(
    check: &'static str,
    settings: &Settings,
    ask: impl AsyncFn(&PeerExplainer, &ServerName) -> PeerExplanation,
) -> Vec<CheckFinding> {
    let explainer = match PeerExplainer::new(settings) {
        Ok(explainer) => explainer,
        Err(error) => return vec![CheckFinding::error(check, "network.roots", error.to_string())],
    };
    let peers = settings.peers.listed();
    let asked = peers.iter().map(|server| ask(&explainer, server));
    let explanations: Vec<PeerExplanation> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    explanations.iter().map(|explanation| finding(check, explanation)).collect()
}

fn finding(check: &'static str, explanation: &PeerExplanation) -> CheckFinding {
    let last = explanation.steps.last();
    let detail = last.map(|step| format!("{}: {}", step.step, step.detail)).unwrap_or_default();
    if explanation.is_ok() {
        let warned = explanation.steps.iter().find(|step| step.level.is_some());
        return match warned {
            Some(step) => CheckFinding::warning(check, &explanation.server, format!("{}: {}", step.step, step.detail)),
            None => CheckFinding::info(check, &explanation.server, detail),
        };
    }
    let finding = CheckFinding::error(check, &explanation.server, detail);
    CheckFinding {
        code: explanation.code.clone().map(Into::into),
        fix: last.and_then(|step| step.fix.clone()),
        ..finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::explain::ExplainedStep;

    fn step(step: &'static str, ok: bool, level: Option<&'static str>) -> ExplainedStep {
        let code = (!ok).then(|| "DNS_FAILED".to_owned());
        let fix = (!ok).then(|| "check it".to_owned());
        ExplainedStep {
            step: step.into(),
            ok,
            ms: 0.0,
            detail: "said".to_owned(),
            level: level.map(Into::into),
            code,
            fix,
        }
    }

    #[test]
    fn last_step_decides_the_finding() {
        let found = |steps| finding("dns", &PeerExplanation::of("blue", steps));
        let fine = found(vec![step("record", false, None), step("address", true, None)]);
        assert_eq!((fine.level.as_ref(), fine.detail.as_str()), ("info", "address: said"));
        let warned = found(vec![step("clock", true, Some("warning")), step("identity", true, None)]);
        assert_eq!((warned.level.as_ref(), warned.detail.as_str()), ("warning", "clock: said"));
        let wrong = found(vec![step("name", true, None), step("record", false, None)]);
        assert_eq!((wrong.level.as_ref(), wrong.code.as_deref()), ("error", Some("DNS_FAILED")));
        assert_eq!(wrong.fix.as_deref(), Some("check it"));
    }
}
