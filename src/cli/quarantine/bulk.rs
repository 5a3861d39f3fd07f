//! Releases and deletes all items that match, after a preview.

use std::collections::BTreeMap;

use crate::api::quarantine::{QuarantineSelection, SelectedGroup, SelectionResult, UnreleasedItem};
use crate::cli::admin_client::{AdminClient, CommandFailure};
use crate::cli::{print, print_json};
use crate::terminal::confirmation;
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::{count, items, size};
use crate::terminal::progress::ProgressLine;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Maximum number of items that stay and are listed.
const LISTED_MAX: usize = 1_000;

/// Confirmation of a command on many items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum BulkConsent {
    /// Only the preview is wanted.
    Preview,
    /// The operator is asked after the preview.
    Ask,
    /// The operator has confirmed.
    Given,
}

impl BulkConsent {
    /// Returns the consent of the two options.
    pub(in crate::cli) const fn of(dry_run: bool, yes: bool) -> Self {
        match (dry_run, yes) {
            (true, _) => Self::Preview,
            (false, true) => Self::Given,
            (false, false) => Self::Ask,
        }
    }
}

/// Applies `verb` to the items that match, if that is confirmed. Returns the exit code, and the servers of the items if it was done.
pub(in crate::cli) async fn act(
    gateway: &AdminClient,
    json: bool,
    selection: QuarantineSelection,
    consent: BulkConsent,
    verb: &str,
) -> Result<(u8, Vec<String>), CommandFailure> {
    let preview = run(gateway, verb, QuarantineSelection { dry_run: true, ..selection.clone() }, None).await?;
    let found: u64 = preview.groups.iter().map(|group| group.items).sum();
    if found == 0 || consent == BulkConsent::Preview {
        return Ok((tell(&preview, json, verb), vec![]));
    }
    if consent == BulkConsent::Ask {
        let (table, question) = (table(&preview.groups), format!("{} {}?", sentence(verb), items(found)));
        if json || confirmation::ask(&table, &question) != Some(true) {
            let shown = if json { String::new() } else { table };
            let words = format!("{shown}nothing was changed; to {verb} {}, add --yes", items(found));
            return Err(CommandFailure::Misused(words));
        }
    }
    let before = Some(preview.time.clone());
    let mut progress = ProgressLine::new(&format!("{verb} {}", items(found)));
    let done = run(gateway, verb, QuarantineSelection { before, ..selection }, Some((&mut progress, found))).await?;
    progress.end();
    let servers = done.groups.iter().map(|group| group.server.clone()).collect();
    Ok((tell(&done, json, verb), servers))
}

/// Makes the calls for all pages, and returns the sum of the answers.
async fn run(
    gateway: &AdminClient,
    verb: &str,
    mut asked: QuarantineSelection,
    mut progress: Option<(&mut ProgressLine, u64)>,
) -> Result<SelectionResult, CommandFailure> {
    let mut whole = SelectionResult::default();
    let mut groups: BTreeMap<(String, String, String), (u64, u64)> = BTreeMap::new();
    loop {
        let body = serde_json::to_string(&asked).expect("texts always serialize");
        let page: SelectionResult = gateway.read(&gateway.post(&format!("/quarantine/{verb}"), body).await?)?;
        for SelectedGroup { server, direction, code, items, bytes } in page.groups {
            let sum = groups.entry((server, direction.into_owned(), code.into_owned())).or_default();
            *sum = (sum.0 + items, sum.1 + bytes);
        }
        // The selection counts from the time of the first answer.
        if whole.time.is_empty() {
            whole.time = page.time;
        }
        whole.dry_run = page.dry_run;
        whole.done += page.done;
        whole.stayed.extend(page.stayed);
        if let Some((progress, found)) = &mut progress {
            progress.at(whole.done + whole.stayed.len() as u64, *found);
        }
        whole.stayed.truncate(LISTED_MAX);
        asked.after = page.next;
        if asked.after.is_none() {
            break;
        }
    }
    let group = |((server, direction, code), (items, bytes)): ((String, String, String), (u64, u64))| SelectedGroup {
        server,
        direction: direction.into(),
        code: code.into(),
        items,
        bytes,
    };
    let groups = groups.into_iter().map(group).collect();
    Ok(SelectionResult { groups, ..whole })
}

/// Prints the result, and returns the exit code: 1 if items stay.
fn tell(result: &SelectionResult, json: bool, verb: &str) -> u8 {
    let code = if result.stayed.is_empty() { FINE } else { WRONG };
    if json {
        return print_json(&serde_json::to_string(result).expect("texts and numbers always serialize"), code);
    }
    if result.groups.is_empty() {
        return print("nothing in quarantine matches\n", code);
    }
    if result.dry_run {
        return print(&format!("{}nothing was changed\n", table(&result.groups)), code);
    }
    let past = if verb == "drop" { "dropped" } else { "released" };
    let mut text = format!("{} {past}", items(result.done));
    match result.stayed.len() as u64 {
        0 => text.push('\n'),
        stayed => text.push_str(&format!(", {} {}\n", count(stayed), if stayed == 1 { "stays" } else { "stay" })),
    }
    for UnreleasedItem { server, id, reason, .. } in &result.stayed {
        text.push_str(&format!("  {server} {id:<8}  {reason}\n"));
    }
    print(&text, code)
}

fn table(groups: &[SelectedGroup]) -> String {
    let mut table =
        TextTable::new([("PEER", Left), ("DIRECTION", Left), ("CODE", Left), ("ITEMS", Right), ("SIZE", Right)]);
    for SelectedGroup { server, direction, code, items, bytes } in groups {
        table.row(vec![server.clone(), direction.to_string(), code.to_string(), count(*items), size(*bytes)]);
    }
    table.text()
}

/// Returns a verb at the beginning of a sentence.
fn sentence(verb: &str) -> String {
    let (first, rest) = verb.split_at_checked(1).unwrap_or((verb, ""));
    first.to_uppercase() + rest
}
