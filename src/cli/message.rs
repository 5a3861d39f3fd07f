//! `fernpost message`: submissions and their delivery to the peers.

mod inbound;
mod list;

use std::collections::BTreeSet;

use clap::Subcommand;

use crate::api::messages::{
    AttemptRow, InboundTrace, MessageCommandResult, MessageTrace, RecipientResult, RecipientTrace,
};
use crate::api::pdus::PduName;
use crate::api::quarantine::QuarantineSelection;
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::cli::quarantine::bulk::{self, BulkConsent};
use crate::terminal::confirmation;
use crate::terminal::exit_code::{COULD_NOT_RUN, FINE, WRONG};
use crate::terminal::format::{ago, count, items, truncate_middle, until};
use crate::terminal::output::remark;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Commands for a submission.
#[derive(Debug, Subcommand)]
pub(super) enum MessageCommand {
    /// List submissions by peer, context, state and age, in the order of their ids.
    List {
        #[command(flatten)]
        filter: list::ListFilter,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Show the delivery peer by peer, or how an item of a peer came in; exits with 1 if a delivery has failed, or if the item is in
    /// quarantine.
    Trace {
        /// Id of the submission, as the messenger chose it; or of an event: ORIGIN/PDU_ID, or SERVER#N for an update of a peer.
        id: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Queue refused items again, queue the message for peers whose outbox was full, and send to waiting peers now; with --peer: queue
    /// all dead letters of a peer again that match.
    Retry {
        /// Id of the submission, as the messenger chose it.
        #[arg(required_unless_present = "peer", conflicts_with = "peer")]
        id: Option<String>,
        /// Act on this peer only.
        #[arg(long, value_name = "NAME", conflicts_with = "peer")]
        server: Option<String>,
        /// Queue all dead letters of this peer again, in their order.
        #[arg(long, value_name = "NAME")]
        peer: Option<String>,
        /// With --peer: only those with this code, or with this text in their reason.
        #[arg(long, requires = "peer")]
        reason: Option<String>,
        /// With --peer: only print the number of dead letters that match.
        #[arg(long, requires = "peer", conflicts_with = "yes")]
        dry_run: bool,
        /// With --peer: confirm; without --yes the command prints what it would do, and asks if it is used at a terminal.
        #[arg(long, requires = "peer")]
        yes: bool,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Move pending items from the queues to quarantine, which can release them; delete items that peers refused
    /// before.
    Drop {
        /// Id of the submission, as the messenger chose it.
        id: String,
        /// Act on this peer only.
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        /// Confirm; without --yes the command prints what it would do, and asks if it is used at a terminal.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        operator: AdminArgs,
    },
}

/// Describes the result of a retry, for people.
fn retried(leg: &RecipientResult) -> Vec<String> {
    let mut said = Vec::new();
    if leg.parked > 0 {
        said.push(format!("{} queued again", items(leg.parked)));
    }
    if leg.queued > 0 {
        said.push(format!("{} tried now", items(leg.queued)));
    }
    said.extend(leg.stays.as_ref().map(|reason| format!("not queued: {reason}")));
    said
}

/// Describes the result of a drop, or of its dry run.
fn dropped(leg: &RecipientResult) -> Vec<String> {
    let mut said = Vec::new();
    if leg.queued > 0 {
        said.push(format!("{} moved from the queue to quarantine", items(leg.queued)));
    }
    if leg.parked > 0 {
        said.push(format!("{} refused before, deleted permanently", items(leg.parked)));
    }
    said
}

/// Maximum number of listed attempts per peer.
const HISTORY_MAX: usize = 20;

/// Maximum number of characters of an attempt's result.
const RESULT_LENGTH: usize = 50;

/// Runs a command and returns its exit code.
pub(super) fn run(command: MessageCommand) -> u8 {
    match command {
        MessageCommand::List { filter, operator } => {
            operator.run(async |gateway, json| list::list(gateway, json, filter).await)
        }
        MessageCommand::Trace { id, operator } => operator.run(async |gateway, json| trace(gateway, json, &id).await),
        MessageCommand::Retry { id: Some(id), server, operator, .. } => {
            operator.run(async |gateway, json| retry(gateway, json, &id, server).await)
        }
        MessageCommand::Retry { peer, reason, dry_run, yes, operator, .. } => {
            let consent = BulkConsent::of(dry_run, yes);
            operator.run(async |gateway, json| retry_many(gateway, json, peer, reason, consent).await)
        }
        MessageCommand::Drop { id, server, yes, operator } => {
            operator.run(async |gateway, json| drop(gateway, json, &id, server, yes).await)
        }
    }
}

async fn retry(gateway: &AdminClient, json: bool, id: &str, server: Option<String>) -> Result<u8, CommandFailure> {
    let path = format!("/messages/{}/retry{}", segment(id), query(&[("server", server)]));
    let answer = gateway.post(&path, String::new()).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let MessageCommandResult { peers, .. } = gateway.read(&answer)?;
    let line = |leg: &RecipientResult| {
        let said = retried(leg);
        let said = if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") };
        format!("{}: {said}\n", leg.server)
    };
    Ok(print(&peers.iter().map(line).collect::<String>(), FINE))
}

/// Queues the dead letters of a peer again, and makes the next attempt now.
async fn retry_many(
    gateway: &AdminClient,
    json: bool,
    peer: Option<String>,
    reason: Option<String>,
    consent: BulkConsent,
) -> Result<u8, CommandFailure> {
    let direction = Some("out".to_owned());
    let selection = QuarantineSelection { from: peer, reason, direction, ..QuarantineSelection::default() };
    let (code, servers) = bulk::act(gateway, json, selection, consent, "release").await?;
    for server in servers.iter().collect::<BTreeSet<_>>() {
        gateway.post(&format!("/peers/{}/retry", segment(server)), String::new()).await?;
    }
    Ok(code)
}

async fn drop(
    gateway: &AdminClient,
    json: bool,
    id: &str,
    server: Option<String>,
    yes: bool,
) -> Result<u8, CommandFailure> {
    let post = async |dry_run: bool| {
        let asked = query(&[("server", server.clone()), ("dry_run", dry_run.then(|| "true".to_owned()))]);
        gateway.post(&format!("/messages/{}/drop{asked}", segment(id)), String::new()).await
    };
    let mut answer = post(!yes).await?;
    let MessageCommandResult { mut peers, .. } = gateway.read(&answer)?;
    let mut code = FINE;
    if !yes && peers.iter().any(|leg| !dropped(leg).is_empty()) {
        let preview = drop_lines(&peers);
        let consent = if json { None } else { confirmation::ask(&preview, &format!("Do this to {id}?")) };
        match consent {
            Some(true) => {
                answer = post(false).await?;
                peers = gateway.read::<MessageCommandResult>(&answer)?.peers;
            }
            Some(false) => {
                remark!("nothing was changed");
                return Ok(COULD_NOT_RUN);
            }
            None if json => code = COULD_NOT_RUN,
            None => {
                remark!("{preview}nothing was changed; add --yes to do this to {id}");
                return Ok(COULD_NOT_RUN);
            }
        }
    }
    Ok(if json { crate::cli::print_json(&answer, code) } else { print(&drop_lines(&peers), code) })
}

/// Describes the result of a drop for each recipient, one a line.
fn drop_lines(peers: &[RecipientResult]) -> String {
    let line = |leg: &RecipientResult| {
        let said = match (dropped(leg), leg.taken_out.unwrap_or(0)) {
            (said, _) if !said.is_empty() => said.join(", "),
            (_, 0) => match &leg.stays {
                Some(reason) => format!("nothing to do: {reason}"),
                None => "nothing to do".to_owned(),
            },
            (_, before) => format!(
                "nothing to do: {} moved to quarantine before; use `fernpost quarantine release` to queue or `fernpost \
                 quarantine drop` to delete",
                items(before)
            ),
        };
        format!("{}: {said}\n", leg.server)
    };
    peers.iter().map(line).collect()
}

async fn trace(gateway: &AdminClient, json: bool, id: &str) -> Result<u8, CommandFailure> {
    let answer = gateway.get(&format!("/messages/{}", segment(id))).await?;
    if let Ok(trace) = gateway.read::<InboundTrace>(&answer) {
        let (text, code) = inbound::told(&trace);
        return Ok(if json { crate::cli::print_json(&answer, code) } else { print(&text, code) });
    }
    let trace: MessageTrace = gateway.read(&answer)?;
    let ends_badly = |leg: &RecipientTrace| !matches!(&*leg.state, "queued" | "relayed" | "acknowledged" | "delivered");
    let code = if trace.peers.values().any(ends_badly) { WRONG } else { FINE };
    if json {
        print_json(&answer);
        return Ok(code);
    }
    let pdu = trace.pdu.map(|PduName { origin, pdu_id }| format!(", as {origin}/{pdu_id}")).unwrap_or_default();
    let mut table = TextTable::new([
        ("PEER", Left),
        ("STATE", Left),
        ("ATTEMPTS", Right),
        ("LAST", Right),
        ("RESULT", Left),
        ("NEXT ATTEMPT", Right),
        ("REASON", Left),
    ]);
    let mut histories = String::new();
    for (server, leg) in trace.peers {
        histories.push_str(&history(&server, &leg.attempts));
        let last = leg.attempts.last();
        table.row(vec![
            server,
            leg.state.into_owned(),
            count(leg.attempts.len() as u64),
            last.map(|attempt| format!("{} ago", ago(&attempt.time))).unwrap_or_default(),
            last.map(|attempt| truncate_middle(&attempt.result, RESULT_LENGTH)).unwrap_or_default(),
            leg.next.as_deref().map(until).unwrap_or_default(),
            leg.reason.unwrap_or_default(),
        ]);
    }
    let accepted = ago(&trace.accepted);
    Ok(print(&format!("{}, accepted {accepted} ago{pdu}\n\n{}{histories}", trace.id, table.text()), code))
}

/// Lists the newest attempts at a peer, oldest first; returns an empty text if the table shows them all.
fn history(server: &str, attempts: &[AttemptRow]) -> String {
    if attempts.len() < 2 {
        return String::new();
    }
    let newest = &attempts[attempts.len().saturating_sub(HISTORY_MAX)..];
    let line = |attempt: &AttemptRow| format!("  {}  {}\n", attempt.time, attempt.result);
    format!("\n{server}\n{}", newest.iter().map(line).collect::<String>())
}
