//! One side of a bare durable relay: what forwarding costs before a gateway does anything it is for.
//!
//! `floor --listen ADDR[,ADDR..] --db FILE [--to URL [--to-name NAME]] [--max N] [--tls DIR --name NAME [--tls-listen ADDR]]`
//!
//! With `--tls` the two sides speak TLS with mutual authentication: A pushes to an `https` URL, and B takes pushes at
//! `--tls-listen`. `DIR` holds `NAME.pem`, `NAME.key` and `ca.pem`.
//!
//! It takes updates from a messenger or from the other side, answers after the commit, pushes them on in order where
//! `--to` names the other side (at most `--max` in the one push in flight), and else serves them as a feed. Left out,
//! since it is a gateway's work: who may send, what was sent before, numbers that survive an empty journal.

mod journal;
mod listen;

use actix_web::{App, HttpResponse, HttpServer, rt, web};
use bytes::Bytes;
use journal::Journal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{borrow::Cow, error::Error, io::Write, path::Path};
use tokio::net::TcpListener;
use wire::{Conn, tls::TlsIdentity};

const BODY_MAX: usize = 8 << 20;
const WAIT_MAX: u64 = 60;
const FEED_MAX: usize = 1000;
/// Between two tries to push what the other side did not take.
const RETRY: Duration = Duration::from_millis(200);

type Shared = web::Data<Journal>;

#[derive(Deserialize)]
struct Submission<'a> {
    #[serde(borrow)]
    to: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    strong: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Submitted<'a> {
    id: &'a str,
    peers: &'a [Cow<'a, str>],
}

#[derive(Deserialize)]
struct Push<'a> {
    seq: u64,
    #[serde(borrow)]
    strong: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct FeedQuery {
    after: Option<u64>,
    wait: Option<u64>,
    limit: Option<usize>,
    ack: Option<bool>,
}

#[derive(Deserialize)]
struct Acknowledged {
    upto: u64,
}

/// From the messenger: `PUT /v1/updates/{id}`.
async fn submit(journal: Shared, id: web::Path<String>, body: Bytes) -> HttpResponse {
    let call: Submission<'_> = match serde_json::from_slice(&body) {
        Ok(call) => call,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    if !journal.append(rows(&body, &call.strong)).await {
        return HttpResponse::ServiceUnavailable().insert_header(("retry-after", "1")).finish();
    }
    HttpResponse::Accepted().json(Submitted { id: &id, peers: &call.to })
}

/// From the other side: `POST /http/v1/updates`.
async fn receive(journal: Shared, body: Bytes) -> HttpResponse {
    let push: Push<'_> = match serde_json::from_slice(&body) {
        Ok(push) => push,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    let answer = match journal.append(rows(&body, &push.strong)).await {
        true => format!("{{\"receive\":\"ok\",\"seq\":{}}}", push.seq),
        false => "{\"receive\":\"wait\",\"wait\":1}".into(),
    };
    HttpResponse::Ok().content_type("application/json").body(answer)
}

/// To the messenger: `GET /v1/events`, a long poll; with `ack=true` everything up to `after` is acknowledged.
async fn events(journal: Shared, query: web::Query<FeedQuery>) -> HttpResponse {
    if let (Some(after), Some(true)) = (query.after, query.ack) {
        journal.forget(after);
    }
    let after = query.after.unwrap_or_else(|| journal.forgotten());
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(WAIT_MAX));
    let read = journal.read(after, query.limit.unwrap_or(100).min(FEED_MAX));
    let (first, rows) = tokio::time::timeout(wait, read).await.unwrap_or((after + 1, Vec::new()));
    let mut body = Vec::with_capacity(rows.iter().map(|row| row.len() + 48).sum::<usize>() + 64);
    let mut start = "{\"events\":[";
    for (position, row) in (first..).zip(&rows) {
        write!(body, "{start}{{\"position\":{position},\"update\":").expect("memory takes what is written");
        body.extend_from_slice(row);
        body.push(b'}');
        start = ",";
    }
    let start = if rows.is_empty() { start } else { "" };
    write!(body, "{start}],\"next\":{}}}", first + rows.len() as u64 - 1).expect("memory takes what is written");
    HttpResponse::Ok().content_type("application/json").body(body)
}

/// From the messenger: `POST /v1/events/ack`.
async fn acknowledge(journal: Shared, call: web::Json<Acknowledged>) -> HttpResponse {
    journal.forget(call.upto);
    HttpResponse::NoContent().finish()
}

/// Each update as the bytes it came in, sharing the request's memory.
fn rows(body: &Bytes, strong: &[&RawValue]) -> Vec<Bytes> {
    strong.iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect()
}

/// The other side: where it listens, and what it takes for one push.
struct Neighbour {
    url: String,
    /// The name that its certificate covers, and our certificate; none for plain HTTP.
    tls: Option<(String, TlsIdentity)>,
    /// Rows in one push.
    max: usize,
}

/// Pushes what is committed, in order, one push in flight, each until it is taken.
async fn forward(journal: Arc<Journal>, to: Neighbour) {
    let (mut link, mut body) = (None, Vec::new());
    loop {
        let (first, rows) = journal.read(journal.forgotten(), to.max).await;
        let last = first + rows.len() as u64 - 1;
        body.clear();
        let mut start = "{\"strong\":[";
        for row in &rows {
            body.extend_from_slice(start.as_bytes());
            body.extend_from_slice(row);
            start = ",";
        }
        write!(body, "],\"from_seq\":{first},\"seq\":{last}}}").expect("memory takes what is written");
        while !taken(&mut link, &to, &body, last).await {
            tokio::time::sleep(RETRY).await;
        }
        journal.forget(last);
    }
}

/// One try: true once the other side has committed the push.
async fn taken(link: &mut Option<Conn>, to: &Neighbour, body: &[u8], last: u64) -> bool {
    let mut conn = match link.take() {
        Some(conn) => conn,
        None => {
            let opened = match &to.tls {
                None => Conn::open(&to.url, None).await,
                Some((name, identity)) => Conn::open_tls(&to.url, name, identity).await,
            };
            match opened {
                Ok(conn) => conn,
                Err(error) => {
                    eprintln!("floor: {}: {error}", to.url);
                    return false;
                }
            }
        }
    };
    let Ok(answer) = conn.call("POST", "/http/v1/updates", body).await else { return false };
    *link = Some(conn);
    answer.status == 200 && answer.body == format!("{{\"receive\":\"ok\",\"seq\":{last}}}")
}

fn routes(journal: Shared) -> impl FnOnce(&mut web::ServiceConfig) {
    |config| {
        config
            .app_data(journal)
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .route("/v1/updates/{id}", web::put().to(submit))
            .route("/v1/events", web::get().to(events))
            .route("/v1/events/ack", web::post().to(acknowledge))
            .route("/http/v1/updates", web::post().to(receive))
            .route("/health/ready", web::get().to(HttpResponse::Ok));
    }
}

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// The value of an option that another one needs.
fn needed(name: &str) -> Result<String, String> {
    option(name).ok_or(format!("{name} is missing"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen: Vec<SocketAddr> = needed("--listen")?.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let identity = match option("--tls") {
        Some(folder) => Some(TlsIdentity::read(Path::new(&folder), &needed("--name")?)?),
        None => None,
    };
    let journal = Journal::open(redb::Database::create(needed("--db")?)?)?;
    if let Some(url) = option("--to") {
        let max = option("--max").map_or(Ok(100), |max| max.parse())?;
        let tls = match &identity {
            Some(identity) => Some((needed("--to-name")?, identity.clone())),
            None => None,
        };
        rt::spawn(forward(journal.clone(), Neighbour { url, tls, max }));
    }
    let journal = web::Data::from(journal);
    if let (Some(address), Some(identity)) = (option("--tls-listen"), identity) {
        let listener = TcpListener::bind(address).await?;
        rt::spawn(listen::serve_tls(listener, identity.acceptor, routes(journal.clone())));
    }
    let server = HttpServer::new(move || App::new().configure(routes(journal.clone())));
    // One worker: the writer, the worker and the pusher already ask for more cores than the machine may have.
    let server = server.workers(1).keep_alive(Duration::from_secs(120)).client_request_timeout(Duration::ZERO);
    Ok(server.shutdown_timeout(1).bind(&listen[..])?.run().await?)
}
