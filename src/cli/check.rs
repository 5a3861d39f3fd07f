//! `fernpost check`: finds problems before the gateway starts, and in what it depends on.
//!
//! Each check is a function from the settings to its findings; [`CheckSubject::ALL`] has them in the order in which they run.

mod clock;
mod config;
mod keys;
mod messenger;
mod peers;
mod reachable;
mod store;
mod tls;

use std::fmt::Write;

use clap::{Args, ValueEnum};

use crate::api::checks::{CheckFinding, CheckFindings};
use crate::cli::failure::CommandFailure;
use crate::cli::{ConfigSource, print, print_json};
use crate::settings::Settings;
use crate::terminal::exit_code::{FINE, WRONG};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckOptions {
    /// Subject to check; without one, all of them but `reachable`.
    what: Option<CheckSubject>,
    /// Peer that looks us up and calls us, for `reachable`; it has to allow it (`reach_tests`).
    #[arg(long, required_if_eq("what", "reachable"))]
    via: Option<String>,
    /// Print what is found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Subject that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckSubject {
    /// Read the configuration as `serve` does and print all problems at once.
    Config,
    /// Signing keys of this server, pinned keys of the peers, and the key directory that a running gateway serves.
    Keys,
    /// Our certificates: pair, chain, dates and names; and the roots that those of others chain to.
    Tls,
    /// Names and addresses of all listed peers.
    Dns,
    /// Our clock against those of all listed peers, and against the store.
    Clock,
    /// Data folder, free space, and whether the store can be opened or is used by a running gateway.
    Store,
    /// Connections to all listed peers, up to a request that changes nothing.
    Peers,
    /// Listener and token of the messenger, and how it gets its events.
    Messenger,
    /// Our name, addresses and certificate, as the peer of `--via` sees them that looks us up and calls us; the gateway has to run.
    Reachable,
}

impl CheckSubject {
    /// All subjects beside the configuration, which is checked before any of them, and what a peer has to be asked for.
    const ALL: &[Self] = &[Self::Keys, Self::Tls, Self::Dns, Self::Clock, Self::Store, Self::Peers, Self::Messenger];

    async fn findings(self, settings: &Settings, file: &str) -> Vec<CheckFinding> {
        match self {
            // Settings exist only if their check found no error.
            Self::Config | Self::Reachable => vec![],
            Self::Keys => keys::findings(settings).await,
            Self::Tls => tls::findings(settings),
            Self::Clock => clock::findings(settings).await,
            Self::Store => store::findings(settings, file).await,
            Self::Messenger => messenger::findings(settings).await,
            Self::Dns => peers::dns_findings(settings).await,
            Self::Peers => peers::findings(settings).await,
        }
    }
}

/// Runs the checks and returns the exit code: 1 if any of them found an error.
pub(super) fn run(options: CheckOptions) -> u8 {
    let CheckOptions { what, via, json, source } = options;
    if via.is_some() && what != Some(CheckSubject::Reachable) {
        return CommandFailure::Misused("--via belongs to `fernpost check reachable`".to_owned()).tell(json);
    }
    let file = source.config.display().to_string();
    let to_run = source.clone().load_to_run();
    if what == Some(CheckSubject::Config) {
        return config::run(&file, &to_run, json);
    }
    // Files and folders that cannot be used are findings of the checks themselves.
    let settings = match source.load() {
        Ok(settings) => settings,
        // An invalid configuration is a finding of every check; one that cannot be read lets none of them run.
        Err(_) => return config::run(&file, &to_run, json),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let words = format!("the runtime cannot start: {error}");
            return CommandFailure::Broken { code: "RUNTIME", words }.tell(json);
        }
    };
    if let Some(via) = via {
        return match runtime.block_on(reachable::findings(&settings, &file, &via)) {
            Ok(found) => print_findings(&CheckFindings::of(found), json),
            Err(failure) => failure.tell(json),
        };
    }
    let mut found = match what {
        Some(_) => vec![],
        None => config::findings(&file, &to_run),
    };
    let subjects = what.as_ref().map_or(CheckSubject::ALL, std::slice::from_ref);
    runtime.block_on(async {
        for subject in subjects {
            found.extend(subject.findings(&settings, &file).await);
        }
    });
    print_findings(&CheckFindings::of(found), json)
}

/// Prints findings as JSON or as one line each, and returns the exit code.
pub(super) fn print_findings(found: &CheckFindings, json: bool) -> u8 {
    let code = if found.ok { FINE } else { WRONG };
    if json {
        return print_json(&serde_json::to_string(found).expect("texts and booleans always serialize"), code);
    }
    print(&found.checks.iter().map(line).collect::<String>(), code)
}

/// Returns the line of a finding, and a second one with what to do.
fn line(finding: &CheckFinding) -> String {
    let CheckFinding { check, subject, level, detail, fix, .. } = finding;
    let level = if level == "info" { "fine" } else { level };
    let mut text = format!("{level}: {check} {subject}: {detail}\n");
    if let Some(fix) = fix {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {fix}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_is_one_line_and_fix() {
        assert_eq!(line(&CheckFinding::info("keys", "1", "active")), "fine: keys 1: active\n");
        let open = CheckFinding::error("keys", "2", "its mode is 0644").with_fix("chmod 600 2.key");
        assert_eq!(line(&open), "error: keys 2: its mode is 0644\n  chmod 600 2.key\n");
    }

    #[test]
    fn all_subjects_are_run_by_default() {
        let apart = [CheckSubject::Config, CheckSubject::Reachable];
        let others = CheckSubject::value_variants().iter().filter(|subject| !apart.contains(subject));
        assert!(others.eq(CheckSubject::ALL));
    }
}
