//! The demo in a terminal: a pseudo-terminal whose other end is the test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::fixtures::process::fernpost;

/// Longer than any successful step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo in a terminal of its own.
struct TerminalDemo {
    child: Child,
    keys: File,
    /// The end that the demo has, to read its modes.
    terminal: File,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl TerminalDemo {
    fn start() -> Self {
        let test_end: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&test_end).expect("ours");
        unlockpt(&test_end).expect("ours");
        let name = ptsname(&test_end, Vec::new()).expect("it has a name").into_string().expect("text");
        let terminal = File::options().read(true).write(true).open(name).expect("its other end");
        let end = || terminal.try_clone().expect("a descriptor");
        let mut demo = fernpost();
        let demo = demo.args(["demo", "--terminal"]).env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = demo.spawn().expect("the binary starts");
        let keys = File::from(test_end);
        let mut screen = keys.try_clone().expect("a descriptor");
        let (shown, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if shown.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, terminal, output, seen: vec![] }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
    }

    /// Waits until these words were shown this often.
    fn shows(&mut self, words: &str, times: usize) {
        while String::from_utf8_lossy(&self.seen).matches(words).count() < times {
            let more = self.output.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("{words:?} is not shown:\n{}", self.screen()));
            self.seen.extend(more);
        }
    }

    /// Waits until it asks for this line, counted from 1. Before that the kernel edits the line, and takes Ctrl-V for itself.
    fn asks(&mut self, line: usize) {
        self.shows("\u{1b}[?2004h", line);
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    fn edits(&self) -> bool {
        !tcgetattr(&self.terminal).expect("a terminal").local_modes.contains(LocalModes::ICANON)
    }
}

impl Drop for TerminalDemo {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn terminal_edits_lines_and_keeps_history() {
    let mut demo = TerminalDemo::start();
    demo.shows("red> ", 1);
    // The left arrow stands before the o.
    demo.types("helo\u{1b}[Dl\r");
    demo.shows("red   sent      \"hello\": on disk at red", 1);
    demo.shows("green received  \"hello\"", 1);
    demo.asks(2);
    demo.types("\u{1b}[A\r");
    demo.shows("red   sent      \"hello\": on disk at red", 2);
    demo.asks(3);
    demo.types("hel\t\r");
    demo.shows("draw the messages that red sent", 2);

    // An escape sequence after Ctrl-V, and a pasted bell and one-character form of an escape sequence.
    demo.asks(4);
    demo.types("\u{16}\u{1b}[31mq\u{1b}[200~b\u{7}c\u{9b}2Jd\u{1b}[201~");
    demo.shows("\u{241b}[31mqb\u{2407}c\u{fffd}2Jd", 1);
    demo.types("\r");
    demo.shows("blue  received  \"\\u{1b}[31mqb\\u{7}c\\u{9b}2Jd\"", 1);
    let screen = demo.screen();
    for steering in ["\u{1b}[31m", "\u{7}c", "\u{9b}"] {
        assert!(!screen.contains(steering), "{steering:?} reached the terminal: {screen:?}");
    }
    assert!(demo.edits());
    demo.types("\u{4}");
    assert_eq!(demo.child.wait().expect("a child of ours").code(), Some(0));
    assert!(!demo.edits(), "the terminal is as before");
}

#[test]
fn stopped_demo_restores_its_terminal() {
    let mut demo = TerminalDemo::start();
    demo.shows("red> ", 1);
    // The prompt is written after the modes are set.
    assert!(demo.edits());
    let term = Command::new("kill").args(["-TERM", &demo.child.id().to_string()]).status();
    assert!(term.expect("a signal").success());
    assert_eq!(demo.child.wait().expect("a child of ours").code(), Some(0));
    assert!(!demo.edits(), "the terminal is as before");
}
