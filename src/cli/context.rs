//! `fernpost context`: lists contexts, shows their status, and merges their heads.

use clap::Subcommand;

use crate::api::contexts::verification::{ContextVerification, MissingPdus, RefusedPdu, VerifyRepair};
use crate::api::contexts::{ContextDetails, ContextPage, JoinStatus, MergeResult, MissingPdu};
use crate::api::pdus::PduPair;
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::terminal::exit_code::{COULD_NOT_RUN, FINE, WRONG};
use crate::terminal::format::{ago, count, counted, items, room, truncate};
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Commands for contexts.
#[derive(Debug, Subcommand)]
pub(super) enum ContextCommand {
    /// List all contexts by name, one per line.
    List {
        /// Continue after this context.
        #[arg(long, value_name = "CONTEXT")]
        after: Option<String>,
        /// Number of contexts to show, at most 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Show one context, with the PDUs that it misses.
    Show {
        /// Name of the context.
        name: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Compare the history of a context with that of a participant, and fetch what is missing here.
    ///
    /// Exit code: 0 if both are equal, 1 if they differ, 2 if there is no result.
    Verify {
        /// Name of the context.
        name: String,
        /// Participant to compare with.
        #[arg(long, value_name = "PEER")]
        with: String,
        /// Do not fetch what is missing here.
        #[arg(long)]
        no_repair: bool,
        /// Length of the window, such as 7d; default: contexts.verify.window.
        #[arg(long, value_name = "DURATION")]
        window: Option<String>,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Join the heads of a context by empty messages, which all participants receive.
    Merge {
        /// Name of the context.
        name: String,
        #[command(flatten)]
        operator: AdminArgs,
    },
}

/// Maximum number of characters of a name, and below, of a list of servers.
const NAME_LENGTH: usize = 40;
const SERVERS_LENGTH: usize = 60;

/// Maximum number of PDUs named on a terminal; other outputs contain all.
const NAMED_MAX: usize = 10;

/// Runs a command and returns its exit code.
pub(super) fn run(command: ContextCommand) -> u8 {
    match command {
        ContextCommand::List { after, limit, operator } => {
            operator.run(async |gateway, json| list(gateway, json, after, limit).await)
        }
        ContextCommand::Show { name, operator } => operator.run(async |gateway, json| show(gateway, json, &name).await),
        ContextCommand::Verify { name, with, no_repair, window, operator } => {
            operator.run(async |gateway, json| verify(gateway, json, &name, (with, !no_repair, window)).await)
        }
        ContextCommand::Merge { name, operator } => {
            operator.run(async |gateway, json| merge(gateway, json, &name).await)
        }
    }
}

async fn list(gateway: &AdminClient, json: bool, after: Option<String>, limit: u32) -> Result<u8, CommandFailure> {
    let asked = query(&[("after", after), ("limit", Some(limit.to_string()))]);
    let answer = gateway.get(&format!("/contexts{asked}")).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let ContextPage { contexts, next } = gateway.read(&answer)?;
    if contexts.is_empty() {
        return Ok(print("there are no contexts; the messenger creates one with PUT /v1/contexts/NAME\n", FINE));
    }
    let mut table = TextTable::new([
        ("CONTEXT", Left),
        ("HEADS", Right),
        ("DEPTH", Right),
        ("HELD", Right),
        ("GAPS", Right),
        ("LAST", Right),
        ("SERVERS", Left),
    ]);
    for row in contexts {
        table.row(vec![
            truncate(&row.context, NAME_LENGTH),
            count(row.heads),
            count(row.depth),
            count(row.held),
            count(row.gaps),
            row.last.as_deref().map(ago).unwrap_or_default(),
            truncate(&row.participants.join(" "), SERVERS_LENGTH),
        ]);
    }
    let more = next.map(|next| format!("more contexts follow: use --after '{next}'\n")).unwrap_or_default();
    Ok(print(&format!("{}{more}", table.text()), FINE))
}

async fn show(gateway: &AdminClient, json: bool, name: &str) -> Result<u8, CommandFailure> {
    let answer = gateway.get(&format!("/contexts/{}", segment(name))).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let status: ContextDetails = gateway.read(&answer)?;
    let mut lines = vec![
        ("servers", status.participants.join(" ")),
        ("heads", named(&status.heads)),
        ("depth", count(status.depth)),
    ];
    if status.held > 0 {
        lines.push(("held", format!("{}, waiting for parents", items(status.held))));
    }
    if !status.wanted.is_empty() {
        lines.push(("fetching", named(&status.wanted)));
    }
    for MissingPdu { missing, children } in status.gaps.iter().take(room(NAMED_MAX)) {
        lines.push(("gap", format!("{} before {}", named(std::slice::from_ref(missing)), named(children))));
    }
    if let Some(more) = status.gaps.len().checked_sub(room(NAMED_MAX)).filter(|more| *more > 0) {
        lines.push(("gaps", format!("and {} more", count(more as u64))));
    }
    if !status.edge.is_empty() {
        lines.push(("edge", named(&status.edge)));
    }
    if let Some(JoinStatus { via, stage, came, left, reason }) = &status.join {
        let left = if *left > 0 { format!(", {} still to fetch", count(*left)) } else { String::new() };
        lines.push(("join", format!("{stage}, from {via}: {} received{left}", items(*came))));
        lines.extend(reason.clone().map(|reason| ("reason", reason)));
    }
    let mut text = format!("{}\n", status.context);
    for (what, words) in lines {
        text.push_str(&format!("  {what:<13} {words}\n"));
    }
    Ok(print(&text, FINE))
}

/// Formats the first PDUs and the number of further ones.
fn named(pdus: &[PduPair]) -> String {
    let mut words: Vec<String> =
        pdus.iter().take(room(NAMED_MAX)).map(|[origin, id]| format!("{origin}/{id}")).collect();
    if let Some(more) = pdus.len().checked_sub(room(NAMED_MAX)).filter(|more| *more > 0) {
        words.push(format!("and {} more", count(more as u64)));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

async fn verify(
    gateway: &AdminClient,
    json: bool,
    name: &str,
    (with, repair, window): (String, bool, Option<String>),
) -> Result<u8, CommandFailure> {
    let asked = query(&[("with", Some(with)), ("repair", Some(repair.to_string())), ("window", window)]);
    let answer = gateway.post(&format!("/contexts/{}/verify{asked}", segment(name)), String::new()).await?;
    let verification: ContextVerification = gateway.read(&answer)?;
    let code = match &*verification.result {
        "equal" => FINE,
        "differs" => WRONG,
        _ => COULD_NOT_RUN,
    };
    if json {
        print_json(&answer);
        return Ok(code);
    }
    Ok(print(&verification_text(&verification), code))
}

fn verification_text(verification: &ContextVerification) -> String {
    let ContextVerification { context, with, result, from, to, asked_from, here, there, .. } = verification;
    let first = match &**result {
        "equal" => format!("{context}: equal at {with}"),
        "differs" => format!("{context}: differs from {with}"),
        "incomplete" => format!("{context}: not compared to the end with {with} (contexts.verify.calls_max)"),
        other => format!("{context}: {other} at {with}"),
    };
    let mut lines = vec![
        ("compared", format!("{} here, {} there", count(*here), items(*there))),
        ("window", format!("{from} to {to}")),
    ];
    if let Some(asked) = asked_from {
        lines.push(("", format!("asked for from {asked}; a side keeps less, joined later, or has too many")));
    }
    for (what, MissingPdus { count: missing, pdus }) in
        [("missing here", &verification.missing_here), ("missing there", &verification.missing_there)]
    {
        if *missing > 0 {
            lines.push((what, format!("{}: {}", items(*missing), named(pdus))));
        }
    }
    if let Some(VerifyRepair { arrived, absent, fetching, refused, reason }) = &verification.repair {
        for (what, number) in [("fetched", arrived), ("not found", absent), ("on the way", fetching)] {
            if *number > 0 {
                lines.push((what, items(*number)));
            }
        }
        for RefusedPdu { pdu, code } in refused.iter().take(room(NAMED_MAX)) {
            lines.push(("refused", format!("{} ({code})", named(std::slice::from_ref(pdu)))));
        }
        lines.extend(reason.clone().map(|reason| ("reason", reason)));
    }
    if verification.missing_there.count > 0 {
        lines.push(("", format!("{with} fetches what it lacks when its operator verifies this context")));
    }
    let lines: String = lines.into_iter().map(|(what, words)| format!("  {what:<13} {words}\n")).collect();
    format!("{first}\n{lines}")
}

async fn merge(gateway: &AdminClient, json: bool, name: &str) -> Result<u8, CommandFailure> {
    let answer = gateway.post(&format!("/contexts/{}/merge", segment(name)), String::new()).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let MergeResult { context, heads, left, said } = gateway.read(&answer)?;
    let ends = |count: u64| if count == 1 { "1 head".to_owned() } else { format!("{count} heads") };
    let text = match said {
        0 => format!("{context}: {}, nothing to merge\n", ends(heads)),
        _ => format!("{context}: {} merged into {left} by {}\n", ends(heads), counted(said, "message")),
    };
    Ok(print(&text, FINE))
}
