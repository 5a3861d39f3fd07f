//! The second half of the check: three messengers talk in two contexts, answer one another, and one of them is away for a
//! while. No side may see an answer before what it answers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::super::{FINE, WRONG};
use super::table::{Row, print, progress};
use super::toy::{Heard, Line, Toy};
use super::{NAMES, Trio, graph};
use crate::cli::output::{remark, say};

/// How long the whole conversation may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long green is away.
const OUTAGE: Duration = Duration::from_secs(1);
/// Where they talk.
const CONTEXTS: [&str; 2] = ["#garden", "#harbour"];
/// Every so many messages heard, one is answered.
const ANSWER_EVERY: usize = 3;

/// What one messenger knows: what it heard and what it said, in the order in which it knows them.
struct Side {
    name: &'static str,
    known: Vec<Line>,
    /// Events by id; more than one for an id is one too many, unless the event itself came again.
    seen: HashMap<String, usize>,
}

/// Something a side came to know.
struct News {
    side: usize,
    line: Line,
    own: bool,
}

pub(super) async fn run(trio: &mut Trio, messages: u32, draw: bool) -> anyhow::Result<u8> {
    let started = Instant::now();
    let count = messages as usize;
    say!("{count} messages among red, blue and green, with answers, in {}:", CONTEXTS.join(" and "));
    for context in CONTEXTS {
        for toy in &trio.toys {
            let others: Vec<&str> = NAMES.into_iter().filter(|name| *name != toy.name()).collect();
            toy.begin(context, &others).await?;
        }
    }
    let (news, mut arrives) = mpsc::unbounded_channel();
    let speakers: Vec<Speaker> = (0..3).map(|at| Speaker::start(at, &trio.toys[at], count, &news)).collect();
    let mut sides = NAMES.map(|name| Side { name, known: vec![], seen: HashMap::new() });

    know_until(&mut sides, &mut arrives, count / 2, count, started).await;
    say!("{:>6.1} s  green goes down, as in a power cut", started.elapsed().as_secs_f64());
    trio.gateways[2].kill().await;
    tokio::time::sleep(OUTAGE).await;
    say!("{:>6.1} s  green comes back", started.elapsed().as_secs_f64());
    trio.gateways[2].start().await.context("green does not come back")?;
    know_until(&mut sides, &mut arrives, count, count, started).await;
    say!("{:>6.1} s  all is said", started.elapsed().as_secs_f64());
    drop(speakers);

    let said: HashSet<String> = sides.iter().flat_map(|side| side.known.iter().map(|line| line.id.clone())).collect();
    let fine = print(&sides.each_ref().map(|side| side.row(said.len().max(count))));
    if draw {
        let lines = sides[0].known.iter().filter(|line| line.context == CONTEXTS[0]);
        print!("{} as red saw it grow:\n\n{}", CONTEXTS[0], graph::draw(&lines.collect::<Vec<_>>()));
    }
    Ok(if fine { FINE } else { WRONG })
}

/// Take in what the sides come to know until each knows `count` messages, or time is up.
async fn know_until(
    sides: &mut [Side; 3],
    arrives: &mut mpsc::UnboundedReceiver<News>,
    count: usize,
    all: usize,
    started: Instant,
) {
    while sides.iter().any(|side| side.seen.len() < count) {
        match timeout_at(started + DEADLINE, arrives.recv()).await {
            Ok(Some(news)) => sides[news.side].note(news),
            Ok(None) | Err(_) => return,
        }
        let known: Vec<String> = sides.iter().map(|side| format!("{} {}", side.name, side.seen.len())).collect();
        progress(&format!("known of {all}: {}", known.join(", ")));
    }
}

impl Side {
    fn note(&mut self, news: News) {
        let times = self.seen.entry(news.line.id.clone()).or_default();
        *times += 1;
        if *times == 1 {
            self.known.push(news.line);
        } else if news.own {
            // What it said itself came back to it: that is one too many.
            *times += 1;
        }
    }

    fn row(&self, expected: usize) -> Row {
        let mut before: HashSet<&str> = HashSet::new();
        let mut too_early = 0;
        for line in &self.known {
            let answered = line.answers.iter().chain(&line.prev);
            too_early += usize::from(answered.into_iter().any(|id| !before.contains(id.as_str())));
            before.insert(&line.id);
        }
        let twice = self.seen.values().filter(|times| **times > 1).count();
        Row { name: self.name, expected, received: self.seen.len(), twice, too_early }
    }
}

/// A messenger that talks and answers; dropping it ends it.
struct Speaker([tokio::task::JoinHandle<()>; 2]);

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Speaker {
    /// Says its third of `count` messages: some of its own accord, some in answer to what it hears.
    fn start(at: usize, toy: &Toy, count: usize, news: &mpsc::UnboundedSender<News>) -> Self {
        let (heard, mut hears) = mpsc::unbounded_channel();
        let listener = actix::spawn(toy.clone().listen(heard));
        let (toy, news) = (toy.clone(), news.clone());
        let mut left = count / 3 + usize::from(at < count % 3);
        let talker = actix::spawn(async move {
            let mut heard_so_far = 0usize;
            let mut open = true;
            while open {
                // Own words go on while nothing is heard; what is heard is noted before anything else is said.
                let line = match hears.try_recv() {
                    Ok(heard) => Some(heard),
                    Err(mpsc::error::TryRecvError::Empty) if left > 0 => None,
                    Err(mpsc::error::TryRecvError::Empty) => hears.recv().await,
                    Err(mpsc::error::TryRecvError::Disconnected) => {
                        open = false;
                        None
                    }
                };
                let answers = match line {
                    Some(Heard::Message(line)) => {
                        heard_so_far += 1;
                        let (id, context) = (line.id.clone(), line.context.clone());
                        if news.send(News { side: at, line, own: false }).is_err() {
                            return;
                        }
                        (heard_so_far.is_multiple_of(ANSWER_EVERY) && left > 0).then_some((context, Some(id)))
                    }
                    Some(Heard::Text { .. } | Heard::News(_)) => None,
                    None if left > 0 => Some((CONTEXTS[left % 2].to_owned(), None)),
                    None => None,
                };
                let Some((context, answers)) = answers else { continue };
                left -= 1;
                let body = format!("{} has {left} more to say", toy.name());
                match toy.message(&context, body, answers).await {
                    Ok((_, line)) => drop(news.send(News { side: at, line, own: true })),
                    Err(error) => return remark!("{error:#}"),
                }
            }
        });
        Self([listener, talker])
    }
}
