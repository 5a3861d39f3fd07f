//! Follows the position that the messenger has acknowledged, and gives each peer the receipts of its items.
//!
//! The feed says which items were handed over, so nothing about receipts is stored here: only what stands in the feed at an acknowledged
//! position is told. The feed is read once for all peers. At a start it is read from its oldest event on, because nobody knows what was
//! told before; peers take a receipt twice without harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::model::{FeedEntry, FeedItem, PeerReceipts, Position, ReceiptItem, RejectedItem, ServerName};
use crate::ports::{ArchiveError, FeedPage, Ports};
use crate::router::registry::{ActorRegistry, LookupPurpose};

/// Interval of two rounds, so that receipts alone cause at most one request a second to each peer.
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// Number of events in a page, and their bytes.
const PAGE: (u32, u64) = (500, 1 << 20);

/// Reads the acknowledged part of the feed for as long as the gateway runs.
pub(super) struct ReceiptTeller {
    pub(super) ports: Arc<Ports>,
    pub(super) routes: ActorRegistry,
}

/// The receipts of a page, by peer.
type PageReceipts = BTreeMap<ServerName, PeerReceipts>;

impl ReceiptTeller {
    /// Runs until the store closes.
    pub(super) async fn run(self) {
        let mut bounds = self.ports.archive.feed.feed_bounds();
        let mut upto = Position(0);
        loop {
            let acked = bounds.borrow_and_update().acked;
            let has_receipts = self.ports.roster.has_receipts();
            if acked <= upto || !has_receipts {
                upto = acked.max(upto);
                if bounds.changed().await.is_err() {
                    return;
                }
                if !has_receipts {
                    // Each commit changes the bounds, and only a reload gives a peer receipts.
                    sleep(ROUND_EVERY).await;
                }
                continue;
            }
            match self.tell_page(upto, acked).await {
                Ok((next, is_dense)) => {
                    upto = next;
                    // PDUs may have to be named one by one, so they are told no faster than a peer takes them.
                    if upto < acked && !is_dense {
                        continue;
                    }
                }
                Err(error) => tracing::error!(%upto, %error, "the feed cannot be read for receipts; this is repeated"),
            }
            sleep(ROUND_EVERY).await;
        }
    }

    /// Tells one page of events after a position; returns the position of its last event, and whether PDUs are among them.
    async fn tell_page(&self, after: Position, acked: Position) -> Result<(Position, bool), ArchiveError> {
        let feed = &self.ports.archive.feed;
        let entries = match feed.feed_after(after, PAGE.0, PAGE.1).await? {
            FeedPage::Entries(entries) => entries,
            FeedPage::Gone { oldest } => return Ok((Position(oldest.0.saturating_sub(1)), false)),
        };
        let entries: Vec<FeedEntry> = entries.into_iter().take_while(|entry| entry.position <= acked).collect();
        let Some(last) = entries.last().map(|entry| entry.position) else { return Ok((acked, false)) };
        let refused = feed.refused_between(after, last).await?;
        let receipts = self.receipts(&entries, &refused);
        let is_dense = receipts.values().any(PeerReceipts::names_pdus);
        for (server, receipts) in receipts {
            // A server that is no peer any more is told nothing.
            if let Ok(peer) = self.routes.peer(&server, LookupPurpose::Deliver).await {
                peer.tell_receipts(receipts);
            }
        }
        Ok((last, is_dense))
    }

    fn receipts(&self, entries: &[FeedEntry], refused: &[(Position, String)]) -> PageReceipts {
        let mut all = PageReceipts::new();
        for entry in entries {
            let (server, item) = match &entry.item {
                FeedItem::Update { from, seq, .. } => (from, ReceiptItem::Number(*seq)),
                // History was asked for and not sent, and state that is shown again has its receipt.
                FeedItem::Pdu(pdu) if !pdu.shown.history && !pdu.shown.again => {
                    (&pdu.reference.origin, ReceiptItem::Pdu(pdu.reference.clone()))
                }
                _ => continue,
            };
            if !self.ports.roster.limits(server).is_some_and(|limits| limits.receipts) {
                continue;
            }
            let receipts = all.entry(server.clone()).or_default();
            let reason = refused.iter().find(|(position, _)| *position == entry.position);
            match (reason, item) {
                (Some((_, reason)), item) => receipts.rejected.push(RejectedItem { item, reason: reason.clone() }),
                (None, ReceiptItem::Number(number)) => receipts.numbers.push((number, number)),
                (None, ReceiptItem::Pdu(pdu)) => receipts.pdus.push(pdu),
            }
        }
        all
    }
}
