//! Calls between messengers: two gateway processes, and messengers that answer as told.

mod asked;
mod asking;
mod encoded;
mod limits;
mod signed;

use std::net::SocketAddr;
use std::time::Duration;

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;

/// Time within which a call is closed whose asker has left.
const SOON_CLOSED: Duration = Duration::from_secs(1);

/// Red and blue, which know each other. Blue's messenger is called.
struct CallingPair {
    red: GatewayProcess,
    blue: GatewayProcess,
    messenger: PushReceiver,
}

impl CallingPair {
    /// Starts both. Blue's messenger answers calls so, and takes all events.
    async fn start(reply: MessengerReply, overrides: &[&str]) -> Self {
        Self::linked("", reply, overrides).await
    }

    /// Starts both with these settings of the other in each.
    async fn linked(link: &str, reply: MessengerReply, overrides: &[&str]) -> Self {
        let mut messenger = PushReceiver::answering(answering(reply));
        let url = format!("messenger.push.url=http://{}/in", messenger.listen().await);
        let (mut red, mut blue) = GatewayProcess::pair(link);
        red.start().await;
        blue.start_with(&[&[url.as_str()], overrides].concat()).await;
        Self { red, blue, messenger }
    }
}

/// Answers calls of peers so, and takes everything else.
fn answering(reply: MessengerReply) -> impl FnMut(&ReceivedCall) -> MessengerReply + Send {
    move |call| if call.is_rpc() { reply.clone() } else { MessengerReply::taken() }
}

/// Returns an answer of a messenger.
fn json(status: u16, body: &str) -> MessengerReply {
    MessengerReply::Status(status, body.to_owned())
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client")
}

/// Returns a call of a gateway's messenger to a peer.
fn to_peer(gateway: &GatewayProcess, peer: &str, body: &str) -> RequestBuilder {
    client().post(format!("http://{}/v1/rpc/{peer}", gateway.messenger)).body(body.to_owned())
}

/// Returns a call of red to the gateway with this listener.
fn of_red(federation: SocketAddr, body: &str) -> RequestBuilder {
    client().post(format!("http://{federation}/http/v1/rpc")).header("Fernpost-Origin", "red").body(body.to_owned())
}

/// The answer to a call.
#[derive(Debug)]
struct CallAnswer {
    status: u16,
    /// `Fernpost-Peer`.
    peer: Option<String>,
    retry_after: Option<u64>,
    text: String,
}

impl CallAnswer {
    async fn to(call: RequestBuilder) -> Self {
        Self::of(soon("an answer", call.send()).await.expect("an answer")).await
    }

    async fn of(answer: Response) -> Self {
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("ascii").to_owned());
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        let (peer, retry_after) = (header("fernpost-peer"), header("retry-after"));
        let retry_after = retry_after.map(|seconds| seconds.parse().expect("seconds"));
        Self { status: answer.status().as_u16(), peer, retry_after, text: answer.text().await.expect("a body") }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// Returns status and code.
    fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Returns the count of calls with this end, from the metrics of a gateway.
async fn counted(gateway: &GatewayProcess, direction: &str, result: &str) -> u64 {
    let answer = client().get(format!("http://{}/metrics", gateway.admin)).send().await.expect("an answer");
    let text = answer.text().await.expect("a text");
    let wanted = format!("fernpost_rpc_total{{direction=\"{direction}\",result=\"{result}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&wanted)).expect("it is there").parse().expect("a number")
}
