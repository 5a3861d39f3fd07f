//! SIGKILL under load: an acknowledgement means on disk, and what is on disk arrives once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::node::{Node, texts};
use crate::process::soon;
use crate::toy::{Heard, Life, Listener, Speaker, Spoken};

/// Who speaks at once on each side.
const SPEAKERS: usize = 4;
/// At most so many submissions are acknowledged between a start and the next kill.
const CALM_MAX: usize = 120;
/// At most so many are acknowledged on the other side before a killed gateway is started again.
const OUTAGE_MAX: usize = 40;
/// Half a second at most between attempts, so that an outage ends soon after its cause. Nothing acknowledged is kept: whoever
/// acknowledges what is not on disk yet is not made whole by its sender.
const LIMITS: &str = "backoff_min = \"50ms\"\nbackoff_max = \"500ms\"\nbatch_items = 20\nfailures_to_suspend = 1000\n\
                      retain_items = 1";

/// One gateway and the messenger before it.
struct Side {
    node: Node,
    lives: watch::Sender<Life>,
    acknowledged: Arc<watch::Sender<usize>>,
    heard: Arc<Mutex<Heard>>,
    heard_count: watch::Receiver<usize>,
}

/// Everything that runs beside the kills.
struct Crowd {
    speakers: JoinSet<(usize, Spoken)>,
    listeners: JoinSet<()>,
    enough: watch::Sender<bool>,
}

impl Side {
    async fn start(mut node: Node, number: usize, to: &'static str, rng: &mut Rng, crowd: &mut Crowd) -> Self {
        node.start().await;
        let lives = watch::Sender::new(Life { number: 1, api: Some(node.api()) });
        let acknowledged = Arc::new(watch::Sender::new(0));
        for n in 0..SPEAKERS {
            let speaker = Speaker {
                name: format!("{}.{n}", node.name),
                to,
                lives: lives.subscribe(),
                rng: rng.fork(),
                acknowledged: acknowledged.clone(),
                enough: crowd.enough.subscribe(),
            };
            crowd.speakers.spawn(async move { (number, speaker.speak().await) });
        }
        let (heard, (count, heard_count)) = (Arc::default(), watch::channel(0));
        let listener = Listener { lives: lives.subscribe(), rng: rng.fork(), heard: Arc::clone(&heard), count };
        crowd.listeners.spawn(listener.listen());
        Self { node, lives, acknowledged, heard, heard_count }
    }

    /// Nobody starts a call on it from here on; those under way break.
    fn kill(&mut self) {
        self.lives.send_modify(|life| life.api = None);
        let log = self.node.kill();
        for wrong in ["ERROR", "panic"] {
            assert!(!log.contains(wrong), "{} did not live well:\n{log}", self.node.name);
        }
    }

    async fn restart(&mut self) {
        self.node.start().await;
        self.lives.send_modify(|life| *life = Life { number: life.number + 1, api: Some(self.node.api()) });
    }

    /// Wait until so many more of its submissions have their 202.
    async fn goes_on(&self, by: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let until = *acknowledged.borrow() + by;
        let _seen =
            soon("load", acknowledged.wait_for(|count| *count >= until)).await.expect("the side holds the sender");
    }
}

fn from_environment<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_ten_sigkills() {
    let kills = from_environment("FERNPOST_KILLS").unwrap_or(10);
    let seed = from_environment("FERNPOST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("FERNPOST_KILLS={kills} FERNPOST_SEED={seed}");
    let (started, mut rng) = (Instant::now(), Rng::with_seed(seed));
    let mut crowd = Crowd { speakers: JoinSet::new(), listeners: JoinSet::new(), enough: watch::Sender::new(false) };
    let (red, blue) = Node::pair(LIMITS);
    let red = Side::start(red, 0, "blue", &mut rng, &mut crowd).await;
    let mut sides = [red, Side::start(blue, 1, "red", &mut rng, &mut crowd).await];

    for n in 0..kills {
        // The first two kills are one each; after that, chance may hit one side several times in a row.
        let victim = if n < 2 { n % 2 } else { rng.usize(..2) };
        let (load, calm) = (rng.usize(..2), rng.usize(1..=CALM_MAX));
        sides[load].goes_on(calm).await;
        sides[victim].kill();
        let outage = if rng.bool() { 0 } else { rng.usize(1..=OUTAGE_MAX) };
        sides[1 - victim].goes_on(outage).await;
        println!(
            "{:>6.1} s  {} killed after {calm} of {}, back after {outage}",
            started.elapsed().as_secs_f64(),
            sides[victim].node.name,
            sides[load].node.name
        );
        sides[victim].restart().await;
    }
    let spoken = drain(&mut sides, crowd).await;
    for (at, side) in sides.iter().enumerate() {
        let feed = side.node.api().hear(*side.heard_count.borrow()).await;
        let after = side.node.api().get(&format!("/v1/events?after={}", feed.len())).await;
        assert_eq!(after["events"], Value::Array(vec![]), "nothing comes after what was expected");
        verify(side, &feed, &spoken[1 - at], &sides[1 - at]);
    }
    println!("{:>6.1} s  {kills} kills", started.elapsed().as_secs_f64());
}

/// Let everybody finish; returns what each side's speakers said.
async fn drain(sides: &mut [Side; 2], mut crowd: Crowd) -> [Vec<Spoken>; 2] {
    crowd.enough.send_replace(true);
    let mut spoken = [vec![], vec![]];
    while let Some(done) = soon("the last submissions", crowd.speakers.join_next()).await {
        let (side, one) = done.expect("a speaker does not fail");
        spoken[side].push(one);
    }
    for (side, said) in sides.iter_mut().zip(spoken.iter().rev()) {
        let expected: usize = said.iter().map(|one| one.texts.len()).sum();
        let name = side.node.name;
        let arrived = side.heard_count.wait_for(|count| *count >= expected);
        let arrived = tokio::select! {
            arrived = timeout(Duration::from_secs(60), arrived) => arrived.map(|count| *count.expect("the listener runs")),
            Some(ended) = crowd.listeners.join_next() => panic!("a listener ended: {ended:?}"),
        };
        let heard = side.heard.lock().expect("no panic while it is held").events.len();
        assert!(arrived.is_ok(), "{name} heard {heard} of {expected}");
    }
    crowd.listeners.shutdown().await;
    spoken
}

/// The feed, read once more from its beginning, against what was acknowledged on the other side and what was heard meanwhile.
fn verify(side: &Side, feed: &[Value], spoken: &[Spoken], other: &Side) {
    let from = other.node.name;
    let heard = side.heard.lock().expect("no panic while it is held");
    assert!(heard.events.values().eq(feed), "what was heard is what the feed holds");
    let positions = feed.iter().map(|event| event["position"].as_u64());
    assert!(positions.eq((1..=feed.len() as u64).map(Some)), "positions are without gaps");
    for (event, n) in feed.iter().zip(1..) {
        assert_eq!(event["id"], format!("{from}#{n}"), "each update is counted once: {event}");
    }
    let feed = texts(feed);
    assert_eq!(feed.iter().collect::<HashSet<_>>().len(), feed.len(), "the same text under two ids");
    for one in spoken {
        let start = format!("{}/", one.name);
        let arrived: Vec<_> = feed.iter().filter(|text| text.starts_with(&start)).collect();
        assert!(
            arrived.iter().eq(&one.texts.iter().collect::<Vec<_>>()),
            "{}: something is missing or out of order",
            one.name
        );
    }
    let acknowledged: usize = spoken.iter().map(|one| one.texts.len()).sum();
    assert_eq!(feed.len(), acknowledged, "nothing was made up");
    println!(
        "{from} -> {}: {} submissions with {acknowledged} updates acknowledged ({} repeated over a kill), {} delivered, {} redelivered over the feed",
        side.node.name,
        *other.acknowledged.borrow(),
        spoken.iter().map(|one| one.repeats).sum::<usize>(),
        feed.len(),
        heard.redelivered
    );
}
