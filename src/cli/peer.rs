//! `fernpost peer`: the state of peers, and commands for them.

mod add;
pub(in crate::cli) mod changed_configuration;
mod drain;
mod explain;
pub(in crate::cli) mod peer_file;
mod remove;
mod watch;

use std::time::Duration;

use actors::model::{NumberRange, Seq, ShortDuration};
use clap::Subcommand;
use tokio::runtime::Runtime;

use crate::api::peers::{PeerConfiguration, PeerDetails, PeerList, RenumberRequest};
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, segment};
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{ago, count, items, size, truncate_middle, until};
use crate::terminal::output::remark;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Commands for peers.
#[derive(Debug, Subcommand)]
pub(super) enum PeerCommandLine {
    /// List all peers, one per line.
    List {
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Show one peer in detail.
    Show {
        /// Name of the peer.
        name: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// List a server as a peer, in a file of its own in conf.d, and reload the gateway if one runs.
    Add(Box<add::AddOptions>),
    /// Remove the file of a peer that `peer add` or `join-token use` has written, and reload the gateway if one runs.
    Remove(remove::RemoveOptions),
    /// Print the changes of the peers' states as they happen, until it is interrupted.
    Watch {
        /// Name of the peer; default: all.
        name: Option<String>,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Reach a peer step by step, and say what to do about the step that fails. No gateway has to run.
    Explain(explain::ExplainOptions),
    /// Stop sending to the peer until it is resumed, also across restarts; what the peer sends is still accepted.
    Suspend {
        /// Name of the peer.
        name: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// End the suspension, whatever its reason, and send at once.
    Resume {
        /// Name of the peer.
        name: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Make the next attempt now.
    Retry {
        /// Name of the peer.
        name: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Wait until the peer has everything: nothing for it is queued or relayed, and it has told every receipt that was asked for.
    Drain {
        /// Name of the peer.
        name: String,
        /// Time after which to give up, such as 10m; default: never.
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        within: Option<Duration>,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Set the expected number of the peer's next update, if the peer was restored from a backup or cannot resend from
    /// the number that we expect.
    Expect {
        /// Name of the peer.
        name: String,
        /// Number of the peer's next update.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        number: u64,
        /// Confirm a number that is more than `renumber_max` above the expected one.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Set the number of our next update to the peer, and resume the peer if it was suspended as ahead of us because it
    /// expects another number than we sent.
    Renumber {
        /// Name of the peer.
        name: String,
        /// Number that the peer expects.
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        number: u64,
        /// Confirm a number that is more than `renumber_max` above our newest one.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        operator: AdminArgs,
    },
}

/// Maximum number of characters of an error.
const ERROR_LENGTH: usize = 70;

/// Returns the state of a peer and the cause of its suspension, for people.
fn state(peer: &PeerDetails) -> String {
    let state = peer.state.replace('_', " ");
    match &peer.reason {
        Some(reason) => format!("{state} ({})", reason.replace('_', " ")),
        None => state,
    }
}

/// Returns how far the clock of a peer is from ours, for people.
fn skew(skew_ms: i64) -> String {
    let apart = ShortDuration(Duration::from_millis(skew_ms.unsigned_abs()));
    match skew_ms {
        0 => "it agrees with ours".to_owned(),
        1.. => format!("{apart} ahead of ours"),
        _ => format!("{apart} behind ours"),
    }
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: PeerCommandLine) -> u8 {
    match command {
        PeerCommandLine::List { operator } => operator.run(list),
        PeerCommandLine::Show { name, operator } => {
            operator.run(async |gateway, json| show(gateway, json, &name).await)
        }
        PeerCommandLine::Add(options) => add::run(&options),
        PeerCommandLine::Remove(options) => remove::run(options),
        PeerCommandLine::Watch { name, operator } => {
            operator.run(async |gateway, json| watch::watch(gateway, json, name.as_deref()).await)
        }
        PeerCommandLine::Explain(options) => explain::run(options),
        PeerCommandLine::Suspend { name, operator } => order(operator, &name, "suspend", String::new()),
        PeerCommandLine::Resume { name, operator } => order(operator, &name, "resume", String::new()),
        PeerCommandLine::Retry { name, operator } => order(operator, &name, "retry", String::new()),
        PeerCommandLine::Drain { name, within, operator } => {
            operator.run(async |gateway, json| drain::drain(gateway, json, &name, within).await)
        }
        PeerCommandLine::Expect { name, number, yes, operator } => operator.run(async |gateway, json| {
            let peer: PeerDetails = gateway.read(&gateway.get(&format!("/peers/{}", segment(&name))).await?)?;
            let before = peer.expected_seq;
            if !json && number < before {
                remark!(
                    "note: {name} was expected to continue with {before}; if it still keeps {} and was not restored to \
                     before them, it sends them a second time",
                    NumberRange(Seq(number), Seq(before - 1))
                );
            }
            run_command(gateway, json, &name, "expect", numbered(number, yes)).await
        }),
        PeerCommandLine::Renumber { name, number, yes, operator } => {
            order(operator, &name, "renumber", numbered(number, yes))
        }
    }
}

/// Returns the runtime of a command that works without a gateway, too.
fn runtime() -> Result<Runtime, CommandFailure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        let words = format!("the runtime cannot start: {error}");
        CommandFailure::Broken { code: "RUNTIME", words }
    })
}

fn numbered(number: u64, yes: bool) -> String {
    serde_json::to_string(&RenumberRequest { seq: number, yes }).expect("numbers always serialize")
}

async fn list(gateway: &AdminClient, json: bool) -> Result<u8, CommandFailure> {
    let answer = gateway.get("/peers").await?;
    if json {
        return Ok(print_json(&answer));
    }
    let PeerList { peers } = gateway.read(&answer)?;
    if peers.is_empty() {
        return Ok(print("there are no peers; list them under [peers.server.\"NAME\"]\n", FINE));
    }
    let mut table = TextTable::new([
        ("PEER", Left),
        ("STATE", Left),
        ("SINCE", Right),
        ("BACKLOG", Right),
        ("OLDEST", Right),
        ("NEXT ATTEMPT", Right),
        ("FAILURES", Right),
        ("LAST ERROR", Left),
    ]);
    let said = |text: &Option<String>, how: fn(&str) -> String| text.as_deref().map(how).unwrap_or_default();
    for peer in &peers {
        table.row(vec![
            peer.server.clone(),
            state(peer),
            ago(&peer.since),
            count(peer.backlog),
            said(&peer.oldest_unacknowledged, ago),
            said(&peer.next_attempt, until),
            Some(peer.failures).filter(|failures| *failures > 0).map(count).unwrap_or_default(),
            said(&peer.last_error, |error| truncate_middle(error, ERROR_LENGTH)),
        ]);
    }
    Ok(print(&table.text(), FINE))
}

async fn show(gateway: &AdminClient, json: bool, name: &str) -> Result<u8, CommandFailure> {
    let answer = gateway.get(&format!("/peers/{}", segment(name))).await?;
    print_peer(gateway, json, &answer)
}

/// Sends a command, and prints the peer's status afterwards.
fn order(operator: AdminArgs, name: &str, order: &str, body: String) -> u8 {
    operator.run(async |gateway, json| run_command(gateway, json, name, order, body).await)
}

async fn run_command(
    gateway: &AdminClient,
    json: bool,
    name: &str,
    order: &str,
    body: String,
) -> Result<u8, CommandFailure> {
    let answer = gateway.post(&format!("/peers/{}/{order}", segment(name)), body).await?;
    print_peer(gateway, json, &answer)
}

/// Prints the status of one peer.
fn print_peer(gateway: &AdminClient, json: bool, answer: &str) -> Result<u8, CommandFailure> {
    if json {
        return Ok(print_json(answer));
    }
    let peer: PeerDetails = gateway.read(answer)?;
    let mut lines = vec![("state", state(&peer))];
    let since = ago(&peer.since);
    if !since.is_empty() {
        lines.push(("since", format!("{since} ago")));
    }
    let oldest = peer.oldest_unacknowledged.as_deref().map(ago);
    let oldest = oldest.map(|oldest| format!(", the oldest queued {oldest} ago")).unwrap_or_default();
    let bytes = if peer.backlog > 0 { format!(", {}", size(peer.backlog_bytes)) } else { String::new() };
    lines.push(("backlog", format!("{}{bytes}{oldest}", items(peer.backlog))));
    if let Some(next) = &peer.next_attempt {
        lines.push(("next attempt", until(next)));
    }
    if peer.failures > 0 {
        lines.push(("failures", format!("{} in a row", count(peer.failures))));
    }
    if let Some(error) = &peer.last_error {
        lines.push(("last error", error.clone()));
    }
    if let Some(success) = &peer.last_success {
        lines.push(("last success", format!("{} ago", ago(success))));
    }
    if let Some(skew_ms) = peer.clock_skew_ms {
        lines.push(("clock", skew(skew_ms)));
    }
    if peer.expected_seq > 0 {
        lines.push(("expects", format!("update {} next from it", count(peer.expected_seq))));
    }
    if let Some(PeerConfiguration { dialect, profile, addresses, .. }) = &peer.configured {
        lines.push(("dialect", format!("{dialect} (profile {profile})")));
        lines.extend(addresses.iter().map(|address| ("address", address.clone())));
    }
    if let Some(number) = peer.next_seq {
        lines.push(("sends", format!("update {} next to it", count(number))));
    }
    let mut text = format!("{}\n", peer.server);
    for (what, words) in lines {
        text.push_str(&format!("  {what:<13} {words}\n"));
    }
    let (limits, origins) =
        peer.configured.map(|configured| (configured.limits, configured.origins)).unwrap_or_default();
    if !limits.is_empty() {
        text.push_str("  limits\n");
    }
    for (key, value) in &limits {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let line = format!("    {key:<20} {value:<12} {}", origins.get(key).map_or("", String::as_str));
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    Ok(print(&text, FINE))
}
