//! One connection of a simulated peer: turns decisions into bytes, or into silence.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::http::{SimConnection, SimRequest, answer};
use super::script::{ScriptedBehaviour, SimPlan, SimScript};
use super::world::{SimDecision, SimWorld};

/// Maximum time for which a silent peer holds a connection.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Maximum bytes of an endless response.
const HUGE_MAX: usize = 1 << 30;
/// Bytes that a TLS listener sends to an HTTP client: a fatal alert, unexpected message.
const ALERT: [u8; 7] = [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x0a];

/// Serves a connection to its end. Without a `name`, the Host header selects the peer.
pub(super) async fn serve(stream: TcpStream, name: Option<Arc<str>>, world: Arc<Mutex<SimWorld>>) {
    // Responses are short, and the caller waits for each.
    let _ = stream.set_nodelay(true);
    let mut connection = SimConnection::new(stream);
    while let Some(request) = connection.request().await {
        let goes_on = match request.target.starts_with("/sim/") {
            true => {
                let (status, body) = about(&request, &world);
                connection.write(answer(status, &body).as_bytes()).await
            }
            false => {
                let host = request.header("host").unwrap_or_default();
                let peer = name.as_deref().unwrap_or(host);
                let from = request.header("fernpost-origin").unwrap_or("?");
                let path = request.target.split('?').next().unwrap_or_default();
                let decision = locked(&world).request(peer, from, path, &request.body);
                act(&mut connection, decision).await
            }
        };
        if !goes_on {
            break;
        }
    }
}

/// Acts out a decision; returns whether the connection continues.
async fn act(connection: &mut SimConnection, SimDecision { behaviour, status, body }: SimDecision) -> bool {
    let whole = answer(status, &body);
    match behaviour {
        ScriptedBehaviour::Silent => {
            connection.hold(SILENCE_MAX).await;
            false
        }
        ScriptedBehaviour::Garbage => {
            connection.write(&ALERT).await;
            false
        }
        ScriptedBehaviour::Close => {
            let (half, _) = whole.split_at(whole.len() - body.len() / 2 - 1);
            connection.write(half.as_bytes()).await;
            false
        }
        ScriptedBehaviour::Huge => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            let mut goes_on = connection.write(head.as_bytes()).await;
            let mut written = 0;
            while goes_on && written < HUGE_MAX {
                goes_on = connection.write(chunk.as_bytes()).await;
                written += chunk.len();
                // At 4 MB per second: at full speed the buffers alone would hold megabytes and slow down other
                // processes of the machine.
                sleep(Duration::from_millis(1)).await;
            }
            false
        }
        ScriptedBehaviour::Drip(pause) => {
            for byte in whole.as_bytes() {
                if !connection.write(&[*byte]).await {
                    return false;
                }
                sleep(pause).await;
            }
            true
        }
        ScriptedBehaviour::Slow(pause) => {
            sleep(pause).await;
            connection.write(whole.as_bytes()).await
        }
        _ => connection.write(whole.as_bytes()).await,
    }
}

/// Answers calls about the simulation itself.
fn about(request: &SimRequest, world: &Mutex<SimWorld>) -> (u16, String) {
    let (path, peer) = (request.target.split('?').next().unwrap_or_default(), request.query("peer"));
    match (request.method.as_str(), path) {
        ("GET", "/sim/received") => (200, locked(world).received(peer).to_string()),
        ("POST", "/sim/script") => {
            let script = String::from_utf8_lossy(&request.body).trim().parse::<SimScript>();
            match script.map(SimPlan::Script) {
                Ok(plan) if plan.unreachable().is_none() => {
                    locked(world).change(peer, plan);
                    (200, "{}".to_owned())
                }
                Ok(_) => (400, refusal("whoever listens cannot be refused any more")),
                Err(bad) => (400, refusal(&bad.to_string())),
            }
        }
        _ => (404, refusal("GET /sim/received and POST /sim/script are all there is")),
    }
}

fn refusal(words: &str) -> String {
    serde_json::json!({"error": words}).to_string()
}

/// Locks the state. No change can panic halfway.
fn locked(world: &Mutex<SimWorld>) -> MutexGuard<'_, SimWorld> {
    world.lock()
}
