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
