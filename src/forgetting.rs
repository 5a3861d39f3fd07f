//! What was said long ago is forgotten: a walk through all conversations that takes the texts of old PDUs out of the store, a page
//! at a time. Their names stay, so that none of them is ever news again.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{ContextId, Millis, PduRef};
use actors::ports::{Lost, OldPdu, Past, Pinned, Ports, WalkedTo};
use tokio::time::sleep;

use crate::rounds::{self, Broken, commit};

/// The time between rounds; where less is kept than is said in that time, a round comes as often as there is something for it.
const EVERY: Duration = Duration::from_secs(600);
/// PDUs in one commit. Each of them may lie on a page of the disk by itself, which is what a commit pays for: so many are not felt
/// by those who wait for the same commit.
const PAGE: u32 = 100;
/// The time between two such commits: a gateway that has much to forget at once, as after a change of the settings, does not do
/// it at the cost of those who talk meanwhile. A thousand a second are more than anybody goes on saying.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of PDUs looked at for it.
const PAGE_BYTES: u64 = 1 << 20;

/// Forget now and then every ten minutes what was delivered longer ago than `keep`, until the journal stops or the future is
/// dropped.
///
/// Each page is a commit that waits for no one. A round ends early where others have much to write, and the next goes on there.
pub async fn run(ports: Ports, past: Arc<dyn Past>, keep: Duration) {
    let mut at = None;
    let round = async || {
        let count = round(&ports, &*past, keep, &mut at).await?;
        if count > 0 {
            tracing::info!(count, "PDUs that are old were forgotten");
        }
        Ok(())
    };
    rounds::run("forgetting", EVERY.min(keep).max(Duration::from_secs(1)), round).await;
}

/// Once through everything, from where the round before has ended; how many PDUs were forgotten.
async fn round(ports: &Ports, past: &dyn Past, keep: Duration, at: &mut Option<WalkedTo>) -> Result<u64, Broken> {
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

/// State stays, whatever holds its key today: which of two holds it is decided by all that was ever said of the key. What cannot
/// be read may be state.
fn may_go(ports: &Ports, pinned: &Pinned, pdu: &OldPdu) -> bool {
    let OldPdu { reference, delivered, bytes, .. } = pdu;
    let is_held = pinned.named.contains(reference) || reference.origin == ports.us && *delivered >= pinned.ours_before;
    !is_held && ports.text.read(&reference.origin, bytes).is_some_and(|pdu| pdu.state.is_none())
}

/// Those of one conversation stand together.
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

/// A page, and its commit.
async fn forget(ports: &Ports, context: ContextId, pdus: Vec<(i64, PduRef)>, before: Millis) -> Result<(), Lost> {
    // Of whoever owns the conversation; that may be this process again by the next round.
    let Some(fence) = ports.ownership.claim_context(&context) else { return Ok(()) };
    commit(ports, fence, Change::PdusForgotten { context, pdus, before }).await
}
