//! Many peers on one address: takes pushes for every server name, checks their numbers, and counts what came.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::Failure;

/// Maximum bytes of a request.
const REQUEST_MAX: usize = 32 << 20;

#[derive(Deserialize)]
struct Push<'a> {
    seq: u64,
    from_seq: Option<u64>,
    #[serde(borrow, default)]
    strong: Vec<&'a RawValue>,
}

/// All peers that are played.
#[derive(Default)]
struct Sink {
    /// The last number of each server.
    last: RefCell<HashMap<String, u64>>,
    /// Numbers that were left out.
    holes: Cell<u64>,
    delivered: watch::Sender<u64>,
}

impl Sink {
    /// Takes a push for `server` and returns the answer.
    fn take(&self, server: &str, body: &[u8]) -> Result<String, Failure> {
        let push: Push<'_> = serde_json::from_slice(body)?;
        let count = push.strong.len() as u64;
        let first = push.from_seq.unwrap_or((push.seq + 1).saturating_sub(count));
        let mut last = self.last.borrow_mut();
        let known = last.get(server).copied();
        if known.is_none_or(|known| push.seq > known) {
            // A server that was never here begins where the gateway is.
            let due = known.map_or(first, |known| known + 1);
            self.holes.set(self.holes.get() + first.saturating_sub(due));
            let fresh = push.seq + 1 - first.max(due);
            last.insert(server.to_owned(), push.seq);
            self.delivered.send_modify(|delivered| *delivered += fresh.min(count));
        }
        Ok(format!("{{\"receive\":\"ok\",\"seq\":{},\"window\":1000}}", push.seq))
    }

    /// Answers with the number of deliveries, once it is at least `wanted`.
    async fn delivered(&self, wanted: u64) -> Result<String, Failure> {
        let delivered = *self.delivered.subscribe().wait_for(|delivered| *delivered >= wanted).await?;
        Ok(format!("{{\"delivered\":{delivered},\"holes\":{}}}", self.holes.get()))
    }
}

/// Plays the peers until the process ends.
pub(crate) async fn run(address: String) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await?;
    let sink = Rc::new(Sink::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sink = sink.clone();
        spawn_local(async move {
            if let Err(error) = serve(stream, &sink).await {
                eprintln!("load: sink: {error}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream, sink: &Sink) -> Result<(), Failure> {
    let mut input = Vec::new();
    loop {
        let head_len = loop {
            if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            if input.len() > REQUEST_MAX {
                return Err("a request is too long".into());
            }
        };
        let head = std::str::from_utf8(&input[..head_len])?;
        let field = |name: &str| {
            let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
            fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (server, length) = (field("host").unwrap_or_default(), field("content-length"));
        let length: usize = length.map_or(Ok(0), |length| length.parse())?;
        if length > REQUEST_MAX {
            return Err("a request is too long".into());
        }
        while input.len() < head_len + length {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        }
        let body = &input[head_len..head_len + length];
        let answer = match target.strip_prefix("/delivered?at_least=") {
            Some(wanted) => sink.delivered(wanted.parse()?).await?,
            None => sink.take(&server, body)?,
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
        stream.write_all(format!("{head}{}\r\n\r\n{answer}", answer.len()).as_bytes()).await?;
        input.drain(..head_len + length);
    }
}
