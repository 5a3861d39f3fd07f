//! Puts a changed file of a peer in force: the configuration is checked with it, and a running gateway reloads. If either refuses,
//! the file is put back, because a configuration that cannot be used would stop the next start.

use crate::api::configuration::ReloadReport;
use crate::cli::ConfigSource;
use crate::cli::admin_client::AdminClient;
use crate::cli::failure::CommandFailure;
use crate::cli::peer::peer_file::PeerFile;
use crate::settings::Settings;

/// Checks the configuration with a file that was just changed. `undone` says what is not done if it cannot be used.
pub(in crate::cli) fn check(file: &PeerFile, source: &ConfigSource, undone: &str) -> Result<Settings, CommandFailure> {
    source.clone().load().map_err(|problems| {
        let words = format!("{problems}\n{undone}");
        back(file, CommandFailure::Wrong { code: "CONFIGURATION", words })
    })
}

/// Makes a running gateway take the changed file over; false if none runs.
pub(in crate::cli) async fn put_in_force(
    file: &PeerFile,
    settings: &Settings,
    source: &ConfigSource,
    undone: &str,
) -> Result<bool, CommandFailure> {
    reload(settings, source, undone).await.map_err(|failure| back(file, failure))
}

/// Makes a running gateway read its configuration; false if none runs.
pub(in crate::cli) async fn reload(
    settings: &Settings,
    source: &ConfigSource,
    undone: &str,
) -> Result<bool, CommandFailure> {
    let gateway = AdminClient::configured(settings, source.config.display().to_string())?;
    let answer = match gateway.post_for_report("/reload").await {
        Err(CommandFailure::Silent(_)) => return Ok(false),
        answer => answer?,
    };
    let report: ReloadReport = gateway.read(&answer)?;
    match report.problems {
        None => Ok(true),
        Some(problems) => Err(CommandFailure::Wrong {
            code: "CONFIGURATION",
            words: format!("the gateway cannot reload:\n{}\n{undone}", problems.join("\n")),
        }),
    }
}

/// Puts the file back, and returns the failure; that of the file, if there is one.
fn back(file: &PeerFile, failure: CommandFailure) -> CommandFailure {
    file.take_back().err().unwrap_or(failure)
}
