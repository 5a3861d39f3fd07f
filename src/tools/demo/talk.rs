//! The interactive demo: a line that is typed at one messenger is sent to the others, in a context of all three.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::mpsc;

use crate::terminal::exit_code::FINE;
use crate::terminal::output::say_line;
use crate::tools::demo::cluster::DemoCluster;
use crate::tools::demo::graph;
use crate::tools::demo::names::{CONTEXTS, NAMES};
use crate::tools::demo::toy::{ChatLine, SampleFeedItem, SampleMessenger};
use crate::tools::demo::typed::{HELP, TypedLine, parse};

/// Context of the demo.
const CONTEXT: &str = CONTEXTS[0];

/// Interval at which a sender polls the delivery of its message.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// An output for the terminal.
enum ShownLine {
    Text(String),
    /// A message that this side sent.
    Own(&'static str, ChatLine),
    /// A message that this side received.
    Heard(&'static str, ChatLine),
}

type Screen = mpsc::UnboundedSender<ShownLine>;

pub(super) async fn run() -> anyhow::Result<u8> {
    let mut trio = DemoCluster::start().await?;
    let (screen, mut shown) = mpsc::unbounded_channel();
    for gateway in &trio.gateways {
        say_line(&format!("{:<5} {}", gateway.name(), gateway.addresses()));
    }
    say_line(&format!(
        "\nRed and blue exchange updates; green exchanges transactions with both. All three share {CONTEXT}.\n\n{HELP}\n"
    ));
    trio.begin(CONTEXT).await?;
    for toy in &trio.toys {
        follow(toy.clone(), screen.clone());
    }
    let mut typed = BufReader::new(stdin()).lines();
    let mut speaker = NAMES[0];
    let mut known = vec![];
    loop {
        prompt(speaker);
        tokio::select! {
            Some(news) = shown.recv() => show(news, &mut known),
            line = typed.next_line() => {
                let Some(line) = line? else { break };
                match parse(&line, speaker) {
                    TypedLine::Quit => break,
                    TypedLine::Nothing => {}
                    TypedLine::Help => say_line(HELP),
                    TypedLine::Graph => say_line(graph::draw(&known.iter().collect::<Vec<_>>()).trim_end()),
                    TypedLine::Unclear(why) => say_line(&why),
                    TypedLine::Speaker(name) => speaker = name,
                    TypedLine::Down(name) => {
                        if let Some(gateway) = trio.gateway(name) {
                            gateway.kill().await;
                        }
                        say_line(&format!("{name:<5} is down"));
                    }
                    TypedLine::Up(name) => {
                        if let Some(gateway) = trio.gateway(name).filter(|gateway| !gateway.is_up()) {
                            gateway.start().await?;
                        }
                        say_line(&format!("{name:<5} is up"));
                    }
                    TypedLine::Say(name, text) => {
                        speaker = name;
                        if trio.gateway(name).is_some_and(|gateway| !gateway.is_up()) {
                            say_line(&format!("{name:<5} is down: {text:?} is sent once it is up"));
                        }
                        if let Some(toy) = trio.toys.iter().find(|toy| toy.name() == name) {
                            say(toy.clone(), text, screen.clone());
                        }
                    }
                }
            }
        }
    }
    // If the input is a file, the last messages may still be in flight.
    while let Ok(Some(news)) = tokio::time::timeout(Duration::from_millis(500), shown.recv()).await {
        show(news, &mut known);
    }
    trio.stop().await;
    Ok(FINE)
}

/// Prints an output, and records a message that red sent or received for the graph.
fn show(shown: ShownLine, known: &mut Vec<ChatLine>) {
    match shown {
        ShownLine::Text(text) => over_prompt(&text),
        ShownLine::Heard(name, line) => {
            over_prompt(&format!("{name:<5} received  {:?}", line.body));
            known.extend((name == NAMES[0]).then_some(line));
        }
        ShownLine::Own(name, line) => {
            over_prompt(&format!("{name:<5} sent      {:?}: on disk at {name}", line.body));
            known.extend((name == NAMES[0]).then_some(line));
        }
    }
}

fn is_a_talk() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn prompt(speaker: &str) {
    if is_a_talk() {
        put(&format!("{speaker}> "));
    }
}

/// Prints a line in the place of the prompt.
fn over_prompt(line: &str) {
    if is_a_talk() {
        put("\r\u{1b}[K");
    }
    say_line(line);
}

/// Prints characters of the demo. A failed output must not end the demo.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Sends a message, and reports each gateway that has it on disk.
fn say(toy: SampleMessenger, text: String, screen: Screen) {
    actix::spawn(async move {
        let name = toy.name();
        match toy.message(CONTEXT, text.clone(), None).await {
            Err(error) => drop(screen.send(ShownLine::Text(format!("{name:<5} {error}")))),
            Ok((id, line)) => {
                drop(screen.send(ShownLine::Own(name, line)));
                let mut confirmed = BTreeSet::new();
                loop {
                    // The call fails while the sender's own gateway is down; others may have received the message.
                    let Ok(states) = toy.states(&id).await else {
                        tokio::time::sleep(ASK_EVERY).await;
                        continue;
                    };
                    for server in states.iter().filter(|(_, state)| *state == "acknowledged").map(|(server, _)| server)
                    {
                        if confirmed.insert(server.clone()) {
                            let news = format!("{name:<5} notified  {text:?} is on disk at {server}");
                            drop(screen.send(ShownLine::Text(news)));
                        }
                    }
                    if confirmed.len() == states.len() {
                        return;
                    }
                    tokio::time::sleep(ASK_EVERY).await;
                }
            }
        }
    });
}

fn follow(toy: SampleMessenger, screen: Screen) {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let name = toy.name();
    actix::spawn(toy.listen(heard));
    actix::spawn(async move {
        while let Some(heard) = hears.recv().await {
            let shown = match heard {
                SampleFeedItem::Message(line) => ShownLine::Heard(name, line),
                SampleFeedItem::Text { from, text, .. } => {
                    ShownLine::Text(format!("{name:<5} received  {text:?} from {from}"))
                }
                SampleFeedItem::News(words) => ShownLine::Text(format!("{name:<5} notified  {words}")),
            };
            if screen.send(shown).is_err() {
                return;
            }
        }
    });
}
