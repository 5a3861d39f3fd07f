//! One child process: what it says is an event to wait for, and nothing outlives its test.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than anything takes that works, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test, blind to the variables of whoever runs the tests; `FERNPOST_BIN` names another one to test, such as a
/// release build.
pub(crate) fn fernpost() -> Command {
    let mut command =
        Command::new(std::env::var_os("FERNPOST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_fernpost").into()));
    command.env_clear();
    command
}

/// Wait for what has to happen.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// What a process has said on its standard error.
#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    /// No more can come: every end of the pipe is closed, so the process is gone.
    ended: bool,
}

/// A process, killed and reaped when this is dropped.
pub(crate) struct Process {
    child: Child,
    said: watch::Receiver<Said>,
}

impl Process {
    /// Start it; its standard output is nobody's business.
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let said = listen(child.stderr.take().expect("piped"));
        Self { child, said }
    }

    /// SIGKILL: nothing of it runs when this returns.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("ours, and not reaped yet");
        self.child.wait().expect("a child of ours");
    }

    /// SIGTERM.
    pub(crate) fn term(&self) {
        self.signal("TERM");
    }

    /// Its number, while it runs.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Wait for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = soon("the end of the process", self.said.wait_for(|said| said.ended)).await;
        drop(ended.expect("the listener says when it ends"));
        self.child.wait().expect("a child of ours")
    }

    /// Whether it has ended; asked while it starts.
    pub(crate) fn is_gone(&self) -> bool {
        self.said.borrow().ended
    }

    /// Wait for a line with these words.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let has = |line: &&String| line.contains(words);
        let said = soon(words, self.said.wait_for(|said| said.ended || said.lines.iter().any(|line| has(&line)))).await;
        let said = said.expect("the listener says when it ends");
        let found = said.lines.iter().find(has);
        found.unwrap_or_else(|| panic!("it ended without {words:?}:\n{}", said.lines.join("\n"))).clone()
    }

    /// The most memory it ever had, in kilobytes.
    pub(crate) fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
        peak.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// All it has said so far.
    pub(crate) fn log(&self) -> String {
        self.said.borrow().lines.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it was reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(from: ChildStderr) -> watch::Receiver<Said> {
    let (says, said) = watch::channel(Said::default());
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let line = line.unwrap_or_else(|error| format!("(unreadable: {error})"));
            says.send_modify(|said| said.lines.push(line));
        }
        says.send_modify(|said| said.ended = true);
    });
    said
}
