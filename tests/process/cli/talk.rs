//! The interactive demo: a line is executed, sent, or refused with the reason.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::fixtures::process::fernpost;

/// Longer than any successful step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo that reads lines from the test.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Demo {
    fn start() -> Self {
        let mut child = fernpost();
        let child =
            child.args(["demo", "--terminal"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().expect("the binary starts");
        let (says, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| says.send(line)));
        Self { child, lines, seen: vec![] }
    }

    fn types(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("it reads");
    }

    /// Waits for a line with these words.
    fn shows(&mut self, words: &str) {
        while !self.seen.iter().any(|line| line.contains(words)) {
            let line = self.lines.recv_timeout(PATIENCE);
            self.seen.push(line.unwrap_or_else(|_| panic!("{words:?} is not shown:\n{}", self.seen.join("\n"))));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn demo_sends_only_chat_lines() {
    let mut demo = Demo::start();
    for line in
        ["", "   ", "help", "?", "grey> hi", "down grey", "status", "/frob", "hlep", "blue>", "\u{1b}[31mred\u{7}"]
    {
        demo.types(line);
    }
    demo.shows("there is no gateway grey, only red, blue, green");
    demo.shows("there is no command status");
    demo.shows("there is no command frob");
    demo.shows("did you mean help?");
    demo.shows("blue  sent      \"\\u{1b}[31mred\\u{7}\": on disk at blue");
    demo.shows("red   received  \"\\u{1b}[31mred\\u{7}\"");
    demo.shows("green received  \"\\u{1b}[31mred\\u{7}\"");
    demo.types("graph");
    demo.shows("\\u001b[31mred\\u0007");
    demo.types("quit");
    assert_eq!(demo.child.wait().expect("a child of ours").code(), Some(0));
    demo.seen.extend(demo.lines.try_iter());
    let sent = demo.seen.iter().filter(|line| line.contains(" sent  ")).count();
    assert_eq!(sent, 1, "no other message was sent:\n{}", demo.seen.join("\n"));
    let helped = demo.seen.iter().filter(|line| line.starts_with("down NAME")).count();
    assert_eq!(helped, 3, "once at the start, and twice on request:\n{}", demo.seen.join("\n"));
    assert!(!demo.seen.iter().any(|line| line.contains(['\u{1b}', '\u{7}', '\r'])), "{:?}", demo.seen);
}
