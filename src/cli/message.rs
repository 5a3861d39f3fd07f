//! `fernpost message`: one submission on its way to its peers.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Deserialize;

use super::operator::{Failure, Gateway, Operator, print_json, query, segment};
use super::table::Align::{Left, Right};
use super::table::Table;
use super::words::{ago, count, gist, items, until};
use super::{FINE, WRONG, print};

/// What can be done about a submission.
#[derive(Debug, Subcommand)]
pub(super) enum Message {
    /// How far it has come, peer by peer; ends with 1 where a peer will not have it.
    Trace {
        /// The messenger's id for it.
        id: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// Queue again what peers refused of it, queue it where it found no room, and try now those that it waits for.
    Retry {
        /// The messenger's id for it.
        id: String,
        /// On the way to this peer alone.
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
    /// Take it out of the queues, into quarantine, where it can be given back; forget for good what lay there of it before.
    Drop {
        /// The messenger's id for it.
        id: String,
        /// On the way to this peer alone.
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
}

#[derive(Deserialize)]
struct Done {
    peers: Vec<DoneLeg>,
}

#[derive(Deserialize)]
struct DoneLeg {
    server: String,
    parked: u64,
    queued: u64,
    stays: Option<String>,
}

#[derive(Deserialize)]
struct Trace {
    id: String,
    accepted: String,
    pdu: Option<Pdu>,
    peers: BTreeMap<String, Leg>,
}

#[derive(Deserialize)]
struct Pdu {
    origin: String,
    pdu_id: String,
}

#[derive(Deserialize)]
struct Leg {
    state: String,
    attempts: Vec<Attempt>,
    next: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Attempt {
    time: String,
    result: String,
}

/// Characters of an attempt's result that a line has room for.
const RESULT_LENGTH: usize = 50;

/// Run one of them.
pub(super) fn run(command: Message) -> u8 {
    match command {
        Message::Trace { id, operator } => operator.run(async |gateway, json| trace(gateway, json, &id).await),
        Message::Retry { id, server, operator } => {
            operator.run(async |gateway, json| act(gateway, json, &id, server, "retry").await)
        }
        Message::Drop { id, server, operator } => {
            operator.run(async |gateway, json| act(gateway, json, &id, server, "drop").await)
        }
    }
}

async fn act(gateway: &Gateway, json: bool, id: &str, server: Option<String>, verb: &str) -> Result<u8, Failure> {
    let path = format!("/messages/{}/{verb}{}", segment(id), query(&[("server", server)]));
    let answer = gateway.post(&path, String::new()).await?;
    let Done { peers } = gateway.read(&answer)?;
    let is_drop = verb == "drop";
    if json {
        print_json(&answer);
        return Ok(FINE);
    }
    let mut text = String::new();
    for DoneLeg { server, parked, queued, stays } in peers {
        let refused = match (parked, is_drop) {
            (0, _) => String::new(),
            (_, true) => format!("{} dropped", items(parked)),
            (_, false) => format!("{} queued again", items(parked)),
        };
        let waiting = match (queued, is_drop) {
            (0, _) => String::new(),
            (_, true) => format!("{} taken out of the queue", items(queued)),
            (_, false) => format!("{} tried now", items(queued)),
        };
        let stays = stays.map_or(String::new(), |reason| format!("not queued: {reason}"));
        let said: Vec<String> = [refused, waiting, stays].into_iter().filter(|words| !words.is_empty()).collect();
        let said = if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") };
        text.push_str(&format!("{server}: {said}\n"));
    }
    Ok(print(&text, FINE))
}

async fn trace(gateway: &Gateway, json: bool, id: &str) -> Result<u8, Failure> {
    let answer = gateway.get(&format!("/messages/{}", segment(id))).await?;
    let trace: Trace = gateway.read(&answer)?;
    let ends_badly = |leg: &Leg| !matches!(leg.state.as_str(), "queued" | "acknowledged");
    let code = if trace.peers.values().any(ends_badly) { WRONG } else { FINE };
    if json {
        print_json(&answer);
        return Ok(code);
    }
    let pdu = trace.pdu.map(|Pdu { origin, pdu_id }| format!(", as {origin}/{pdu_id}")).unwrap_or_default();
    let mut table = Table::new([
        ("PEER", Left),
        ("STATE", Left),
        ("ATTEMPTS", Right),
        ("LAST", Right),
        ("RESULT", Left),
        ("NEXT ATTEMPT", Right),
        ("REASON", Left),
    ]);
    for (server, leg) in trace.peers {
        let last = leg.attempts.last();
        table.row(vec![
            server,
            leg.state,
            count(leg.attempts.len() as u64),
            last.map(|attempt| format!("{} ago", ago(&attempt.time))).unwrap_or_default(),
            last.map(|attempt| gist(&attempt.result, RESULT_LENGTH)).unwrap_or_default(),
            leg.next.as_deref().map(until).unwrap_or_default(),
            leg.reason.unwrap_or_default(),
        ]);
    }
    let accepted = ago(&trace.accepted);
    Ok(print(&format!("{}, accepted {accepted} ago{pdu}\n\n{}", trace.id, table.text()), code))
}
