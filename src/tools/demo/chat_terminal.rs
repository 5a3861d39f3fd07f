//! Input and output of the demo in a terminal: an editor if both ends are a terminal, plain lines otherwise.

use std::io::IsTerminal;

use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

use crate::terminal::output::say_line;
use crate::tools::demo::names::NAMES;
use crate::tools::demo::terminal_editor::TerminalEditor;

/// The two ends of the demo's terminal.
pub(super) enum ChatTerminal {
    Edited(TerminalEditor),
    Plain(Lines<BufReader<Stdin>>),
}

impl ChatTerminal {
    /// Opens them. A terminal without the abilities that editing needs is read line by line.
    pub(super) fn open() -> Self {
        let is_a_talk = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let editor = is_a_talk.then(|| TerminalEditor::start(completions()).ok()).flatten();
        editor.map_or_else(|| Self::Plain(BufReader::new(stdin()).lines()), Self::Edited)
    }

    /// Returns the next line, or `None` at the end of input. If this is dropped, the next call returns the line.
    pub(super) async fn next_line(&mut self, speaker: &str) -> std::io::Result<Option<String>> {
        match self {
            Self::Edited(editor) => Ok(editor.next(&format!("{speaker}> ")).await),
            Self::Plain(lines) => lines.next_line().await,
        }
    }

    /// Prints a text; control characters are escaped.
    pub(super) fn print(&self, text: &str) {
        match self {
            Self::Edited(editor) => editor.print(text),
            Self::Plain(_) => say_line(text),
        }
    }

    /// Waits until everything is printed.
    pub(super) async fn finish(self) {
        if let Self::Edited(editor) = self {
            editor.finish().await;
        }
    }
}

/// Returns the lines that Tab completes: the commands, and the names of senders.
fn completions() -> Vec<String> {
    let commands = ["help", "graph", "quit"].map(str::to_owned).into_iter();
    let named = NAMES.iter().flat_map(|name| [format!("{name}> "), format!("down {name}"), format!("up {name}")]);
    commands.chain(named).collect()
}
