//! Lines from a terminal with editing, completion and history, and output above the line that is being typed.
//!
//! The editor blocks, so it has a thread; a second one prints. Printing from the demo's own thread could wait for the editor
//! while the editor waits for its next prompt.

use std::borrow::Cow;
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{ColorMode, Config, Context, Editor, ExternalPrinter, Helper};
use tokio::sync::{mpsc, oneshot};

use crate::terminal::format::printable;

/// Maximum lines of output that wait; a further one is dropped.
const OUTPUT_MAX: usize = 1_024;
/// Maximum time for the last output at the end.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// A line editor on the terminal.
pub(super) struct TerminalEditor {
    /// Prompts, one for each line that is wanted.
    prompts: mpsc::Sender<String>,
    /// Lines; `None` is the end of input.
    lines: mpsc::Receiver<Option<String>>,
    /// True while the editor reads a line.
    is_reading: bool,
    output: mpsc::Sender<String>,
    printed: oneshot::Receiver<()>,
}

impl TerminalEditor {
    /// Starts the editor. `completions` are the beginnings of lines that Tab completes.
    pub(super) fn start(completions: Vec<String>) -> rustyline::Result<Self> {
        // Colours are forced because without them the editor would not ask its helper how a line is shown.
        let config = Config::builder().color_mode(ColorMode::Forced).auto_add_history(true).build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history)?;
        editor.set_helper(Some(LineHelper { completions }));
        let mut printer = editor.create_external_printer()?;
        let (prompts, wanted) = mpsc::channel(1);
        let (typed, lines) = mpsc::channel(1);
        std::thread::spawn(move || read_lines(editor, wanted, &typed));
        let (output, mut texts) = mpsc::channel::<String>(OUTPUT_MAX);
        let (all_printed, printed) = oneshot::channel();
        std::thread::spawn(move || {
            while let Some(text) = texts.blocking_recv() {
                // A failed output must not end the demo.
                let _ = printer.print(text);
            }
            let _ = all_printed.send(());
        });
        Ok(Self { prompts, lines, is_reading: false, output, printed })
    }

    /// Returns the next line, or `None` at the end of input. If this is dropped, the line is returned by the next call, and keeps
    /// its prompt.
    pub(super) async fn next(&mut self, prompt: &str) -> Option<String> {
        if !self.is_reading {
            self.prompts.send(prompt.to_owned()).await.ok()?;
            self.is_reading = true;
        }
        let line = self.lines.recv().await;
        self.is_reading = false;
        line.flatten()
    }

    /// Prints a text above the line that is being typed.
    pub(super) fn print(&self, text: &str) {
        let _ = self.output.try_send(format!("{}\n", printable(text)));
    }

    /// Waits until everything is printed.
    pub(super) async fn finish(self) {
        drop(self.output);
        let _ = tokio::time::timeout(LAST_OUTPUT, self.printed).await;
    }
}

fn read_lines(
    mut editor: Editor<LineHelper, MemHistory>,
    mut wanted: mpsc::Receiver<String>,
    typed: &mpsc::Sender<Option<String>>,
) {
    while let Some(prompt) = wanted.blocking_recv() {
        // An error is Ctrl-C, Ctrl-D, or a terminal that has gone: all of them end the input.
        let line = editor.readline(&prompt).ok();
        if typed.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Completes lines, and shows control characters of the typed line as pictures: a pasted text must not steer the terminal.
struct LineHelper {
    completions: Vec<String>,
}

impl Completer for LineHelper {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = line.get(..pos).unwrap_or(line);
        Ok((0, self.completions.iter().filter(|whole| whole.starts_with(begun)).cloned().collect()))
    }
}

impl Highlighter for LineHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        pictured(line)
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        matches!(pictured(line), Cow::Owned(_))
    }
}

impl Hinter for LineHelper {
    type Hint = String;
}

impl Validator for LineHelper {}

impl Helper for LineHelper {}

/// Returns a text with a picture in the place of each character that steers a terminal, of the same number of characters: the
/// editor counts columns in the original. Line breaks of a pasted text stay.
fn pictured(line: &str) -> Cow<'_, str> {
    // What `printable` escapes, character by character.
    let steers = |c: char| c != '\n' && matches!(printable(c.encode_utf8(&mut [0; 4])), Cow::Owned(_));
    if !line.contains(steers) {
        return Cow::Borrowed(line);
    }
    let picture = |c: char| match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code),
        0x7f => Some('\u{2421}'),
        _ => None,
    };
    let shown = |c: char| if steers(c) { picture(c).unwrap_or('\u{fffd}') } else { c };
    Cow::Owned(line.chars().map(shown).collect())
}

/// The modes of the terminal before the editor changes them. A signal ends the process while the editor reads, which then cannot
/// restore them.
pub(super) struct TerminalModes(Option<Termios>);

impl TerminalModes {
    /// Reads the modes, if standard input is a terminal.
    pub(super) fn read() -> Self {
        Self(tcgetattr(std::io::stdin()).ok())
    }

    /// Restores them.
    pub(super) fn restore(&self) {
        if let Some(modes) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_control_characters_become_pictures() {
        assert_eq!(
            pictured("a\u{1b}[2J\u{9b}1m\u{7}\t\u{7f}\u{202e}b\nc"),
            "a\u{241b}[2J\u{fffd}1m\u{2407}\u{2409}\u{2421}\u{fffd}b\nc"
        );
        assert!(matches!(pictured("gr\u{fc}n, \u{1f600}"), Cow::Borrowed(_)));
    }

    #[test]
    fn line_completes_from_its_beginning() {
        let helper = LineHelper { completions: vec!["green> ".to_owned(), "graph".to_owned(), "help".to_owned()] };
        let history = MemHistory::new();
        let completed = |line: &str| helper.complete(line, line.len(), &Context::new(&history)).expect("no error");
        assert_eq!(completed("he"), (0, vec!["help".to_owned()]));
        assert_eq!(completed("g"), (0, vec!["green> ".to_owned(), "graph".to_owned()]));
        assert_eq!(completed("x"), (0, vec![]));
    }
}
