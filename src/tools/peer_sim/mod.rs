//! `fernpost peer-sim`: servers that misbehave on purpose, for tests and for demonstrating how a gateway reacts.
//!
//! One process simulates one peer or thousands, on loopback, in both dialects. Each responds as its script says,
//! records what it receives, and returns the record at `GET /sim/received`. With `--push` the process acts as a sender
//! instead.
//!
//! It shares no code with the gateway's own dialects, because tests would not find an error that both have in common.

mod answer;
mod http;
mod listen;
mod push;
mod record;
mod script;
mod transactions;
mod updates;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actors::model::CountedNoun;
use anyhow::{Context, ensure};
use clap::Args;
use parking_lot::Mutex;

use self::record::SimRecorder;
use self::script::{RandomBehaviour, SimPlan, SimScript};
use self::world::SimWorld;
use crate::terminal::exit_code::{COULD_NOT_RUN, FINE};
use crate::terminal::output::{remark, say};

/// Maximum number of peers per process.
const PEERS_MAX: u32 = 10_000;

/// Options of the simulated peers.
#[derive(Debug, Args)]
#[command(after_help = BEHAVIOURS)]
pub(crate) struct SimOptions {
    /// Address of the first peer; each further one listens on the next port. Port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_parser = on_loopback)]
    listen: SocketAddr,
    /// Number of peers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=PEERS_MAX as i64))]
    peers: u32,
    /// Names of the peers; {} stands for the number.
    #[arg(long, default_value = "sim{}.example")]
    name: String,
    /// Use one listener for all peers: the Host header selects the peer.
    #[arg(long)]
    by_host: bool,
    /// Responses of each peer to its requests, in turn: BEHAVIOUR[:TIMES], separated by commas. Without TIMES a
    /// behaviour applies once, the last one for ever. After the end it is `ok`.
    #[arg(long, default_value = "ok")]
    script: SimScript,
    /// Random behaviours with weights: ok=8,5xx=1,close=1.
    #[arg(long, conflicts_with = "script")]
    chance: Option<RandomBehaviour>,
    /// Seed of all random choices; it is printed if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of strong updates per push, as announced to the sender; 0 announces nothing, as old servers do.
    #[arg(long, default_value_t = 100)]
    window: u32,
    /// Also write each request to this file, as a line of JSON: peer, from, number, items, answer, time.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    push: push::PushPlan,
}

const BEHAVIOURS: &str = "\
Behaviours:
  ok                take it and say so
  slow:TIME         the same, TIME later
  drip:TIME         the same, each byte TIME after the one before
  close             take it, and hang up in the middle of the answer
  silent            read it, and never answer
  huge              an answer that never ends
  garbage           an answer that is no HTTP, as from a TLS listener
  wait:TIME         ask for time (429 in the transactions dialect)
  hole              ask for what was expected, whatever came
  4xx, 5xx, 409     an error status; 4xx is 403, 5xx is 503
  too-many:N        413 where there are more than N items, else ok
  lie-seq           ok, with another number
  lie-receive       a word that is none
  lie-json          no JSON
  lie-hole          always a hole at 1
  lie-verdicts      verdicts for PDUs nobody sent
  refuse            nobody listens: connections are refused
  blackhole         a listener whose queue is full: connecting takes for ever
The last two are for ever, and stand alone.

Each listener also answers GET /sim/received[?peer=NAME], and POST /sim/script[?peer=NAME] with a new script as body.

Example: two peers, one that fails three times after ten requests, and a sender that repeats itself
  fernpost peer-sim --listen 127.0.0.1:7001 --peers 2 --script ok:10,5xx:3,ok
  fernpost peer-sim --push http://127.0.0.1:9880 --as sim1.example --count 100 --shuffled --twice";

fn on_loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|error| format!("{error}"))?;
    if !address.ip().is_loopback() {
        return Err("a peer that misbehaves listens on loopback only".to_owned());
    }
    Ok(address)
}

pub(crate) fn run(options: SimOptions) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.context("no runtime").and_then(|runtime| {
        runtime.block_on(async {
            match options.push.url.is_some() {
                true => push::run(&options.push, options.seed.unwrap_or_else(|| fastrand::u64(..))).await,
                false => play(options).await,
            }
        })
    });
    outcome.unwrap_or_else(|error| {
        remark!("peer-sim cannot run: {error:#}");
        COULD_NOT_RUN
    })
}

async fn play(options: SimOptions) -> anyhow::Result<u8> {
    ensure!(options.peers == 1 || options.name.contains("{}"), "--name of several peers needs a {{}} for their number");
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let plan = match options.chance {
        Some(chance) => SimPlan::Chance(chance, fastrand::Rng::with_seed(seed)),
        None => SimPlan::Script(options.script),
    };
    let recorder = SimRecorder::open(options.record.as_deref())?;
    let world = Arc::new(Mutex::new(SimWorld::new(plan.clone(), options.window, recorder)));
    let names = (1..=options.peers).map(|n| options.name.replace("{}", &n.to_string()));
    let places = match options.by_host {
        true => vec![listen::SimEndpoint { name: None, address: options.listen }],
        false => listen::places(names, options.listen)?,
    };
    if let SimPlan::Chance(..) = plan {
        remark!("--seed {seed}");
    }
    let served = listen::serve(places, &plan, &world).await?;
    for (name, address) in &served.addresses {
        say!("{} http://{address}", name.as_deref().unwrap_or("*"));
    }
    remark!("ready: {}", CountedNoun(served.addresses.len() as u64, "listener"));
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    drop(served);
    Ok(FINE)
}
