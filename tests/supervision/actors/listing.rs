//! A peer that is removed from the configuration while items are pending for it, and one that is listed again.

use std::sync::Arc;

use actors::errors::PeerError;
use actors::model::{FeedItem, Index, PeerCommand, PeerState, Position, ServerName, SuspendReason};
use actors::ports::{FeedPage, FeedReader, PeerReader};
use actors::testkit::transport::unreachable;
use actors::testkit::{ScriptedTransport, TestPeers};
use fixtures::disk::FaultyDisk;
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{green, limits, red};
use fixtures::time::{at_rest, seconds, world};

/// Starts a gateway with this list of peers.
fn start(disk: &FaultyDisk, listed: &[ServerName], peer: &Arc<ScriptedTransport>) -> GatewayFixture {
    let roster = listed.iter().fold(TestPeers::none(), |peers, server| peers.listing(server.clone(), limits()));
    let (roster, transport) = (Arc::new(roster), peer.clone());
    GatewayFixture::start(disk, |ports| {
        ports.roster = roster;
        ports.transport = transport;
    })
}

/// Returns the feed's events about peers and about deliveries to them.
async fn told(core: &GatewayFixture) -> Vec<String> {
    let FeedPage::Entries(entries) = core.store.feed_after(Position(0), 1_000, u64::MAX).await.unwrap() else {
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
    let disk = FaultyDisk::new();
    let silent = Arc::new(ScriptedTransport::replies([|_| unreachable(); 100]));
    world(async {
        let core = start(&disk, &[red(), green()], &silent);
        core.submit("m", &[green()], 2).await.unwrap();
        at_rest().await;
        core.settled().await;
    })
    .await;

    let peer = Arc::new(ScriptedTransport::replies([]));
    world(async {
        let core = start(&disk, &[red()], &peer);
        at_rest().await;
        let not_listed = "green.example suspended not_listed".to_owned();
        assert_eq!(told(&core).await, std::slice::from_ref(&not_listed));
        let status = core.status(&green()).await;
        assert_eq!((status.state, status.backlog), (PeerState::Suspended(SuspendReason::NotListed), 2));
        assert_eq!(core.gateway.peers(), [red(), green()], "it is shown after the listed peers");
        // New items for it and from it are refused.
        let stranger = || PeerError::UnknownPeer(green());
        assert_eq!(core.submit("n", &[green()], 1).await, Err(stranger().into()));
        assert_eq!(core.push(&green(), 1).await, Err(stranger().into()));
        for order in [PeerCommand::Suspend, PeerCommand::Resume, PeerCommand::Retry] {
            assert_eq!(core.gateway.order(&green(), order).await, Err(stranger().into()));
        }
        seconds(24 * 60 * 60).await;
        assert_eq!((peer.carried().len(), told(&core).await), (0, vec![not_listed]), "nothing is sent to it");
        core.settled().await;
    })
    .await;

    world(async {
        let core = start(&disk, &[red(), green()], &peer);
        seconds(3600).await;
        let status = core.status(&green()).await;
        assert_eq!((status.state, status.backlog), (PeerState::Idle, 0));
        assert_eq!(peer.carried().iter().map(|frame| frame.items.len()).sum::<usize>(), 2);
        let told = told(&core).await;
        assert!(told[1].starts_with("green.example ") && !told[1].contains("suspended"), "{told:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unlisted_peer_items_become_dead_letters() {
    let disk = FaultyDisk::new();
    let silent = Arc::new(ScriptedTransport::replies([|_| unreachable(); 100]));
    world(async {
        let core = start(&disk, &[green()], &silent);
        core.submit("m", &[green()], 2).await.unwrap();
        at_rest().await;
        core.settled().await;
    })
    .await;
    world(async {
        let core = start(&disk, &[], &Arc::new(ScriptedTransport::replies([])));
        seconds(31 * 24 * 60 * 60).await;
        assert_eq!(told(&core).await, ["green.example suspended not_listed", "m expired at green.example"]);
        let letters = core.store.dead_letters(&green(), Index(1), Index(2)).await.unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!(core.status(&green()).await.backlog, 0);
        assert!(core.gateway.peers().is_empty(), "no item is pending for it any more");
    })
    .await;
    // Without pending items it is unknown.
    world(async {
        let core = start(&disk, &[], &Arc::new(ScriptedTransport::replies([])));
        at_rest().await;
        assert_eq!(core.gateway.peer(&green()).await.unwrap_err(), PeerError::UnknownPeer(green()));
    })
    .await;
}
