//! `fernpost message list`: submissions by peer, context, state and age.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::api::messages::{MessageListPage, MessageListRow};
use crate::cli::admin_client::{AdminClient, CommandFailure, print_json, query};
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{ago, count};
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// States of a delivery that can be asked for.
const STATES: [&str; 8] =
    ["queued", "relayed", "acknowledged", "delivered", "rejected", "refused", "parked", "expired"];

/// The selection of submissions.
#[derive(Debug, Args)]
pub(in crate::cli) struct ListFilter {
    /// Only submissions for this peer.
    #[arg(long, value_name = "NAME")]
    peer: Option<String>,
    /// Only messages of this context.
    #[arg(long)]
    context: Option<String>,
    /// Only submissions whose delivery to a recipient, or to the peer, is in this state.
    #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// Only submissions accepted longer ago than this, such as 1h.
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    /// Continue after this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Number of submissions to show.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// Lists submissions by id. The gateway examines a bounded number of them in a call, so that a page may be short, or empty.
pub(super) async fn list(gateway: &AdminClient, json: bool, filter: ListFilter) -> Result<u8, CommandFailure> {
    let mut whole = MessageListPage { messages: vec![], next: filter.after.clone() };
    loop {
        let missing = (filter.limit as usize).saturating_sub(whole.messages.len());
        let asked = query(&[
            ("peer", filter.peer.clone()),
            ("context", filter.context.clone()),
            ("state", filter.state.clone()),
            ("older_than", filter.older_than.clone()),
            ("after", whole.next.take()),
            ("limit", Some(missing.to_string())),
        ]);
        let page: MessageListPage = gateway.read(&gateway.get(&format!("/messages{asked}")).await?)?;
        whole.messages.extend(page.messages);
        whole.next = page.next;
        if whole.next.is_none() || whole.messages.len() >= filter.limit as usize {
            break;
        }
    }
    if json {
        return Ok(print_json(&serde_json::to_string(&whole).expect("texts and numbers always serialize")));
    }
    let more = whole.next.map(|next| format!("more submissions follow: use --after {next}\n")).unwrap_or_default();
    if whole.messages.is_empty() {
        return Ok(print(&format!("no submission is of this kind\n{more}"), FINE));
    }
    let mut table =
        TextTable::new([("ID", Left), ("AGE", Right), ("ITEMS", Right), ("CONTEXT", Left), ("DELIVERIES", Left)]);
    for MessageListRow { id, accepted, items, context, peers, .. } in whole.messages {
        let deliveries: Vec<String> = peers.iter().map(|(server, state)| format!("{server} {state}")).collect();
        table.row(vec![id, ago(&accepted), count(items.into()), context.unwrap_or_default(), deliveries.join(", ")]);
    }
    Ok(print(&format!("{}{more}", table.text()), FINE))
}
