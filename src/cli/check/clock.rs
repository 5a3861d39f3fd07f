//! `fernpost check clock`: our clock against those of the peers that answer, and against what the store has written.

use std::time::{Duration, UNIX_EPOCH};

use actors::model::{Millis, ServerName, ShortDuration};
use actors::ports::{Clock, PeerConfig};
use futures_util::stream::{self, StreamExt};

use crate::api::checks::CheckFinding;
use crate::api::explain::PeerExplanation;
use crate::app::SystemClock;
use crate::app::peer_explainer::{PeerExplainer, SKEW_REFUSED, SKEW_WARNED};
use crate::cli::check::peers::AT_ONCE;
use crate::settings::Settings;
use crate::store::{self, OpenError};

const CHECK: &str = "clock";

/// Returns a finding for the store and for each listed peer.
pub(super) async fn findings(settings: &Settings) -> Vec<CheckFinding> {
    let mut found: Vec<CheckFinding> = of_store(settings, SystemClock.now()).into_iter().collect();
    let explainer = match PeerExplainer::new(settings) {
        Ok(explainer) => explainer,
        Err(error) => {
            found.push(CheckFinding::error(CHECK, "network.roots", error.to_string()).with_code("BAD_ROOTS"));
            return found;
        }
    };
    let peers = settings.peers.listed();
    let asked = peers.iter().map(|server| explainer.compare_clocks(server));
    let explanations: Vec<PeerExplanation> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    found.extend(peers.iter().zip(&explanations).map(|(server, explanation)| of_peer(server, explanation)));
    found
}

fn of_peer(server: &ServerName, explanation: &PeerExplanation) -> CheckFinding {
    let subject = server.as_str();
    let Some(step) = explanation.steps.iter().find(|step| step.step == "clock") else {
        // `check peers` says why.
        return CheckFinding::info(CHECK, subject, "it is not reached, so the clocks are not compared");
    };
    let detail = step.detail.clone();
    let finding = match (step.ok, &step.level) {
        (false, _) => CheckFinding::error(CHECK, subject, detail).with_code("CLOCK_SKEW"),
        (true, Some(_)) => CheckFinding::warning(CHECK, subject, detail).with_code("CLOCK_SKEW"),
        (true, None) => return CheckFinding::info(CHECK, subject, detail),
    };
    finding.with_fix("set both clocks by NTP, because signatures are refused from five minutes on")
}

/// Returns how far our clock is behind the newest time of the store; `None`: there is no store, or `check store` says why it cannot
/// be read.
fn of_store(settings: &Settings, now: Millis) -> Option<CheckFinding> {
    let file = settings.server.data_dir.join(store::FILE);
    let written = match store::summary(&file) {
        Ok(summary) => summary.written,
        // The gateway that has it open writes it by the clock of this machine.
        Err(OpenError::InUse { .. }) => {
            let changed = std::fs::metadata(&file).and_then(|state| state.modified()).ok()?;
            let since = changed.duration_since(UNIX_EPOCH).ok()?;
            Some(Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
        }
        Err(_) => return None,
    };
    // Before the first write any clock fits.
    Some(against_store(&file.display().to_string(), written.unwrap_or(Millis(0)), now))
}

fn against_store(file: &str, written: Millis, now: Millis) -> CheckFinding {
    let behind = Duration::from_millis(written.0.saturating_sub(now.0));
    if behind < SKEW_WARNED {
        return CheckFinding::info(CHECK, file, "the clock is not behind the newest time of the store");
    }
    let words = format!("the clock is {} behind the newest time of the store", ShortDuration(behind));
    let finding = match behind >= SKEW_REFUSED {
        true => CheckFinding::error(CHECK, file, words),
        false => CheckFinding::warning(CHECK, file, words),
    };
    finding.with_code("CLOCK_BEHIND_STORE").with_fix("set the clock of this machine, for example by NTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_behind_store_is_found() {
        let found = |written_secs: u64| {
            let finding = against_store("f", Millis(written_secs * 1000), Millis(1_000_000));
            (finding.level.into_owned(), finding.ok)
        };
        assert_eq!(found(0), ("info".to_owned(), true));
        assert_eq!(found(1_029), ("info".to_owned(), true));
        assert_eq!(found(1_030), ("warning".to_owned(), true));
        assert_eq!(found(1_299), ("warning".to_owned(), true));
        assert_eq!(found(1_300), ("error".to_owned(), false));
    }
}
