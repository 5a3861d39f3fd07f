//! The second half of `--check`: three messengers send messages and replies in two contexts, and one gateway is down
//! for a while. No side may receive a reply before the message that it answers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::output::{remark, say};
use crate::tools::demo::cluster::DemoCluster;
use crate::tools::demo::graph;
use crate::tools::demo::names::{CONTEXTS, NAMES};
use crate::tools::demo::table::{ComparisonRow, print, progress};
use crate::tools::demo::toy::{ChatLine, SampleFeedItem, SampleMessenger};

/// Deadline of the whole exchange.
const DEADLINE: Duration = Duration::from_secs(120);
/// Time for which green is down.
const OUTAGE: Duration = Duration::from_secs(1);
/// Number of received messages per reply.
const ANSWER_EVERY: usize = 3;

/// The messages that one messenger sent and received, in order.
struct DemoSide {
    name: &'static str,
    known: Vec<ChatLine>,
    /// Number of events by message id; a second event is an error.
    seen: HashMap<String, usize>,
}

/// A message that a side received or sent.
struct FeedNews {
    side: usize,
    line: ChatLine,
    own: bool,
}

pub(super) async fn run(trio: &mut DemoCluster, messages: u32, draw: bool) -> anyhow::Result<u8> {
    let started = Instant::now();
    let count = messages as usize;
    say!("{count} messages among red, blue and green, with replies, in {}:", CONTEXTS.join(" and "));
    for context in CONTEXTS {
        trio.begin(context).await?;
    }
    let (news, mut arrives) = mpsc::unbounded_channel();
    let speakers: Vec<DemoSpeaker> = (0..3).map(|at| DemoSpeaker::start(at, &trio.toys[at], count, &news)).collect();
    let mut sides = NAMES.map(|name| DemoSide { name, known: vec![], seen: HashMap::new() });

    know_until(&mut sides, &mut arrives, count / 2, count, started).await;
    say!("{:>6.1} s  green goes down, as in a power cut", started.elapsed().as_secs_f64());
    trio.gateways[2].kill().await;
    tokio::time::sleep(OUTAGE).await;
    say!("{:>6.1} s  green comes back", started.elapsed().as_secs_f64());
    trio.gateways[2].start().await.context("green does not come back")?;
    know_until(&mut sides, &mut arrives, count, count, started).await;
    say!("{:>6.1} s  all messages sent", started.elapsed().as_secs_f64());
    drop(speakers);

    let said: HashSet<String> = sides.iter().flat_map(|side| side.known.iter().map(|line| line.id.clone())).collect();
    let fine = print(&sides.each_ref().map(|side| side.row(said.len().max(count))));
    if draw {
        let lines = sides[0].known.iter().filter(|line| line.context == CONTEXTS[0]);
        print!("{} in the order in which red received it:\n\n{}", CONTEXTS[0], graph::draw(&lines.collect::<Vec<_>>()));
    }
    Ok(if fine { FINE } else { WRONG })
}

/// Collects messages until each side has `count`, or the deadline is reached.
async fn know_until(
    sides: &mut [DemoSide; 3],
    arrives: &mut mpsc::UnboundedReceiver<FeedNews>,
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
        progress(&format!("of {all} messages: {}", known.join(", ")));
    }
}

impl DemoSide {
    fn note(&mut self, news: FeedNews) {
        let times = self.seen.entry(news.line.id.clone()).or_default();
        *times += 1;
        if *times == 1 {
            self.known.push(news.line);
        } else if news.own {
            // A side received its own message, which is an error.
            *times += 1;
        }
    }

    fn row(&self, expected: usize) -> ComparisonRow {
        let mut before: HashSet<&str> = HashSet::new();
        let mut too_early = 0;
        for line in &self.known {
            let answered = line.answers.iter().chain(&line.prev);
            too_early += usize::from(answered.into_iter().any(|id| !before.contains(id.as_str())));
            before.insert(&line.id);
        }
        let twice = self.seen.values().filter(|times| **times > 1).count();
        ComparisonRow { name: self.name, expected, received: self.seen.len(), twice, too_early }
    }
}

/// A messenger that sends messages and replies until it is dropped.
struct DemoSpeaker([tokio::task::JoinHandle<()>; 2]);

impl Drop for DemoSpeaker {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl DemoSpeaker {
    /// Sends its third of `count` messages, some unprompted and some as replies to what it receives.
    fn start(at: usize, toy: &SampleMessenger, count: usize, news: &mpsc::UnboundedSender<FeedNews>) -> Self {
        let (heard, mut hears) = mpsc::unbounded_channel();
        let listener = actix::spawn(toy.clone().listen(heard));
        let (toy, news) = (toy.clone(), news.clone());
        let mut left = count / 3 + usize::from(at < count % 3);
        let talker = actix::spawn(async move {
            let mut heard_so_far = 0usize;
            let mut open = true;
            while open {
                // Unprompted messages are sent while nothing is received; a received message is recorded before
                // anything else is sent.
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
                    Some(SampleFeedItem::Message(line)) => {
                        heard_so_far += 1;
                        let (id, context) = (line.id.clone(), line.context.clone());
                        if news.send(FeedNews { side: at, line, own: false }).is_err() {
                            return;
                        }
                        (heard_so_far.is_multiple_of(ANSWER_EVERY) && left > 0).then_some((context, Some(id)))
                    }
                    Some(SampleFeedItem::Text { .. } | SampleFeedItem::News(_)) => None,
                    None if left > 0 => Some((CONTEXTS[left % 2].to_owned(), None)),
                    None => None,
                };
                let Some((context, answers)) = answers else { continue };
                left -= 1;
                let body = format!("{left} more from {}", toy.name());
                match toy.message(&context, body, answers).await {
                    Ok((_, line)) => drop(news.send(FeedNews { side: at, line, own: true })),
                    Err(error) => return remark!("{error:#}"),
                }
            }
        });
        Self([listener, talker])
    }
}
