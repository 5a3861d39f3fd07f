//! A log that cannot be written: its lines are lost and counted, and the gateway continues.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use ::fixtures::clients::http_caller::HttpCaller;
use reqwest::Method;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;

/// Returns the command with its log in another file. Descriptor 3 keeps the test's pipe open, because its end shows the end
/// of the process.
fn logging_to(command: &Command, log: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 3>&2 2>'{}'; exec \"$0\" \"$@\"", log.display()));
    shell.env_clear().env("FERNPOST_LOG", "debug").arg(command.get_program()).args(command.get_args());
    shell
}

/// Creates a named pipe.
fn pipe(node: &GatewayProcess) -> std::path::PathBuf {
    let path = node.folder().join("log");
    assert!(Command::new("mkfifo").arg(&path).status().expect("a shell tool").success());
    path
}

/// Returns the reading end once a writer has opened the pipe.
async fn reader(path: &Path) -> BufReader<File> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || File::open(path).expect("a pipe"));
    BufReader::new(soon("a writer", opened).await.expect("no panic"))
}

async fn lost(node: &GatewayProcess) -> u64 {
    let text = reqwest::get(format!("http://{}/metrics", node.admin)).await.expect("an answer");
    let text = text.text().await.expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("fernpost_log_lines_lost_total "));
    line.expect("it is counted").parse().expect("a number")
}

/// Checks that the gateway accepts a submission, is healthy, and ends with exit code 0.
async fn works_and_ends_well(node: &mut GatewayProcess) {
    node.api().say("said", "blue", "said").await;
    let (status, health) = HttpCaller::at(node.admin).call(Method::GET, "/health/ready", "").await.expect("an answer");
    assert_eq!(status, 200, "{health}");
    node.process().term();
    assert_eq!(node.process().ended().await.code(), Some(0), "{}", node.process().log());
}

#[tokio::test]
async fn log_on_full_disk_is_counted() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let command = red.serve(&[]);
    red.start_as(&mut logging_to(&command, Path::new("/dev/full"))).await;
    assert!(lost(&red).await > 0, "the first line is lost");
    works_and_ends_well(&mut red).await;
}

#[tokio::test]
async fn closed_log_pipe_ends_nothing() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let (command, log) = (red.serve(&[]), pipe(&red));
    let mut command = logging_to(&command, &log);
    let (mut log, ()) = tokio::join!(reader(&log), red.start_as(&mut command));
    let mut line = String::new();
    log.read_line(&mut line).expect("the log");
    drop(log);
    // Each operator command is one line of the log.
    let done = HttpCaller::at(red.admin).call(Method::POST, "/admin/v1/peers/blue/suspend", "").await;
    assert_eq!(done.expect("an answer").0, 200);
    soon("a lost line", async { while lost(&red).await == 0 {} }).await;
    works_and_ends_well(&mut red).await;
}

#[tokio::test]
async fn unread_log_holds_up_nobody() {
    /// Bytes in a pipe that has no room for one more page, so that its writer may have to wait.
    const FULL: usize = 60 << 10;
    let (mut red, mut blue) = GatewayProcess::pair("");
    blue.start().await;
    let (command, log) = (red.serve(&[]), pipe(&red));
    let mut command = logging_to(&command, &log);
    let (mut log, ()) = tokio::join!(reader(&log), red.start_as(&mut command));
    for n in 0..500 {
        red.api().say(&format!("m-{n}"), "blue", "hello").await;
    }
    blue.api().hear(500).await;
    // The last lines are not read either.
    works_and_ends_well(&mut red).await;
    let mut text = vec![];
    log.read_to_end(&mut text).expect("the log");
    assert!(text.len() >= FULL, "it logged only {} bytes: the pipe was never full", text.len());
}

/// The operator finds the caller of a command by its address and port.
#[tokio::test]
async fn admin_request_names_caller_port() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    let caller = HttpCaller::at(red.admin);
    let (status, answer) = caller.call(Method::POST, "/admin/v1/peers/blue/suspend", "").await.expect("an answer");
    assert_eq!(status, 200, "{answer}");
    let line = red.process().says("admin request").await;
    let from = line.split("from=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    let from: std::net::SocketAddr = from.trim_matches('"').parse().expect("an address and a port");
    assert_ne!(from.port(), 0, "{line}");
}
