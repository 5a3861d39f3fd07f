//! The first half of `--check`: updates between red and blue, with an outage of blue.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::output::{remark, say};
use crate::tools::demo::cluster::DemoCluster;
use crate::tools::demo::table::{ComparisonRow, print, progress};
use crate::tools::demo::toy::{SampleFeedItem, SampleMessenger};

/// Deadline of the whole exchange.
const DEADLINE: Duration = Duration::from_secs(120);
/// Time for which blue is down.
const OUTAGE: Duration = Duration::from_secs(1);
/// Number of updates per submission, in turn.
const BREATHS: [usize; 4] = [1, 7, 2, 20];

/// One side of the exchange.
struct ScriptSide {
    name: &'static str,
    /// Texts that the other side sends to it, in order.
    expected: Vec<String>,
    heard: Vec<(String, String)>,
    hears: mpsc::UnboundedReceiver<SampleFeedItem>,
    listener: tokio::task::JoinHandle<()>,
}

pub(super) async fn run(trio: &mut DemoCluster, updates: u32) -> anyhow::Result<u8> {
    let started = Instant::now();
    let count = updates as usize;
    say!("{count} updates each way between red and blue:");
    let lines = |name: &str| (1..=count).map(|n| format!("update {n} of {count} from {name}")).collect::<Vec<_>>();
    let (red, blue) = (trio.toys[0].clone(), trio.toys[1].clone());
    let mut sides = [side(&red, lines("blue")), side(&blue, lines("red"))];

    let talking = [speak(red, "blue", lines("red")), speak(blue, "red", lines("blue"))];
    hear_until(&mut sides, count / 2, started).await;
    let heard_before = sides[1].heard.len();
    say!(
        "{:>6.1} s  blue goes down, as in a power cut; it has received {heard_before}",
        started.elapsed().as_secs_f64()
    );
    trio.gateways[1].kill().await;
    tokio::time::sleep(OUTAGE).await;
    say!("{:>6.1} s  blue comes back", started.elapsed().as_secs_f64());
    trio.gateways[1].start().await.context("blue does not come back")?;

    hear_until(&mut sides, count, started).await;
    say!("{:>6.1} s  all updates sent", started.elapsed().as_secs_f64());
    talking.iter().for_each(tokio::task::JoinHandle::abort);
    sides.iter().for_each(|side| side.listener.abort());
    Ok(if print(&sides.each_ref().map(ScriptSide::row)) { FINE } else { WRONG })
}

fn side(toy: &SampleMessenger, expected: Vec<String>) -> ScriptSide {
    let (heard, hears) = mpsc::unbounded_channel();
    let listener = actix::spawn(toy.clone().listen(heard));
    ScriptSide { name: toy.name(), expected, heard: vec![], hears, listener }
}

/// Submits all lines in groups.
fn speak(toy: SampleMessenger, to: &'static str, lines: Vec<String>) -> tokio::task::JoinHandle<()> {
    actix::spawn(async move {
        let (mut rest, mut breaths) = (&lines[..], BREATHS.iter().cycle());
        while !rest.is_empty() {
            let breath = breaths.next().map_or(1, |&n| n.min(rest.len()));
            if let Err(error) = toy.say(to, rest[..breath].to_vec()).await {
                return remark!("{error:#}");
            }
            rest = &rest[breath..];
        }
    })
}

/// Receives until both sides have this many lines, or the deadline is reached.
async fn hear_until(sides: &mut [ScriptSide; 2], count: usize, started: Instant) {
    let until = started + DEADLINE;
    let [red, blue] = sides;
    while red.heard.len() < count || blue.heard.len() < count {
        let next = async {
            tokio::select! {
                Some(heard) = red.hears.recv() => red.note(heard),
                Some(heard) = blue.hears.recv() => blue.note(heard),
            }
        };
        if timeout_at(until, next).await.is_err() {
            return;
        }
        progress(&format!("red has received {}, blue {}", red.heard.len(), blue.heard.len()));
    }
}

impl ScriptSide {
    fn note(&mut self, heard: SampleFeedItem) {
        if let SampleFeedItem::Text { id, text, .. } = heard {
            self.heard.push((id, text));
        }
    }

    fn row(&self) -> ComparisonRow {
        // An event that is redelivered after a lost acknowledgement has its old id, so it does not count as a second
        // arrival.
        let mut seen = HashSet::new();
        let texts: Vec<&String> = self.heard.iter().filter(|(id, _)| seen.insert(id)).map(|(_, text)| text).collect();
        let different: HashSet<&String> = texts.iter().copied().collect();
        let in_order = texts.iter().zip(&self.expected).filter(|(text, expected)| ***text == **expected).count();
        ComparisonRow {
            name: self.name,
            expected: self.expected.len(),
            received: self.expected.iter().filter(|text| different.contains(text)).count(),
            twice: texts.len() - different.len(),
            too_early: texts.len().min(self.expected.len()) - in_order,
        }
    }
}
