//! `fernpost init`: by options, by answers, and the refusals.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::fixtures::node::own_address;
use crate::fixtures::process::{Process, fernpost};
use crate::fixtures::terminal::TerminalProcess;

/// A folder for a configuration, and listeners that no other test uses.
struct FirstConfiguration {
    folder: TempDir,
    listeners: [SocketAddr; 3],
}

impl FirstConfiguration {
    fn new() -> Self {
        let address = own_address();
        let bind = || std::net::TcpListener::bind(SocketAddr::from((address, 0))).expect("a free port on loopback");
        let bound = [bind(), bind(), bind()];
        let listeners = bound.each_ref().map(|one| one.local_addr().expect("bound"));
        Self { folder: tempfile::tempdir().expect("a folder"), listeners }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    fn config(&self) -> PathBuf {
        self.dir().join("fernpost.toml")
    }

    /// Returns `fernpost init` into the folder.
    fn init(&self, arguments: &[&str]) -> Command {
        let [federation, messenger, admin] = self.listeners.map(|listener| listener.to_string());
        let mut command = fernpost();
        command.args(["init", "--dir"]).arg(self.dir()).args(["--listen", &federation]);
        command.args(["--messenger", &messenger, "--admin", &admin]).args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts a gateway with the configuration, and waits until it serves.
    async fn serve(&self) -> Process {
        let mut process = Process::start(fernpost().args(["serve", "--config"]).arg(self.config()));
        process.says("ready").await;
        process
    }
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o7777
}

#[tokio::test]
async fn options_make_configuration_that_serves() {
    let first = FirstConfiguration::new();
    let push = ["--push", "http://127.0.0.1:7000/fernpost"];
    let arguments =
        ["--name", "red.example", "--reached-at", "gate.red.example:443", "--certificate", "none", "--json"];
    let (code, said, complaints) = texts(&first.init(&[&arguments[..], &push[..]].concat()).output().expect("it runs"));
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let record = &report["records"][0];
    assert_eq!(record["name"], "_actor-server._tcp.red.example.", "{said}");
    assert_eq!((&record["type"], &record["value"]), (&"SRV".into(), &"0 10 443 gate.red.example.".into()));
    assert!(
        report["next"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|next| next.as_str().is_some_and(|next| next.contains("join-token new")))
    );
    let modes = ["messenger.token", "admin.token", "push.secret", "data/keys/1.key"];
    for (file, expected) in modes.map(|file| (file, 0o600)).into_iter().chain([("data", 0o700), ("data/keys", 0o700)]) {
        assert_eq!(mode(&first.dir().join(file)), expected, "{file}");
    }
    let secret = std::fs::read_to_string(first.dir().join("push.secret")).expect("it is there");
    assert!(secret.starts_with("whsec_"), "the form of Standard Webhooks");

    let shown =
        fernpost().args(["config", "show", "--json", "--config"]).arg(first.config()).output().expect("it runs");
    let (code, said, _) = texts(&shown);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("http://127.0.0.1:7000/fernpost") && said.contains("red.example"), "{said}");
    let check = fernpost().args(["check", "config", "--config"]).arg(first.config()).output().expect("it runs");
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let mut process = first.serve().await;
    let peers = fernpost().args(["peer", "list", "--config"]).arg(first.config()).output().expect("it runs");
    assert_eq!(peers.status.code(), Some(0), "the admin token fits: {peers:?}");
    let health = fernpost().args(["check", "keys", "--config"]).arg(first.config()).output().expect("it runs");
    assert_eq!(health.status.code(), Some(0), "the key is that of the running gateway: {health:?}");
    process.term();
    assert_eq!(process.ended().await.code(), Some(0));
}

#[test]
fn nothing_is_overwritten() {
    let first = FirstConfiguration::new();
    let arguments = ["--name", "red.example", "--yes"];
    assert_eq!(first.init(&arguments).output().expect("it runs").status.code(), Some(0));
    let written = |name: &str| std::fs::read(first.dir().join(name)).expect("it is there");
    let before = ["fernpost.toml", "admin.token", "messenger.token", "data/keys/1.key"].map(written);
    let (code, said, why) = texts(&first.init(&arguments).output().expect("it runs"));
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(why.contains("fernpost.toml exists"), "{why}");
    assert_eq!(["fernpost.toml", "admin.token", "messenger.token", "data/keys/1.key"].map(written), before);

    // A configuration that was lost is written again; the key stays, because peers know the server by it.
    for file in ["fernpost.toml", "admin.token", "messenger.token"] {
        std::fs::remove_file(first.dir().join(file)).expect("it is ours");
    }
    assert_eq!(first.init(&arguments).output().expect("it runs").status.code(), Some(0));
    assert_eq!(written("data/keys/1.key"), before[3]);
    assert_ne!(written("admin.token"), before[1], "tokens are made anew");
}

#[test]
fn unusable_answers_leave_nothing() {
    let first = FirstConfiguration::new();
    let taken = first.listeners[1].to_string();
    let arguments = ["--name", "red.example", "--yes", "--listen", &taken];
    let mut command = fernpost();
    command.args(["init", "--dir"]).arg(first.dir()).args(["--messenger", &taken]).args(arguments);
    let (code, _, why) = texts(&command.output().expect("it runs"));
    assert_eq!(code, Some(1), "{why}");
    assert!(why.contains("is taken by `federation.listen`") && why.contains("nothing was written"), "{why}");
    assert!(!first.dir().exists(), "{why}");
    for wrong in
        [&["--yes"][..], &["--name", "red..example", "--yes"], &["--name", "red.example", "--json", "--push", "x"]]
    {
        let (code, said, why) = texts(&first.init(wrong).output().expect("it runs"));
        assert_eq!((code, said.as_str()), (Some(2), ""), "{wrong:?}: {why}");
        assert!(!why.is_empty() && !first.dir().exists(), "{wrong:?}");
    }
    let absent = first.folder.path().join("absent.pem");
    let absent = absent.to_str().expect("text");
    let (code, _, why) =
        texts(&first.init(&["--name", "red.example", "--yes", "--certificate", absent]).output().expect("it runs"));
    assert!(code == Some(2) && why.contains("absent.pem"), "{why}");
}

#[test]
fn piped_answers_are_read() {
    let first = FirstConfiguration::new();
    let mut child = first.init(&[]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child_ref = child.as_mut().expect("it starts");
    // A wrong answer is asked for again; an empty one takes the suggestion.
    let answers = "red..example\nred.example\n\nnone\nftp://x\nhttp://127.0.0.1:7000/\n";
    child_ref.stdin.take().expect("piped").write_all(answers.as_bytes()).expect("it reads");
    let (code, said, asked) = texts(&child.expect("it starts").wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{asked}");
    for question in ["Name of this server", "[red.example:9880]", "Certificate", "[none]", "URL that events"] {
        assert!(asked.contains(question), "{question}: {asked}");
    }
    assert_eq!(asked.matches("Name of this server").count(), 2, "{asked}");
    assert!(said.contains("_matrix._tcp.red.example. 3600 IN SRV 0 10 9880 red.example."), "{said}");
    let text = std::fs::read_to_string(first.config()).expect("it is there");
    assert!(text.contains("url = \"http://127.0.0.1:7000/\""), "{text}");

    let cut = FirstConfiguration::new();
    let (code, _, why) = texts(&cut.init(&[]).output().expect("it runs"));
    assert!(code == Some(2) && why.contains("not answered") && why.contains("--name"), "{why}");
    assert!(!cut.dir().exists());
}

#[test]
fn terminal_asks_four_questions() {
    let first = FirstConfiguration::new();
    let mut terminal = TerminalProcess::start(&mut first.init(&[]));
    let answers = [
        ("Name of this server", "red.exampel\u{7f}\u{7f}le\r"),
        ("[red.example:9880]: ", "\r"),
        ("Certificate", "none\r"),
        ("URL", "\r"),
    ];
    for (number, (question, answer)) in answers.into_iter().enumerate() {
        terminal.shows(question, 1);
        terminal.asks(number + 1);
        terminal.types(answer);
    }
    terminal.shows("fernpost join-token new", 1);
    assert_eq!(terminal.child.wait().expect("a child of ours").code(), Some(0), "{}", terminal.screen());
    assert!(!terminal.edits(), "the terminal is as before");
    let text = std::fs::read_to_string(first.config()).expect("it is there");
    assert!(text.contains("name = \"red.example\""), "{text}");
}
