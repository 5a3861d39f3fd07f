//! `fernpost queue move`: moves submissions from the queue of a peer to that of another one, after a preview.

use clap::Args;

use crate::api::queue::{QueueMoveRequest, QueueMoveResult, StayingItems};
use crate::cli::admin_client::{AdminClient, CommandFailure, segment};
use crate::cli::{print, print_json};
use crate::terminal::confirmation;
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::{count, counted, items, size};
use crate::terminal::progress::ProgressLine;

/// The two peers, the selection of items, and the confirmation.
#[derive(Debug, Args)]
pub(in crate::cli) struct MoveOptions {
    /// Peer whose queue it is.
    #[arg(long, value_name = "NAME")]
    from: String,
    /// Peer to whose queue the items go.
    #[arg(long, value_name = "NAME")]
    to: String,
    /// Only messages of this context.
    #[arg(long)]
    context: Option<String>,
    /// Only items that were queued longer ago than this, such as 1h.
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    /// Only print the number of items that may be moved, and why the others stay.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Confirm; without it the command prints what it would do, and asks if it is used at a terminal.
    #[arg(long)]
    yes: bool,
}

/// Moves items, if that is confirmed. The exit code is 1 if items that match stay.
pub(super) async fn transfer(gateway: &AdminClient, json: bool, options: MoveOptions) -> Result<u8, CommandFailure> {
    let MoveOptions { from, to, context, older_than, dry_run, yes } = options;
    let selection = QueueMoveRequest { to: to.clone(), context, older_than, ..QueueMoveRequest::default() };
    let preview = run(gateway, &from, QueueMoveRequest { dry_run: true, ..selection.clone() }, None).await?;
    if dry_run || preview.items == 0 {
        return Ok(tell(&preview, json));
    }
    let words = format!("{} from {from} to {to}", items(preview.items));
    if !yes && (json || confirmation::ask(&described(&preview), &format!("Move {words}?")) != Some(true)) {
        let shown = if json { String::new() } else { described(&preview) };
        return Err(CommandFailure::Misused(format!("{shown}nothing was changed; to move {words}, add --yes")));
    }
    let mut progress = ProgressLine::new(&format!("move {words}"));
    let asked = QueueMoveRequest { before: Some(preview.time), ..selection };
    let done = run(gateway, &from, asked, Some((&mut progress, preview.items))).await?;
    progress.end();
    Ok(tell(&done, json))
}

/// Makes the calls for all pages, and returns the sum of the answers.
async fn run(
    gateway: &AdminClient,
    from: &str,
    mut asked: QueueMoveRequest,
    mut progress: Option<(&mut ProgressLine, u64)>,
) -> Result<QueueMoveResult, CommandFailure> {
    let path = format!("/queue/{}/move", segment(from));
    let mut whole: Option<QueueMoveResult> = None;
    loop {
        let body = serde_json::to_string(&asked).expect("texts always serialize");
        let mut page: QueueMoveResult = gateway.read(&gateway.post(&path, body).await?)?;
        asked.after = page.next.take();
        if let Some(mut sum) = whole {
            sum.items += page.items;
            sum.bytes += page.bytes;
            sum.messages += page.messages;
            sum.forwards += page.forwards;
            for staying in page.stay {
                match sum.stay.iter_mut().find(|row| row.code == staying.code) {
                    Some(row) => row.items += staying.items,
                    None => sum.stay.push(staying),
                }
            }
            page = sum;
        }
        if let Some((progress, found)) = &mut progress {
            progress.at(page.items, *found);
        }
        if asked.after.is_none() {
            return Ok(page);
        }
        whole = Some(page);
    }
}

fn tell(result: &QueueMoveResult, json: bool) -> u8 {
    let code = if result.stay.is_empty() && result.forwards == 0 { FINE } else { WRONG };
    if json {
        return print_json(&serde_json::to_string(result).expect("texts and numbers always serialize"), code);
    }
    let done = if result.dry_run || result.items == 0 { "nothing was changed\n" } else { "" };
    print(&format!("{}{done}", described(result)), code)
}

/// Describes the items, for people.
fn described(result: &QueueMoveResult) -> String {
    let QueueMoveResult { server, to, dry_run, items: moved, bytes, messages, forwards, stay, .. } = result;
    let submissions = counted(*messages, "submission");
    let mut text = match (moved, dry_run) {
        (0, _) => format!("no item in the queue of {server} may be moved to {to}\n"),
        (_, true) => format!("{} of {submissions} would go from {server} to {to}, {}\n", items(*moved), size(*bytes)),
        (_, false) => format!("{} of {submissions} went from {server} to {to}\n", items(*moved)),
    };
    for StayingItems { code, reason, items } in stay {
        text.push_str(&format!("  {} stay: {code}, {reason}\n", count(*items)));
    }
    if *forwards > 0 {
        text.push_str(&format!("  {} stay: forwards of other servers\n", count(*forwards)));
    }
    text
}
