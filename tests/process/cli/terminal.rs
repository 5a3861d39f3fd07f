//! The demo in a terminal.

use std::process::Command;

use crate::fixtures::process::fernpost;
use crate::fixtures::terminal::TerminalProcess;

/// Starts the demo in a terminal of its own.
fn demo() -> TerminalProcess {
    TerminalProcess::start(fernpost().args(["demo", "--terminal"]))
}

#[test]
fn terminal_edits_lines_and_keeps_history() {
    let mut demo = demo();
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
    let mut demo = demo();
    demo.shows("red> ", 1);
    // The prompt is written after the modes are set.
    assert!(demo.edits());
    let term = Command::new("kill").args(["-TERM", &demo.child.id().to_string()]).status();
    assert!(term.expect("a signal").success());
    assert_eq!(demo.child.wait().expect("a child of ours").code(), Some(0));
    assert!(!demo.edits(), "the terminal is as before");
}
