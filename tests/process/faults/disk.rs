//! The store's file: on a full disk, and opened by two processes.

use std::process::Command;

use ::fixtures::clients::messenger_client::{submission, texts};
use reqwest::Method;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::Process;

/// Returns the same command in a shell that limits files to this many blocks of 512 bytes. The signal of the limit is
/// ignored, because a full disk sends none: what remains is a write that fails.
fn limited(command: &Command, blocks: u64) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
    shell.env_clear().arg(command.get_program()).args(command.get_args());
    shell
}

#[tokio::test]
async fn failed_journal_ends_process_clearly() {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"100ms\"\nbackoff_max = \"1s\"");
    red.start().await;
    red.api().say("first", "blue", "first").await;
    red.process().term();
    red.process().ended().await;
    // The disk has room for a part of the following updates.
    let blocks = std::fs::metadata(red.store()).expect("it was made").len() / 512 + 512;
    red.start_as(&mut limited(&red.serve(&[]), blocks)).await;

    let (api, padding) = (red.api(), "x".repeat(20_000));
    let mut acknowledged = vec!["first".to_owned()];
    let refused = loop {
        let text = format!("{} {padding}", acknowledged.len());
        let path = format!("/v1/updates/more-{}", acknowledged.len());
        match api.call(Method::PUT, &path, &submission(&["blue"], &[&text])).await {
            Ok((202, _)) => acknowledged.push(text),
            other => break other,
        }
        assert!(acknowledged.len() < 1_000, "the limit has no effect");
    };
    // A caller gets no answer, or one that does not claim success or failure.
    assert!(matches!(&refused, Err(_) | Ok((503, _))), "{refused:?}");
    let exit = red.process().ended().await;
    let log = red.process().log();
    assert_eq!(exit.code(), Some(1), "{log}");
    let last: Vec<&str> = log.lines().filter(|line| line.starts_with("fernpost ends: ")).collect();
    assert_eq!(last.len(), 1, "{log}");
    for words in ["fernpost.redb", "check the disk and its free space", "nothing acknowledged is lost"] {
        assert!(last[0].contains(words), "{words}: {}", last[0]);
    }
    println!("{} acknowledged, then {refused:?}, then: {}", acknowledged.len(), last[0]);

    blue.start().await;
    red.start().await;
    // The update without an answer may or may not have been accepted; after a repeat it has been accepted once.
    let text = format!("{} {padding}", acknowledged.len());
    red.api().say(&format!("more-{}", acknowledged.len()), "blue", &text).await;
    acknowledged.push(text);
    assert_eq!(texts(&blue.api().hear(acknowledged.len()).await), acknowledged);
}

#[tokio::test]
async fn second_process_cannot_open_store() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    let mut twice = Process::start(&mut red.serve(&[]));
    assert_eq!(twice.ended().await.code(), Some(2));
    assert!(twice.log().contains(&format!("federation.listen = {}", red.federation)), "{}", twice.log());

    let listen = ["federation", "messenger", "admin"].map(|door| format!("{door}.listen=127.0.0.1:0"));
    let elsewhere: Vec<&str> = listen.iter().map(String::as_str).collect();
    let mut second = Process::start(&mut red.serve(&elsewhere));
    assert_eq!(second.ended().await.code(), Some(2));
    let log = second.log();
    let said: Vec<&str> = log.lines().filter(|line| line.starts_with("fernpost cannot start: ")).collect();
    assert!(said.len() == 1 && said[0].contains("in use by another process"), "{log}");
    assert!(said[0].contains("server.data_dir"), "the message names an existing key: {log}");

    red.api().get("/v1/peers").await;
    red.process().term();
    assert_eq!(red.process().ended().await.code(), Some(0), "{}", red.process().log());
}
