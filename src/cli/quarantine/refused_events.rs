//! The events that our messenger refused when they were pushed.

use serde_json::Value;

use crate::api::quarantine::{RefusedEventPage, RefusedEventResult};
use crate::cli::admin_client::{AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::cli::quarantine::REASON_LENGTH;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{ago, items, truncate};
use crate::terminal::progress::ProgressLine;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// The position that stands for all refused events.
const ALL: &str = "all";

/// Lists a page of them.
pub(super) async fn list(
    gateway: &AdminClient,
    json: bool,
    after: Option<String>,
    limit: u32,
) -> Result<u8, CommandFailure> {
    let answer = gateway.get(&path_of_page(after, limit)).await?;
    if json {
        return Ok(print_json(&answer));
    }
    let RefusedEventPage { items, next } = gateway.read(&answer)?;
    if items.is_empty() {
        return Ok(print("the messenger has refused nothing\n", FINE));
    }
    let mut table =
        TextTable::new([("POSITION", Right), ("KIND", Left), ("EVENT", Left), ("AGE", Right), ("REASON", Left)]);
    for item in items {
        let event: Value = serde_json::from_str(item.event.get()).unwrap_or_default();
        let text = |key: &str| event[key].as_str().unwrap_or("?").to_owned();
        let reason = truncate(&item.reason, REASON_LENGTH);
        table.row(vec![item.position.to_string(), text("kind"), text("id"), ago(&item.time), reason]);
    }
    let more = next.map(|next| format!("more events follow: use --after {next}\n")).unwrap_or_default();
    Ok(print(&format!("{}{more}", table.text()), FINE))
}

/// Releases or deletes one of them, or all.
pub(super) async fn act(
    gateway: &AdminClient,
    json: bool,
    position: &str,
    is_confirmed: bool,
    verb: &str,
) -> Result<u8, CommandFailure> {
    if position != ALL {
        let answer = gateway.post(&path_of(position, verb), String::new()).await?;
        if json {
            return Ok(print_json(&answer));
        }
        let RefusedEventResult { position, outcome } = gateway.read(&answer)?;
        return Ok(print(&format!("event {position}: {}\n", told(&outcome)), FINE));
    }
    let positions = positions(gateway).await?;
    let count = positions.len() as u64;
    if !is_confirmed {
        let words = format!("the messenger refused {}; to {verb} all of them, add --yes", items(count));
        return Err(CommandFailure::Misused(words));
    }
    let mut progress = ProgressLine::new(&format!("{verb} {}", items(count)));
    for (done, position) in positions.iter().enumerate() {
        gateway.post(&path_of(&position.to_string(), verb), String::new()).await?;
        progress.at(done as u64 + 1, count);
    }
    progress.end();
    let past = if verb == "drop" { "dropped" } else { "released" };
    match json {
        true => Ok(print_json(&serde_json::json!({ "done": count }).to_string())),
        false => Ok(print(&format!("{} {past}\n", items(count)), FINE)),
    }
}

/// Returns an outcome as text for people.
fn told(outcome: &str) -> &str {
    match outcome {
        "released" => "pushed again, after the events that the feed has now",
        other => other,
    }
}

/// Returns the positions of all refused events. One that is refused again meanwhile is not released twice.
async fn positions(gateway: &AdminClient) -> Result<Vec<u64>, CommandFailure> {
    let (mut positions, mut after) = (Vec::new(), None);
    loop {
        let page = gateway.get(&path_of_page(after, 1_000)).await?;
        let RefusedEventPage { items, next } = gateway.read(&page)?;
        positions.extend(items.iter().map(|item| item.position));
        match next {
            Some(next) => after = Some(next.to_string()),
            None => return Ok(positions),
        }
    }
}

fn path_of_page(after: Option<String>, limit: u32) -> String {
    let asked = [("of", Some("messenger".to_owned())), ("after", after), ("limit", Some(limit.to_string()))];
    format!("/quarantine{}", query(&asked))
}

fn path_of(position: &str, verb: &str) -> String {
    format!("/quarantine/{}/{verb}?of=messenger", segment(position))
}
