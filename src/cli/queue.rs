//! `fernpost queue`: items that are pending for peers, by age.

mod purge;
mod transfer;

use clap::Subcommand;

use crate::api::queue::{QueueItemsPage, QueueShapePage};
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{ago, count, size};
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Commands for queues.
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// Show the number of pending items per peer and age; during an outage high numbers move to the right.
    Shape {
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// List the pending items of one peer, oldest first.
    Show {
        /// Name of the peer.
        name: String,
        /// Continue after this index.
        #[arg(long, value_name = "INDEX")]
        after: Option<u64>,
        /// Number of items to show, at most 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Take items out of the queue of a peer. They become dead letters, which quarantine can release, and the messenger is told by a
    /// `delivery` event for each submission.
    Purge {
        #[command(flatten)]
        options: purge::PurgeOptions,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Move submissions to the end of the queue of another peer, in their order. What may not go there stays: updates of which the peer
    /// has a part, messages of contexts in which the other peer does not participate, and what was sent to both.
    Move {
        #[command(flatten)]
        options: transfer::MoveOptions,
        #[command(flatten)]
        operator: AdminArgs,
    },
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: QueueCommand) -> u8 {
    match command {
        QueueCommand::Shape { operator } => operator.run(shape),
        QueueCommand::Show { name, after, limit, operator } => {
            operator.run(async |gateway, json| show(gateway, json, &name, after, limit).await)
        }
        QueueCommand::Move { options, operator } => {
            operator.run(async |gateway, json| transfer::transfer(gateway, json, options).await)
        }
        QueueCommand::Purge { options, operator } => {
            operator.run(async |gateway, json| purge::purge(gateway, json, options).await)
        }
    }
}

async fn shape(gateway: &AdminClient, json: bool) -> Result<u8, CommandFailure> {
    let mut whole: QueueShapePage = gateway.read(&gateway.get("/queue").await?)?;
    while let Some(after) = whole.next.take() {
        let page: QueueShapePage =
            gateway.read(&gateway.get(&format!("/queue{}", query(&[("after", Some(after))]))).await?)?;
        whole.peers.extend(page.peers);
        whole.next = page.next;
    }
    if json {
        let text = serde_json::to_string(&whole).expect("texts and numbers always serialize");
        return Ok(print_json(&text));
    }
    if whole.peers.is_empty() {
        return Ok(print("nothing is queued\n", FINE));
    }
    whole.peers.sort_by(|one, other| other.total.cmp(&one.total).then_with(|| one.server.cmp(&other.server)));
    let heads = ["PEER", "TOTAL"].into_iter().chain(whole.buckets.iter().map(|bucket| &**bucket));
    let mut table =
        TextTable::new(heads.enumerate().map(|(place, head)| (head, if place == 0 { Left } else { Right })));
    // Zeros are printed as dashes, so that other numbers stand out.
    let number = |number: &u64| if *number == 0 { "-".to_owned() } else { count(*number) };
    for peer in &whole.peers {
        let numbers = std::iter::once(&peer.total).chain(&peer.counts).map(number);
        table.row(std::iter::once(peer.server.clone()).chain(numbers).collect());
    }
    if whole.peers.len() > 1 {
        let sum = |place: usize| whole.peers.iter().filter_map(|peer| peer.counts.get(place)).sum::<u64>();
        let total = whole.peers.iter().map(|peer| peer.total).sum::<u64>();
        let numbers = std::iter::once(total).chain((0..whole.buckets.len()).map(sum)).map(|sum| number(&sum));
        table.row(std::iter::once("TOTAL".to_owned()).chain(numbers).collect());
    }
    Ok(print(&table.text(), FINE))
}

async fn show(
    gateway: &AdminClient,
    json: bool,
    name: &str,
    after: Option<u64>,
    limit: u32,
) -> Result<u8, CommandFailure> {
    let asked = query(&[("after", after.map(|after| after.to_string())), ("limit", Some(limit.to_string()))]);
    let answer = gateway.get(&format!("/queue/{}{asked}", segment(name))).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let QueueItemsPage { items, next, .. } = gateway.read(&answer)?;
    if items.is_empty() {
        return Ok(print(&format!("nothing is pending for {name}\n"), FINE));
    }
    let mut table = TextTable::new([
        ("INDEX", Right),
        ("AGE", Right),
        ("KIND", Left),
        ("SIZE", Right),
        ("CONTEXT", Left),
        ("SUBMISSION", Left),
    ]);
    for item in items {
        let context = item.context.unwrap_or_default();
        table.row(vec![
            item.index.to_string(),
            ago(&item.queued),
            item.kind.into_owned(),
            size(item.size),
            context,
            item.submission,
        ]);
    }
    let more = next.map(|next| format!("more items follow: use --after {next}\n")).unwrap_or_default();
    Ok(print(&format!("{}{more}", table.text()), FINE))
}
