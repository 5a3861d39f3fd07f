//! The demo as a check: a scripted conversation with an outage in the middle, verified on both sides.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::super::{FINE, WRONG};
use super::toy::{Heard, Toy};

/// How long the whole conversation may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Updates said in one breath: some alone, some together.
const BREATHS: [usize; 4] = [1, 7, 2, 20];

/// One side of the conversation.
struct Side {
    name: &'static str,
    /// What the other one says to it, in order.
    expected: Vec<String>,
    heard: Vec<(String, String)>,
    hears: mpsc::UnboundedReceiver<Heard>,
}

pub(super) async fn run(updates: u32) -> anyhow::Result<u8> {
    let started = Instant::now();
    let (mut red, mut blue) = super::pair().await?;
    let count = updates as usize;
    let lines = |name: &str| (1..=count).map(|n| format!("{name} says {n} of {count}")).collect::<Vec<_>>();
    let (red_says, blue_says) = (lines("red"), lines("blue"));
    let (red_toy, blue_toy) = (Toy::new("red", red.messenger_url())?, Toy::new("blue", blue.messenger_url())?);
    let mut sides = [side("red", &red_toy, blue_says.clone()), side("blue", &blue_toy, red_says.clone())];

    // Blue goes down when half is said, in the middle of traffic both ways; red goes on talking to nobody.
    let half = count / 2;
    let talking = [speak(&red_toy, "blue", red_says), speak(&blue_toy, "red", blue_says)];
    hear_until(&mut sides, half, started).await;
    println!("{:>6.1} s  blue goes down, as in a power cut", started.elapsed().as_secs_f64());
    blue.kill().await;
    let heard_before = sides[1].heard.len();
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("{:>6.1} s  blue comes back", started.elapsed().as_secs_f64());
    blue.start().await.context("blue does not come back")?;

    hear_until(&mut sides, count, started).await;
    println!("{:>6.1} s  all is said\n", started.elapsed().as_secs_f64());
    for talk in talking {
        talk.abort();
    }
    red.stop().await;
    blue.stop().await;
    Ok(table(&sides, count, heard_before))
}

fn side(name: &'static str, toy: &Toy, expected: Vec<String>) -> Side {
    let (heard, hears) = mpsc::unbounded_channel();
    actix::spawn(toy.clone().listen(heard));
    Side { name, expected, heard: vec![], hears }
}

/// Say all lines, one breath after the other.
fn speak(toy: &Toy, to: &'static str, lines: Vec<String>) -> tokio::task::JoinHandle<()> {
    let toy = toy.clone();
    actix::spawn(async move {
        let (mut rest, mut breaths) = (&lines[..], BREATHS.iter().cycle());
        while !rest.is_empty() {
            let breath = breaths.next().map_or(1, |&n| n.min(rest.len()));
            if let Err(error) = toy.say(to, rest[..breath].to_vec()).await {
                return eprintln!("{error:#}");
            }
            rest = &rest[breath..];
        }
    })
}

/// Listen until both sides have heard so many lines, or time is up.
async fn hear_until(sides: &mut [Side; 2], count: usize, started: Instant) {
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
        progress(red, blue);
    }
    clear();
}

fn progress(red: &Side, blue: &Side) {
    if std::io::stdout().is_terminal() {
        print!("\r  red has heard {}, blue {} ", red.heard.len(), blue.heard.len());
        // Progress that cannot be shown is not worth ending for.
        let _ = std::io::stdout().flush();
    }
}

fn clear() {
    if std::io::stdout().is_terminal() {
        print!("\r{:60}\r", "");
    }
}

impl Side {
    fn note(&mut self, heard: Heard) {
        if let Heard::Text { id, text, .. } = heard {
            self.heard.push((id, text));
        }
    }

    /// What the feed brought, each event once: an event that comes again after a lost acknowledgement has its old id.
    fn distinct(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.heard.iter().filter(|(id, _)| seen.insert(id)).map(|(_, text)| text.as_str()).collect()
    }
}

fn table(sides: &[Side; 2], count: usize, heard_before: usize) -> u8 {
    println!("side  expected  received  missing  twice  in order");
    let mut fine = true;
    for side in sides {
        let texts = side.distinct();
        let different: HashSet<&str> = texts.iter().copied().collect();
        let missing = side.expected.iter().filter(|text| !different.contains(text.as_str())).count();
        let twice = texts.len() - different.len();
        let in_order = texts == side.expected;
        fine &= in_order && missing == 0 && twice == 0;
        let order = if in_order { "yes" } else { "NO" };
        println!("{:<5} {count:>8}  {:>8}  {missing:>7}  {twice:>5}  {order}", side.name, texts.len());
    }
    println!("\nblue had heard {heard_before} when it went down.");
    println!("{}", if fine { "All there, once, in order." } else { "SOMETHING IS WRONG." });
    if fine { FINE } else { WRONG }
}
