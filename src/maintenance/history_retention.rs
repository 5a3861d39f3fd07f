//! The retention job for history: walks through all contexts and prunes the texts of old PDUs, a page at a time.
//! Identities stay, so that no PDU is ever delivered as new again.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{ContextId, Millis, PduRef};
use actors::ports::{JournalStopped, OldPdu, Ports, RetentionCursor, RetentionPins, RetentionScan};
use tokio::time::sleep;

use crate::maintenance::periodic;
use crate::maintenance::periodic::{RoundError, commit};

/// Interval between rounds; if the retention time is shorter at the start, the interval is the retention time.
const EVERY: Duration = Duration::from_secs(600);
/// Number of PDUs in one commit. Each of them may be on a disk page of its own, which is what a commit pays for; this
/// many do not delay others that wait for the same commit.
const PAGE: u32 = 100;
/// Pause between two such commits, so that a gateway with much to prune, for example after a change of the settings,
/// does not slow down current traffic. The resulting thousand PDUs per second exceed any sustained traffic.
const PAUSE: Duration = Duration::from_millis(100);
/// Maximum bytes of PDUs read per page.
const PAGE_BYTES: u64 = 1 << 20;

/// Prunes what was delivered longer ago than `keep` says, at once and then every ten minutes, until the journal stops or the
/// future is dropped. `keep` is asked in each round; `None`: everything is kept.
///
/// Each page is a deferred commit. A round ends early if the journal's queue is long, and the next one continues there.
pub async fn run(ports: Ports, past: Arc<dyn RetentionScan>, keep: impl Fn() -> Option<Duration>) {
    let mut at = None;
    let every = keep().map_or(EVERY, |keep| EVERY.min(keep)).max(Duration::from_secs(1));
    let round = async || {
        let Some(keep) = keep() else { return Ok(()) };
        let count = round(&ports, &*past, keep, &mut at).await?;
        if count > 0 {
            tracing::info!(count, "history retention removed old PDUs");
        }
        Ok(())
    };
    periodic::run("forgetting", every, round).await;
}

/// Walks once through everything, from where the last round ended; returns the number of pruned PDUs.
async fn round(
    ports: &Ports,
    past: &dyn RetentionScan,
    keep: Duration,
    at: &mut Option<RetentionCursor>,
) -> Result<u64, RoundError> {
    let age = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let pinned = past.pinned(Millis(ports.clock.now().0.saturating_sub(age))).await?;
    let mut count = 0;
    loop {
        let page = past.old(pinned.before, at.take(), PAGE, PAGE_BYTES).await?;
        for (context, pdus) in by_context(page.pdus, |pdu| may_go(ports, &pinned, pdu)) {
            count += pdus.len() as u64;
            forget(ports, context, pdus, pinned.before).await?;
            sleep(PAUSE).await;
        }
        *at = page.next;
        if at.is_none() || ports.journal.pressure().is_high() {
            return Ok(count);
        }
    }
}

/// Returns whether a PDU may be pruned. State is kept even if it is not current, because state resolution uses all PDUs
/// of a key. A PDU that cannot be read may be state, so it is kept.
fn may_go(ports: &Ports, pinned: &RetentionPins, pdu: &OldPdu) -> bool {
    let OldPdu { reference, delivered, bytes, .. } = pdu;
    let is_held = pinned.named.contains(reference) || reference.origin == ports.us && *delivered >= pinned.ours_before;
    !is_held && ports.text.read(&reference.origin, bytes).is_some_and(|pdu| pdu.state.is_none())
}

/// Groups the PDUs by context; those of one context are consecutive.
fn by_context(pdus: Vec<OldPdu>, may_go: impl Fn(&OldPdu) -> bool) -> Vec<(ContextId, Vec<(i64, PduRef)>)> {
    let mut all: Vec<(ContextId, Vec<(i64, PduRef)>)> = Vec::new();
    for pdu in pdus.into_iter().filter(may_go) {
        let place = (pdu.position, pdu.reference);
        match all.last_mut() {
            Some((context, places)) if *context == pdu.context => places.push(place),
            _ => all.push((pdu.context, vec![place])),
        }
    }
    all
}

/// Prunes the PDUs of a page in one commit.
async fn forget(
    ports: &Ports,
    context: ContextId,
    pdus: Vec<(i64, PduRef)>,
    before: Millis,
) -> Result<(), JournalStopped> {
    // This process may not own the context now, but it may again by the next round.
    let Some(fence) = ports.ownership.claim_context(&context) else { return Ok(()) };
    commit(ports, fence, Change::PduContentPruned { context, pdus, before }).await
}
