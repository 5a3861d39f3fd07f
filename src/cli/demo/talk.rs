//! The demo as a conversation: what is typed at one messenger appears at the other.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::mpsc;

use super::super::FINE;
use super::gateway::DemoGateway;
use super::toy::{Heard, Toy};

/// How often the sender asks whether what it said was taken.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A line for the screen.
type Lines = mpsc::UnboundedSender<String>;

pub(super) async fn run() -> anyhow::Result<u8> {
    let (mut red, mut blue) = super::pair().await?;
    let (lines, mut shown) = mpsc::unbounded_channel();
    for gateway in [&red, &blue] {
        println!("{:<5} {}", gateway.name(), gateway.addresses());
    }
    println!("\nType a line and it is said at red; `blue> hi` says it at blue, and what follows, too.");
    println!("`down blue` ends blue as a power cut does, `up blue` starts it again, `quit` ends the demo.\n");

    let toys = [Toy::new("red", red.messenger_url())?, Toy::new("blue", blue.messenger_url())?];
    for (toy, name) in toys.iter().zip(["red", "blue"]) {
        follow(toy.clone(), name, lines.clone());
    }
    let mut typed = BufReader::new(stdin()).lines();
    let mut speaker = "red";
    loop {
        prompt(speaker);
        tokio::select! {
            Some(line) = shown.recv() => println!("\r{line}"),
            line = typed.next_line() => {
                let Some(line) = line? else { break };
                match parse(&line, speaker) {
                    Typed::Quit => break,
                    Typed::Nothing => {}
                    Typed::Down(name) => {
                        pick(name, &mut red, &mut blue).kill().await;
                        println!("{name:<5} is down");
                    }
                    Typed::Up(name) => {
                        let gateway = pick(name, &mut red, &mut blue);
                        if !gateway.is_up() {
                            gateway.start().await?;
                        }
                        println!("{name:<5} is up");
                    }
                    Typed::Nobody(name) => println!("{name:?} is not here, only red and blue are"),
                    Typed::Say(name, text) => {
                        speaker = name;
                        if !pick(name, &mut red, &mut blue).is_up() {
                            println!("{name:<5} is down: it says {text:?} once it is up");
                        }
                        say(toys[usize::from(name == "blue")].clone(), name, text, lines.clone());
                    }
                }
            }
        }
    }
    // What was typed last may still be on its way when the input is a file.
    while let Ok(Some(line)) = tokio::time::timeout(Duration::from_millis(500), shown.recv()).await {
        println!("{line}");
    }
    red.stop().await;
    blue.stop().await;
    Ok(FINE)
}

fn pick<'a>(name: &str, red: &'a mut DemoGateway, blue: &'a mut DemoGateway) -> &'a mut DemoGateway {
    if name == "blue" { blue } else { red }
}

fn other(name: &str) -> &'static str {
    if name == "red" { "blue" } else { "red" }
}

fn prompt(speaker: &str) {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        print!("{speaker}> ");
        // A prompt that cannot be shown is not worth ending for.
        let _ = std::io::stdout().flush();
    }
}

enum Typed {
    Nothing,
    Nobody(String),
    Quit,
    Down(&'static str),
    Up(&'static str),
    Say(&'static str, String),
}

fn parse(line: &str, speaker: &'static str) -> Typed {
    let named = |name: &str| ["red", "blue"].into_iter().find(|known| *known == name.trim());
    let line = line.trim();
    match line.split_once(' ') {
        _ if line.is_empty() => return Typed::Nothing,
        _ if line == "quit" => return Typed::Quit,
        Some(("down", name)) => return named(name).map_or_else(|| Typed::Nobody(name.to_owned()), Typed::Down),
        Some(("up", name)) => return named(name).map_or_else(|| Typed::Nobody(name.to_owned()), Typed::Up),
        _ => {}
    }
    match line.split_once('>') {
        Some((name, text)) if named(name).is_some() => {
            Typed::Say(named(name).unwrap_or(speaker), text.trim().to_owned())
        }
        _ => Typed::Say(speaker, line.to_owned()),
    }
}

/// Say it, and report when it is on our disk and when on theirs.
fn say(toy: Toy, name: &'static str, text: String, lines: Lines) {
    actix::spawn(async move {
        let to = other(name);
        let show = |line: String| drop(lines.send(line));
        match toy.say(to, vec![text.clone()]).await {
            Err(error) => show(format!("{name:<5} {error}")),
            Ok(id) => {
                show(format!("{name:<5} said      {text:?}: on disk at {name}"));
                // No answer, because the speaker's own gateway is down, says nothing about the other one.
                while toy.state(&id, to).await.ok().is_none_or(|state| state != "acknowledged") {
                    tokio::time::sleep(ASK_EVERY).await;
                }
                show(format!("{name:<5} learns    {text:?} is on disk at {to}"));
            }
        }
    });
}

fn follow(toy: Toy, name: &'static str, lines: Lines) {
    let (heard, mut hears) = mpsc::unbounded_channel();
    actix::spawn(toy.listen(heard));
    actix::spawn(async move {
        while let Some(heard) = hears.recv().await {
            let line = match heard {
                Heard::Text { from, text, .. } => format!("{name:<5} received  {text:?} from {from}"),
                Heard::News(words) => format!("{name:<5} is told   {words}"),
            };
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        match parse(line, "red") {
            Typed::Nothing => "nothing".to_owned(),
            Typed::Nobody(name) => format!("nobody {name}"),
            Typed::Quit => "quit".to_owned(),
            Typed::Down(name) => format!("down {name}"),
            Typed::Up(name) => format!("up {name}"),
            Typed::Say(name, text) => format!("{name} says {text}"),
        }
    }

    #[test]
    fn a_typed_line_is_a_command_or_is_said() {
        for (line, meaning) in [
            ("  ", "nothing"),
            ("hello there", "red says hello there"),
            ("blue> hi", "blue says hi"),
            ("blue>hi > all", "blue says hi > all"),
            ("green> hi", "red says green> hi"),
            ("down blue", "down blue"),
            ("up  red", "up red"),
            ("down green", "nobody green"),
            (" quit ", "quit"),
        ] {
            assert_eq!(shown(line), meaning, "{line:?}");
        }
    }
}
