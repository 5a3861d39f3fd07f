//! `fernpost check config`: reads the configuration as `serve` does. Warnings do not change the exit code.

use actors::model::CountedNoun;
use actors::ports::PeerConfig;

use crate::api::checks::{CheckFinding, CheckFindings};
use crate::cli::check::print_findings;
use crate::cli::failure::CommandFailure;
use crate::cli::print;
use crate::settings::{Settings, SettingsProblem, SettingsProblems};
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::counted;

const CHECK: &str = "config";

/// Prints all problems and warnings, in the words of `serve`.
pub(super) fn run(file: &str, loaded: &Result<Settings, SettingsProblems>, json: bool) -> u8 {
    match loaded {
        Err(problems) if problems.is_unread() => CommandFailure::from(problems).tell(json),
        _ if json => print_findings(&CheckFindings::of(findings(file, loaded)), json),
        Err(problems) => print(&format!("{problems}\n"), WRONG),
        Ok(settings) => {
            let warnings: String = settings.notes.iter().map(|warning| format!("warning: {warning}\n")).collect();
            print(&format!("{warnings}{file}: {}\n", verdict(settings)), FINE)
        }
    }
}

/// Returns one finding per problem or warning, and one for a sound configuration.
pub(super) fn findings(file: &str, loaded: &Result<Settings, SettingsProblems>) -> Vec<CheckFinding> {
    match loaded {
        Err(SettingsProblems(problems)) => problems.iter().map(|problem| of_problem(file, problem)).collect(),
        Ok(settings) => {
            let warnings = settings.notes.iter().map(|note| CheckFinding::warning(CHECK, file, note));
            warnings.chain([CheckFinding::info(CHECK, file, verdict(settings))]).collect()
        }
    }
}

fn of_problem(file: &str, problem: &SettingsProblem) -> CheckFinding {
    let subject = if problem.key.is_empty() { file } else { &problem.key };
    CheckFinding::error(CHECK, subject, problem.to_string()).with_code("CONFIGURATION")
}

fn verdict(settings: &Settings) -> String {
    let with = match settings.notes.len() as u64 {
        0 => String::new(),
        count => format!(", with {}", CountedNoun(count, "warning")),
    };
    let peers = settings.peers.listed().len() as u64;
    format!("fine{with}; {} with {}", settings.server.name, counted(peers, "peer"))
}
