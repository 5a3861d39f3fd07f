//! `fernpost events tail`: prints events as they come.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json, query};
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::truncate;

/// Seconds for which the gateway may hold a read: well below the timeout of a call.
const WAIT: u64 = 25;

/// Number of events that are read at once.
const PAGE: u64 = 100;

/// Maximum number of characters of an event's text on a terminal.
const TEXT_LENGTH: usize = 100;

/// Keys that a line shows in its first columns, or that say nothing new.
const IN_COLUMNS: [&str; 4] = ["position", "kind", "id", "time"];

/// Arguments of `events tail`.
#[derive(Debug, Args)]
pub(in crate::cli) struct EventsTail {
    /// First position to print, if it is kept; default: the next event.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// Print only events of this kind, such as `message` or `peer`; may be repeated.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// End after this number of events; default: never.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A page, with its events as they were written.
#[derive(Deserialize)]
struct RawEventsPage<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    next: u64,
}

/// The keys of an event that every line shows.
#[derive(Deserialize)]
struct EventHead {
    #[serde(default)]
    position: u64,
    kind: String,
    #[serde(default)]
    time: String,
}

/// Prints events until the limit is reached or the gateway fails.
pub(super) fn run(options: EventsTail) -> u8 {
    let EventsTail { from, kinds, limit, admin } = options;
    admin.run(async |gateway, json| {
        let mut after = from.map(|from| from - 1);
        let mut rest = limit.unwrap_or(u64::MAX);
        while rest > 0 {
            let answer = read(gateway, after).await?;
            let page: RawEventsPage<'_> = serde_json::from_str(&answer).map_err(|error| {
                CommandFailure::Odd(format!("the answer of the gateway is no page of events: {error}"))
            })?;
            for event in page.events {
                let head: EventHead = gateway.read(event.get())?;
                if rest > 0 && (kinds.is_empty() || kinds.contains(&head.kind)) {
                    rest -= 1;
                    tell(&head, event.get(), json);
                }
            }
            after = Some(page.next);
        }
        Ok::<u8, CommandFailure>(FINE)
    })
}

async fn read(gateway: &AdminClient, after: Option<u64>) -> Result<String, CommandFailure> {
    let number = |number: u64| Some(number.to_string());
    let pairs = [("after", after.and_then(number)), ("limit", number(PAGE)), ("wait", number(WAIT))];
    gateway.get(&format!("/events{}", query(&pairs))).await
}

fn tell(head: &EventHead, event: &str, json: bool) {
    match json {
        true => print_json(&one_line(event)),
        false => print(&format!("{}\n", line(head, event)), FINE),
    };
}

/// Returns JSON on one line: line breaks in JSON are between its values only.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Returns the line of an event for people.
fn line(head: &EventHead, event: &str) -> String {
    let members: serde_json::Map<String, Value> = serde_json::from_str(event).unwrap_or_default();
    let words = members.iter().filter(|(key, _)| !IN_COLUMNS.contains(&key.as_str()));
    let words = words.map(|(key, value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let EventHead { position, kind, time } = head;
    format!("{position:>7}  {time}  {kind:<10} {}", truncate(&text, TEXT_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_becomes_one_line() {
        let event = "{\"position\":7,\"kind\":\"peer\",\"id\":\"e7\",\"time\":\"2026-12-01T00:00:00.000Z\",\n\"server\":\"blue\",\"state\":\"a\\nb\",\"n\":1}";
        let head: EventHead = serde_json::from_str(event).expect("a head");
        let shown = line(&head, event);
        assert!(shown.starts_with("      7  2026-12-01T00:00:00.000Z  peer       "), "{shown:?}");
        assert!(shown.contains("server=blue") && shown.contains("state=a b") && shown.contains("n=1"), "{shown:?}");
        assert!(!shown.contains('\n') && !one_line(event).contains('\n'), "{shown:?}");
    }
}
