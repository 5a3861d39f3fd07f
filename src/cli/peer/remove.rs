//! `fernpost peer remove`: removes the file that lists a peer, and reloads the gateway.

use actors::model::ServerName;
use clap::Args;
use serde::Serialize;

use crate::api::peers::PeerDetails;
use crate::cli::admin_client::{AdminClient, segment};
use crate::cli::failure::CommandFailure;
use crate::cli::peer::changed_configuration;
use crate::cli::peer::peer_file::{PeerFile, files_that_list, holds_only};
use crate::cli::{ConfigSource, print, print_json};
use crate::settings::Settings;
use crate::terminal::confirmation;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::items;

/// Arguments of `peer remove`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RemoveOptions {
    /// Name of the peer.
    name: ServerName,
    /// Remove it although items wait for it, or no gateway runs that could tell.
    #[arg(long)]
    yes: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Result of the command.
#[derive(Debug, Serialize)]
struct RemovedReport {
    server: String,
    /// File that was removed.
    file: String,
    /// True if a running gateway no longer has the peer.
    reloaded: bool,
    /// Number of items that wait for the peer; absent if no gateway runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    backlog: Option<u64>,
}

/// Runs the command and returns its exit code.
pub(super) fn run(options: RemoveOptions) -> u8 {
    let json = options.json;
    match remove(options) {
        Ok(report) if json => print_json(&serde_json::to_string(&report).expect("texts always serialize"), FINE),
        Ok(RemovedReport { server, file, reloaded, backlog }) => {
            let state = if reloaded { "The gateway sends nothing to it any more" } else { "No gateway runs" };
            let rest = match backlog {
                Some(0) | None => ".".to_owned(),
                Some(count) => {
                    format!("; its queue keeps {} until they expire, or until it is listed again.", items(count))
                }
            };
            print(&format!("{file} is removed: {server} is no peer.\n{state}{rest}\n"), FINE)
        }
        Err(failure) => failure.tell(json),
    }
}

fn remove(options: RemoveOptions) -> Result<RemovedReport, CommandFailure> {
    let RemoveOptions { name: server, yes, json, source } = options;
    let settings = source.clone().load().map_err(|problems| CommandFailure::from(&problems))?;
    let file = PeerFile::beside(&source.config, server.as_str());
    check_is_alone(&server, &file, &source)?;
    let runtime = super::runtime()?;
    let backlog = runtime.block_on(backlog(&settings, &source, &server))?;
    let doubt = match backlog {
        Some(0) => None,
        Some(count) => Some(format!(
            "the queue of {server} has {}, which stay there until they expire; `fernpost peer drain`, `queue move` or `queue purge` \
             empties it first",
            items(count)
        )),
        None => Some(format!("no gateway runs, so it is not known whether items wait for {server}")),
    };
    if let Some(doubt) = doubt.filter(|_| !yes)
        && (json || confirmation::ask(&doubt, &format!("Remove {server}?")) != Some(true))
    {
        return Err(CommandFailure::Misused(format!(
            "{doubt}; nothing was changed; to remove {server} all the same, add --yes"
        )));
    }
    file.remove()?;
    let undone = format!("{server} was not removed");
    let settings = changed_configuration::check(&file, &source, &undone)?;
    let reloaded = runtime.block_on(changed_configuration::put_in_force(&file, &settings, &source, &undone))?;
    Ok(RemovedReport { server: server.to_string(), file: file.path().display().to_string(), reloaded, backlog })
}

/// Checks that the peer is listed by its own file and by nothing else.
fn check_is_alone(server: &ServerName, file: &PeerFile, source: &ConfigSource) -> Result<(), CommandFailure> {
    let files = files_that_list(&source.files(), server.as_str());
    let others: Vec<String> =
        files.iter().filter(|path| *path != file.path()).map(|path| path.display().to_string()).collect();
    if files.is_empty() {
        let words = format!("{server} is not listed in {}, nor beside it in conf.d", source.config.display());
        return Err(CommandFailure::Wrong { code: "NOT_LISTED", words });
    }
    if !others.is_empty() {
        let words = format!(
            "{server} is listed by {}; nothing was changed. Remove its section there, and run `fernpost reload`",
            others.join(" and ")
        );
        return Err(CommandFailure::Wrong { code: "LISTED_ELSEWHERE", words });
    }
    if !holds_only(file.path(), server.as_str()) {
        let words = format!(
            "{} sets more than the section of {server}; nothing was changed. Remove the section there, and run `fernpost reload`",
            file.path().display()
        );
        return Err(CommandFailure::Wrong { code: "FILE_HAS_MORE", words });
    }
    Ok(())
}

/// Returns the number of items that wait for the peer; `None` if no gateway runs.
async fn backlog(
    settings: &Settings,
    source: &ConfigSource,
    server: &ServerName,
) -> Result<Option<u64>, CommandFailure> {
    let gateway = AdminClient::configured(settings, source.config.display().to_string())?;
    match gateway.get(&format!("/peers/{}", segment(server.as_str()))).await {
        Ok(answer) => Ok(Some(gateway.read::<PeerDetails>(&answer)?.backlog)),
        Err(CommandFailure::Silent(_)) => Ok(None),
        // The file is newer than what the gateway has in force.
        Err(CommandFailure::Refused { code, .. }) if code == "UNKNOWN_PEER" => Ok(Some(0)),
        Err(failure) => Err(failure),
    }
}
