//! `fernpost message`: one submission and its delivery to the peers.

use clap::Subcommand;

use crate::api::messages::{AttemptRow, MessageCommandResult, MessageTrace, RecipientResult, RecipientTrace};
use crate::api::pdus::PduName;
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::terminal::exit_code::{COULD_NOT_RUN, FINE, WRONG};
use crate::terminal::format::{ago, count, items, truncate_middle, until};
use crate::terminal::output::remark;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Commands for a submission.
#[derive(Debug, Subcommand)]
pub(super) enum MessageCommand {
    /// Show the delivery peer by peer; exits with 1 if the delivery to a peer has failed.
    Trace {
        /// Id of the submission, as the messenger chose it.
        id: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Queue refused items again, queue the message for peers whose outbox was full, and send to waiting peers now.
    Retry {
        /// Id of the submission, as the messenger chose it.
        id: String,
        /// Act on this peer only.
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
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
        /// Confirm; without --yes the command prints what it would do.
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
        MessageCommand::Trace { id, operator } => operator.run(async |gateway, json| trace(gateway, json, &id).await),
        MessageCommand::Retry { id, server, operator } => {
            operator.run(async |gateway, json| retry(gateway, json, &id, server).await)
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

async fn drop(
    gateway: &AdminClient,
    json: bool,
    id: &str,
    server: Option<String>,
    yes: bool,
) -> Result<u8, CommandFailure> {
    let dry_run = (!yes).then(|| "true".to_owned());
    let asked = query(&[("server", server), ("dry_run", dry_run)]);
    let answer = gateway.post(&format!("/messages/{}/drop{asked}", segment(id)), String::new()).await?;
    let MessageCommandResult { peers, .. } = gateway.read(&answer)?;
    let would = peers.iter().any(|leg| !dropped(leg).is_empty());
    let code = if !yes && would { COULD_NOT_RUN } else { FINE };
    if json {
        print_json(&answer);
        return Ok(code);
    }
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
    let lines = peers.iter().map(line).collect::<String>();
    if code == FINE {
        return Ok(print(&lines, FINE));
    }
    remark!("{lines}nothing was changed; add --yes to do this to {id}");
    Ok(code)
}

async fn trace(gateway: &AdminClient, json: bool, id: &str) -> Result<u8, CommandFailure> {
    let answer = gateway.get(&format!("/messages/{}", segment(id))).await?;
    let trace: MessageTrace = gateway.read(&answer)?;
    let ends_badly = |leg: &RecipientTrace| !matches!(&*leg.state, "queued" | "acknowledged");
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
