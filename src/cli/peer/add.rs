//! `fernpost peer add`: lists a server as a peer, in a file of its own in `conf.d`, and reloads the gateway.

use actors::model::ServerName;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::peer::changed_configuration;
use crate::cli::peer::peer_file::{PeerFile, PeerSectionText, files_that_list};
use crate::cli::{ConfigSource, print, print_json};
use crate::settings::Settings;
use crate::terminal::exit_code::FINE;

/// Arguments of `peer add`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AddOptions {
    /// Name of the peer.
    name: ServerName,
    /// URL of the peer, such as https://10.0.0.2:9880; may be repeated. Without one the peer is found by its name.
    #[arg(long = "address", value_name = "URL")]
    addresses: Vec<String>,
    /// Authentication of the peer; default: mtls with --fingerprint, else signature with --key.
    #[arg(long)]
    auth: Option<AddedAuth>,
    /// Public key of the peer, as `fernpost keys list` prints it there; may be repeated.
    #[arg(long = "key", value_name = "KEY_ID:BASE64")]
    keys: Vec<String>,
    /// Pinned public key of the peer's certificate; may be repeated.
    #[arg(long = "fingerprint", value_name = "sha256:HEX")]
    fingerprints: Vec<String>,
    /// With --auth network: range of addresses that the peer calls from; may be repeated.
    #[arg(long = "allow-from", value_name = "ADDRESS/BITS")]
    allow_from: Vec<String>,
    /// Kind of server that the peer is.
    #[arg(long, value_parser = PossibleValuesParser::new(["fernpost", "actor-2016", "synapse-2014"]))]
    profile: Option<String>,
    /// Dialect of requests to the peer.
    #[arg(long, value_parser = PossibleValuesParser::new(["updates", "transactions"]))]
    dialect: Option<String>,
    /// Use plain HTTP beyond this machine, on a private link.
    #[arg(long)]
    insecure: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Authentication of a peer that is added.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum AddedAuth {
    Mtls,
    Signature,
    Network,
}

impl AddedAuth {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Signature => "signature",
            Self::Network => "network",
        }
    }
}

/// Result of the command.
#[derive(Debug, Serialize)]
struct AddedReport {
    server: String,
    /// File that lists the peer.
    file: String,
    /// True if a running gateway has the peer in force.
    reloaded: bool,
}

/// Runs the command and returns its exit code.
pub(super) fn run(options: &AddOptions) -> u8 {
    let json = options.json;
    let config = options.source.config.display().to_string();
    match add(options) {
        Ok(report) if json => print_json(&serde_json::to_string(&report).expect("texts always serialize"), FINE),
        Ok(AddedReport { server, file, reloaded }) => {
            let state = match reloaded {
                true => "The gateway has it in force.".to_owned(),
                false => format!("No gateway runs; start it with `fernpost serve --config {config}`."),
            };
            let next = format!("To see whether it is reached: fernpost peer explain {server} --config {config}");
            print(&format!("{server} is listed in {file}.\n{state}\n{next}\n"), FINE)
        }
        Err(failure) => failure.tell(json),
    }
}

fn add(options: &AddOptions) -> Result<AddedReport, CommandFailure> {
    let auth = options.auth.or(match (options.fingerprints.is_empty(), options.keys.is_empty()) {
        (false, _) => Some(AddedAuth::Mtls),
        (true, false) => Some(AddedAuth::Signature),
        (true, true) => None,
    });
    let Some(auth) = auth else {
        let words =
            "give --fingerprint (certificate), --key (signature), or --auth: a weaker authentication is never assumed";
        return Err(CommandFailure::Misused(words.to_owned()));
    };
    let (source, server) = (&options.source, &options.name);
    let settings = source.clone().load().map_err(|problems| CommandFailure::from(&problems))?;
    check_is_new(server, &settings, source)?;
    let file = PeerFile::beside(&source.config, server.as_str());
    if file.exists() {
        let words = format!("{} exists, and does not list {server}; nothing was changed", file.path().display());
        return Err(CommandFailure::Wrong { code: "FILE_EXISTS", words });
    }
    let now = humantime::format_rfc3339_seconds(SystemClock::time());
    let texts = [("profile", &options.profile), ("dialect", &options.dialect)];
    let section = PeerSectionText {
        server: server.as_str(),
        comment: format!("Written by `fernpost peer add` at {now}."),
        auth: auth.as_str(),
        texts: texts.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect(),
        lists: vec![
            ("keys", &options.keys),
            ("fingerprints", &options.fingerprints),
            ("addresses", &options.addresses),
            ("allow_from", &options.allow_from),
        ],
        insecure: options.insecure,
    };
    file.write(&section.toml())?;
    let undone = format!("{server} was not listed");
    let settings = changed_configuration::check(&file, source, &undone)?;
    let runtime = super::runtime()?;
    let reloaded = runtime.block_on(changed_configuration::put_in_force(&file, &settings, source, &undone))?;
    Ok(AddedReport { server: server.to_string(), file: file.path().display().to_string(), reloaded })
}

/// Checks that no part of the configuration lists or denies the server.
fn check_is_new(server: &ServerName, settings: &Settings, source: &ConfigSource) -> Result<(), CommandFailure> {
    if settings.peers.denied(server) {
        let words = format!("{server} matches a pattern of federation.deny; remove the pattern first");
        return Err(CommandFailure::Wrong { code: "DENIED", words });
    }
    let files = files_that_list(&source.files(), server.as_str());
    let place = match (files.first(), settings.peers.peer(server)) {
        (Some(file), _) => file.display().to_string(),
        (None, Some(_)) => "--set".to_owned(),
        (None, None) => return Ok(()),
    };
    let words = format!(
        "{server} is listed already, by {place}; nothing was changed. Edit its section there, or remove it first (`fernpost peer remove \
         {server}`)"
    );
    Err(CommandFailure::Wrong { code: "ALREADY_LISTED", words })
}
