//! Parses a line that was typed at the demo: a command, a message, or neither.

use super::names::NAMES;

/// The meaning of a typed line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TypedLine {
    /// The line is empty.
    Nothing,
    /// Print what can be typed.
    Help,
    /// End the demo.
    Quit,
    /// Draw the graph of the messages.
    Graph,
    /// Stop a gateway as a power cut would.
    Down(&'static str),
    /// Start the gateway again.
    Up(&'static str),
    /// The sender of the following lines.
    Speaker(&'static str),
    /// A message and its sender.
    Say(&'static str, String),
    /// The line is not sent: the reason, and what to type instead.
    Unclear(String),
}

/// Help of the demo: the lines that can be typed.
pub(super) const HELP: &str = "\
TEXT          send a message from the last sender, at first red
NAME> TEXT    send it from red, blue or green, and the next messages, too
down NAME     stop a gateway as a power cut does
up NAME       start the gateway again
graph         draw the messages that red sent and received
help, ?       print this help
Tab, up       in a terminal: complete a name or a command; bring back an earlier line
quit          end the demo";

/// The commands, and their names in other programs.
const COMMANDS: &[(&str, ChatCommand)] = &[
    ("help", ChatCommand::Help),
    ("?", ChatCommand::Help),
    ("quit", ChatCommand::Quit),
    ("exit", ChatCommand::Quit),
    ("graph", ChatCommand::Graph),
    ("down", ChatCommand::Down),
    ("up", ChatCommand::Up),
];

/// Commands of other programs; such a word alone is probably not a message.
const ELSEWHERE: &[&str] = &[
    "clear", "history", "join", "kill", "list", "log", "ls", "peers", "queue", "restart", "resume", "retry", "send",
    "show", "start", "status", "stop", "suspend", "trace", "version",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChatCommand {
    Help,
    Quit,
    Graph,
    Down,
    Up,
}

/// Parses a line that is typed while `speaker` is the sender.
pub(super) fn parse(line: &str, speaker: &'static str) -> TypedLine {
    let line = line.trim();
    if line.is_empty() {
        return TypedLine::Nothing;
    }
    if let Some((name, text)) = addressed(line) {
        return match (known(name), text) {
            (Some(name), "") => TypedLine::Speaker(name),
            (Some(name), text) => TypedLine::Say(name, text.to_owned()),
            (None, _) => unclear(&nobody(name), line, speaker),
        };
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let bare = words[0].strip_prefix('/').filter(|rest| !rest.is_empty());
    match (bare, words.as_slice()) {
        // A line with more words than any command is a message.
        (None, [_, _, _, ..]) => TypedLine::Say(speaker, line.to_owned()),
        (_, [first, rest @ ..]) => command(bare.unwrap_or(first), bare.is_some(), rest, line, speaker),
        (_, []) => TypedLine::Nothing,
    }
}

/// Returns the name before a `>`, and the rest. If no gateway has the name, the `>` must follow at once, as in
/// `grey> hi`, because `3 > 2` is a message.
fn addressed(line: &str) -> Option<(&str, &str)> {
    let (name, text) = line.split_once('>')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let could_be = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_name);
    let named = known(name).is_some() || could_be;
    named.then(|| (name.trim(), text.trim()))
}

fn known(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name.trim()))
}

fn command(word: &str, marked: bool, rest: &[&str], line: &str, speaker: &'static str) -> TypedLine {
    let word = word.to_ascii_lowercase();
    let found = COMMANDS.iter().find(|(name, _)| *name == word).map(|(_, command)| *command);
    match (found, rest) {
        (Some(ChatCommand::Help), []) => TypedLine::Help,
        (Some(ChatCommand::Quit), []) => TypedLine::Quit,
        (Some(ChatCommand::Graph), []) => TypedLine::Graph,
        (Some(ChatCommand::Down), [name]) if known(name).is_some() => {
            known(name).map_or(TypedLine::Nothing, TypedLine::Down)
        }
        (Some(ChatCommand::Up), [name]) if known(name).is_some() => {
            known(name).map_or(TypedLine::Nothing, TypedLine::Up)
        }
        (Some(ChatCommand::Down | ChatCommand::Up), [name]) => unclear(&nobody(name), line, speaker),
        (Some(ChatCommand::Down | ChatCommand::Up), _) => {
            unclear(&format!("{word} needs one name: {}", NAMES.join(", ")), line, speaker)
        }
        (Some(_), _) => unclear(&format!("{word} takes no name"), line, speaker),
        (None, _) if marked || ELSEWHERE.contains(&word.as_str()) => {
            unclear(&format!("there is no command {word}"), line, speaker)
        }
        (None, _) => match slip(&word) {
            Some(meant) => unclear(&format!("there is no command {word}; did you mean {meant}?"), line, speaker),
            None => TypedLine::Say(speaker, line.to_owned()),
        },
    }
}

/// Returns the command that a typing error may have turned into this word. A word of one or two letters is too short
/// for that.
fn slip(word: &str) -> Option<&'static str> {
    let names = COMMANDS.iter().map(|(name, _)| *name).filter(|name| name.len() > 2);
    names.into_iter().find(|name| strsim::damerau_levenshtein(word, name) == 1)
}

fn nobody(name: &str) -> String {
    format!("there is no gateway {name}, only {}", NAMES.join(", "))
}

fn unclear(why: &str, line: &str, speaker: &str) -> TypedLine {
    TypedLine::Unclear(format!("{why}. Type help for the commands; to send this line as a message: {speaker}> {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        match parse(line, "red") {
            TypedLine::Nothing => "nothing".to_owned(),
            TypedLine::Help => "help".to_owned(),
            TypedLine::Quit => "quit".to_owned(),
            TypedLine::Graph => "graph".to_owned(),
            TypedLine::Down(name) => format!("down {name}"),
            TypedLine::Up(name) => format!("up {name}"),
            TypedLine::Speaker(name) => format!("{name} is the sender"),
            TypedLine::Say(name, text) => format!("{name} sends {text}"),
            TypedLine::Unclear(why) => why.split(". ").next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn typed_line_parses_as_command() {
        for (line, meaning) in [
            ("", "nothing"),
            (" \t ", "nothing"),
            ("hello there", "red sends hello there"),
            ("hello", "red sends hello"),
            ("blue> hi", "blue sends hi"),
            ("Blue>hi > all", "blue sends hi > all"),
            ("green > hi", "green sends hi"),
            ("blue>", "blue is the sender"),
            ("3 > 2", "red sends 3 > 2"),
            ("-> look", "red sends -> look"),
            ("graph", "graph"),
            ("down blue", "down blue"),
            ("up  red", "up red"),
            ("Down Blue", "down blue"),
            (" quit ", "quit"),
            ("exit", "quit"),
            ("help", "help"),
            ("?", "help"),
            ("/help", "help"),
            ("help me out", "red sends help me out"),
            ("up the hill", "red sends up the hill"),
            ("red> help", "red sends help"),
        ] {
            assert_eq!(shown(line), meaning, "{line:?}");
        }
    }

    #[test]
    fn unknown_names_and_commands_are_explained() {
        for (line, why) in [
            ("grey> hi", "there is no gateway grey, only red, blue, green"),
            ("down grey", "there is no gateway grey, only red, blue, green"),
            ("down", "down needs one name: red, blue, green"),
            ("up", "up needs one name: red, blue, green"),
            ("graph blue", "graph takes no name"),
            ("status", "there is no command status"),
            ("restart blue", "there is no command restart"),
            ("/frob x y z", "there is no command frob"),
            ("dwon blue", "there is no command dwon; did you mean down?"),
            ("hlep", "there is no command hlep; did you mean help?"),
        ] {
            assert_eq!(shown(line), why, "{line:?}");
        }
        let TypedLine::Unclear(why) = parse("grey> hi", "blue") else { panic!("the line must not be sent") };
        assert!(why.ends_with("to send this line as a message: blue> grey> hi"), "{why}");
        assert_eq!(
            parse("blue> grey> hi", "red"),
            TypedLine::Say("blue", "grey> hi".to_owned()),
            "the suggested line is sent"
        );
    }
}
