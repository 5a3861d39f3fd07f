//! HTTP by hand: what a client library would not send, and from an address of choice.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::process::soon;

/// A connection whose answer ends it.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// From an address of this machine.
    pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of loopback");
        Self(socket.connect(to).await.expect("it listens"))
    }

    /// Send these bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("it takes them");
    }

    /// Send these bytes and read what comes meanwhile: who is refused early is told so while it still writes.
    pub(crate) async fn exchange(self, bytes: &[u8]) -> (u16, Value) {
        let (mut reading, mut writing) = self.0.into_split();
        let write = async {
            // An answer may come before the end of the request, and the connection may close after it.
            let _ = writing.write_all(bytes).await;
            let _ = writing.shutdown().await;
        };
        let (answer, ()) = tokio::join!(read(&mut reading), write);
        answer
    }

    /// Send these bytes, and read all that comes back.
    pub(crate) async fn text(mut self, bytes: &[u8]) -> String {
        self.send(bytes).await;
        let mut answer = vec![];
        let _ = soon("an answer", self.0.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer.
    pub(crate) async fn answer(mut self) -> (u16, Value) {
        read(&mut self.0).await
    }
}

/// Read to the end; status and JSON, null where there is no body or none that is JSON.
async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> (u16, Value) {
    let mut bytes = vec![];
    // A reset after the answer is the end of it, too.
    let _ = soon("an answer", from.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or_else(|| panic!("not an answer: {text:?}")), serde_json::from_str(body).unwrap_or(Value::Null))
}
