//! `fernpost quarantine`: quarantined items and dead letters.

pub(in crate::cli) mod bulk;
mod refused_events;
mod release;

use clap::{Args, Subcommand, ValueEnum};

use crate::api::quarantine::{QuarantineListPage, QuarantineRow, QuarantineSelection};
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{ago, size, truncate};
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Commands for quarantined items and dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List inbound items that could not be delivered to the messenger, and outbound items that peers refused.
    List {
        #[command(flatten)]
        filter: QuarantineFilter,
        /// List the events that our messenger refused when they were pushed.
        #[arg(long, conflicts_with_all = ["server", "kind", "direction"])]
        messenger: bool,
        /// Continue after this item, as printed by an earlier page.
        #[arg(long, value_name = "PLACE")]
        after: Option<String>,
        /// Number of items to show, at most 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Show one item with its content.
    Show {
        #[command(flatten)]
        item: ItemId,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Release items: inbound ones to their context, outbound ones to their queue. Items that are still refused stay.
    Release {
        #[command(flatten)]
        target: QuarantineTarget,
        #[command(flatten)]
        operator: AdminArgs,
    },
    /// Delete items permanently.
    Drop {
        #[command(flatten)]
        target: QuarantineTarget,
        #[command(flatten)]
        operator: AdminArgs,
    },
}

/// One item, all items of a server, or all items that match.
#[derive(Debug, Args)]
pub(super) struct QuarantineTarget {
    /// Server that the item came from, or was for.
    #[arg(required_unless_present_any = ["all_of", "messenger", "from", "code", "context"], requires = "id")]
    name: Option<String>,
    /// Id in the list: in:7, out:12, or the number alone if only one direction has it.
    id: Option<String>,
    /// All items of this server; without --yes only their number is printed.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    all_of: Option<String>,
    /// The event at this position, which our messenger refused; "all": each that it refused.
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["name", "all_of"])]
    messenger: Option<String>,
    /// All items of the servers that match this pattern, such as blue.example or "*.example".
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["name", "all_of", "messenger"])]
    from: Option<String>,
    /// All items with this code, as the list shows it.
    #[arg(long, conflicts_with_all = ["name", "all_of", "messenger"])]
    code: Option<String>,
    /// All PDUs of this context.
    #[arg(long, conflicts_with_all = ["name", "all_of", "messenger"])]
    context: Option<String>,
    /// With --from, --code or --context: only print the number of items that match.
    #[arg(long, conflicts_with_all = ["name", "all_of", "messenger", "yes"])]
    dry_run: bool,
    /// Confirm the action on all items. Without it they are only counted, and with --from, --code or --context the command asks if it is
    /// used at a terminal.
    #[arg(long)]
    yes: bool,
    /// Of many items: only those of this kind.
    #[arg(long, conflicts_with_all = ["name", "messenger"])]
    kind: Option<ItemKindFilter>,
    /// Of many items: only inbound or only outbound ones.
    #[arg(long, conflicts_with_all = ["name", "messenger"])]
    direction: Option<DirectionFilter>,
}

impl QuarantineTarget {
    /// Returns the selection by pattern, if that is used.
    fn selection(&self) -> Option<QuarantineSelection> {
        let Self { from, code, context, .. } = self;
        let is_used = from.is_some() || code.is_some() || context.is_some();
        is_used.then(|| QuarantineSelection {
            from: from.clone(),
            code: code.clone(),
            context: context.clone(),
            kind: word(self.kind),
            direction: word(self.direction),
            ..QuarantineSelection::default()
        })
    }
}

/// A selection of items.
#[derive(Debug, Args)]
pub(super) struct QuarantineFilter {
    /// Only items of this server.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only items of this kind.
    #[arg(long)]
    kind: Option<ItemKindFilter>,
    /// Only inbound or only outbound items.
    #[arg(long)]
    direction: Option<DirectionFilter>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ItemKindFilter {
    Pdu,
    Update,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DirectionFilter {
    In,
    Out,
}

/// One item.
#[derive(Debug, Args)]
pub(super) struct ItemId {
    /// Server that the item came from, or was for.
    name: String,
    /// Id in the list: in:7, out:12, or the number alone if only one direction has it.
    id: String,
}

impl ItemId {
    fn path(&self) -> String {
        format!("/quarantine/{}/{}", segment(&self.name), segment(&self.id))
    }
}

/// Maximum number of characters of a reason.
const REASON_LENGTH: usize = 60;

/// Runs a command and returns its exit code.
pub(super) fn run(command: QuarantineCommand) -> u8 {
    match command {
        QuarantineCommand::List { messenger: true, after, limit, operator, .. } => {
            operator.run(async |gateway, json| refused_events::list(gateway, json, after, limit).await)
        }
        QuarantineCommand::List { filter, after, limit, operator, .. } => {
            operator.run(async |gateway, json| list(gateway, json, &filter, after, limit).await)
        }
        QuarantineCommand::Release { target, operator } => {
            operator.run(async |gateway, json| release::act(gateway, json, &target, "release").await)
        }
        QuarantineCommand::Drop { target, operator } => {
            operator.run(async |gateway, json| release::act(gateway, json, &target, "drop").await)
        }
        QuarantineCommand::Show { item, operator } => {
            operator.run(async |gateway, json| show(gateway, json, &item).await)
        }
    }
}

fn word(value: Option<impl ValueEnum>) -> Option<String> {
    value.and_then(|value| value.to_possible_value()).map(|value| value.get_name().to_owned())
}

async fn list(
    gateway: &AdminClient,
    json: bool,
    filter: &QuarantineFilter,
    after: Option<String>,
    limit: u32,
) -> Result<u8, CommandFailure> {
    let asked = [
        ("server", filter.server.clone()),
        ("kind", word(filter.kind)),
        ("direction", word(filter.direction)),
        ("after", after),
        ("limit", Some(limit.to_string())),
    ];
    let answer = gateway.get(&format!("/quarantine{}", query(&asked))).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let QuarantineListPage { items, next } = gateway.read(&answer)?;
    let more = next.map(|next| format!("more items follow: use --after {next}\n")).unwrap_or_default();
    if items.is_empty() && more.is_empty() {
        return Ok(print("nothing is in quarantine\n", FINE));
    }
    let mut table = TextTable::new([
        ("PEER", Left),
        ("ID", Left),
        ("KIND", Left),
        ("AGE", Right),
        ("SIZE", Right),
        ("CODE", Left),
        ("CONTEXT", Left),
        ("REASON", Left),
    ]);
    for item in items {
        let reason = truncate(&item.reason, REASON_LENGTH);
        let context = item.context.unwrap_or_default();
        let (age, size) = (ago(&item.time), size(item.size));
        table.row(vec![
            item.server,
            item.id,
            item.kind.into_owned(),
            age,
            size,
            item.code.into_owned(),
            context,
            reason,
        ]);
    }
    Ok(print(&format!("{}{more}", table.text()), FINE))
}

async fn show(gateway: &AdminClient, json: bool, item: &ItemId) -> Result<u8, CommandFailure> {
    let answer = gateway.get(&item.path()).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let item: QuarantineRow = gateway.read(&answer)?;
    let way = if item.direction == "in" { "from" } else { "for" };
    let mut lines = vec![
        ("parked", format!("{} ago: {}", ago(&item.time), item.code)),
        ("reason", item.reason),
        ("size", size(item.size)),
    ];
    lines.extend(item.context.map(|context| ("context", context)));
    if let Some(pdu) = item.pdu {
        let part = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        lines.push(("pdu", format!("{}/{}", part(pdu.origin), part(pdu.pdu_id))));
    }
    lines.extend(item.seq.map(|seq| ("number", seq.to_string())));
    lines.extend(item.submission.map(|id| ("submission", id)));
    let mut text = format!("{} {}, {} {way} {}\n", item.server, item.id, item.kind, item.server);
    for (what, words) in lines {
        text.push_str(&format!("  {what:<11} {words}\n"));
    }
    if let Some(body) = item.body {
        text.push_str(&format!("\n{body}\n"));
    }
    Ok(print(&text, FINE))
}
