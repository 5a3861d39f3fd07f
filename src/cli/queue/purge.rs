//! `fernpost queue purge`: takes items out of the queue of a peer, after a preview.

use clap::Args;

use crate::api::queue::{QueuePurgeResult, QueueSelection};
use crate::cli::admin_client::{AdminClient, CommandFailure, print_json, segment};
use crate::cli::print;
use crate::terminal::confirmation;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{ago, counted, items, size};
use crate::terminal::progress::ProgressLine;

/// The selection of items, and the confirmation.
#[derive(Debug, Args)]
pub(in crate::cli) struct PurgeOptions {
    /// Peer whose queue it is.
    #[arg(long, value_name = "NAME")]
    peer: String,
    /// Only messages of this context.
    #[arg(long)]
    context: Option<String>,
    /// Only items that were queued longer ago than this, such as 1h.
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    /// Only print the number of items that match.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Confirm; without it the command prints what it would do, and asks if it is used at a terminal.
    #[arg(long)]
    yes: bool,
}

/// Purges a queue, if that is confirmed.
pub(super) async fn purge(gateway: &AdminClient, json: bool, options: PurgeOptions) -> Result<u8, CommandFailure> {
    let PurgeOptions { peer, context, older_than, dry_run, yes } = options;
    let selection = QueueSelection { context, older_than, ..QueueSelection::default() };
    let preview = run(gateway, &peer, QueueSelection { dry_run: true, ..selection.clone() }, None).await?;
    if dry_run || preview.items == 0 {
        return Ok(tell(&preview, json));
    }
    let words = format!("{} for {peer}", items(preview.items));
    if !yes && (json || confirmation::ask(&described(&preview), &format!("Purge {words}?")) != Some(true)) {
        let shown = if json { String::new() } else { described(&preview) };
        return Err(CommandFailure::Misused(format!("{shown}nothing was changed; to purge {words}, add --yes")));
    }
    let mut progress = ProgressLine::new(&format!("purge {words}"));
    let asked = QueueSelection { before: Some(preview.time), ..selection };
    let done = run(gateway, &peer, asked, Some((&mut progress, preview.items))).await?;
    progress.end();
    Ok(tell(&done, json))
}

/// Makes the calls for all pages, and returns the sum of the answers.
async fn run(
    gateway: &AdminClient,
    peer: &str,
    mut asked: QueueSelection,
    mut progress: Option<(&mut ProgressLine, u64)>,
) -> Result<QueuePurgeResult, CommandFailure> {
    let path = format!("/queue/{}/purge", segment(peer));
    let mut whole: Option<QueuePurgeResult> = None;
    loop {
        let body = serde_json::to_string(&asked).expect("texts always serialize");
        let mut page: QueuePurgeResult = gateway.read(&gateway.post(&path, body).await?)?;
        asked.after = page.next.take();
        if let Some(sum) = whole {
            page.items += sum.items;
            page.bytes += sum.bytes;
            page.messages += sum.messages;
            page.forwards += sum.forwards;
            // The first page has the oldest items, and the time from which the selection counts.
            page.oldest = sum.oldest.or(page.oldest);
            page.time = sum.time;
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

fn tell(result: &QueuePurgeResult, json: bool) -> u8 {
    if json {
        return print_json(&serde_json::to_string(result).expect("texts and numbers always serialize"));
    }
    let done = if result.dry_run || result.items == 0 { "nothing was changed\n" } else { "" };
    print(&format!("{}{done}", described(result)), FINE)
}

/// Describes the items, for people.
fn described(result: &QueuePurgeResult) -> String {
    let QueuePurgeResult { server, dry_run, items: count, bytes, messages, forwards, oldest, .. } = result;
    let submissions = counted(*messages, "submission");
    let mut text = match (count, dry_run) {
        (0, _) => format!("no item in the queue of {server} matches\n"),
        (_, true) => {
            let age =
                oldest.as_deref().map(|oldest| format!(", the oldest queued {} ago", ago(oldest))).unwrap_or_default();
            format!("{server}: {} of {submissions} would leave the queue, {}{age}\n", items(*count), size(*bytes))
        }
        (_, false) => format!(
            "{server}: {} of {submissions} left the queue; `fernpost quarantine release` queues them again\n",
            items(*count)
        ),
    };
    if *forwards > 0 {
        text.push_str(&format!("{} of other servers stay\n", counted(*forwards, "forward")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purge_is_described_for_people() {
        let text = r#"{"server":"blue","time":"1970-01-01T00:00:00.000Z","dry_run":true,"items":3,"bytes":30,"messages":1,"forwards":2}"#;
        let result: QueuePurgeResult = serde_json::from_str(text).expect("a result");
        let would = "blue: 3 items of 1 submission would leave the queue, 30 B\n2 forwards of other servers stay\n";
        assert_eq!(described(&result), would);
        let none = QueuePurgeResult { items: 0, forwards: 0, ..result };
        assert_eq!(described(&none), "no item in the queue of blue matches\n");
    }
}
