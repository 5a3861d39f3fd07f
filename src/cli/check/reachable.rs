//! `fernpost check reachable`: a peer looks this server up and calls it, as a server would that knows only its name.

use crate::api::checks::CheckFinding;
use crate::api::explain::ExplainedStep;
use crate::api::explain::reach_report::{ReachReport, ReachedPlace, SeenCertificate};
use crate::cli::admin_client::{AdminClient, segment};
use crate::cli::failure::CommandFailure;
use crate::settings::Settings;

const CHECK: &str = "reachable";

/// Asks the running gateway to ask a peer, and returns a finding for each step of the peer.
pub(super) async fn findings(settings: &Settings, file: &str, via: &str) -> Result<Vec<CheckFinding>, CommandFailure> {
    let gateway = AdminClient::configured(settings, file.to_owned())?;
    let answer = gateway.post(&format!("/peers/{}/reach", segment(via)), String::new()).await?;
    Ok(of_report(&gateway.read(&answer)?))
}

fn of_report(report: &ReachReport) -> Vec<CheckFinding> {
    let ReachReport { server, by, lookup, places, uncalled, configured, .. } = report;
    let mut found: Vec<CheckFinding> = lookup.iter().map(|step| of_step(server, step)).collect();
    for place in places {
        found.extend(place.steps.iter().map(|step| of_step(&subject(place), step)));
        found.extend(place.certificate.as_ref().map(|seen| CheckFinding::info(CHECK, subject(place), words(seen))));
    }
    if *uncalled > 0 {
        let more = format!("{uncalled} more addresses were found and not called");
        found.push(CheckFinding::warning(CHECK, server, more));
    }
    if !configured.is_empty() && !report.is_reached() {
        let places = configured.join(", ");
        let words = format!("{by} itself does not look us up: its configuration has {places}");
        found.push(CheckFinding::info(CHECK, server, words));
    }
    let reached = places.iter().filter(|place| place.ok).count();
    let words = format!("{by} reached {reached} of {} addresses", places.len());
    found.push(match report.is_reached() {
        true => CheckFinding::info(CHECK, server, words),
        // A report without a failed step has to be an error all the same.
        false => CheckFinding::error(CHECK, server, words).with_code("NOT_REACHED"),
    });
    found
}

fn subject(place: &ReachedPlace) -> String {
    let ReachedPlace { host, address, .. } = place;
    if host == address { one_line(host) } else { one_line(&format!("{host} ({address})")) }
}

fn of_step(subject: &str, step: &ExplainedStep) -> CheckFinding {
    let detail = one_line(&format!("{}: {} ({} ms)", step.step, step.detail, step.ms));
    let finding = match step.ok {
        true => CheckFinding::info(CHECK, subject, detail),
        false => CheckFinding::error(CHECK, subject, detail),
    };
    CheckFinding { code: step.code.clone().map(Into::into), fix: step.fix.as_deref().map(one_line), ..finding }
}

/// Returns a text of the peer on one line, so that it cannot look like other findings.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn words(seen: &SeenCertificate) -> String {
    let SeenCertificate { names, issuer, begins, ends, fingerprint } = seen;
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    one_line(&format!("the certificate is of {names}, by {issuer}, from {begins} to {ends}; its key is {fingerprint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ok: bool) -> ReachReport {
        let step = ExplainedStep {
            step: "connection".into(),
            ok,
            ms: 1.5,
            detail: "said\n".to_owned(),
            level: None,
            code: (!ok).then(|| "CONNECT_REFUSED".to_owned()),
            fix: (!ok).then(|| "open it".to_owned()),
        };
        let (host, address) = ("a.example:9880".to_owned(), "192.0.2.1:9880".to_owned());
        let places = vec![ReachedPlace { host, address, ok, certificate: None, steps: vec![step] }];
        ReachReport {
            method: "fernpost.reach".into(),
            server: "red.example".to_owned(),
            by: "blue.example".to_owned(),
            verdict: if ok { "reached" } else { "failed" }.into(),
            code: None,
            roots: "system".into(),
            lookup: vec![],
            places,
            uncalled: 0,
            configured: vec!["https://10.0.0.1".to_owned()],
        }
    }

    #[test]
    fn failed_step_has_code_and_fix() {
        let found = of_report(&report(true));
        assert_eq!(found.iter().map(|finding| finding.ok).collect::<Vec<_>>(), [true, true]);
        assert_eq!(found[0].subject, "a.example:9880 (192.0.2.1:9880)");
        assert_eq!(found[0].detail, "connection: said (1.5 ms)");
        let found = of_report(&report(false));
        assert_eq!((found[0].code.as_deref(), found[0].fix.as_deref()), (Some("CONNECT_REFUSED"), Some("open it")));
        assert!(found[1].detail.contains("https://10.0.0.1"), "what the peer uses instead");
        assert_eq!(found[2].code.as_deref(), Some("NOT_REACHED"));
    }
}
