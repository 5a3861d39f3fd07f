//! A scripted server of 2014: it sends what the real one sent and answers as the real one answered.

use std::net::{Ipv4Addr, SocketAddr};

use fixtures::clients::messenger_client::soon;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Prefix of all its paths.
pub(crate) const P: &str = "/matrix/federation/v1";

pub(crate) const NULL: &[u8] = include_bytes!("golden/null.http");
pub(crate) const UNKNOWN_PDU: &[u8] = include_bytes!("golden/unknown_pdu.http");
pub(crate) const UNRECOGNIZED: &[u8] = include_bytes!("golden/unrecognized.http");
pub(crate) const INTERNAL: &[u8] = include_bytes!("golden/internal.http");

/// The server.
pub(crate) struct Old {
    pub(crate) name: &'static str,
    /// The address from which it calls; each server has an address of its own.
    pub(crate) from: Ipv4Addr,
    pub(crate) address: SocketAddr,
    /// The address at which blue listens, once blue runs.
    pub(crate) blue: Option<SocketAddr>,
    listener: TcpListener,
}

/// A request of blue that waits for its response.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
    stream: TcpStream,
}

/// A response of blue.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Old {
    async fn listening(name: &'static str, last: u8) -> Self {
        let from = Ipv4Addr::new(127, 0, 140, last);
        let listener = TcpListener::bind((from, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        Self { name, from, address, blue: None, listener }
    }

    pub(crate) async fn red() -> Self {
        Self::listening("red", 1).await
    }

    pub(crate) async fn green() -> Self {
        Self::listening("green", 2).await
    }

    /// Returns the next request that it receives.
    pub(crate) async fn asked(&self) -> Asked {
        soon(&format!("a request to {}", self.name), async {
            loop {
                let (mut stream, _) = self.listener.accept().await.expect("a caller");
                let mut bytes = vec![];
                if let Some((head, body)) = request(&mut stream, &mut bytes).await {
                    return Asked { head, body, stream };
                }
            }
        })
        .await
    }

    /// Accepts the next transaction as a real server did.
    pub(crate) async fn takes(&self) -> Asked {
        let mut asked = self.asked().await;
        assert!(asked.head.starts_with("PUT "), "{}", asked.head);
        asked.write(NULL).await;
        asked
    }

    /// Sends these bytes to blue, and reads until blue closes.
    pub(crate) async fn writes(&self, bytes: &[u8]) -> Answer {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((self.from, 0).into()).expect("an address of loopback");
        let mut stream = socket.connect(self.blue.expect("blue is up")).await.expect("it listens");
        stream.write_all(bytes).await.expect("it takes them");
        let mut answer = vec![];
        soon("an answer", stream.read_to_end(&mut answer)).await.expect("an answer");
        let (head, text) = taken_apart(&answer);
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head:?}"));
        Answer { status, head, text }
    }

    /// Sends a GET as it would: the target is not encoded.
    pub(crate) async fn gets(&self, target: &str) -> Answer {
        let request =
            format!("GET {target} HTTP/1.1\r\nConnection: close\r\nHost: blue\r\nUser-Agent: Synapse\r\n\r\n");
        self.writes(request.as_bytes()).await
    }

    /// Sends a PUT as it would.
    pub(crate) async fn puts(&self, id: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let head = format!(
            "PUT {P}/send/{id}/ HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\nHost: blue\r\n\
             Content-Type: application/json\r\nUser-Agent: Synapse\r\n\r\n",
            body.len()
        );
        self.writes(&[head.as_bytes(), body].concat()).await
    }

    /// Sends a transaction of these PDUs.
    pub(crate) async fn sends(&self, id: &str, pdus: &[String]) -> Answer {
        self.puts(id, self.envelope(pdus)).await
    }

    /// Returns the body of a transaction of these PDUs, as such a server writes it: no ids, a time with a fraction.
    pub(crate) fn envelope(&self, pdus: &[String]) -> String {
        format!("{{\"origin\":\"{}\",\"pdus\":[{}],\"ts\":1795291147257.804}}", self.name, pdus.join(","))
    }
}

impl Asked {
    /// Returns method and target.
    pub(crate) fn line(&self) -> &str {
        self.head.split(" HTTP/1.1\r\n").next().expect("a request line")
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // The other side closes the connection once it has read enough.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.shutdown().await;
    }

    /// Answers with these bytes and closes.
    pub(crate) async fn answered(mut self, bytes: &[u8]) {
        self.write(bytes).await;
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {:?}", self.text))
    }

    /// Returns the verdict on each PDU: its status, or the code of its refusal.
    pub(crate) fn verdicts(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text);
        let json = self.json();
        let said = |entry: &Value| entry["status"].as_str().or(entry["code"].as_str()).expect("a verdict").to_owned();
        json["pdus"].as_array().expect("a list").iter().map(said).collect()
    }
}

/// Reads a request; `None` if the caller sends nothing.
async fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 4]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some((head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned()));
            }
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Returns head and body of a response.
fn taken_apart(answer: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_owned(), body.to_owned())
}

/// Returns a response as such a server writes it: chunked, closed, without a length.
pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    let head = String::from_utf8_lossy(NULL).replace("200 OK", status);
    let head = head.split("\r\n\r\n").next().expect("a head").to_owned();
    format!("{head}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
}

/// Returns a complete PDU of green without state, as it was pushed; `prev` are ids of green's PDUs.
pub(crate) fn pdu(id: &str, depth: u64, prev: &[&str]) -> String {
    pdu_of("green", id, depth, prev)
}

/// Returns the same PDU of this server.
pub(crate) fn pdu_of(origin: &str, id: &str, depth: u64, prev: &[&str]) -> String {
    let prev: Vec<String> = prev.iter().map(|prev| format!("[\"{prev}\",\"{origin}\"]")).collect();
    format!(
        "{{\"content\":{{\"body\":\"{id}\"}},\"context\":\"ctx\",\"depth\":{depth},\"is_state\":false,\"origin\":\"{origin}\",\
         \"pdu_id\":\"{id}\",\"pdu_type\":\"m.text\",\"prev_pdus\":[{}],\"ts\":1404838188000}}",
        prev.join(",")
    )
}
