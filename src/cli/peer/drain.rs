//! `fernpost peer drain`: waits until a peer has everything, and has told what it was asked.

use std::time::Duration;

use tokio::time::Instant;

use crate::api::peers::PeerDrain;
use crate::cli::admin_client::{AdminClient, CommandFailure, print_json, segment};
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{counted, items};
use crate::terminal::progress::ProgressLine;

/// Interval at which the gateway is asked what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Waits until nothing is left, for at most this time. A peer that is suspended for another reason than that it cannot be reached
/// gets nothing by itself, so that nothing is waited for.
pub(super) async fn drain(
    gateway: &AdminClient,
    json: bool,
    name: &str,
    within: Option<Duration>,
) -> Result<u8, CommandFailure> {
    let (began, path) = (Instant::now(), format!("/peers/{}/drain", segment(name)));
    let mut answer = gateway.post(&path, String::new()).await?;
    let mut progress = ProgressLine::new(&format!("drain {name}"));
    let mut most = 0;
    let ended = loop {
        let left: PeerDrain = gateway.read(&answer)?;
        if left.drained {
            break Ok(());
        }
        if let Some(reason) = left.reason.as_deref().filter(|reason| *reason != "unreachable") {
            let words = format!("{name} is suspended ({reason}), so nothing is sent to it; {}", rest(&left));
            break Err(CommandFailure::Wrong { code: "SUSPENDED", words });
        }
        if within.is_some_and(|within| began.elapsed() >= within) {
            let words = format!("{name} is {} and not drained in time; {}", left.state.replace('_', " "), rest(&left));
            break Err(CommandFailure::Wrong { code: "NOT_DRAINED", words });
        }
        let open = left.queued + left.relayed + left.receipts_awaited;
        most = open.max(most);
        progress.at(most - open, most);
        tokio::time::sleep(LOOK_AGAIN).await;
        answer = gateway.get(&path).await?;
    };
    progress.end();
    ended?;
    if json {
        return Ok(print_json(&answer));
    }
    Ok(print(&format!("{name} has everything\n"), FINE))
}

/// Returns what is left, for people.
fn rest(left: &PeerDrain) -> String {
    let parts = [
        (left.queued > 0).then(|| format!("{} queued", items(left.queued))),
        (left.relayed > 0).then(|| format!("{} relayed", items(left.relayed))),
        (left.receipts_awaited > 0).then(|| format!("{} awaited", counted(left.receipts_awaited, "receipt"))),
    ];
    format!("left: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_names_what_is_left() {
        let text = r#"{"server":"blue","state":"idle","queued":3,"relayed":0,"receipts_awaited":1,"drained":false}"#;
        let left: PeerDrain = serde_json::from_str(text).expect("a report");
        assert_eq!(rest(&left), "left: 3 items queued, 1 receipt awaited");
        assert_eq!(rest(&PeerDrain { queued: 0, relayed: 2, receipts_awaited: 0, ..left }), "left: 2 items relayed");
    }
}
