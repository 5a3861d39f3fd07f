//! A peer that is removed from the configuration while items are pending for it, and one that is listed again.

use std::sync::Arc;

use actors::errors::PeerError;
use actors::limits::{ContextLimits, PeerLimits};
use actors::model::{FeedItem, Index, PeerCommand, PeerState, Position, ServerName, SuspendReason};
use actors::ports::{FeedPage, FeedReader, PeerConfig, PeerReader};
use fixtures::disk::Disk;

use crate::fixtures::ports::Prepared;
use crate::fixtures::rig::{Rig, at_rest, green, life, limits, red, seconds, unreachable};

/// Only these are peers.
struct Listing(Vec<ServerName>);

impl PeerConfig for Listing {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.0.contains(server).then(|| Arc::new(limits()))
    }

    fn listed(&self) -> Vec<ServerName> {
        self.0.clone()
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        Arc::default()
    }
}

/// Starts a gateway with this list of peers.
fn start(disk: &Disk, listed: &[ServerName], peer: &Arc<Prepared>) -> Rig {
    let (roster, transport) = (Arc::new(Listing(listed.to_vec())), peer.clone());
    Rig::start(disk, |ports| {
        ports.roster = roster;
        ports.transport = transport;
    })
}

/// Returns the feed's events about peers and about deliveries to them.
async fn told(rig: &Rig) -> Vec<String> {
    let FeedPage::Entries(entries) = rig.store.feed_after(Position(0), 1_000, u64::MAX).await.unwrap() else {
        panic!("nothing is trimmed here")
    };
    let words = |item| match item {
        FeedItem::Peer { server, state, reason } => format!("{server} {state} {}", reason.unwrap_or("")),
        FeedItem::Delivery { message, server, state, .. } => format!("{message} {state} at {server}"),
        other => format!("{other:?}"),
    };
    entries.into_iter().map(|entry| words(entry.item)).collect()
}

#[tokio::test(start_paused = true)]
async fn unlisted_peer_keeps_its_queue() {
    let disk = Disk::new();
    let silent = Prepared::new([|_| unreachable(); 100]);
    life(async {
        let rig = start(&disk, &[red(), green()], &silent);
        rig.submit("m", &[green()], 2).await.unwrap();
        at_rest().await;
        rig.settled().await;
    })
    .await;

    let peer = Prepared::new([]);
    life(async {
        let rig = start(&disk, &[red()], &peer);
        at_rest().await;
        let not_listed = "green.example suspended not_listed".to_owned();
        assert_eq!(told(&rig).await, std::slice::from_ref(&not_listed));
        let status = rig.status(&green()).await;
        assert_eq!((status.state, status.backlog), (PeerState::Suspended(SuspendReason::NotListed), 2));
        assert_eq!(rig.gateway.peers(), [red(), green()], "it is shown after the listed peers");
        // New items for it and from it are refused.
        let stranger = || PeerError::UnknownPeer(green());
        assert_eq!(rig.submit("n", &[green()], 1).await, Err(stranger().into()));
        assert_eq!(rig.push(&green(), 1).await, Err(stranger().into()));
        for order in [PeerCommand::Suspend, PeerCommand::Resume, PeerCommand::Retry] {
            assert_eq!(rig.gateway.order(&green(), order).await, Err(stranger().into()));
        }
        seconds(24 * 60 * 60).await;
        assert_eq!((peer.frames().len(), told(&rig).await), (0, vec![not_listed]), "nothing is sent to it");
        rig.settled().await;
    })
    .await;

    life(async {
        let rig = start(&disk, &[red(), green()], &peer);
        seconds(3600).await;
        let status = rig.status(&green()).await;
        assert_eq!((status.state, status.backlog), (PeerState::Idle, 0));
        assert_eq!(peer.frames().iter().map(|frame| frame.items.len()).sum::<usize>(), 2);
        let told = told(&rig).await;
        assert!(told[1].starts_with("green.example ") && !told[1].contains("suspended"), "{told:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unlisted_peer_items_become_dead_letters() {
    let disk = Disk::new();
    let silent = Prepared::new([|_| unreachable(); 100]);
    life(async {
        let rig = start(&disk, &[green()], &silent);
        rig.submit("m", &[green()], 2).await.unwrap();
        at_rest().await;
        rig.settled().await;
    })
    .await;
    life(async {
        let rig = start(&disk, &[], &Prepared::new([]));
        seconds(31 * 24 * 60 * 60).await;
        assert_eq!(told(&rig).await, ["green.example suspended not_listed", "m expired at green.example"]);
        let letters = rig.store.dead_letters(&green(), Index(1), Index(2)).await.unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!(rig.status(&green()).await.backlog, 0);
        assert!(rig.gateway.peers().is_empty(), "no item is pending for it any more");
    })
    .await;
    // Without pending items it is unknown.
    life(async {
        let rig = start(&disk, &[], &Prepared::new([]));
        at_rest().await;
        assert_eq!(rig.gateway.peer(&green()).await.unwrap_err(), PeerError::UnknownPeer(green()));
    })
    .await;
}
