//! Looks a peer up and calls it, as a server would that knows only its name, for `fernpost check reachable` at the peer.

use std::sync::Arc;
use std::time::Duration;

use actors::model::{ConnectCode, DialectSpec, PushFailure, ServerName};
use actors::ports::Task;
use tokio::time::Instant;

use crate::api::explain::ExplainedStep;
use crate::api::explain::reach_report::{ReachReport, ReachedPlace, SeenCertificate};
use crate::app::SystemClock;
use crate::app::configured_peers::ConfiguredAddresses;
use crate::app::peer_explainer::fixes::{of_other_answer, of_the_reached};
use crate::app::strangers::StrangersBook;
use crate::egress::outside_view::{OutsideView, ViewTimes, ViewedPlace};
use crate::egress::{EgressOptions, PeerAddress, PeerProbe, ProbeAnswer, StepRecord};
use crate::http::responses::rfc3339;
use crate::identity::key_directories::read_directory;
use crate::rpc::gateway_method::REACH;
use crate::rpc::reach_register::ReachProbe;
use crate::settings::LiveSettings;
use crate::tls::certificate::PresentedCertificate;
use crate::tls::live_roots::LiveRoots;
use crate::wire::DIALECTS;

/// Time of a call that is kept for the answer itself.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Names of a certificate that are reported.
const NAMES_SHOWN: usize = 20;

/// Calls peers from outside.
pub(in crate::app) struct OutsideReach {
    live: LiveSettings,
    strangers: Arc<StrangersBook>,
    /// Roots that certificates of peers chain to.
    roots: LiveRoots,
}

impl OutsideReach {
    /// Returns the calls by the rules of these settings.
    pub(in crate::app) fn new(live: LiveSettings, strangers: Arc<StrangersBook>, roots: LiveRoots) -> Self {
        Self { live, strangers, roots }
    }
}

impl ReachProbe for OutsideReach {
    fn reach(&self, server: &ServerName, until: Instant) -> Task<ReachReport> {
        let settings = self.live.current();
        let (us, server) = (settings.server.name.clone(), server.clone());
        let addresses = settings.peers.peer(&server).map(|peer| peer.link.addresses.clone()).unwrap_or_default();
        let book = Arc::new(ConfiguredAddresses::new(self.live.clone(), Arc::clone(&self.strangers)));
        // Nothing is kept from one call to the next: the operator has just changed a record or a certificate.
        let options = EgressOptions {
            resolver: settings.network.resolver.clone(),
            roots: Some(self.roots.clone()),
            ..EgressOptions::default()
        };
        let roots = if settings.network.roots.is_empty() { "system" } else { "configured" };
        Box::pin(async move {
            let probe = PeerProbe::new(&us, book, Arc::new(SystemClock), options, None);
            let left = until.saturating_duration_since(Instant::now() + ANSWER_TIME);
            let service = DIALECTS.of(DialectSpec::UPDATES).service();
            let view = probe.outside_view(&server, service, ViewTimes::within(left)).await;
            report(&server, &us, view, (roots, &addresses))
        })
    }
}

fn report(
    server: &ServerName,
    us: &ServerName,
    view: OutsideView,
    (roots, addresses): (&'static str, &[PeerAddress]),
) -> ReachReport {
    let OutsideView { lookup, unfound, places, uncalled } = view;
    let mut lookup: Vec<ExplainedStep> = lookup.into_iter().map(|record| step(server, record)).collect();
    lookup.extend(unfound.map(|reason| {
        let code = reason.code.unwrap_or(ConnectCode::DnsFailed);
        failed("record", Duration::ZERO, reason.words, code.as_str(), of_the_reached(code, server))
    }));
    let places: Vec<ReachedPlace> = places.into_iter().map(|viewed| place(server, viewed)).collect();
    let (verdict, code) = ReachReport::judged(&lookup, &places);
    ReachReport {
        method: REACH.into(),
        server: server.to_string(),
        by: us.to_string(),
        verdict: verdict.into(),
        code,
        roots: roots.into(),
        lookup,
        places,
        uncalled: u32::try_from(uncalled).unwrap_or(u32::MAX),
        configured: addresses.iter().map(ToString::to_string).collect(),
    }
}

fn place(server: &ServerName, viewed: ViewedPlace) -> ReachedPlace {
    let ViewedPlace { host, address, steps, certificate, took, answer } = viewed;
    let mut steps: Vec<ExplainedStep> = steps.into_iter().map(|record| step(server, record)).collect();
    steps.extend(answer.map(|answer| directory_step(took, answer)));
    let ok = steps.last().is_some_and(|step| step.ok);
    ReachedPlace { host, address: address.to_string(), ok, certificate: certificate.as_ref().map(seen), steps }
}

/// Returns the step in which anybody may read the keys of the server.
fn directory_step(took: Duration, answer: Result<ProbeAnswer, PushFailure>) -> ExplainedStep {
    let wrong = |words: String, code: &str| failed("directory", took, words, code, of_other_answer());
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return wrong(failure.to_string(), "NO_ANSWER"),
    };
    match (answer.status, read_directory(&answer.body)) {
        (200, Ok(keys)) if !keys.is_empty() => {
            let ids = keys.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
            done("directory", took, format!("its key directory has {ids}"))
        }
        (200, Ok(_)) => wrong("its key directory has no key of use".to_owned(), "KEY_NOT_FOUND"),
        (200, Err(error)) => wrong(format!("its key directory cannot be used: {error}"), "KEY_NOT_FOUND"),
        (status, _) => {
            let to = answer.location.map(|place| format!(", and leads to {place}")).unwrap_or_default();
            wrong(format!("its key directory is answered with status {status}{to}"), "KEY_NOT_FOUND")
        }
    }
}

fn seen(certificate: &PresentedCertificate) -> SeenCertificate {
    SeenCertificate {
        names: certificate.names().iter().take(NAMES_SHOWN).map(ToString::to_string).collect(),
        issuer: certificate.issuer_text(),
        begins: rfc3339(certificate.not_before()),
        ends: rfc3339(certificate.not_after()),
        fingerprint: certificate.pin().to_string(),
    }
}

fn step(server: &ServerName, record: StepRecord) -> ExplainedStep {
    let StepRecord { step, took, detail, failure } = record;
    match failure {
        Some(code) => failed(step.as_str(), took, detail, code.as_str(), of_the_reached(code, server)),
        None => done(step.as_str(), took, detail),
    }
}

fn done(step: &'static str, took: Duration, detail: String) -> ExplainedStep {
    let ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
    ExplainedStep { step: step.into(), ok: true, ms, detail, level: None, code: None, fix: None }
}

fn failed(step: &'static str, took: Duration, detail: String, code: &str, fix: String) -> ExplainedStep {
    ExplainedStep { ok: false, code: Some(code.to_owned()), fix: Some(fix), ..done(step, took, detail) }
}

#[cfg(test)]
mod tests {
    use actors::model::Millis;
    use bytes::Bytes;

    use super::*;
    use crate::egress::ProbeAnswer;

    fn judged(answer: Result<ProbeAnswer, PushFailure>) -> Option<String> {
        directory_step(Duration::from_millis(2), answer).code
    }

    fn answer(status: u16, body: &'static str) -> Result<ProbeAnswer, PushFailure> {
        let location = (status == 301).then(|| "https://elsewhere.example/".to_owned());
        Ok(ProbeAnswer { status, date: Some(Millis(0)), location, body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn only_key_directory_is_expected_answer() {
        const KEYS: &str =
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"}]}"#;
        assert_eq!(judged(answer(200, KEYS)), None);
        for (status, body) in [(200, r#"{"keys":[]}"#), (200, "<html>"), (404, KEYS), (301, ""), (500, "")] {
            assert_eq!(judged(answer(status, body)).as_deref(), Some("KEY_NOT_FOUND"), "{status} {body}");
        }
        assert_eq!(judged(Err(PushFailure::TimedOut)).as_deref(), Some("NO_ANSWER"));
    }
}
