//! Servers that nobody has listed, in memory: bounded apart from peers, with a rate of their own, and a dialect that is stored.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::AdmissionError;
use actors::limits::{PeerLimits, PeerListing};
use actors::model::{Ack, DialectSpec, Seq};
use actors::testkit::TestPeers;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, pushed};
use fixtures::peers::{green, limits, red, server};
use fixtures::time::{at_rest, world};

/// Starts a gateway with room for one peer and one stranger: red is listed, and everybody else is a stranger with these limits.
fn open_gateway(strange: &PeerLimits) -> GatewayFixture {
    GatewayFixture::start(&FaultyDisk::new(), |ports| {
        let strange = PeerLimits { listing: PeerListing::Stranger, ..strange.clone() };
        let peers = TestPeers::everybody(strange).listing(red(), limits());
        ports.roster = Arc::new(peers.with_resident_max(1).with_strangers_max(1));
    })
}

fn limit_of(error: &AdmissionError) -> &'static str {
    error.limit()
}

#[tokio::test(start_paused = true)]
async fn strangers_take_no_room_of_peers() {
    world(async {
        let core = open_gateway(&limits());
        core.submit("s1", &[green()], 1).await.unwrap();
        at_rest().await;
        let full = core.push(&server("grey"), 1).await.expect_err("green has work and stays");
        assert_eq!(full.admission().map(limit_of), Some("federation.strangers.resident_max"));
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))), "a peer has room");
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn idle_stranger_is_evicted_for_another() {
    world(async {
        let core = open_gateway(&limits());
        for (from, seq) in [("green", 1), ("grey", 1), ("green", 2), ("red", 1), ("grey", 2)] {
            assert_eq!(core.push(&server(from), seq).await, Ok(Ack::Ok(Seq(seq))), "{from} {seq}");
            // The thread of the commits answers before the actor has learned of the commit: only then is the actor idle.
            at_rest().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rate_of_stranger_is_named() {
    world(async {
        let core = open_gateway(&PeerLimits { rate: 1, intake_items: 2, ..limits() });
        assert!(core.gateway.accept(&green(), pushed(2, 2)).await.is_ok());
        let fast = core.gateway.accept(&green(), pushed(3, 1)).await.expect_err("too fast");
        assert_eq!(fast.admission().map(limit_of), Some("federation.strangers.rate"));
        assert!(fast.admission().is_some_and(|limit| limit.wait() <= Duration::from_secs(1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dialect_of_stranger_is_stored() {
    world(async {
        let core = open_gateway(&PeerLimits { dialect: DialectSpec::TRANSACTIONS, ..limits() });
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        let kept = core.store.kept_dialects().await.unwrap();
        assert_eq!(kept, [(green(), "transactions".to_owned())], "that of a listed peer is configured");
    })
    .await;
}
