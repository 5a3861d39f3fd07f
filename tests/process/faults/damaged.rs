//! Damaged stores, and data folders without their store: a start ends with one line that says what to do.

use ::fixtures::clients::http_caller::HttpCaller;
use fastrand::Rng;
use reqwest::Method;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{Process, fernpost, soon};

/// Unit of a disk write.
const BLOCK: usize = 4096;

/// Number of damaged copies that are tried.
const COPIES: u64 = 40;

/// Starts a gateway. `None`: it runs; otherwise its exit code and its log.
async fn started(node: &GatewayProcess, flags: &[&str]) -> Option<(Option<i32>, String)> {
    let mut process = Process::start(node.serve(&[]).args(flags));
    let admin = HttpCaller::at(node.admin);
    let ready = async {
        while !process.is_gone() {
            if matches!(admin.call(Method::GET, "/health/ready", "").await, Ok((200, _))) {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        false
    };
    if soon("a start", ready).await {
        process.term();
        // Some rows may be unreadable, and the end of a gateway on a damaged store may be unclean.
        process.ended().await;
        return None;
    }
    let code = process.ended().await.code();
    Some((code, process.log()))
}

fn verified(node: &GatewayProcess) -> (Option<i32>, String) {
    let output = fernpost().args(["store", "verify", "--config"]).arg(node.configured()).output();
    let output = output.expect("the binary starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

#[tokio::test]
async fn damaged_stores_end_in_one_line() {
    let (mut red, _blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    red.start().await;
    for n in 0..100 {
        red.api().say(&format!("m-{n}"), "blue", &"text ".repeat(50)).await;
    }
    red.process().term();
    red.process().ended().await;
    let whole = std::fs::read(red.store()).expect("it was made");
    let is_used = |at: &usize| whole[*at..(*at + BLOCK).min(whole.len())].iter().any(|byte| *byte != 0);
    let used: Vec<usize> = (0..whole.len()).step_by(BLOCK).filter(is_used).collect();
    let (mut refused, mut unreadable) = (0, 0);
    for seed in 0..COPIES {
        let mut chance = Rng::with_seed(seed);
        let mut bytes = whole.clone();
        let block = used[chance.usize(..used.len())];
        match chance.u8(0..4) {
            0 => (0..8).for_each(|_| bytes[block + chance.usize(..BLOCK)] = chance.u8(..)),
            1 => bytes[block..block + BLOCK].fill(0),
            2 => bytes[block..block + BLOCK].fill_with(|| chance.u8(..)),
            _ => bytes.truncate(block + chance.usize(..BLOCK)),
        }
        std::fs::write(red.store(), &bytes).expect("a writable folder");
        let (code, said) = verified(&red);
        assert!(matches!(code, Some(0 | 1)) && !said.contains("panicked"), "seed {seed}: {code:?} {said}");
        let Some((code, log)) = started(&red, &[]).await else { continue };
        let last = log.lines().last().unwrap_or_default();
        assert!(code == Some(2) && last.starts_with("fernpost cannot start: "), "seed {seed}: {code:?}\n{log}");
        assert!(last.contains("`fernpost store verify`") && !log.contains("panicked"), "seed {seed}: {log}");
        refused += 1;
        unreadable += usize::from(last.contains("the engine cannot read it at all"));
    }
    println!("of {COPIES} damaged stores {refused} are refused, {unreadable} because the engine panics");
    assert!(refused > 5 && unreadable > 0, "{refused} {unreadable}");
}

#[tokio::test]
async fn lost_stores_are_not_begun_anew() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    red.kill();
    let (store, marker) = (red.store(), red.store().with_file_name("fernpost.marker"));
    let kept = std::fs::read(&store).expect("it was made");
    let refused = async |words: &str| {
        let (code, log) = started(&red, &[]).await.expect("refused");
        let last = log.lines().last().unwrap_or_default();
        assert!(code == Some(2) && last.starts_with("fernpost cannot start: the store "), "{log}");
        assert!(last.contains(words) && last.contains("--accept-data-dir"), "{log}");
    };
    // The folder looks like this if its disk is not mounted: the folder exists without the store.
    std::fs::remove_file(&store).expect("it is there");
    refused("is missing").await;
    assert!(!store.exists(), "nothing was begun");
    std::fs::write(&store, "").expect("a writable folder");
    refused("is an empty file").await;
    assert_eq!(started(&red, &["--accept-data-dir"]).await, None, "the operator accepts the folder as it is");
    assert_eq!(started(&red, &[]).await, None, "once is enough");
    std::fs::remove_file(&marker).expect("it is there");
    std::fs::write(&store, kept).expect("a writable folder");
    refused("was not created in this folder").await;
    assert_eq!(started(&red, &["--accept-data-dir"]).await, None);
}
