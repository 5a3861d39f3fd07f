//! The interactive demo: a line that is typed at one messenger is sent to the others, in a context of all three.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::terminal::exit_code::FINE;
use crate::tools::demo::chat_terminal::ChatTerminal;
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
    let mut terminal = ChatTerminal::open();
    for gateway in &trio.gateways {
        terminal.print(&format!("{:<5} {}", gateway.name(), gateway.addresses()));
    }
    terminal.print(&format!(
        "\nRed and blue exchange updates; green exchanges transactions with both. All three share {CONTEXT}.\n\n{HELP}\n"
    ));
    trio.begin(CONTEXT).await?;
    for toy in &trio.toys {
        follow(toy.clone(), screen.clone());
    }
    let mut speaker = NAMES[0];
    let mut known = vec![];
    loop {
        tokio::select! {
            Some(news) = shown.recv() => show(&terminal, news, &mut known),
            line = terminal.next_line(speaker) => {
                let Some(line) = line? else { break };
                match parse(&line, speaker) {
                    TypedLine::Quit => break,
                    TypedLine::Nothing => {}
                    TypedLine::Help => terminal.print(HELP),
                    TypedLine::Graph => terminal.print(graph::draw(&known.iter().collect::<Vec<_>>()).trim_end()),
                    TypedLine::Unclear(why) => terminal.print(&why),
                    TypedLine::Speaker(name) => speaker = name,
                    TypedLine::Down(name) => {
                        if let Some(gateway) = trio.gateway(name) {
                            gateway.kill().await;
                        }
                        terminal.print(&format!("{name:<5} is down"));
                    }
                    TypedLine::Up(name) => {
                        if let Some(gateway) = trio.gateway(name).filter(|gateway| !gateway.is_up()) {
                            gateway.start().await?;
                        }
                        terminal.print(&format!("{name:<5} is up"));
                    }
                    TypedLine::Say(name, text) => {
                        speaker = name;
                        if trio.gateway(name).is_some_and(|gateway| !gateway.is_up()) {
                            terminal.print(&format!("{name:<5} is down: {text:?} is sent once it is up"));
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
        show(&terminal, news, &mut known);
    }
    terminal.finish().await;
    trio.stop().await;
    Ok(FINE)
}

/// Prints an output, and records a message that red sent or received for the graph.
fn show(terminal: &ChatTerminal, shown: ShownLine, known: &mut Vec<ChatLine>) {
    match shown {
        ShownLine::Text(text) => terminal.print(&text),
        ShownLine::Heard(name, line) => {
            terminal.print(&format!("{name:<5} received  {:?}", line.body));
            known.extend((name == NAMES[0]).then_some(line));
        }
        ShownLine::Own(name, line) => {
            terminal.print(&format!("{name:<5} sent      {:?}: on disk at {name}", line.body));
            known.extend((name == NAMES[0]).then_some(line));
        }
    }
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
