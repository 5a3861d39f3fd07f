//! A way between two gateways that counts what goes over it: what comes twice on the wire must come once in a feed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::node::own_address;

/// By sender and item, how often it was sent.
type Counts = Arc<Mutex<HashMap<(String, String), u32>>>;

/// The way to one gateway.
pub(crate) struct Wire {
    /// Where its peers reach it.
    pub(crate) address: SocketAddr,
    counts: Counts,
    #[expect(dead_code, reason = "held for its drop, which closes the way")]
    tasks: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn to(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind((own_address(), 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (counts, mut tasks) = (Counts::default(), JoinSet::new());
        let counted = counts.clone();
        tasks.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while ways.try_join_next().is_some() {}
                let counts = counted.clone();
                // Where either side breaks, both are to see it break.
                ways.spawn(async move {
                    carry(stream, gateway, &counts).await;
                });
            }
        });
        Self { address, counts, tasks }
    }

    /// Items that went over it, and how many of them again.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let counts = self.counts.lock().expect("no panic while it is held");
        let all: u64 = counts.values().map(|count| u64::from(*count)).sum();
        (all, all - counts.len() as u64)
    }
}

/// Requests and their answers, one after the other; `None` at the end.
async fn carry(mut from: TcpStream, gateway: SocketAddr, counts: &Counts) -> Option<()> {
    let mut to = TcpStream::connect(gateway).await.ok()?;
    let (mut asked, mut answered) = (vec![], vec![]);
    loop {
        let (head, body) = whole(&mut from, &mut asked).await?;
        note(&head, &body, counts);
        to.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
        let (head, body) = whole(&mut to, &mut answered).await?;
        from.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}

/// The next head and body; all of ours say how long they are.
async fn whole(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, read).await?;
    };
    let head = String::from_utf8(read[..end].to_vec()).ok()?;
    let length = header(&head, "content-length").map_or(0, |text| text.parse().expect("a number"));
    while read.len() < end + length {
        more(stream, read).await?;
    }
    let body = read[end..end + length].to_vec();
    read.drain(..end + length);
    Some((head, body))
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    stream.read_buf(read).await.ok().filter(|count| *count > 0).map(|_| ())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn note(head: &str, body: &[u8], counts: &Counts) {
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return };
    let from = header(head, "fernpost-origin").unwrap_or("?");
    let mut counts = counts.lock().expect("no panic while it is held");
    for item in ["strong", "pdus"].iter().filter_map(|key| request[key].as_array()).flatten() {
        let pdu = item.get("pdu").unwrap_or(item);
        let name = match pdu["pdu_id"].as_str() {
            Some(id) => format!("{}/{id}", pdu["origin"]),
            None => item["text"].to_string(),
        };
        *counts.entry((from.to_owned(), name)).or_default() += 1;
    }
}
