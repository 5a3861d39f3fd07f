//! Push mode: a gateway process and a messenger that answers as told.

mod delivery;
mod ephemeral;
mod failures;
mod quarantine;
mod restarts;
mod samples;

use std::net::SocketAddr;
use std::time::Duration;

use ::fixtures::clients::messenger_client::submission;
use ::fixtures::receivers::push_receiver::{PushReceiver, ReceivedCall};

use reqwest::Method;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;

/// Interval of checks of a state that no call waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Delays that keep a test short.
const SHORT: [&str; 2] = ["messenger.push.backoff_min=20ms", "messenger.push.backoff_max=100ms"];

/// Red sends updates to blue, which pushes them to its messenger.
struct PushingPair {
    red: GatewayProcess,
    blue: GatewayProcess,
}

impl PushingPair {
    /// Starts both; blue pushes to this address.
    async fn start(messenger: SocketAddr, overrides: &[&str]) -> Self {
        Self::start_to(&format!("http://{messenger}/fernpost/"), overrides).await
    }

    /// Starts both; blue pushes to this URL.
    async fn start_to(url: &str, overrides: &[&str]) -> Self {
        let (mut red, blue) = GatewayProcess::pair("backoff_max = \"1s\"");
        red.start().await;
        let mut pair = Self { red, blue };
        pair.start_blue(url, overrides).await;
        pair
    }

    /// Starts blue, which pushes to this URL.
    async fn start_blue(&mut self, url: &str, overrides: &[&str]) {
        let url = format!("messenger.push.url={url}");
        self.blue.start_with(&[&[url.as_str()], &SHORT[..], overrides].concat()).await;
    }

    /// Has red submit so many updates, whose texts go on from `from`.
    async fn say(&self, from: u64, count: u64) {
        let texts: Vec<String> = (from..from + count).map(|n| n.to_string()).collect();
        for (n, texts) in texts.chunks(500).enumerate() {
            self.red.api().submit(&format!("updates/m-{from}-{n}"), &submission(&["blue"], texts)).await;
        }
    }

    /// Waits until blue's feed has so many events.
    async fn fed(&self, count: u64) {
        let there = async {
            loop {
                let last = format!("/v1/events?after={}&limit=1", count - 1);
                let (_, page) = self.blue.api().call(Method::GET, &last, "").await.expect("an answer");
                if page["events"][0].is_object() {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon("the feed", there).await;
    }

    /// Waits until nothing is unread, as the messenger that polls sees it.
    async fn nothing_unread(&self) {
        let read = async {
            while self.blue.api().get("/v1/events?limit=1").await["events"][0].is_object() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon("the acknowledgement", read).await;
    }
}

/// Returns the positions of the acknowledged transactions, in their order.
fn taken(calls: &[ReceivedCall]) -> Vec<u64> {
    calls.iter().filter(|call| call.is_acknowledged).flat_map(ReceivedCall::positions).collect()
}

/// Returns the numbers of events of the transactions.
fn sizes(calls: &[ReceivedCall]) -> Vec<usize> {
    calls.iter().map(|call| call.positions().len()).collect()
}

/// Returns a messenger that listens, and its address.
async fn listening(mut receiver: PushReceiver) -> (PushReceiver, SocketAddr) {
    let address = receiver.listen().await;
    (receiver, address)
}
