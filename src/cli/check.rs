//! `fernpost check`: finds problems before the gateway starts.

use actors::model::CountedNoun;
use actors::ports::PeerConfig;
use serde::Serialize;

use crate::cli::failure::CommandFailure;
use crate::cli::{ConfigSource, print, print_json};
use crate::settings::{Settings, SettingsProblem, SettingsProblems};
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::counted;

/// The result of the check, as JSON.
#[derive(Serialize)]
struct ConfigCheckView<'a> {
    file: &'a str,
    fine: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<u64>,
    problems: Vec<FoundSettings<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct FoundSettings<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    error: String,
}

impl<'a> FoundSettings<'a> {
    fn of(problem: &'a SettingsProblem) -> Self {
        let place = problem.place.as_ref().map(ToString::to_string);
        Self { key: &problem.key, place, error: problem.to_string() }
    }
}

impl ConfigCheckView<'_> {
    fn print(&self) -> u8 {
        let text = serde_json::to_string(self).expect("texts and numbers always serialize");
        print_json(&text, if self.fine { FINE } else { WRONG })
    }
}

/// Reads the configuration as `serve` does, and prints all problems and warnings. Warnings do not change the exit code.
pub(super) fn config(source: ConfigSource, json: bool) -> u8 {
    let file = source.config.display().to_string();
    match source.load_to_run() {
        Ok(settings) => fine(&file, &settings, json),
        Err(problems) if problems.is_unread() => CommandFailure::from(&problems).tell(json),
        Err(SettingsProblems(problems)) if json => {
            let problems = problems.iter().map(FoundSettings::of).collect();
            ConfigCheckView { file: &file, fine: false, server: None, peers: None, problems, warnings: &[] }.print()
        }
        Err(problems) => print(&format!("{problems}\n"), WRONG),
    }
}

fn fine(file: &str, settings: &Settings, json: bool) -> u8 {
    let (server, warnings) = (settings.server.name.as_str(), &settings.notes);
    let peers = settings.peers.listed().len() as u64;
    if json {
        return ConfigCheckView {
            file,
            fine: true,
            server: Some(server),
            peers: Some(peers),
            problems: vec![],
            warnings,
        }
        .print();
    }
    let mut text: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let with = match warnings.len() as u64 {
        0 => String::new(),
        count => format!(", with {}", CountedNoun(count, "warning")),
    };
    text.push_str(&format!("{file}: fine{with}; {server} with {}\n", counted(peers, "peer")));
    print(&text, FINE)
}
