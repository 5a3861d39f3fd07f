//! The terminal while a screen is shown: its modes, which are restored at every end, and its keys.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

/// Interval at which the thread that reads keys looks whether the session has ended.
const KEY_POLL: Duration = Duration::from_millis(100);

/// Number of keys that may wait.
const KEYS_MAX: usize = 64;

/// A terminal that shows a screen. It is as before once this is dropped, and before a panic is reported.
pub(super) struct TerminalSession {
    terminal: DefaultTerminal,
    events: mpsc::Receiver<Event>,
    has_ended: Arc<AtomicBool>,
}

impl TerminalSession {
    /// Takes over the terminal.
    pub(super) fn begin() -> io::Result<Self> {
        // This also restores the terminal in the hook of panics, so that their report is readable.
        let terminal = ratatui::try_init()?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let (sent, events) = mpsc::channel(KEYS_MAX);
        let ended = Arc::clone(&has_ended);
        // The library's reads block.
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match event::poll(KEY_POLL) {
                    Ok(false) => {}
                    Ok(true) => match event::read() {
                        Ok(event) => {
                            if sent.blocking_send(event).is_err() {
                                return;
                            }
                        }
                        Err(_) => return,
                    },
                    Err(_) => return,
                }
            }
        });
        Ok(Self { terminal, events, has_ended })
    }

    /// Draws a screen.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Returns the next key, or another event; `None`: the terminal is gone.
    pub(super) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for TerminalSession {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
        // A terminal that is gone needs no modes.
        let _ = ratatui::try_restore();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::Command;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, tcgetattr};

    use super::*;

    /// Set in the process that panics.
    const CHILD: &str = "FERNPOST_TEST_PANICS_ON_SCREEN";

    #[test]
    fn panic_restores_terminal() {
        if std::env::var_os(CHILD).is_some() {
            let mut session = TerminalSession::begin().expect("a terminal");
            session.draw(|_| panic!("the screen is broken")).expect("unreachable");
        }
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&screen).expect("ours");
        unlockpt(&screen).expect("ours");
        let name = ptsname(&screen, Vec::new()).expect("it has a name").into_string().expect("text");
        let terminal = File::options().read(true).write(true).open(name).expect("its other end");
        let end = || terminal.try_clone().expect("a descriptor");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let name = concat!(module_path!(), "::panic_restores_terminal");
        // The path of the module begins with the crate, the name of a test does not.
        let (_, name) = name.split_once("::").expect("a path");
        command.args(["--exact", name, "--nocapture"]).env(CHILD, "1").env("TERM", "xterm");
        command.stdin(end()).stdout(end()).stderr(end());
        let mut child = command.spawn().expect("it starts");
        let mut screen = File::from(screen);
        let reader = std::thread::spawn(move || {
            let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
            // A terminal without a process ends with an error.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                shown.extend_from_slice(&bytes[..count]);
            }
            String::from_utf8_lossy(&shown).into_owned()
        });
        assert!(!child.wait().expect("a child of ours").success());
        assert!(
            tcgetattr(&terminal).expect("a terminal").local_modes.contains(LocalModes::ICANON),
            "its modes are back"
        );
        // The reader ends when nobody else has the terminal.
        drop((terminal, command));
        let shown = reader.join().expect("it reads");
        let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("{words:?} is not in {shown:?}"));
        assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"), "{shown:?}");
        assert!(at("\u{1b}[?1049l") < at("the screen is broken"), "the report comes after the screen: {shown:?}");
    }
}
