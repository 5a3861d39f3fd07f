//! `fernpost join-token use`: lists the server of a line as a peer, reloads the gateway, and checks the connection.

use std::io::Read;

use actors::model::FailureCode;
use clap::Args;
use serde::Serialize;

use crate::api::explain::PeerExplanation;
use crate::app::SystemClock;
use crate::app::peer_explainer::PeerExplainer;
use crate::cli::failure::CommandFailure;
use crate::cli::peer::changed_configuration;
use crate::cli::peer::peer_file::{PeerFile, PeerSectionText};
use crate::cli::{ConfigSource, print, print_json};
use crate::identity::join_token::{JoinAuth, JoinOffer, JoinTokenError};
use crate::settings::{PeerAuth, PeerSettings, Settings};
use crate::terminal::exit_code::{FINE, WRONG};

/// Arguments of `join-token use`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TakeOptions {
    /// The line of the other server; without it, or with "-", it is read from standard input.
    line: Option<String>,
    /// Use plain HTTP beyond this machine, on a private link.
    #[arg(long)]
    insecure: bool,
    /// Replace the keys of a peer that an earlier line has listed.
    #[arg(long)]
    replace: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// State of the connection between the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum JoinState {
    /// The other server accepts us.
    Connected,
    /// The other server is reached, and does not list us yet.
    Half,
    /// The other server is not reached.
    Unreached,
}

/// Result of the command.
#[derive(Debug, Serialize)]
struct TakenReport {
    server: String,
    /// File that lists the peer; absent if it was listed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// True if a running gateway has the peer in force.
    reloaded: bool,
    state: JoinState,
    /// Steps by which the peer was reached.
    explanation: PeerExplanation,
}

/// Runs the command and returns its exit code.
pub(super) fn run(options: TakeOptions) -> u8 {
    let json = options.json;
    let config = options.source.config.display().to_string();
    match take(options) {
        Ok(report) => {
            let code = if report.state == JoinState::Unreached { WRONG } else { FINE };
            match json {
                true => print_json(&serde_json::to_string(&report).expect("plain values always serialize"), code),
                false => print(&text(&report, &config), code),
            }
        }
        Err(failure) => failure.tell(json),
    }
}

fn take(options: TakeOptions) -> Result<TakenReport, CommandFailure> {
    let TakeOptions { line, insecure, replace, source, .. } = options;
    let now = SystemClock::time();
    let offer = JoinOffer::read(&line_of(line)?, now).map_err(|error| refused_token(&error))?;
    let settings = source.clone().load().map_err(|problems| CommandFailure::from(&problems))?;
    let file = PeerFile::beside(&source.config, offer.server.as_str());
    let is_new = check(&offer, &settings, replace.then_some(&file))?;
    let undone = format!("{} was not listed", offer.server);
    let settings = if is_new {
        let now = humantime::format_rfc3339_seconds(now).to_string();
        file.write(&section(&offer, insecure, &now))?;
        changed_configuration::check(&file, &source, &undone)?
    } else {
        settings
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        let words = format!("the runtime cannot start: {error}");
        CommandFailure::Broken { code: "RUNTIME", words }
    })?;
    let reloaded = runtime.block_on(async {
        match is_new {
            true => changed_configuration::put_in_force(&file, &settings, &source, &undone).await,
            false => changed_configuration::reload(&settings, &source, "the peer was listed before").await,
        }
    })?;
    let explainer = PeerExplainer::new(&settings).map_err(|error| CommandFailure::Settings(error.to_string()))?;
    let explanation = runtime.block_on(explainer.explain(&offer.server));
    let written = is_new.then(|| file.path().display().to_string());
    let state = state(&explanation);
    Ok(TakenReport { server: offer.server.to_string(), file: written, reloaded, state, explanation })
}

/// Returns the line of the argument, or of standard input.
fn line_of(argument: Option<String>) -> Result<String, CommandFailure> {
    /// Longer than any line.
    const READ_MAX: u64 = 64 * 1024;
    match argument {
        Some(line) if line != "-" => Ok(line),
        _ => {
            let mut line = String::new();
            let read = std::io::stdin().lock().take(READ_MAX).read_to_string(&mut line);
            read.map_err(|error| CommandFailure::Misused(format!("standard input: {error}")))?;
            Ok(line)
        }
    }
}

fn refused_token(error: &JoinTokenError) -> CommandFailure {
    let words = error.to_string();
    match error {
        JoinTokenError::Malformed(_) => CommandFailure::Wrong { code: "BAD_TOKEN", words },
        JoinTokenError::BadSignature(_) => CommandFailure::Wrong { code: "BAD_SIGNATURE", words },
        JoinTokenError::Expired { .. } | JoinTokenError::TooLong(_) => {
            CommandFailure::Wrong { code: "TOKEN_EXPIRED", words }
        }
        JoinTokenError::NoKey => CommandFailure::Wrong { code: "NO_KEY", words },
    }
}

/// Checks that the server may be listed; false if it is listed with the same values. `replaced` is the file of an earlier line, if its
/// peer may be replaced.
fn check(offer: &JoinOffer, settings: &Settings, replaced: Option<&PeerFile>) -> Result<bool, CommandFailure> {
    let server = &offer.server;
    if *server == settings.server.name {
        let words = format!("this line describes {server}, which is this server; use it at the other one");
        return Err(CommandFailure::Wrong { code: "OWN_NAME", words });
    }
    if settings.peers.denied(server) {
        let words = format!("{server} matches a pattern of federation.deny; remove the pattern first");
        return Err(CommandFailure::Wrong { code: "DENIED", words });
    }
    if offer.auth == JoinAuth::Mtls && settings.federation.tls.is_none() {
        let words = format!(
            "{server} wants certificates (mtls), and federation.tls is not set here; set it, or ask for a line with --auth signature"
        );
        return Err(CommandFailure::Wrong { code: "NO_CERTIFICATE", words });
    }
    match settings.peers.peer(server) {
        None => Ok(true),
        Some(peer) if is_same(offer, &peer) => Ok(false),
        Some(_) if replaced.is_some_and(PeerFile::exists) => Ok(true),
        Some(_) => {
            let words = format!(
                "{server} is listed already, with other keys or another auth. Nothing was changed. If its operator has confirmed the \
                 new ones, use --replace for a peer of an earlier line, or edit its section"
            );
            Err(CommandFailure::Wrong { code: "OTHER_KEYS", words })
        }
    }
}

/// Returns whether a listed peer is proved by what the offer states.
fn is_same(offer: &JoinOffer, peer: &PeerSettings) -> bool {
    let keys = offer.keys.iter().all(|key| peer.link.keys.contains(key));
    match (&peer.link.auth, offer.auth) {
        (PeerAuth::Signature { .. }, JoinAuth::Signature) => keys,
        (PeerAuth::Certificate { fingerprints }, JoinAuth::Mtls) => {
            keys && offer.fingerprint.is_some_and(|pin| fingerprints.contains(&pin))
        }
        _ => false,
    }
}

/// Returns the section of the server of a line.
fn section(offer: &JoinOffer, insecure: bool, now: &str) -> String {
    let (keys, pins) = (offer.written_keys(), offer.fingerprint.filter(|_| offer.auth == JoinAuth::Mtls));
    let pins: Vec<String> = pins.iter().map(ToString::to_string).collect();
    let section = PeerSectionText {
        server: offer.server.as_str(),
        comment: format!("Written by `fernpost join-token use` at {now}, from a line of {}.", offer.server),
        auth: offer.auth.as_str(),
        texts: vec![],
        lists: vec![("keys", &keys), ("fingerprints", &pins), ("addresses", &offer.addresses)],
        insecure,
    };
    section.toml()
}

fn state(explanation: &PeerExplanation) -> JoinState {
    let last = explanation.steps.last();
    let refusals = [401, 403].map(|status| FailureCode::Http(status).to_string());
    let is_refused = |code: &str| refusals.iter().any(|refusal| refusal == code);
    match last {
        Some(step) if step.ok => JoinState::Connected,
        Some(step) if step.step == "identity" && step.code.as_deref().is_some_and(is_refused) => JoinState::Half,
        _ => JoinState::Unreached,
    }
}

fn text(report: &TakenReport, config: &str) -> String {
    let TakenReport { server, file, reloaded, state, explanation } = report;
    let listed = match file {
        Some(file) => format!("{server} is listed in {file}.\n"),
        None => format!("{server} was listed before, with the same keys.\n"),
    };
    let reloaded = match reloaded {
        true => "The gateway has it in force.\n".to_owned(),
        false => format!("No gateway runs; start it with `fernpost serve --config {config}`.\n"),
    };
    let reached = match state {
        JoinState::Connected => format!("{server} is reached, and accepts us: both servers are connected.\n"),
        JoinState::Half => format!(
            "{server} is reached, and does not list us yet: send its operator the line of `fernpost join-token new --config {config}`.\n"
        ),
        JoinState::Unreached => {
            let step = explanation.steps.last();
            let words = step.map(|step| format!("{}: {}", step.step, step.detail)).unwrap_or_default();
            let fix = step.and_then(|step| step.fix.as_ref()).map(|fix| format!("What to do: {fix}.\n"));
            let fix = fix.unwrap_or_default();
            format!("{server} is not reached: {words}.\n{fix}Then: fernpost peer explain {server} --config {config}\n")
        }
    };
    listed + &reloaded + &reached
}
