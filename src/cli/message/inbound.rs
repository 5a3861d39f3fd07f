//! The trace of an item that a peer sent.

use crate::api::messages::InboundTrace;
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::ago;

/// Returns the trace for people, and the exit code: 1 for an item in quarantine.
pub(super) fn told(trace: &InboundTrace) -> (String, u8) {
    let InboundTrace {
        id,
        kind,
        state,
        from,
        verified,
        context,
        time,
        waits_for,
        position,
        acknowledged,
        code,
        reason,
    } = trace;
    let mut lines = Vec::new();
    if let Some(from) = from {
        let proof = verified.as_ref().map(|proof| format!(" ({proof})")).unwrap_or_default();
        lines.push(("from", format!("{from}{proof}")));
    }
    lines.extend(context.clone().map(|context| ("context", context)));
    lines.extend(time.as_deref().map(|time| ("since", format!("{} ago", ago(time)))));
    if !waits_for.is_empty() {
        let parents: Vec<String> = waits_for.iter().map(|pdu| format!("{}/{}", pdu.origin, pdu.pdu_id)).collect();
        lines.push(("waits for", parents.join(", ")));
    }
    if let (Some(code), Some(reason)) = (code, reason) {
        lines.push(("reason", format!("{code}: {reason}")));
    }
    match (position, acknowledged, &**state) {
        (Some(position), Some(true), _) => {
            lines.push(("feed", format!("position {position}, acknowledged by the messenger")));
        }
        (Some(position), _, _) => {
            lines.push(("feed", format!("position {position}, not acknowledged by the messenger")));
        }
        (None, _, "delivered") => {
            lines.push((
                "feed",
                "no event is kept: it was acknowledged and has left the feed, or was never shown".to_owned(),
            ));
        }
        (None, ..) => {}
    }
    let mut text = format!("{id}, {kind}, {state}\n");
    for (what, words) in lines {
        text.push_str(&format!("  {what:<11} {words}\n"));
    }
    (text, if state == "quarantined" { WRONG } else { FINE })
}
